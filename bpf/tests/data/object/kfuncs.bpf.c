/* cpu=v3: functions of the kernel's that need not be there. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern int no_such_function(int a) __ksym __weak;

SEC("xdp")
int call_if_there(struct xdp_md *ctx)
{
	return &no_such_function ? no_such_function(1) : 2;
}

SEC("xdp")
int call_anyway(struct xdp_md *ctx)
{
	return no_such_function(1);
}

SEC("freplace/first")
int replacement(struct xdp_md *ctx)
{
	return XDP_DROP;
}

char _license[] SEC("license") = "GPL";
