// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A load balancer in the manner of Katran, for XDP: a packet to a virtual address (VIP) is wrapped into an IP header to one
 * of the VIP's real servers and sent to the gateway, by the port it came in. Which server is looked up in a table of
 * connections, or where there is none in the VIP's ring, which user space fills by consistent hashing. Answers go from the
 * server to the client without coming by here.
 */
#include "headers.h"

#define MAX_VIPS 64
#define MAX_REALS 64
#define RING_SIZE 61 /* slots of a VIP's ring; prime, as Maglev hashing wants it */

#define TCP_SYN 2

struct vip_key {
	struct address address;
	__be16 port;
	__u8 protocol;
	__u8 pad;
};

#define VIP_BY_SOURCE 1  /* hash the source address alone: a client always meets the same server */
#define VIP_NO_MEMORY 2  /* keep no connections */

struct vip {
	__u32 number; /* its ring begins at slot number * RING_SIZE */
	__u32 flags;
};

struct real {
	struct address address;
	__u32 family; /* 4 or 6; 0 is an empty place */
};

struct connection_key {
	struct address source;
	struct address destination;
	__be32 ports;
	__u32 protocol;
};

struct connection {
	__u32 real;
	__u32 pad;
	__u64 seen; /* ns */
};

/* How long the server of a UDP flow is remembered. */
#define UDP_LIFETIME_NS 30000000000ull

struct settings {
	struct address source6; /* the first twelve bytes of the outer source; the flow's hash is the rest */
	__be16 source4;         /* the first two bytes of it */
	__u8 gateway[ETH_ALEN];
	__u32 longest;          /* longest outer packet that the network behind takes */
};

enum counter {
	FORWARDED,
	FROM_MEMORY,   /* of the forwarded: the connection was known */
	NEW,           /* of the forwarded: it is now */
	ANSWERED,      /* echo requests to a VIP */
	NO_VIP,        /* passed: IP, but for nobody here */
	OTHER,         /* passed: not IP, or a protocol that is not balanced */
	FRAGMENT,      /* dropped: of a VIP's address, in pieces */
	NO_REAL,       /* dropped: the ring has nobody there */
	TOO_LONG,      /* dropped */
	MALFORMED,     /* dropped */
	COUNTERS,
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_VIPS);
	__type(key, struct vip_key);
	__type(value, struct vip);
} vips SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_VIPS * RING_SIZE);
	__type(key, __u32);
	__type(value, __u32);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_REALS);
	__type(key, __u32);
	__type(value, struct real);
} reals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct connection_key);
	__type(value, struct connection);
} connections SEC(".maps");

SETTINGS_MAP;

COUNTERS_MAP;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_REALS);
	__type(key, __u32);
	__type(value, struct traffic);
} real_traffic SEC(".maps");

/* The server of a packet: of its connection if that is known, else of the ring. MAX_REALS where there is none. */
static __always_inline __u32 pick(const struct headers *h, const struct vip *vip, __u32 hash, __u64 bytes)
{
	struct connection_key key = {
		.source = h->source, .destination = h->destination, .ports = h->ports, .protocol = h->protocol,
	};
	struct connection fresh = {};
	struct connection *known = 0;
	__u32 slot, *real;
	__u64 now = 0;

	if (h->protocol == IPPROTO_UDP)
		now = bpf_ktime_get_ns();
	/* A SYN begins a connection, whatever was there before. */
	if (!(vip->flags & VIP_NO_MEMORY) && !(h->protocol == IPPROTO_TCP && h->flags & TCP_SYN))
		known = bpf_map_lookup_elem(&connections, &key);
	if (known && h->protocol == IPPROTO_UDP) {
		if (now - known->seen > UDP_LIFETIME_NS)
			known = 0;
		else
			known->seen = now;
	}
	if (known) {
		counted(FROM_MEMORY, bytes, 0);
		return known->real;
	}
	slot = vip->number * RING_SIZE + hash % RING_SIZE;
	real = bpf_map_lookup_elem(&ring, &slot);
	if (!real)
		return MAX_REALS;
	if (!(vip->flags & VIP_NO_MEMORY)) {
		fresh.real = *real;
		fresh.seen = now;
		bpf_map_update_elem(&connections, &key, &fresh, BPF_ANY);
		counted(NEW, bytes, 0);
	}
	return *real;
}

