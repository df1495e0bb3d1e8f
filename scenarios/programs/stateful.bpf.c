// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A stateful firewall for XDP on a bridge of two ports. Who may open a connection is a matter of policy; what belongs to a
 * connection that is open goes both ways; all else is dropped. Connections stand in a table that drops the oldest where
 * it is full, and expire by their state's time. Errors (ICMP) belong to the connection they speak of, and fragments go the
 * way of their first.
 */
#include "headers.h"

#define TCP_FIN 1
#define TCP_SYN 2
#define TCP_RST 4
#define TCP_ACK 16

enum zone { OUTSIDE, INSIDE };

/* A network of a zone; who is in none is outside. */
struct network {
	__u32 length; /* in bits; IPv4 as ::ffff:a.b.c.d, so 96 more */
	__u8 address[16];
};

/* A service that everybody may open connections to. */
struct service_key {
	struct address address;
	__be16 port;
	__u8 protocol;
	__u8 pad;
};

struct connection_key {
	struct address opener;
	struct address other;
	__be32 ports; /* opener's, other's; of an echo its number in both halves */
	__u8 protocol;
	__u8 pad[3];
};

enum state {
	OPENING,     /* TCP: a SYN has gone; others: nothing has come back */
	ANSWERED,    /* TCP: the SYN and ACK has come */
	ESTABLISHED,
	HALF_CLOSED, /* one FIN has gone */
	CLOSED,      /* both have, or a reset */
	STATES,
};

struct connection {
	__u8 state;
	__u8 finished; /* bit 0: the opener's FIN has gone, bit 1: the other's */
	__u8 pad[6];
	__u64 seen;    /* ns */
	__u64 packets[2];
	__u64 bytes[2];
};

struct fragment_key {
	struct address source;
	struct address destination;
	__be32 id;
	__u32 protocol;
};

enum counter {
	OPENED,        /* passed, and a connection begins */
	BELONGS,       /* passed, of a connection */
	RELATED,       /* passed: an error about one */
	FRAGMENT,      /* passed, as the first was */
	LOCAL,         /* passed: ARP, neighbour discovery */
	NOT_ALLOWED,   /* dropped by policy */
	NO_CONNECTION, /* dropped: what would need one */
	LOST_FRAGMENT, /* dropped: its first has not passed */
	UNKNOWN,       /* dropped: a protocol that is not tracked */
	MALFORMED,     /* dropped */
	COUNTERS,
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct network);
	__type(value, __u32);
} zones SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct service_key);
	__type(value, __u32);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct connection_key);
	__type(value, struct connection);
} connections SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct fragment_key);
	__type(value, __u64);
} fragments SEC(".maps");

/* How long a connection lasts in each state without a packet, in ns. The last slot is of those without states. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, STATES + 1);
	__type(key, __u32);
	__type(value, __u64);
} lifetimes SEC(".maps");

/* The port that a frame leaves by, by the device it came in by. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u32);
} wires SEC(".maps");

COUNTERS_MAP;

static __always_inline int passes(enum counter counter)
{
	return counter <= LOCAL;
}

static __always_inline enum zone zone_of(const struct headers *h)
{
	struct network network = { .length = 128 };
	__be32 *word = (void *)network.address;
	__u32 *zone;

	if (h->family == 4) {
		word[2] = bpf_htonl(0xffff);
		word[3] = h->source.word[0];
	} else {
		__builtin_memcpy(network.address, &h->source, sizeof(network.address));
	}
	zone = bpf_map_lookup_elem(&zones, &network);
	return zone ? *zone : OUTSIDE;
}

static __always_inline int may_open(const struct headers *h)
{
	struct service_key key = { .address = h->destination, .protocol = h->protocol };

	if (zone_of(h) == INSIDE)
		return 1;
	if (h->protocol == IPPROTO_TCP || h->protocol == IPPROTO_UDP)
		key.port = h->ports >> 16;
	return bpf_map_lookup_elem(&services, &key) != 0;
}

static __always_inline __u64 lifetime(const struct connection *connection, __u8 protocol)
{
	__u32 slot = protocol == IPPROTO_TCP ? connection->state : STATES;
	__u64 *ns = bpf_map_lookup_elem(&lifetimes, &slot);

	return ns ? *ns : 0;
}

static __always_inline struct connection *find(struct connection_key *key, __u64 now)
{
	struct connection *connection = bpf_map_lookup_elem(&connections, key);

	if (connection && now - connection->seen > lifetime(connection, key->protocol))
		return 0;
	return connection;
}

/* The key of the other direction. */
static __always_inline void turn(struct connection_key *key)
{
	struct address opener = key->opener;

	key->opener = key->other;
	key->other = opener;
	key->ports = key->ports << 16 | key->ports >> 16;
}

