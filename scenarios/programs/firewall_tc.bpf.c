// SPDX-License-Identifier: MIT OR Apache-2.0
/* The firewall of firewall.bpf.c for the host's tc hook: the same rules, counters per CPU, one constant to set. */
#include <linux/pkt_cls.h>
#include "firewall.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_RULES);
	__type(key, struct rule_key);
	__type(value, struct rule);
} blocked SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct traffic);
} counters SEC(".maps");

/* Set to 1 before loading to drop what cannot be parsed; 0 passes it, as the XDP program does. */
const volatile __u32 drop_malformed = 0;

static __always_inline void count(__u32 slot, __u64 bytes)
{
	struct traffic *traffic = bpf_map_lookup_elem(&counters, &slot);

	if (traffic) {
		traffic->packets += 1;
		traffic->bytes += bytes;
	}
}

SEC("tc")
int tc_firewall(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;
	struct rule_key key = {};
	struct rule *rule;
	enum slot slot;

	slot = classify(data, data_end, &key);
	count(slot, skb->len);
	if (slot == MALFORMED && drop_malformed)
		goto drop;
	if (slot == NOT_IP || slot == MALFORMED)
		return TC_ACT_OK;

	rule = bpf_map_lookup_elem(&blocked, &key);
	if (!rule) {
		key.port = 0;
		key.protocol = 0;
		rule = bpf_map_lookup_elem(&blocked, &key);
	}
	if (!rule)
		return TC_ACT_OK;
	__sync_fetch_and_add(&rule->hits, 1);
	if (rule->action != ACTION_BLOCK)
		return TC_ACT_OK;
drop:
	count(DROPPED, skb->len);
	return TC_ACT_SHOT;
}

char _license[] SEC("license") = "Dual MIT/GPL";