/*
 * Puts an IP header of `length` bytes between the frame's tags and its packet. The Ethernet header and its tags move to
 * the front, addressed to the gateway. Returns the place of the new header.
 */
static __always_inline void *make_room(struct xdp_md *ctx, __u32 link, __u32 length, __be16 ether_type,
				       const struct settings *set)
{
	struct ethernet *eth, *before;
	void *data, *data_end, *ip;

	if (bpf_xdp_adjust_head(ctx, -(int)length))
		return 0;
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	eth = data;
	before = data + length;
	if (data + length + sizeof(*eth) > data_end)
		return 0;
	__builtin_memcpy(eth->source, before->destination, ETH_ALEN);
	__builtin_memcpy(eth->destination, set->gateway, ETH_ALEN);
	/* The two addresses do not overlap with where the tags were: the header is longer than they are. */
	if (link == sizeof(*eth)) {
		eth->type = ether_type;
	} else {
		__be32 *tag = (void *)&eth->type, *old = (void *)&before->type;

		if ((void *)(old + 2) + 2 > data_end)
			return 0;
		tag[0] = old[0];
		if (link == sizeof(*eth) + 4) {
			*(__be16 *)(tag + 1) = ether_type;
		} else {
			tag[1] = old[1];
			*(__be16 *)(tag + 2) = ether_type;
		}
	}
	ip = place(data, link);
	if (ip + length > data_end)
		return 0;
	return ip;
}

static __always_inline int wrap4(struct xdp_md *ctx, const struct headers *h, const struct real *real, __u32 hash,
				 const struct settings *set)
{
	struct iphdr *ip = make_room(ctx, h->network, sizeof(*ip), bpf_htons(ETH_P_IP), set);

	if (!ip)
		return XDP_ABORTED;
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = h->tos;
	ip->tot_len = bpf_htons(h->length + sizeof(*ip));
	ip->id = 0;
	ip->frag_off = 0;
	ip->ttl = 64;
	ip->protocol = h->family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
	ip->check = 0;
	/* Another source for each flow, so that the real server's card spreads what is wrapped over its queues. */
	ip->saddr = set->source4 | hash << 16;
	ip->daddr = real->address.word[0];
	ip->check = ipv4_checksum(ip);
	return XDP_TX;
}

static __always_inline int wrap6(struct xdp_md *ctx, const struct headers *h, const struct real *real, __u32 hash,
				 const struct settings *set)
{
	struct ipv6hdr *ip = make_room(ctx, h->network, sizeof(*ip), bpf_htons(ETH_P_IPV6), set);

	if (!ip)
		return XDP_ABORTED;
	*(__be32 *)ip = bpf_htonl(6 << 28 | h->tos << 20);
	ip->payload_len = bpf_htons(h->length);
	ip->nexthdr = h->family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
	ip->hop_limit = 64;
	__builtin_memcpy(&ip->saddr, &set->source6, 12);
	ip->saddr.in6_u.u6_addr32[3] = hash;
	__builtin_memcpy(&ip->daddr, &real->address, sizeof(ip->daddr));
	return XDP_TX;
}

static __always_inline void swap_addresses(void *first, void *second, int words)
{
	__u32 *a = first, *b = second;

	for (int i = 0; i < words; i++) {
		__u32 word = a[i];

		a[i] = b[i];
		b[i] = word;
	}
}

