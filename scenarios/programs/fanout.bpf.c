// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A host between ports, for XDP, that has three ways to pass a packet on: to all ports but the packet's own, to the port of
 * its address, to another core. Programs of the maps' entries run behind each.
 */
#include "headers.h"

#define TCP_RST 4

/* A queue and what runs behind it: struct bpf_cpumap_val. */
struct core {
	__u32 qsize;
	__u32 program;
};

/* What a port puts into frames that leave by it, and takes. */
struct station {
	__u8 mac[6];
	__u16 longest; /* frame */
};

enum counter {
	FLOODED,   /* to all ports */
	FORWARDED, /* to the port of its address */
	STEERED,   /* to a core */
	OTHER,     /* passed */
	MALFORMED, /* dropped */
	LEAVING,   /* behind the redirect: to the wire */
	TOO_LONG,  /* there: dropped */
	ARRIVED,   /* on the other core: to its stack */
	RESET,     /* there: dropped */
	COUNTERS = 16,
};

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct bpf_devmap_val);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct core);
} cores SEC(".maps");

/* By device. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct station);
} stations SEC(".maps");

COUNTERS_MAP;

SEC("xdp")
int xdp_fanout(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u64 bytes = distance(data, data_end);
	struct headers h = {};
	enum parsed parsed = parse_headers(data, data_end, &h);

	if (parsed == BROKEN || data + sizeof(struct ethernet) > data_end)
		return counted(MALFORMED, bytes, XDP_DROP);
	if (parsed == NOT_IP || *(__u8 *)data & 1)
		return counted(FLOODED, bytes, bpf_redirect_map(&ports, 0, BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS));
	if (h.fragment == WHOLE && h.protocol == IPPROTO_UDP)
		return counted(FORWARDED, bytes,
			       bpf_redirect_map(&ports, bpf_ntohl(h.destination.word[h.family == 4 ? 0 : 3]) & 3, XDP_PASS));
	if (h.fragment == WHOLE && h.protocol == IPPROTO_TCP)
		return counted(STEERED, bytes, bpf_redirect_map(&cores, bpf_ntohs(h.ports) & 1, XDP_PASS));
	return counted(OTHER, bytes, XDP_PASS);
}

SEC("xdp/devmap")
int xdp_leaving(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u64 bytes = distance(data, data_end);
	__u32 device = ctx->egress_ifindex;
	struct station *station = bpf_map_lookup_elem(&stations, &device);
	struct ethernet *eth = data;

	if ((void *)(eth + 1) > data_end || !station)
		return XDP_ABORTED;
	if (bytes > station->longest)
		return counted(TOO_LONG, bytes, XDP_DROP);
	__builtin_memcpy(eth->source, station->mac, sizeof(eth->source));
	return counted(LEAVING, bytes, XDP_PASS);
}

SEC("xdp/cpumap")
int xdp_arrived(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u64 bytes = distance(data, data_end);
	struct headers h = {};

	if (parse_headers(data, data_end, &h) == PARSED && h.flags & TCP_RST)
		return counted(RESET, bytes, XDP_DROP);
	return counted(ARRIVED, bytes, XDP_PASS);
}

char _license[] SEC("license") = "Dual MIT/GPL";
