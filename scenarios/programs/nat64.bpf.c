// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A stateful NAT64 for tc (RFC 6146, headers by RFC 7915): stations of IPv6 reach IPv4 under one address, each of their ports
 * under a port of it. IPv4 stations have addresses under a prefix, or explicit ones (RFC 7757). TCP, UDP and echoes are
 * translated; what else there is goes on to the host, who may know more.
 */
#include <linux/pkt_cls.h>
#include "headers.h"

#define TRIES 8
#define FIRST_PORT 1024

struct settings {
	__u8 prefix[12];
	__be32 pool;
	__u32 device4; /* that IPv4 leaves by */
	__u32 device6;
};

/* A port of a station of IPv6; of echoes their number. */
struct inside {
	struct address address;
	__be16 port;
	__u8 protocol; /* as IPv4 has it */
	__u8 pad;
};

struct outside {
	__be16 port;
	__u8 protocol;
	__u8 pad;
};

enum counter {
	TO_IPV4,
	TO_IPV6,
	SESSIONS,      /* of the first: a new port */
	NOT_OURS,      /* passed */
	NOT_TRANSLATED, /* passed: fragments, options, other protocols, errors */
	LAST_HOP,      /* passed */
	NO_SESSION,    /* dropped: nobody asked for it */
	NO_PORT,       /* dropped: none is free where it was looked for */
	NO_CHECKSUM,   /* dropped: UDP over IPv6 must have one */
	TOO_LONG,      /* dropped */
	FAILED,        /* dropped: a helper refused */
	COUNTERS = 16,
};

SETTINGS_MAP;

/* Explicit addresses of IPv4 stations, and back. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct address);
	__type(value, __be32);
} explicit6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __be32);
	__type(value, struct address);
} explicit4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct inside);
	__type(value, __u32);
} sessions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct outside);
	__type(value, struct inside);
} ports SEC(".maps");

COUNTERS_MAP;

/* What of a transport header is translated. */
struct transport {
	__u32 first;    /* its first word as it stands: ports, or type, code and checksum */
	__be16 source;  /* port, or number of an echo */
	__be16 destination;
	__u16 checksum; /* where that is */
	__u8 protocol;
	__u8 type;      /* of an echo, in the other protocol */
};

static __always_inline int transport_of(void *data, void *data_end, const struct headers *h, struct transport *t)
{
	struct icmp_header *icmp = place(data, h->transport);

	t->protocol = h->protocol;
	t->source = h->ports;
	t->destination = h->ports >> 16;
	switch (h->protocol) {
	case IPPROTO_TCP:
		t->checksum = offsetof(struct tcphdr, check);
		return 0;
	case IPPROTO_UDP:
		t->checksum = offsetof(struct udphdr, check);
		return 0;
	case IPPROTO_ICMP:
		if (h->family != 4 || (void *)(icmp + 1) > data_end)
			return -1;
		t->type = icmp->type == ICMP_ECHO_REQUEST ? ICMP6_ECHO_REQUEST : ICMP6_ECHO_REPLY;
		if (icmp->type != ICMP_ECHO_REQUEST && icmp->type != ICMP_ECHO_REPLY)
			return -1;
		t->protocol = IPPROTO_ICMPV6;
		break;
	case IPPROTO_ICMPV6:
		if (h->family != 6 || (void *)(icmp + 1) > data_end)
			return -1;
		t->type = icmp->type == ICMP6_ECHO_REQUEST ? ICMP_ECHO_REQUEST : ICMP_ECHO_REPLY;
		if (icmp->type != ICMP6_ECHO_REQUEST && icmp->type != ICMP6_ECHO_REPLY)
			return -1;
		t->protocol = IPPROTO_ICMP;
		break;
	default:
		return -1;
	}
	t->first = *(__u16 *)icmp;
	t->source = t->destination = icmp->rest;
	t->checksum = offsetof(struct icmp_header, checksum);
	return 0;
}

/* The port of the pool that a station's port has, or gets: 0 where there is none. */
static __always_inline __be16 port_of(const struct inside *inside, __u64 bytes)
{
	__u32 *known = bpf_map_lookup_elem(&sessions, inside);
	struct outside outside = { .protocol = inside->protocol };
	__u32 words[5], hash, port;

	if (known)
		return *known;
	__builtin_memcpy(words, &inside->address, 16);
	words[4] = inside->port;
	hash = hash_words(words, 5, inside->protocol);
	for (int i = 0; i < TRIES; i++) {
		outside.port = bpf_htons(FIRST_PORT + (hash + i) % (65536 - FIRST_PORT));
		if (bpf_map_update_elem(&ports, &outside, inside, BPF_NOEXIST))
			continue;
		port = outside.port;
		bpf_map_update_elem(&sessions, inside, &port, BPF_ANY);
		counted(SESSIONS, bytes, 0);
		return outside.port;
	}
	return 0;
}