/* What a packet does to its connection's state; `back` says that it is not the opener's. */
static __always_inline void advance(struct connection *connection, const struct headers *h, int back)
{
	__u8 state = connection->state;

	if (h->protocol != IPPROTO_TCP) {
		if (back)
			connection->state = ESTABLISHED;
		return;
	}
	if (h->flags & TCP_RST) {
		state = CLOSED;
	} else if (state == OPENING && back && (h->flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK)) {
		state = ANSWERED;
	} else if (state == ANSWERED && !back && h->flags & TCP_ACK) {
		state = ESTABLISHED;
	}
	if (h->flags & TCP_FIN && state >= ANSWERED) {
		connection->finished |= 1 << back;
		state = connection->finished == 3 ? CLOSED : HALF_CLOSED;
	}
	connection->state = state;
}

/* Finds the connection of a packet, or opens it. Protocols are those of `tracked`. */
static __always_inline enum counter track(const struct headers *h, __be32 ports, int opens, __u64 now)
{
	struct connection_key key = {
		.opener = h->source, .other = h->destination, .ports = ports, .protocol = h->protocol,
	};
	struct connection fresh = {}, *connection;
	int back = 0;

	connection = find(&key, now);
	if (!connection) {
		turn(&key);
		connection = find(&key, now);
		back = 1;
	}
	/* A SYN where all is over begins another connection with the same ports. */
	if (connection && opens && h->protocol == IPPROTO_TCP && connection->state == CLOSED)
		connection = 0;
	if (connection) {
		advance(connection, h, back);
		connection->seen = now;
		__sync_fetch_and_add(&connection->packets[back], 1);
		__sync_fetch_and_add(&connection->bytes[back], h->length);
		return BELONGS;
	}
	if (!opens)
		return NO_CONNECTION;
	if (!may_open(h))
		return NOT_ALLOWED;
	if (back)
		turn(&key);
	fresh.seen = now;
	fresh.packets[0] = 1;
	fresh.bytes[0] = h->length;
	bpf_map_update_elem(&connections, &key, &fresh, BPF_ANY);
	return OPENED;
}

/* An error speaks of a packet that went the other way, whose beginning it carries. */
static __always_inline enum counter related(void *data, void *data_end, const struct headers *h, __u64 now)
{
	struct connection_key key = {};
	void *inner = place(data, h->transport + sizeof(struct icmp_header));
	__be32 *ports;

	if (h->family == 4) {
		struct iphdr *ip = inner;

		if ((void *)(ip + 1) > data_end || ip->ihl < 5)
			return NO_CONNECTION;
		key.opener.word[0] = ip->saddr;
		key.other.word[0] = ip->daddr;
		key.protocol = ip->protocol;
		ports = place(data, h->transport + sizeof(struct icmp_header) + ipv4_words(ip) * 4);
	} else {
		struct ipv6hdr *ip = inner;

		if ((void *)(ip + 1) > data_end)
			return NO_CONNECTION;
		__builtin_memcpy(&key.opener, &ip->saddr, sizeof(key.opener));
		__builtin_memcpy(&key.other, &ip->daddr, sizeof(key.other));
		key.protocol = ip->nexthdr;
		ports = (void *)(ip + 1);
	}
	if ((void *)(ports + 1) > data_end)
		return NO_CONNECTION;
	key.ports = *ports;
	if (find(&key, now))
		return RELATED;
	turn(&key);
	return find(&key, now) ? RELATED : NO_CONNECTION;
}

