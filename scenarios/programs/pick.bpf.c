// SPDX-License-Identifier: MIT OR Apache-2.0
/* Chooses the receive queue, which only a program for a card may: IPv4 by the last bits of its source, all else queue 0. */
#include "packet.h"

#define QUEUES 4

SEC("xdp")
int xdp_pick(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct ethernet *frame = data;
	struct iphdr *ip = data + sizeof(*frame);
	__u32 queue = 0;

	if ((void *)(ip + 1) <= data_end && frame->type == bpf_htons(ETH_P_IP))
		queue = bpf_ntohl(ip->saddr) & (QUEUES - 1);
	ctx->rx_queue_index = queue;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
