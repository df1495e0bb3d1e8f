/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The firewall's policy, the same for XDP and tc: how a packet is classified, and what a rule looks like.
 *
 * A rule is looked up twice: first by {source address, destination port, protocol}, then by the source address alone
 * (port 0, protocol 0). The first rule found decides. A packet without ports (not TCP or UDP, or a fragment that is
 * not the first) has port 0 in the first look-up.
 */
#ifndef FIREWALL_H
#define FIREWALL_H

#include <linux/ipv6.h>
#include "packet.h"

#define MAX_RULES 4096

/* An IPv4 address a.b.c.d stands as the IPv6 address ::ffff:a.b.c.d (RFC 4291, section 2.5.5.2). */
struct rule_key {
	__be32 source[4];
	__be16 port;
	__u8 protocol;
	__u8 pad;
};

enum action {
	ACTION_COUNT = 0, /* count the packet and let it pass */
	ACTION_BLOCK = 1,
};

struct rule {
	__u32 action;
	__u32 hits;
};

/* Slots of the map `counters`. Every packet is counted in one of the first six; `DROPPED` counts besides. */
enum slot {
	TCP,
	UDP,
	ICMP,
	OTHER_IP,
	NOT_IP,
	MALFORMED,
	DROPPED,
	SLOTS = 8,
};

static __always_inline enum slot slot_of(__u8 protocol)
{
	if (protocol == IPPROTO_TCP)
		return TCP;
	if (protocol == IPPROTO_UDP)
		return UDP;
	if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		return ICMP;
	return OTHER_IP;
}

/*
 * Says what a frame is and fills the key of its first look-up. IPv4 options are stepped over; IPv6 extension headers
 * are not, so a packet that has one is of the protocol its extension header's number names.
 */
static __always_inline enum slot classify(void *data, void *data_end, struct rule_key *key)
{
	__be16 ether_type = 0;
	void *network = network_header(data, data_end, &ether_type);
	void *transport;
	enum slot slot;

	if (!network)
		return MALFORMED;
	if (ether_type == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = network;
		__u64 words;

		if ((void *)(ip + 1) > data_end)
			return MALFORMED;
		words = ipv4_words(ip);
		if (ip->version != 4 || words < 5)
			return MALFORMED;
		key->source[2] = bpf_htonl(0xffff);
		key->source[3] = ip->saddr;
		key->protocol = ip->protocol;
		slot = slot_of(ip->protocol);
		if (ip->frag_off & bpf_htons(IP_OFFSET))
			return slot;
		transport = network + words * 4;
	} else if (ether_type == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip6 = network;

		if ((void *)(ip6 + 1) > data_end || ip6->version != 6)
			return MALFORMED;
		key->source[0] = ip6->saddr.in6_u.u6_addr32[0];
		key->source[1] = ip6->saddr.in6_u.u6_addr32[1];
		key->source[2] = ip6->saddr.in6_u.u6_addr32[2];
		key->source[3] = ip6->saddr.in6_u.u6_addr32[3];
		key->protocol = ip6->nexthdr;
		slot = slot_of(ip6->nexthdr);
		transport = ip6 + 1;
	} else {
		return NOT_IP;
	}
	if (slot == TCP || slot == UDP) {
		/* Both begin with the source and the destination port. */
		__be16 *ports = transport;

		if ((void *)(ports + 2) > data_end)
			return MALFORMED;
		key->port = ports[1];
	}
	return slot;
}

#endif