static __always_inline enum counter icmp(void *data, void *data_end, const struct headers *h, __u64 now)
{
	struct icmp_header *icmp = place(data, h->transport);
	__u8 request = h->family == 4 ? ICMP_ECHO_REQUEST : ICMP6_ECHO_REQUEST;
	__u8 reply = h->family == 4 ? ICMP_ECHO_REPLY : ICMP6_ECHO_REPLY;
	__u32 id;

	if ((void *)(icmp + 1) > data_end)
		return MALFORMED;
	if (icmp->type == request || icmp->type == reply) {
		id = icmp->rest & bpf_htonl(0xffff0000);
		return track(h, id | id << 16 | id >> 16, icmp->type == request, now);
	}
	if (h->family == 4 ? icmp->type == 3 || icmp->type == 11 || icmp->type == 12 : icmp->type < 128)
		return related(data, data_end, h, now);
	/* Neighbour discovery (RFC 4861) and listener reports (RFC 2710, RFC 3810) concern the link. */
	if (h->family == 6 && ((icmp->type >= 130 && icmp->type <= 137) || icmp->type == 143))
		return LOCAL;
	return UNKNOWN;
}

static __always_inline enum counter whole(void *data, void *data_end, const struct headers *h, __u64 now)
{
	switch (h->protocol) {
	case IPPROTO_TCP:
		return track(h, h->ports, (h->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN, now);
	case IPPROTO_UDP:
		return track(h, h->ports, 1, now);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return icmp(data, data_end, h, now);
	default:
		return UNKNOWN;
	}
}

/* The number that pieces of a packet share. */
static __always_inline __be32 piece_of(void *data, void *data_end, const struct headers *h)
{
	struct iphdr *ip = place(data, h->network);
	/* The fragment header is the last before the transport header. */
	struct extension *extension = place(data, h->transport - sizeof(*extension));

	if (h->family == 4)
		return (void *)(ip + 1) <= data_end ? ip->id : 0;
	return (void *)(extension + 1) <= data_end ? extension->id : 0;
}

static __always_inline enum counter decide(void *data, void *data_end, __u64 now)
{
	struct fragment_key key = {};
	struct headers h = {};
	enum counter counter;
	__u64 *first;

	switch (parse_headers(data, data_end, &h)) {
	case NOT_IP:
		return LOCAL;
	case BROKEN:
		return MALFORMED;
	default:
		break;
	}
	if (h.fragment == WHOLE)
		return whole(data, data_end, &h, now);
	key.source = h.source;
	key.destination = h.destination;
	key.id = piece_of(data, data_end, &h);
	key.protocol = h.protocol;
	if (h.fragment == FIRST_FRAGMENT) {
		counter = whole(data, data_end, &h, now);
		if (passes(counter))
			bpf_map_update_elem(&fragments, &key, &now, BPF_ANY);
		return counter;
	}
	first = bpf_map_lookup_elem(&fragments, &key);
	/* Pieces are waited for 30 s, as hosts do. */
	return first && now - *first <= 30000000000ull ? FRAGMENT : LOST_FRAGMENT;
}

SEC("xdp")
int xdp_stateful(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u64 bytes = distance(data, data_end);
	__u32 slot = decide(data, data_end, bpf_ktime_get_ns());

	counted(slot, bytes, 0);
	if (!passes(slot))
		return XDP_DROP;
	/* A frame of a port that is not one of the bridge's is the host's. */
	return bpf_redirect_map(&wires, ctx->ingress_ifindex, XDP_PASS);
}

char _license[] SEC("license") = "Dual MIT/GPL";
