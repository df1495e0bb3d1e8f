// SPDX-License-Identifier: MIT OR Apache-2.0
/* The load balancer of l4lb.bpf.c for the host's tc hook, rewriting packets with the kernel's helpers. */
#include <linux/pkt_cls.h>
#include "l4lb.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SERVICES);
	__type(key, struct service_key);
	__type(value, struct service);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_BACKENDS);
	__type(key, __u32);
	__type(value, struct backend);
} backends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct traffic);
} counters SEC(".maps");

/* Traffic of each backend, in the slot it has in `backends`. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_BACKENDS);
	__type(key, __u32);
	__type(value, struct traffic);
} backend_traffic SEC(".maps");

static __always_inline void count(void *map, __u32 slot, __u64 bytes)
{
	struct traffic *traffic = bpf_map_lookup_elem(map, &slot);

	if (traffic) {
		traffic->packets += 1;
		traffic->bytes += bytes;
	}
}

/* Sends the packet to a backend. A helper that changes the packet ends all use of pointers into it. */
static __always_inline void rewrite(struct __sk_buff *skb, const struct ethernet *eth, const struct flow *flow,
				    const struct backend *backend)
{
	__u32 ip_offset = distance(eth, flow->ip);
	__u32 transport_offset = distance(eth, flow->transport);
	__u64 flags = BPF_F_PSEUDO_HDR | sizeof(backend->address);
	struct ethernet addresses;

	__builtin_memcpy(addresses.source, eth->destination, ETH_ALEN);
	__builtin_memcpy(addresses.destination, backend->mac, ETH_ALEN);
	if (flow->protocol == IPPROTO_TCP) {
		transport_offset += offsetof(struct tcphdr, check);
	} else {
		/* UDP: leave 0 alone and never write it. */
		transport_offset += offsetof(struct udphdr, check);
		flags |= BPF_F_MARK_MANGLED_0;
	}
	bpf_l4_csum_replace(skb, transport_offset, flow->address, backend->address, flags);
	bpf_l3_csum_replace(skb, ip_offset + offsetof(struct iphdr, check), flow->address, backend->address,
			    sizeof(backend->address));
	bpf_skb_store_bytes(skb, ip_offset + offsetof(struct iphdr, daddr), &backend->address,
			    sizeof(backend->address), 0);
	bpf_skb_store_bytes(skb, 0, &addresses, 2 * ETH_ALEN, 0);
}

/* Picks a backend for the packet and rewrites it. FORWARDED says that it may leave. */
static __always_inline enum slot forward(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;
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

	rewrite(skb, data, &flow, backend);
	count(&backend_traffic, index, skb->len);
	return FORWARDED;
}

SEC("tc")
int tc_l4lb(struct __sk_buff *skb)
{
	enum slot slot = forward(skb);

	count(&counters, slot, skb->len);
	return slot == FORWARDED ? bpf_redirect(skb->ifindex, 0) : TC_ACT_OK;
}

char _license[] SEC("license") = "Dual MIT/GPL";
