/* cpu=v1: tail calls through maps of programs, one filled by the object. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

int target(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__array(values, int(struct xdp_md *));
} filled SEC(".maps") = {.values = {[1] = &target}};

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u32);
} empty SEC(".maps");

SEC("xdp")
int target(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp")
int jumping(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &filled, 1);
	return 0;
}

SEC("xdp")
int falling_through(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &empty, 2);
	return XDP_DROP;
}

char _license[] SEC("license") = "GPL";