/* Answers an echo request to a VIP: an address that nobody has but the balancers. */
static __always_inline int answer(struct xdp_md *ctx, const struct headers *h)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	struct ethernet *eth = data;
	__u8 mac[ETH_ALEN] __attribute__((aligned(2)));
	struct icmp_header *icmp;
	__u16 before;

	if ((void *)(eth + 1) > data_end)
		return XDP_ABORTED;
	if (h->family == 4) {
		struct iphdr *ip = place(data, h->network);

		if ((void *)(ip + 1) > data_end)
			return XDP_ABORTED;
		swap_addresses(&ip->saddr, &ip->daddr, 1);
		ip->check = checksum_replaced(ip->check, bpf_htons(ip->ttl << 8 | ip->protocol),
					      bpf_htons(64 << 8 | ip->protocol));
		ip->ttl = 64;
	} else {
		struct ipv6hdr *ip = place(data, h->network);

		if ((void *)(ip + 1) > data_end)
			return XDP_ABORTED;
		swap_addresses(&ip->saddr, &ip->daddr, 4);
		ip->hop_limit = 64;
	}
	icmp = place(data, h->transport);
	if ((void *)(icmp + 1) > data_end)
		return XDP_ABORTED;
	before = *(__u16 *)icmp;
	icmp->type = h->family == 4 ? ICMP_ECHO_REPLY : ICMP6_ECHO_REPLY;
	icmp->checksum = checksum_replaced(icmp->checksum, before, *(__u16 *)icmp);
	__builtin_memcpy(mac, eth->source, ETH_ALEN);
	__builtin_memcpy(eth->source, eth->destination, ETH_ALEN);
	__builtin_memcpy(eth->destination, mac, ETH_ALEN);
	return XDP_TX;
}

/* Whether the packet asks for an echo. */
static __always_inline int is_echo_request(void *data, void *data_end, const struct headers *h)
{
	struct icmp_header *icmp = place(data, h->transport);
	__u8 type = h->family == 4 ? ICMP_ECHO_REQUEST : ICMP6_ECHO_REQUEST;

	return (void *)(icmp + 1) <= data_end && icmp->type == type && icmp->code == 0;
}

SEC("xdp")
int xdp_balancer(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u64 bytes = distance(data, data_end);
	struct headers h = {};
	struct vip_key key = {};
	struct settings *set;
	struct real *real;
	__u32 zero = 0, words[10], hash, number, length;
	struct vip *vip;

	switch (parse_headers(data, data_end, &h)) {
	case NOT_IP:
		return counted(OTHER, bytes, XDP_PASS);
	case BROKEN:
		return counted(MALFORMED, bytes, XDP_DROP);
	default:
		break;
	}
	/* A VIP's address without port and protocol says that the address is a VIP's. */
	key.address = h.destination;
	vip = bpf_map_lookup_elem(&vips, &key);
	if (!vip)
		return counted(NO_VIP, bytes, XDP_PASS);
	if (h.fragment != WHOLE)
		return counted(FRAGMENT, bytes, XDP_DROP);
	if (h.protocol == IPPROTO_ICMP || h.protocol == IPPROTO_ICMPV6) {
		if (!is_echo_request(data, data_end, &h))
			return counted(OTHER, bytes, XDP_PASS);
		return counted(ANSWERED, bytes, answer(ctx, &h));
	}
	if (h.protocol != IPPROTO_TCP && h.protocol != IPPROTO_UDP)
		return counted(OTHER, bytes, XDP_PASS);
	key.port = h.ports >> 16;
	key.protocol = h.protocol;
	vip = bpf_map_lookup_elem(&vips, &key);
	if (!vip)
		return counted(NO_VIP, bytes, XDP_PASS);

	__builtin_memcpy(words, &h.source, 16);
	__builtin_memcpy(words + 4, &h.destination, 16);
	words[8] = h.ports;
	words[9] = h.protocol;
	hash = hash_words(words, vip->flags & VIP_BY_SOURCE ? 4 : 10, vip->number);
	number = pick(&h, vip, hash, bytes);
	real = bpf_map_lookup_elem(&reals, &number);
	set = bpf_map_lookup_elem(&settings, &zero);
	if (!real || !set || !real->family)
		return counted(NO_REAL, bytes, XDP_DROP);
	length = real->family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	if (h.length + length > set->longest)
		return counted(TOO_LONG, bytes, XDP_DROP);
	counted_in(&real_traffic, number, bytes, 0);
	if (real->family == 4)
		return counted(FORWARDED, bytes, wrap4(ctx, &h, real, hash, set));
	return counted(FORWARDED, bytes, wrap6(ctx, &h, real, hash, set));
}

char _license[] SEC("license") = "Dual MIT/GPL";
