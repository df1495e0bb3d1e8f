// SPDX-License-Identifier: MIT OR Apache-2.0
/* A blocklist firewall for XDP, written so that a card with hash and array maps only can take it. */
#include "firewall.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_RULES);
	__type(key, struct rule_key);
	__type(value, struct rule);
} blocked SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct traffic);
} counters SEC(".maps");

static __always_inline void count(__u32 slot, __u64 bytes)
{
	struct traffic *traffic = bpf_map_lookup_elem(&counters, &slot);

	if (traffic) {
		__sync_fetch_and_add(&traffic->packets, 1);
		__sync_fetch_and_add(&traffic->bytes, bytes);
	}
}

SEC("xdp")
int xdp_firewall(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u64 bytes = frame_length(data, data_end);
	struct rule_key key = {};
	struct rule *rule;
	enum slot slot;

	slot = classify(data, data_end, &key);
	count(slot, bytes);
	if (slot == NOT_IP || slot == MALFORMED)
		return XDP_PASS;

	rule = bpf_map_lookup_elem(&blocked, &key);
	if (!rule) {
		key.port = 0;
		key.protocol = 0;
		rule = bpf_map_lookup_elem(&blocked, &key);
	}
	if (!rule)
		return XDP_PASS;
	__sync_fetch_and_add(&rule->hits, 1);
	if (rule->action != ACTION_BLOCK)
		return XDP_PASS;
	count(DROPPED, bytes);
	return XDP_DROP;
}

char _license[] SEC("license") = "Dual MIT/GPL";
