/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the larger programs share: the headers of a packet found once, IPv4 with options and IPv6 with its extension
 * headers, and the arithmetic of checksums; the maps that most of them have, of settings and of counters.
 */
#ifndef HEADERS_H
#define HEADERS_H

#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include "packet.h"

/* Extension headers that are stepped over; what follows so many is taken for the transport header. */
#define MAX_EXTENSIONS 4

/* Types of ICMP messages (RFC 792) and of ICMPv6 (RFC 4443). The kernel's header of the former wants a C library. */
#define ICMP_ECHO_REPLY 0
#define ICMP_ECHO_REQUEST 8
#define ICMP6_ECHO_REQUEST 128
#define ICMP6_ECHO_REPLY 129

struct icmp_header {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 rest;
};

enum parsed {
	PARSED,
	NOT_IP,
	BROKEN,
};

enum fragment {
	WHOLE,
	FIRST_FRAGMENT,
	LATER_FRAGMENT, /* no transport header */
};

/* An address of either family; IPv4 stands in the first word, the others are zero. */
struct address {
	__be32 word[4];
};

/* Where things are, in bytes from the frame's start, and what they are. */
struct headers {
	struct address source;
	struct address destination;
	__be32 ports; /* source and destination as they stand in the packet; 0 where there are none */
	__u16 network;
	__u16 transport;
	__u16 length; /* of the packet, from the network header on, as that header says */
	__u8 family;  /* 4 or 6 */
	__u8 protocol;
	__u8 fragment;
	__u8 tos;
	__u8 ttl;
	__u8 flags; /* of TCP: byte 13 of its header */
};

/* What follows an extension header's first two bytes depends on its kind; these are of all. */
struct extension {
	__u8 next;
	__u8 length;
	__be16 offset; /* of a fragment header: offset in units of 8 bytes, and the flag that more follow */
	__be32 id;
};

/* Headers reach no further than that into a frame: a packet whose extension headers do is broken. */
#define REACH 0x3ff

/*
 * A place of the frame at an offset. A verifier must see how far it can be; the empty assembly keeps the compiler from
 * dropping the mask where it knows the offset better than it can tell.
 */
static __always_inline void *place(void *data, __u64 offset)
{
	asm volatile("" : "+r"(offset));
	return data + (offset & REACH);
}

static __always_inline int step_over_extensions(void *data, void *data_end, struct headers *h)
{
	__u32 at = h->transport;

	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		struct extension *extension = place(data, at);

		if (h->protocol != IPPROTO_HOPOPTS && h->protocol != IPPROTO_ROUTING && h->protocol != IPPROTO_DSTOPTS &&
		    h->protocol != IPPROTO_FRAGMENT)
			break;
		if ((void *)(extension + 1) > data_end)
			return BROKEN;
		if (h->protocol == IPPROTO_FRAGMENT) {
			if (extension->offset & bpf_htons(0xfff8))
				h->fragment = LATER_FRAGMENT;
			else if (extension->offset & bpf_htons(1))
				h->fragment = FIRST_FRAGMENT;
			at += 8;
		} else {
			at += (extension->length + 1) * 8;
		}
		h->protocol = extension->next;
		if (at > REACH)
			return BROKEN;
		/* What follows the fragment header of a later fragment is data, whatever it looks like. */
		if (h->fragment == LATER_FRAGMENT)
			break;
	}
	h->transport = at;
	return PARSED;
}

