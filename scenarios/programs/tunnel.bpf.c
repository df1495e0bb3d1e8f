// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Both ends of a VXLAN tunnel (RFC 7348). At tc, frames from the local segments are wrapped and go to the tunnel's other
 * end by the kernel's routes and neighbours; at XDP, frames from there are unwrapped and sent to their segment.
 */
#include <linux/pkt_cls.h>
#include "headers.h"

#define VXLAN_PORT 4789
#define VXLAN_HAS_NUMBER 0x08000000 /* the flag that the number is there, in the header's first word */
#define VLAN_NUMBER 0xfff

struct vxlan_header {
	__be32 flags;
	__be32 number; /* of the network, in the upper three bytes */
};

/* What is put around a frame, from the type of its Ethernet header on. */
struct wrapping {
	__be16 type;
	struct iphdr ip;
	struct udphdr udp;
	struct vxlan_header vxlan;
	struct ethernet inner;
} __attribute__((packed, aligned(2)));

#define WRAPPED (sizeof(struct wrapping) - sizeof(__be16))

struct station_key {
	__u32 number;
	__u8 mac[ETH_ALEN];
	__u16 pad;
};

struct settings {
	__be32 address; /* of this end */
	__u32 device;   /* that the tunnel goes out by */
};

struct segment {
	__u32 device;
	__u32 vlan; /* 0 is none */
};

enum counter {
	WRAPPED_UP,
	UNWRAPPED,
	NO_SEGMENT,  /* passed: the VLAN has no network, or the network no segment */
	NO_STATION,  /* passed: nobody knows where that is */
	GROUP,       /* passed: to more than one station */
	OTHER,       /* passed: not for the tunnel */
	TOO_LONG,    /* dropped: the way takes no such packets */
	FAILED,      /* dropped: a helper refused */
	COUNTERS = 16,
};

/* VLAN to network; 0 is untagged. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u32);
} networks SEC(".maps");

/* Where stations are: the address of the tunnel's other end. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct station_key);
	__type(value, __be32);
} stations SEC(".maps");

/* Network to segment. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct segment);
} segments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} devices SEC(".maps");

SETTINGS_MAP;

COUNTERS_MAP;

/* Puts the headers before the frame: adds room behind its Ethernet header, and moves that inside. */
static __always_inline int wrap(struct __sk_buff *skb, struct wrapping *around, __u32 length)
{
	__u64 flags = BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2_ETH |
		      BPF_F_ADJ_ROOM_ENCAP_L2(sizeof(struct ethernet));

	around->type = bpf_htons(ETH_P_IP);
	around->ip.version = 4;
	around->ip.ihl = 5;
	around->ip.tot_len = bpf_htons(length + WRAPPED - sizeof(struct ethernet));
	around->ip.frag_off = bpf_htons(0x4000); /* not to be split (RFC 7348, section 4.3) */
	around->ip.ttl = 64;
	around->ip.protocol = IPPROTO_UDP;
	around->udp.dest = bpf_htons(VXLAN_PORT);
	around->udp.len = bpf_htons(length + WRAPPED - sizeof(struct ethernet) - sizeof(struct iphdr));
	around->vxlan.flags = bpf_htonl(VXLAN_HAS_NUMBER);
	around->ip.check = ipv4_checksum(&around->ip);
	if (bpf_skb_adjust_room(skb, WRAPPED, BPF_ADJ_ROOM_MAC, flags))
		return -1;
	return bpf_skb_store_bytes(skb, offsetof(struct ethernet, type), around, sizeof(*around), 0);
}

