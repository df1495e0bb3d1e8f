// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A host that guards itself by two programs which share their maps: at tc, behind the skb, a judge counts how many
 * connections each source opens, and bans who opens too many; at XDP, before there is an skb, a gate turns the banned away.
 */
#include <linux/pkt_cls.h>
#include "headers.h"

#define TCP_SYN 2
#define TCP_ACK 16

struct settings {
	__u64 most; /* connections that a source may open */
};

enum counter {
	TURNED_AWAY, /* at the gate: dropped */
	LET_IN,      /* at the gate: passed */
	HEARD,       /* by the judge: passed */
	OPENED,      /* of these: opens a connection */
	BANNED,      /* by the judge: one too many, dropped, and the source with it */
	NO_IP,       /* by either: passed */
	COUNTERS = 16,
};

/* Connections that a source has opened. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct address);
	__type(value, __u64);
} openings SEC(".maps");

/* Packets of a banned source that were turned away. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct address);
	__type(value, __u64);
} banned SEC(".maps");

SETTINGS_MAP;

COUNTERS_MAP;

SEC("xdp")
int xdp_gate(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u64 bytes = distance(data, data_end);
	struct headers h = {};
	__u64 *turned_away;

	if (parse_headers(data, data_end, &h) != PARSED)
		return counted(NO_IP, bytes, XDP_PASS);
	turned_away = bpf_map_lookup_elem(&banned, &h.source);
	if (!turned_away)
		return counted(LET_IN, bytes, XDP_PASS);
	__sync_fetch_and_add(turned_away, 1);
	return counted(TURNED_AWAY, bytes, XDP_DROP);
}

SEC("tc")
int tc_judge(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;
	__u32 zero = 0, bytes = skb->len;
	__u64 one = 1, none = 0, *opened;
	struct settings *set;
	struct headers h = {};

	if (parse_headers(data, data_end, &h) != PARSED)
		return counted(NO_IP, bytes, TC_ACT_OK);
	if (h.protocol != IPPROTO_TCP || h.fragment != WHOLE || (h.flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return counted(HEARD, bytes, TC_ACT_OK);
	counted(OPENED, bytes, 0);
	opened = bpf_map_lookup_elem(&openings, &h.source);
	if (!opened) {
		bpf_map_update_elem(&openings, &h.source, &one, BPF_ANY);
		return counted(HEARD, bytes, TC_ACT_OK);
	}
	__sync_fetch_and_add(opened, 1);
	set = bpf_map_lookup_elem(&settings, &zero);
	if (!set || *opened <= set->most)
		return counted(HEARD, bytes, TC_ACT_OK);
	bpf_map_update_elem(&banned, &h.source, &none, BPF_NOEXIST);
	return counted(BANNED, bytes, TC_ACT_SHOT);
}

char _license[] SEC("license") = "Dual MIT/GPL";