/* The new packet's headers are in place but for the transport header, at `at`: its ports and its checksum. */
static __always_inline int finish(struct __sk_buff *skb, __u32 at, const struct transport *t, __be16 port, int from_source,
				  __s64 difference)
{
	__u64 flags = BPF_F_PSEUDO_HDR;
	__u32 port_at = at + (from_source ? 0 : 2);

	if (t->protocol == IPPROTO_UDP)
		flags |= BPF_F_MARK_MANGLED_0;
	if (t->protocol == IPPROTO_ICMP || t->protocol == IPPROTO_ICMPV6) {
		port_at = at + offsetof(struct icmp_header, rest);
		if (bpf_skb_store_bytes(skb, at, &t->type, 1, 0))
			return -1;
	}
	if (bpf_l4_csum_replace(skb, at + t->checksum, 0, difference, flags))
		return -1;
	return bpf_skb_store_bytes(skb, port_at, &port, sizeof(port), 0);
}

/* What a checksum covers of a packet, as far as translation changes it. */
struct covered6 {
	struct address source;
	struct address destination;
	__be32 length; /* of ICMPv6 alone: that of the others counts the same in IPv4 */
	__be32 protocol;
	__u32 first;
	__u32 port;
};

struct covered4 {
	__be32 source;
	__be32 destination;
	__u32 first;
	__u32 port;
};

static __always_inline int to_ipv4(struct __sk_buff *skb, const struct headers *h, struct transport *t, __be32 remote,
				   const struct settings *set)
{
	__u32 bytes = skb->len;
	struct inside inside = { .address = h->source, .port = t->source, .protocol = t->protocol };
	int echo = t->protocol == IPPROTO_ICMP;
	struct covered6 before = { .source = h->source, .destination = h->destination };
	struct covered4 after = {};
	struct iphdr ip = {};
	__be16 port = port_of(&inside, bytes), type = bpf_htons(ETH_P_IP);

	if (!port)
		return counted(NO_PORT, bytes, TC_ACT_SHOT);
	before.port = t->source;
	after.port = port;
	if (echo) {
		before.length = bpf_htonl(h->length - sizeof(struct ipv6hdr));
		before.protocol = bpf_htonl(IPPROTO_ICMPV6);
		before.first = t->first;
		after.first = (t->first & bpf_htons(0xff)) | bpf_htons(t->type << 8);
	} else {
		after.source = set->pool;
		after.destination = remote;
	}
	ip.version = 4;
	ip.ihl = 5;
	ip.tos = h->tos;
	ip.tot_len = bpf_htons(h->length - sizeof(struct ipv6hdr) + sizeof(ip));
	ip.frag_off = bpf_htons(0x4000);
	ip.ttl = h->ttl - 1;
	ip.protocol = t->protocol;
	ip.saddr = set->pool;
	ip.daddr = remote;
	ip.check = ipv4_checksum(&ip);
	if (bpf_skb_change_proto(skb, bpf_htons(ETH_P_IP), 0) ||
	    bpf_skb_store_bytes(skb, offsetof(struct ethernet, type), &type, sizeof(type), 0) ||
	    bpf_skb_store_bytes(skb, sizeof(struct ethernet), &ip, sizeof(ip), 0) ||
	    finish(skb, sizeof(struct ethernet) + sizeof(ip), t, port, 1,
		   bpf_csum_diff((void *)&before, sizeof(before), (void *)&after, sizeof(after), 0)))
		return counted(FAILED, bytes, TC_ACT_SHOT);
	return counted(TO_IPV4, bytes, bpf_redirect_neigh(set->device4, 0, 0, 0));
}

