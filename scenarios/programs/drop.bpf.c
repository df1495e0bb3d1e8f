// SPDX-License-Identifier: MIT OR Apache-2.0
/* Drops every packet at XDP: two instructions, the least a card can do. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int xdp_drop(struct xdp_md *ctx)
{
	return XDP_DROP;
}

char _license[] SEC("license") = "Dual MIT/GPL";
