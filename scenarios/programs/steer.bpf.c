// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * What stands before a host with sockets and containers, for tc: packets to a container go straight to its end of a pair of
 * devices, packets that a socket waits for are given to it, all others are dropped; what knocks where nobody is gets copied
 * to a device where somebody may watch.
 */
#include <linux/pkt_cls.h>
#include "headers.h"

#define TCP_SYN 2
#define TCP_ACK 16
#define TCP_LISTEN 10 /* include/net/tcp_states.h */

struct settings {
	__u32 watched; /* device that copies go to; 0 is none */
};

enum counter {
	CONTAINER,  /* redirected */
	LISTENING,  /* passed: a TCP socket listens */
	CONNECTED,  /* passed: of a connection */
	DATAGRAM,   /* passed: a UDP socket */
	NOT_GIVEN,  /* of the passed: the socket could not be given the packet */
	OTHER,      /* passed: no packet of TCP or UDP, or in pieces */
	NOBODY,     /* dropped */
	COPIED,     /* of these */
	COUNTERS = 16,
};

/* Containers: the device of the pair that is here. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct address);
	__type(value, __u32);
} containers SEC(".maps");

SETTINGS_MAP;

COUNTERS_MAP;

static __always_inline struct bpf_sock *socket_of(struct __sk_buff *skb, const struct headers *h)
{
	struct bpf_sock_tuple tuple = {};
	__u32 size;

	if (h->family == 4) {
		tuple.ipv4.saddr = h->source.word[0];
		tuple.ipv4.daddr = h->destination.word[0];
		tuple.ipv4.sport = h->ports;
		tuple.ipv4.dport = h->ports >> 16;
		size = sizeof(tuple.ipv4);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, &h->source, sizeof(tuple.ipv6.saddr));
		__builtin_memcpy(tuple.ipv6.daddr, &h->destination, sizeof(tuple.ipv6.daddr));
		tuple.ipv6.sport = h->ports;
		tuple.ipv6.dport = h->ports >> 16;
		size = sizeof(tuple.ipv6);
	}
	if (h->protocol == IPPROTO_TCP)
		return bpf_sk_lookup_tcp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	return bpf_sk_lookup_udp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
}

SEC("tc")
int tc_steer(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;
	__u32 zero = 0, bytes = skb->len, state, *device;
	enum counter counter = DATAGRAM;
	struct settings *set;
	struct bpf_sock *sock;
	struct headers h = {};

	if (parse_headers(data, data_end, &h) != PARSED)
		return counted(OTHER, bytes, TC_ACT_OK);
	device = bpf_map_lookup_elem(&containers, &h.destination);
	if (device)
		return counted(CONTAINER, bytes, bpf_redirect_peer(*device, 0));
	if ((h.protocol != IPPROTO_TCP && h.protocol != IPPROTO_UDP) || h.fragment != WHOLE)
		return counted(OTHER, bytes, TC_ACT_OK);
	sock = socket_of(skb, &h);
	if (sock) {
		if (h.protocol == IPPROTO_TCP) {
			state = sock->state;
			counter = state == TCP_LISTEN ? LISTENING : CONNECTED;
		}
		if (bpf_sk_assign(skb, sock, 0))
			counted(NOT_GIVEN, bytes, 0);
		bpf_sk_release(sock);
		return counted(counter, bytes, TC_ACT_OK);
	}
	set = bpf_map_lookup_elem(&settings, &zero);
	if (set && set->watched && (h.protocol != IPPROTO_TCP || (h.flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) &&
	    !bpf_clone_redirect(skb, set->watched, 0))
		counted(COPIED, bytes, 0);
	return counted(NOBODY, bytes, TC_ACT_SHOT);
}

char _license[] SEC("license") = "Dual MIT/GPL";