/* Finds the headers of a frame. */
static __always_inline enum parsed parse_headers(void *data, void *data_end, struct headers *h)
{
	__be16 ether_type = 0;
	void *network = network_header(data, data_end, &ether_type);
	void *transport;

	if (!network)
		return BROKEN;
	h->network = distance(data, network);
	if (ether_type == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = network;

		if ((void *)(ip + 1) > data_end || ip->version != 4 || ip->ihl < 5)
			return BROKEN;
		h->family = 4;
		h->source.word[0] = ip->saddr;
		h->destination.word[0] = ip->daddr;
		h->protocol = ip->protocol;
		h->tos = ip->tos;
		h->ttl = ip->ttl;
		h->length = bpf_ntohs(ip->tot_len);
		h->transport = h->network + ipv4_words(ip) * 4;
		if (ip->frag_off & bpf_htons(IP_OFFSET))
			h->fragment = LATER_FRAGMENT;
		else if (ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS))
			h->fragment = FIRST_FRAGMENT;
	} else if (ether_type == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip6 = network;

		if ((void *)(ip6 + 1) > data_end || ip6->version != 6)
			return BROKEN;
		h->family = 6;
		__builtin_memcpy(&h->source, &ip6->saddr, sizeof(h->source));
		__builtin_memcpy(&h->destination, &ip6->daddr, sizeof(h->destination));
		h->protocol = ip6->nexthdr;
		h->tos = ip6->priority << 4 | ip6->flow_lbl[0] >> 4;
		h->ttl = ip6->hop_limit;
		h->length = bpf_ntohs(ip6->payload_len) + sizeof(*ip6);
		h->transport = h->network + sizeof(*ip6);
		if (step_over_extensions(data, data_end, h) != PARSED)
			return BROKEN;
	} else {
		return NOT_IP;
	}
	/* A packet that is shorter than it says was cut; a frame that is longer was padded. */
	if (h->network + h->length > distance(data, data_end) || h->network + h->length < h->transport)
		return BROKEN;
	if (h->fragment == LATER_FRAGMENT)
		return PARSED;
	transport = place(data, h->transport);
	if (h->protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = transport;

		if ((void *)(tcp + 1) > data_end)
			return BROKEN;
		h->flags = ((__u8 *)tcp)[13];
		h->ports = *(__be32 *)tcp;
	} else if (h->protocol == IPPROTO_UDP) {
		struct udphdr *udp = transport;

		if ((void *)(udp + 1) > data_end)
			return BROKEN;
		h->ports = *(__be32 *)udp;
	}
	return PARSED;
}

/* Brings a sum of 16-bit words down to 16 bits. */
static __always_inline __u16 folded(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* A checksum after one 16-bit word it covers has changed (RFC 1624, equation 3). */
static __always_inline __u16 checksum_replaced(__u16 checksum, __u16 from, __u16 to)
{
	return ~folded((__u16)~checksum + (__u16)~from + to);
}

/* The checksum of an IPv4 header without options, whose checksum field is zero. */
static __always_inline __u16 ipv4_checksum(const void *header)
{
	const __u16 *word = header;
	__u32 sum = 0;

	for (int i = 0; i < 10; i++)
		sum += word[i];
	return ~folded(sum);
}

/* The map of a program's settings: one `struct settings` of its own, which user space writes. */
#define SETTINGS_MAP \
	struct { \
		__uint(type, BPF_MAP_TYPE_ARRAY); \
		__uint(max_entries, 1); \
		__type(key, __u32); \
		__type(value, struct settings); \
	} settings SEC(".maps")

/* The map of a program's counters: COUNTERS of them, each of every processor's own. */
#define COUNTERS_MAP \
	struct { \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); \
		__uint(max_entries, COUNTERS); \
		__type(key, __u32); \
		__type(value, struct traffic); \
	} counters SEC(".maps")

/* Counts a packet in a slot of an array, and answers what becomes of it. */
static __always_inline int counted_in(void *map, __u32 slot, __u64 bytes, int verdict)
{
	struct traffic *traffic = bpf_map_lookup_elem(map, &slot);

	if (traffic) {
		traffic->packets += 1;
		traffic->bytes += bytes;
	}
	return verdict;
}

/* The same in the program's counters. */
#define counted(slot, bytes, verdict) counted_in(&counters, slot, bytes, verdict)

static __always_inline __u32 rotated(__u32 word, int by)
{
	return word << by | word >> (32 - by);
}

/* Hash of the two addresses, the ports and the protocol: Bob Jenkins's lookup3 over words, public domain. */
static __always_inline __u32 hash_words(const __u32 *word, int words, __u32 seed)
{
	__u32 a, b, c;

	a = b = c = 0xdeadbeef + (words << 2) + seed;
	for (; words > 3; words -= 3, word += 3) {
		a += word[0];
		b += word[1];
		c += word[2];
		a -= c; a ^= rotated(c, 4); c += b;
		b -= a; b ^= rotated(a, 6); a += c;
		c -= b; c ^= rotated(b, 8); b += a;
		a -= c; a ^= rotated(c, 16); c += b;
		b -= a; b ^= rotated(a, 19); a += c;
		c -= b; c ^= rotated(b, 4); b += a;
	}
	if (words > 2)
		c += word[2];
	if (words > 1)
		b += word[1];
	if (words > 0)
		a += word[0];
	c ^= b; c -= rotated(b, 14);
	a ^= c; a -= rotated(c, 11);
	b ^= a; b -= rotated(a, 25);
	c ^= b; c -= rotated(b, 16);
	a ^= c; a -= rotated(c, 4);
	b ^= a; b -= rotated(a, 14);
	c ^= b; c -= rotated(b, 24);
	return c;
}

#endif
