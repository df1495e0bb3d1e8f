/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the programs here share about packets: headers the kernel's user API does not define, and the way from the
 * start of a frame to its network header.
 */
#ifndef PACKET_H
#define PACKET_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* IPv4 fragment field (RFC 791): offset in units of 8 bytes, and the flag that more fragments follow. */
#define IP_OFFSET 0x1fff
#define IP_MORE_FRAGMENTS 0x2000

/* The kernel's struct ethhdr is packed, so its fields would be read byte by byte. */
struct ethernet {
	__u8 destination[ETH_ALEN] __attribute__((aligned(2)));
	__u8 source[ETH_ALEN] __attribute__((aligned(2)));
	__be16 type;
};

/* What follows the type field of an 802.1Q or 802.1ad tag. */
struct vlan_header {
	__be16 tci;
	__be16 inner_type;
};

/* Packets and bytes of one kind of traffic. Bytes are those of the frame without its check sequence. */
struct traffic {
	__u64 packets;
	__u64 bytes;
};

/*
 * Bytes from one place of a packet to a later one. The empty assembly keeps the subtraction 64 bits wide: the compiler
 * would narrow it, and arithmetic on half a pointer is refused.
 */
static __always_inline __u64 distance(const void *from, const void *to)
{
	__u64 bytes = to - from;

	asm volatile("" : "+r"(bytes));
	return bytes;
}

/* Length of a frame. It is below 64 KiB, and saying so lets a card add it to a counter as a 16-bit value. */
static __always_inline __u64 frame_length(const void *data, const void *data_end)
{
	return distance(data, data_end) & 0xffff;
}

static __always_inline int is_vlan(__be16 ether_type)
{
	return ether_type == bpf_htons(ETH_P_8021Q) || ether_type == bpf_htons(ETH_P_8021AD);
}

/*
 * Steps over the Ethernet header and at most two VLAN tags. Returns the network header and stores its type, or 0
 * where the frame ends before it. A third tag is left standing: its type is then no network protocol's.
 */
static __always_inline void *network_header(void *data, void *data_end, __be16 *ether_type)
{
	struct ethernet *eth = data;
	struct vlan_header *tag;
	void *next = eth + 1;

	if (next > data_end)
		return 0;
	*ether_type = eth->type;
	if (is_vlan(*ether_type)) {
		tag = next;
		next = tag + 1;
		if (next > data_end)
			return 0;
		*ether_type = tag->inner_type;
		if (is_vlan(*ether_type)) {
			tag = next;
			next = tag + 1;
			if (next > data_end)
				return 0;
			*ether_type = tag->inner_type;
		}
	}
	return next;
}

/*
 * Length of an IPv4 header in words of 4 bytes, unchecked. The empty assembly keeps the compiler from scaling it with
 * the bits of the version and masking later, which hides from a verifier how far into the packet it reaches.
 */
static __always_inline __u64 ipv4_words(const struct iphdr *ip)
{
	__u64 words = ip->ihl;

	asm volatile("" : "+r"(words));
	return words;
}

#endif
