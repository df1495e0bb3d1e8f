/* cpu=v2: global data of every kind. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct pair {
	__u32 a, b;
};

const volatile __u32 threshold = 100;
static const volatile struct pair table[3] = {{1, 2}, {3, 4}, {5, 6}};
struct pair state = {7, 8};
static volatile __u64 hidden = 0x1122334455667788ULL;
__u64 zeroed[5];
static volatile __u32 hidden_zero;
__u32 apart SEC(".data.apart") = 42;
static volatile __u16 only_static SEC(".bss.local");

SEC("xdp")
int counting(struct xdp_md *ctx)
{
	__u32 i = ctx->rx_queue_index & 1;

	state.b += table[i].b;
	zeroed[i] += 1;
	hidden_zero++;
	apart++;
	only_static++;
	hidden += threshold;
	bpf_printk("queue %u", i);
	return state.b > threshold ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int simple(struct xdp_md *ctx)
{
	return threshold;
}

char _license[] SEC("license") = "GPL";
