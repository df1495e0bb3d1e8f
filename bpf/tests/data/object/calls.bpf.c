/* cpu=v3: several programs in one section, functions that are called, and one that is passed. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} first SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u64);
	__type(value, __u32);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} second SEC(".maps");

static __attribute__((noinline)) int leaf(int n)
{
	__u32 key = n & 3;
	__u64 *v = bpf_map_lookup_elem(&first, &key);

	return v ? (int)*v + n : n;
}

static __attribute__((noinline)) int middle(int n)
{
	return leaf(n + 1) * 3 + leaf(n ^ 5);
}

__attribute__((noinline)) int visible(int n)
{
	return middle(n) - 7;
}

struct loop_state {
	__u64 sum;
};

static int step(__u32 i, struct loop_state *s)
{
	s->sum += i;
	return 0;
}

SEC("xdp")
int one(struct xdp_md *ctx)
{
	return visible(ctx->ingress_ifindex) + leaf(ctx->rx_queue_index) > 40 ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int two(struct xdp_md *ctx)
{
	__u64 key = ctx->rx_queue_index;
	__u32 *v = bpf_map_lookup_elem(&second, &key);

	return v && middle(*v) ? XDP_TX : XDP_PASS;
}

SEC("tc")
int looper(struct __sk_buff *skb)
{
	struct loop_state s = {};

	bpf_loop(skb->len & 15, step, &s, 0);
	return s.sum & 1;
}

char _license[] SEC("license") = "GPL";