static __always_inline int to_ipv6(struct __sk_buff *skb, const struct headers *h, struct transport *t,
				   const struct settings *set)
{
	__u32 bytes = skb->len, mtu = 0;
	struct outside outside = { .port = t->destination, .protocol = h->protocol };
	int echo = t->protocol == IPPROTO_ICMPV6;
	struct covered6 after = {};
	struct covered4 before = {};
	struct ipv6hdr ip = {};
	struct address *explicit;
	struct inside *inside;
	__be16 port, type = bpf_htons(ETH_P_IPV6);

	inside = bpf_map_lookup_elem(&ports, &outside);
	if (!inside)
		return counted(NO_SESSION, bytes, TC_ACT_SHOT);
	if (bpf_check_mtu(skb, set->device6, &mtu, sizeof(ip) - sizeof(struct iphdr), 0))
		return counted(TOO_LONG, bytes, TC_ACT_SHOT);
	port = inside->port;
	explicit = bpf_map_lookup_elem(&explicit4, &h->source);
	if (explicit) {
		after.source = *explicit;
	} else {
		__builtin_memcpy(&after.source, set->prefix, sizeof(set->prefix));
		after.source.word[3] = h->source.word[0];
	}
	after.destination = inside->address;
	*(__be32 *)&ip = bpf_htonl(6 << 28 | h->tos << 20);
	ip.payload_len = bpf_htons(h->length - sizeof(struct iphdr));
	ip.nexthdr = t->protocol;
	ip.hop_limit = h->ttl - 1;
	__builtin_memcpy(&ip.saddr, &after.source, sizeof(ip.saddr));
	__builtin_memcpy(&ip.daddr, &after.destination, sizeof(ip.daddr));
	before.port = t->destination;
	after.port = port;
	if (echo) {
		before.first = t->first;
		after.first = (t->first & bpf_htons(0xff)) | bpf_htons(t->type << 8);
		after.length = bpf_htonl(h->length - sizeof(struct iphdr));
		after.protocol = bpf_htonl(IPPROTO_ICMPV6);
	} else {
		before.source = h->source.word[0];
		before.destination = h->destination.word[0];
	}
	if (bpf_skb_change_proto(skb, bpf_htons(ETH_P_IPV6), 0) ||
	    bpf_skb_store_bytes(skb, offsetof(struct ethernet, type), &type, sizeof(type), 0) ||
	    bpf_skb_store_bytes(skb, sizeof(struct ethernet), &ip, sizeof(ip), 0) ||
	    finish(skb, sizeof(struct ethernet) + sizeof(ip), t, port, 0,
		   bpf_csum_diff((void *)&before, sizeof(before), (void *)&after, sizeof(after), 0)))
		return counted(FAILED, bytes, TC_ACT_SHOT);
	return counted(TO_IPV6, bytes, bpf_redirect_neigh(set->device6, 0, 0, 0));
}

/* The IPv4 address behind one of IPv6: an explicit one, or what stands under the prefix. */
static __always_inline int behind(const struct address *address, const struct settings *set, __be32 *remote)
{
	__be32 *explicit = bpf_map_lookup_elem(&explicit6, address);
	const __be32 *prefix = (const void *)set->prefix;

	if (explicit) {
		*remote = *explicit;
		return 1;
	}
	*remote = address->word[3];
	return address->word[0] == prefix[0] && address->word[1] == prefix[1] && address->word[2] == prefix[2];
}

SEC("tc")
int tc_nat64(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;
	__u32 zero = 0, bytes = skb->len;
	struct transport t = {};
	struct settings *set;
	struct headers h = {};
	__be32 remote = 0;
	__u32 plain;

	set = bpf_map_lookup_elem(&settings, &zero);
	/* One more tag than the one that the host takes off is not translated. */
	if (!set || (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6)) ||
	    parse_headers(data, data_end, &h) != PARSED || h.network != sizeof(struct ethernet))
		return counted(NOT_OURS, bytes, TC_ACT_OK);
	if (h.family == 6 ? !behind(&h.destination, set, &remote) : h.destination.word[0] != set->pool)
		return counted(NOT_OURS, bytes, TC_ACT_OK);
	plain = h.network + (h.family == 6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	if (h.fragment != WHOLE || h.transport != plain || transport_of(data, data_end, &h, &t))
		return counted(NOT_TRANSLATED, bytes, TC_ACT_OK);
	if (h.ttl <= 1)
		return counted(LAST_HOP, bytes, TC_ACT_OK);
	if (h.protocol == IPPROTO_UDP) {
		struct udphdr *udp = place(data, h.transport);

		if ((void *)(udp + 1) > data_end || !udp->check)
			return counted(NO_CHECKSUM, bytes, TC_ACT_SHOT);
	}
	if (skb->vlan_present && bpf_skb_vlan_pop(skb))
		return counted(FAILED, bytes, TC_ACT_SHOT);
	if (h.family == 6)
		return to_ipv4(skb, &h, &t, remote, set);
	return to_ipv6(skb, &h, &t, set);
}

char _license[] SEC("license") = "Dual MIT/GPL";
