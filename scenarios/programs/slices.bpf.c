// SPDX-License-Identifier: MIT OR Apache-2.0
/* A program in slices: the first finds the packet's protocol and jumps to the program that is in that slot; where there
   is none, the packet passes. Each slice counts in the map that a map of maps holds at the time. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum slot { SLOT_TCP, SLOT_UDP, SLOT_ICMP, SLOTS };

int xdp_tcp(struct xdp_md *ctx);
int xdp_udp(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, SLOTS);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} jump SEC(".maps") = {
	.values = {
		[SLOT_TCP] = (void *)&xdp_tcp,
		[SLOT_UDP] = (void *)&xdp_udp,
	},
};

struct counts {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} first SEC(".maps"), second SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct counts);
} current SEC(".maps") = {
	.values = { (void *)&first },
};

static __always_inline void count(__u32 slot)
{
	__u32 zero = 0;
	void *counts = bpf_map_lookup_elem(&current, &zero);

	if (!counts)
		return;
	__u64 *packets = bpf_map_lookup_elem(counts, &slot);
	if (packets)
		__sync_fetch_and_add(packets, 1);
}

SEC("xdp")
int xdp_slices(struct xdp_md *ctx)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	switch (ip->protocol) {
	case IPPROTO_TCP:
		bpf_tail_call(ctx, &jump, SLOT_TCP);
		break;
	case IPPROTO_UDP:
		bpf_tail_call(ctx, &jump, SLOT_UDP);
		break;
	case IPPROTO_ICMP:
		bpf_tail_call(ctx, &jump, SLOT_ICMP);
		break;
	}
	return XDP_PASS;
}

SEC("xdp")
int xdp_tcp(struct xdp_md *ctx)
{
	count(SLOT_TCP);
	return XDP_PASS;
}

SEC("xdp")
int xdp_udp(struct xdp_md *ctx)
{
	count(SLOT_UDP);
	return XDP_DROP;
}

SEC("xdp")
int xdp_icmp(struct xdp_md *ctx)
{
	count(SLOT_ICMP);
	return XDP_TX;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
