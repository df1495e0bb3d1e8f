// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Puts VLAN tags on what some clients send, and takes them off again before the server's stack sees them. It stands
 * for 802.1Q interfaces, which not every kernel has.
 *
 *   203.0.113.0/25     802.1Q, VLAN 100
 *   2001:db8:2::/48    802.1Q, VLAN 100
 *   203.0.113.128/25   802.1ad, VLAN 200, and inside it 802.1Q, VLAN 30
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

SEC("push")
int push_tags(struct __sk_buff *skb)
{
	__be32 source[2];

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN + __builtin_offsetof(struct iphdr, saddr), source, 4))
			return TC_ACT_OK;
		if ((source[0] & bpf_htonl(0xffffff00)) != bpf_htonl(0xcb007100))
			return TC_ACT_OK;
		if (source[0] & bpf_htonl(0x80)) {
			bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), 30);
			bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021AD), 200);
			return TC_ACT_OK;
		}
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN + __builtin_offsetof(struct ipv6hdr, saddr), source, 8))
			return TC_ACT_OK;
		if (source[0] != bpf_htonl(0x20010db8) || (source[1] & bpf_htonl(0xffff0000)) != bpf_htonl(0x00020000))
			return TC_ACT_OK;
	} else {
		return TC_ACT_OK;
	}
	bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), 100);
	return TC_ACT_OK;
}

SEC("pop")
int pop_tags(struct __sk_buff *skb)
{
	if (skb->vlan_present)
		bpf_skb_vlan_pop(skb);
	if (skb->vlan_present)
		bpf_skb_vlan_pop(skb);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "Dual MIT/GPL";
