// SPDX-License-Identifier: MIT OR Apache-2.0
/* Drops every packet at tc: the counterpart of drop.bpf.c. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

SEC("tc")
int tc_drop(struct __sk_buff *skb)
{
	return TC_ACT_SHOT;
}

char _license[] SEC("license") = "Dual MIT/GPL";
