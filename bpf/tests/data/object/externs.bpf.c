/* cpu=v3: symbols from outside. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

extern int a_kfunc(int a, ...) __ksym;
extern int CONFIG_HZ __kconfig;
extern const int perhaps __ksym __weak;

SEC("xdp")
int symbol(struct xdp_md *ctx)
{
	return CONFIG_HZ;
}

SEC("xdp")
int function(struct xdp_md *ctx)
{
	return a_kfunc(3);
}

SEC("xdp")
int weak_symbol(struct xdp_md *ctx)
{
	return !!&perhaps;
}

SEC("xdp")
int neither(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
