// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A router for XDP: exceptions stand in tries of its own, by longest prefix; for all else the kernel's routes and
 * neighbours are asked. What it forwards loses a hop, gets new addresses of the link and loses its VLAN tags, for the
 * network behind has none. What needs more thought than that is the host's.
 */
#include "headers.h"

/* Families as sockets have them (<sys/socket.h>, which the C library keeps). */
#define AF_INET 2
#define AF_INET6 10

struct network4 {
	__u32 length; /* in bits */
	__be32 address;
};

struct network6 {
	__u32 length;
	__u8 address[16];
};

enum action {
	ASK_KERNEL, /* its routes */
	TO_HOP,     /* to the hop of the entry */
	REFUSE,     /* drop */
	TO_HOST,    /* pass */
};

struct exception {
	__u32 action;
	__u32 hop;
	__u64 packets;
};

/* The next station on a link. */
struct hop {
	__u32 device;
	__u8 mac[ETH_ALEN];
	__u8 own_mac[ETH_ALEN];
};

/* Slots up to 15 are answers of bpf_fib_lookup (BPF_FIB_LKUP_RET_...), 0 is forwarded by its routes. */
enum counter {
	BY_EXCEPTION = 16, /* forwarded */
	REFUSED,           /* dropped */
	HOST,              /* passed: an exception says so */
	OTHER,             /* passed: not IP, or not to this station alone */
	LAST_HOP,          /* passed: its time to live is over */
	OPTIONS,           /* passed: IPv4 options, a hop-by-hop header */
	MALFORMED,         /* dropped */
	COUNTERS = 32,
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct network4);
	__type(value, struct exception);
} exceptions4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct network6);
	__type(value, struct exception);
} exceptions6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct hop);
} hops SEC(".maps");

/* Devices that frames may be sent by, each under its own number. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} devices SEC(".maps");

COUNTERS_MAP;

/* What is to be done: slot of the counters, and where to if that says that the packet is forwarded. */
static __always_inline __u32 route(struct xdp_md *ctx, const struct headers *h, __be32 flow, struct hop *to)
{
	struct bpf_fib_lookup fib = {};
	struct exception *exception;
	__u32 number;
	long answer;

	if (h->family == 4) {
		struct network4 network = { .length = 32, .address = h->destination.word[0] };

		exception = bpf_map_lookup_elem(&exceptions4, &network);
	} else {
		struct network6 network = { .length = 128 };

		__builtin_memcpy(network.address, &h->destination, sizeof(network.address));
		exception = bpf_map_lookup_elem(&exceptions6, &network);
	}
	if (exception) {
		struct hop *hop;

		__sync_fetch_and_add(&exception->packets, 1);
		switch (exception->action) {
		case REFUSE:
			return REFUSED;
		case TO_HOST:
			return HOST;
		case TO_HOP:
			number = exception->hop;
			hop = bpf_map_lookup_elem(&hops, &number);
			if (!hop || !hop->device)
				return REFUSED;
			*to = *hop;
			return BY_EXCEPTION;
		}
	}
	fib.ifindex = ctx->ingress_ifindex;
	fib.l4_protocol = h->protocol;
	fib.tot_len = h->length;
	if (h->family == 4) {
		fib.family = AF_INET;
		fib.tos = h->tos;
		fib.ipv4_src = h->source.word[0];
		fib.ipv4_dst = h->destination.word[0];
	} else {
		fib.family = AF_INET6;
		fib.flowinfo = flow & bpf_htonl(0x0fffffff);
		__builtin_memcpy(fib.ipv6_src, &h->source, sizeof(fib.ipv6_src));
		__builtin_memcpy(fib.ipv6_dst, &h->destination, sizeof(fib.ipv6_dst));
	}
	answer = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	if (answer < 0 || answer >= BY_EXCEPTION)
		return MALFORMED;
	to->device = fib.ifindex;
	__builtin_memcpy(to->mac, fib.dmac, ETH_ALEN);
	__builtin_memcpy(to->own_mac, fib.smac, ETH_ALEN);
	return answer;
}

/* Takes a hop off, the tags, and puts the link's addresses in. */
static __always_inline int forward(struct xdp_md *ctx, const struct headers *h, const struct hop *to)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	void *network = place(data, h->network);
	struct ethernet *eth;

	if (h->family == 4) {
		struct iphdr *ip = network;
		__u16 before;

		if ((void *)(ip + 1) > data_end)
			return XDP_ABORTED;
		before = *(__u16 *)&ip->ttl;
		ip->ttl -= 1;
		ip->check = checksum_replaced(ip->check, before, *(__u16 *)&ip->ttl);
	} else {
		struct ipv6hdr *ip = network;

		if ((void *)(ip + 1) > data_end)
			return XDP_ABORTED;
		ip->hop_limit -= 1;
	}
	if (h->network > sizeof(*eth) && bpf_xdp_adjust_head(ctx, h->network - sizeof(*eth)))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	eth = data;
	if ((void *)(eth + 1) > data_end)
		return XDP_ABORTED;
	__builtin_memcpy(eth->destination, to->mac, ETH_ALEN);
	__builtin_memcpy(eth->source, to->own_mac, ETH_ALEN);
	eth->type = h->family == 4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	return bpf_redirect_map(&devices, to->device, XDP_DROP);
}

SEC("xdp")
int xdp_router(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u64 bytes = distance(data, data_end);
	struct ethernet *eth = data;
	struct headers h = {};
	struct hop to = {};
	__be32 *first;
	__u32 slot;

	switch (parse_headers(data, data_end, &h)) {
	case NOT_IP:
		return counted(OTHER, bytes, XDP_PASS);
	case BROKEN:
		return counted(MALFORMED, bytes, XDP_DROP);
	default:
		break;
	}
	/* Groups, of the link as of IP, are the host's. */
	if ((void *)(eth + 1) > data_end || eth->destination[0] & 1)
		return counted(OTHER, bytes, XDP_PASS);
	if (h.ttl <= 1)
		return counted(LAST_HOP, bytes, XDP_PASS);
	first = place(data, h.network);
	if ((void *)(first + 2) > data_end)
		return counted(MALFORMED, bytes, XDP_DROP);
	/* IPv4: words of the header; IPv6: what follows it. */
	if (h.family == 4 ? ((__u8 *)first)[0] != 0x45 : ((__u8 *)first)[6] == IPPROTO_HOPOPTS)
		return counted(OPTIONS, bytes, XDP_PASS);

	slot = route(ctx, &h, *first, &to);
	switch (slot) {
	case BPF_FIB_LKUP_RET_SUCCESS:
	case BY_EXCEPTION:
		return counted(slot, bytes, forward(ctx, &h, &to));
	case BPF_FIB_LKUP_RET_BLACKHOLE:
	case BPF_FIB_LKUP_RET_UNREACHABLE:
	case BPF_FIB_LKUP_RET_PROHIBIT:
	case REFUSED:
	case MALFORMED:
		return counted(slot, bytes, XDP_DROP);
	default:
		/* Not to be forwarded, no neighbour known yet, too long for the way: the host answers, asks or splits. */
		return counted(slot, bytes, XDP_PASS);
	}
}

char _license[] SEC("license") = "Dual MIT/GPL";