SEC("tc")
int tc_wrap(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;
	__u32 zero = 0, vlan = 0, mtu = 0, bytes = skb->len, words[10], hash;
	struct station_key station = {};
	struct wrapping around = {};
	struct ethernet *eth = data;
	struct settings *set;
	struct headers h = {};
	__u32 *number;
	__be32 *remote;

	set = bpf_map_lookup_elem(&settings, &zero);
	if (!set || (void *)(eth + 1) > data_end)
		return counted(FAILED, bytes, TC_ACT_SHOT);
	if (skb->vlan_present)
		vlan = skb->vlan_tci & VLAN_NUMBER;
	number = bpf_map_lookup_elem(&networks, &vlan);
	if (!number)
		return counted(NO_SEGMENT, bytes, TC_ACT_OK);
	if (eth->destination[0] & 1)
		return counted(GROUP, bytes, TC_ACT_OK);
	/* Room is made before IP alone; a frame with more tags is not IP here. */
	if ((skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6)) ||
	    parse_headers(data, data_end, &h) != PARSED)
		return counted(OTHER, bytes, TC_ACT_OK);
	station.number = *number;
	__builtin_memcpy(station.mac, eth->destination, ETH_ALEN);
	remote = bpf_map_lookup_elem(&stations, &station);
	if (!remote)
		return counted(NO_STATION, bytes, TC_ACT_OK);

	__builtin_memcpy(words, &h.source, 16);
	__builtin_memcpy(words + 4, &h.destination, 16);
	words[8] = h.fragment == WHOLE ? h.ports : 0;
	words[9] = h.protocol;
	hash = hash_words(words, 10, *number);
	__builtin_memcpy(&around.inner, eth, sizeof(around.inner));
	around.ip.tos = h.tos;
	around.ip.saddr = set->address;
	around.ip.daddr = *remote;
	/* Another port for each flow, of those that nobody registers (RFC 7348, section 5). */
	around.udp.source = bpf_htons(0xc000 | (hash & 0x3fff));
	around.vxlan.number = bpf_htonl(*number << 8);

	/* The tag says which network it is, and that is said otherwise now. */
	if (skb->vlan_present && bpf_skb_vlan_pop(skb))
		return counted(FAILED, bytes, TC_ACT_SHOT);
	if (bpf_check_mtu(skb, set->device, &mtu, WRAPPED, 0))
		return counted(TOO_LONG, bytes, TC_ACT_SHOT);
	if (wrap(skb, &around, bytes))
		return counted(FAILED, bytes, TC_ACT_SHOT);
	return counted(WRAPPED_UP, bytes, bpf_redirect_neigh(set->device, 0, 0, 0));
}

SEC("xdp")
int xdp_unwrap(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u64 bytes = distance(data, data_end);
	struct {
		struct ethernet eth;
		struct iphdr ip;
		struct udphdr udp;
		struct vxlan_header vxlan;
		struct ethernet inner;
	} __attribute__((packed)) *outer = data;
	struct segment *segment;
	struct settings *set;
	struct ethernet inner;
	__u32 zero = 0, number;
	int shorter = WRAPPED;
	struct ethernet *eth;

	set = bpf_map_lookup_elem(&settings, &zero);
	if (!set || (void *)(outer + 1) > data_end || outer->eth.type != bpf_htons(ETH_P_IP) || outer->ip.ihl != 5 ||
	    outer->ip.protocol != IPPROTO_UDP || outer->ip.daddr != set->address ||
	    outer->ip.frag_off & bpf_htons(IP_OFFSET | IP_MORE_FRAGMENTS) ||
	    outer->udp.dest != bpf_htons(VXLAN_PORT) || !(outer->vxlan.flags & bpf_htonl(VXLAN_HAS_NUMBER)))
		return counted(OTHER, bytes, XDP_PASS);
	number = bpf_ntohl(outer->vxlan.number) >> 8;
	segment = bpf_map_lookup_elem(&segments, &number);
	if (!segment)
		return counted(NO_SEGMENT, bytes, XDP_PASS);
	__builtin_memcpy(&inner, &outer->inner, sizeof(inner));
	if (segment->vlan)
		shorter -= sizeof(struct vlan_header);
	if (bpf_xdp_adjust_head(ctx, shorter))
		return counted(FAILED, bytes, XDP_DROP);
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	eth = data;
	if (data + sizeof(*eth) + sizeof(struct vlan_header) > data_end)
		return counted(FAILED, bytes, XDP_DROP);
	__builtin_memcpy(eth, &inner, sizeof(inner));
	if (segment->vlan) {
		struct vlan_header *tag = (void *)(eth + 1);

		eth->type = bpf_htons(ETH_P_8021Q);
		tag->tci = bpf_htons(segment->vlan);
		tag->inner_type = inner.type;
	}
	return counted(UNWRAPPED, bytes, bpf_redirect_map(&devices, segment->device, XDP_DROP));
}

char _license[] SEC("license") = "Dual MIT/GPL";
