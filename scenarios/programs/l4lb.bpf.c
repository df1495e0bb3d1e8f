// SPDX-License-Identifier: MIT OR Apache-2.0
/* An IPv4 load balancer for XDP, written so that a card with hash and array maps only can take it. */
#include "l4lb.h"

#ifdef LEGACY_MAPS
/* How maps were described before BTF: five words of a section called `maps`. */
struct map_definition {
	__u32 type;
	__u32 key_size;
	__u32 value_size;
	__u32 max_entries;
	__u32 flags;
};
#define MAP(name, map_type, key_type, value_type, entries) \
	struct map_definition name SEC("maps") = {map_type, sizeof(key_type), sizeof(value_type), entries, 0}
#else
#define MAP(name, map_type, key_type, value_type, entries) \
	struct { \
		__uint(type, map_type); \
		__uint(max_entries, entries); \
		__type(key, key_type); \
		__type(value, value_type); \
	} name SEC(".maps")
#endif

MAP(services, BPF_MAP_TYPE_HASH, struct service_key, struct service, MAX_SERVICES);
MAP(backends, BPF_MAP_TYPE_ARRAY, __u32, struct backend, MAX_BACKENDS);
MAP(counters, BPF_MAP_TYPE_ARRAY, __u32, struct traffic, SLOTS);
/* Traffic of each backend, in the slot it has in `backends`. */
MAP(backend_traffic, BPF_MAP_TYPE_ARRAY, __u32, struct traffic, MAX_BACKENDS);

static __always_inline void count(void *map, __u32 slot, __u64 bytes)
{
	struct traffic *traffic = bpf_map_lookup_elem(map, &slot);

	if (traffic) {
		__sync_fetch_and_add(&traffic->packets, 1);
		__sync_fetch_and_add(&traffic->bytes, bytes);
	}
}

/* What replacing one address by another adds to the complement of a checksum (RFC 1624, equation 3). */
static __always_inline __u32 checksum_difference(__be32 from, __be32 to)
{
	return (~from & 0xffff) + (~from >> 16) + (to & 0xffff) + (to >> 16);
}

static __always_inline __u16 checksum_update(__u16 checksum, __u32 difference)
{
	__u32 sum = (__u16)~checksum + difference;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Sends the packet to a backend: addresses and checksums, Ethernet last. */
static __always_inline void rewrite(struct ethernet *eth, const struct flow *flow, const struct backend *backend)
{
	__u32 difference = checksum_difference(flow->address, backend->address);

	if (flow->protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = flow->transport;

		tcp->check = checksum_update(tcp->check, difference);
	} else {
		struct udphdr *udp = flow->transport;

		/* 0 says that there is no checksum; one that comes to 0 is sent as its other form (RFC 768). */
		if (udp->check) {
			__u16 checksum = checksum_update(udp->check, difference);

			udp->check = checksum ? checksum : 0xffff;
		}
	}
	flow->ip->check = checksum_update(flow->ip->check, difference);
	flow->ip->daddr = backend->address;
	__builtin_memcpy(eth->source, eth->destination, ETH_ALEN);
	__builtin_memcpy(eth->destination, backend->mac, ETH_ALEN);
}

/* Picks a backend for the packet and rewrites it. FORWARDED says that it may leave. */
static __always_inline enum slot forward(void *data, void *data_end, __u64 bytes)
{
	struct service_key key = {};
	struct service *service;
	struct backend *backend;
	struct flow flow;
	enum slot slot;
	__u32 index;

	slot = parse(data, data_end, &flow);
	if (slot != FORWARDED)
		return slot;

	key.address = flow.address;
	key.port = flow.ports >> 16;
	key.protocol = flow.protocol;
	service = bpf_map_lookup_elem(&services, &key);
	if (!service)
		return NO_SERVICE;

	index = service->first + (flow_hash(&flow, service->flags) & service->mask);
	backend = bpf_map_lookup_elem(&backends, &index);
	if (!backend || !backend->address)
		return NO_BACKEND;

	rewrite(data, &flow, backend);
	count(&backend_traffic, index, bytes);
	return FORWARDED;
}

SEC("xdp")
int xdp_l4lb(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u64 bytes = frame_length(data, data_end);
	enum slot slot = forward(data, data_end, bytes);

	count(&counters, slot, bytes);
	return slot == FORWARDED ? XDP_TX : XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
