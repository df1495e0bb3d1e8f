/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The load balancer's data and decisions, the same for XDP and tc.
 *
 * An IPv4 TCP or UDP packet to a service {virtual address, port, protocol} goes to one of the service's backends,
 * picked by a hash of its flow: it gets the backend's address as destination, the backend's MAC address as
 * destination and its own former destination MAC as source, and leaves by the port it came in. All else passes.
 */
#ifndef L4LB_H
#define L4LB_H

#include <linux/tcp.h>
#include <linux/udp.h>
#include "packet.h"

#define MAX_SERVICES 256
#define MAX_BACKENDS 256

struct service_key {
	__be32 address;
	__be16 port;
	__u8 protocol;
	__u8 pad;
};

/* Hash the source address alone, so that one client always meets the same backend. */
#define SERVICE_BY_SOURCE 1

/* A service's backends stand in slots first .. first + mask of `backends`; mask + 1 is a power of two. */
struct service {
	__u32 first;
	__u32 mask;
	__u32 flags;
};

/* A backend. Address 0 is an empty slot. */
struct backend {
	__be32 address;
	__u8 mac[ETH_ALEN];
	__u16 pad;
};

/* Slots of the map `counters`: why a packet passed, and how many were forwarded. Every packet is counted once. */
enum slot {
	FORWARDED,
	NOT_IPV4,   /* another network protocol */
	NO_PORTS,   /* neither TCP nor UDP, or any fragment */
	NO_SERVICE,
	NO_BACKEND, /* the slot is empty or does not exist */
	MALFORMED,
	SLOTS = 8,
};

/* Where a packet's headers are, and what decides its way. */
struct flow {
	struct iphdr *ip;
	void *transport;
	__be32 source;
	__be32 address;
	__u32 ports; /* source port, destination port, as they stand in the packet */
	__u8 protocol;
};

/* Finds the flow of a packet. FORWARDED says that it has one, and that its TCP or UDP header is whole. */
static __always_inline enum slot parse(void *data, void *data_end, struct flow *flow)
{
	__be16 ether_type = 0;
	struct iphdr *ip = network_header(data, data_end, &ether_type);
	void *transport, *end;
	__u64 words;

	if (!ip)
		return MALFORMED;
	if (ether_type != bpf_htons(ETH_P_IP))
		return NOT_IPV4;
	if ((void *)(ip + 1) > data_end)
		return MALFORMED;
	words = ipv4_words(ip);
	if (ip->version != 4 || words < 5)
		return MALFORMED;
	if (ip->frag_off & bpf_htons(IP_OFFSET | IP_MORE_FRAGMENTS))
		return NO_PORTS;

	transport = (void *)ip + words * 4;
	if (ip->protocol == IPPROTO_TCP)
		end = transport + sizeof(struct tcphdr);
	else if (ip->protocol == IPPROTO_UDP)
		end = transport + sizeof(struct udphdr);
	else
		return NO_PORTS;
	if (end > data_end)
		return MALFORMED;

	flow->ip = ip;
	flow->transport = transport;
	flow->source = ip->saddr;
	flow->address = ip->daddr;
	flow->ports = *(__u32 *)transport;
	flow->protocol = ip->protocol;
	return FORWARDED;
}

/* Stirs one word into a hash with an add, shifts and exclusive ors: no card lacks those. */
static __always_inline __u32 stir(__u32 hash, __u32 word)
{
	hash += word;
	hash ^= hash << 13;
	hash ^= hash >> 17;
	hash ^= hash << 5;
	return hash;
}

/* 32-bit hash of a flow. Words of the packet enter as a little-endian machine loads them. */
static __always_inline __u32 flow_hash(const struct flow *flow, __u32 flags)
{
	__u32 hash = stir(0, flow->source);

	if (!(flags & SERVICE_BY_SOURCE)) {
		hash = stir(hash, flow->address);
		hash = stir(hash, flow->ports);
		hash = stir(hash, flow->protocol);
	}
	return hash ^ hash >> 16;
}

#endif
