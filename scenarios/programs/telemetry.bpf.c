// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Telemetry for XDP: flows are counted, and user space hears of them by a ring buffer: when one begins, each time its
 * packets come to a power of two from SAMPLE_FROM on, with the first bytes of the packet, and when TCP ends it. Where the
 * ring has no room the record is lost, which is counted. Every packet goes on to the host.
 */
#include "headers.h"

#define SAMPLE_FROM 8
#define SAMPLE_BYTES 60
/* User space is woken when so many bytes wait, or when a flow ends. */
#define WAKE_BYTES 4096

#define TCP_FIN 1
#define TCP_RST 4

struct flow_key {
	struct address source;
	struct address destination;
	__be32 ports;
	__u8 protocol;
	__u8 family;
	__u16 pad;
};

struct flow {
	__u64 packets;
	__u64 bytes;
	__u64 first; /* ns */
	__u64 last;
};

enum kind { BEGIN, SAMPLE, END };

struct record {
	__u64 time; /* ns */
	__u64 packets;
	__u64 bytes;
	struct flow_key key;
	__u8 kind;
	__u8 flags; /* of TCP */
	__u16 length; /* of the frame */
	__u8 head[SAMPLE_BYTES]; /* its beginning, the rest zero */
};

enum counter {
	PACKETS,   /* of flows */
	NO_FLOW,   /* not IP, or broken */
	WRITTEN,   /* records */
	LOST,      /* records for which the ring had no room */
	NOT_KEPT,  /* flows that the table did not take */
	COUNTERS = 8,
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline void count(__u32 slot)
{
	__u64 *counter = bpf_map_lookup_elem(&counters, &slot);

	if (counter)
		*counter += 1;
}

static __always_inline void tell(struct xdp_md *ctx, const struct flow_key *key, const struct flow *flow,
				 enum kind kind, const struct headers *h, __u64 bytes)
{
	struct record *record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);
	__u64 length = bytes, wake = BPF_RB_NO_WAKEUP;

	if (!record) {
		count(LOST);
		return;
	}
	record->time = flow->last;
	record->packets = flow->packets;
	record->bytes = flow->bytes;
	record->key = *key;
	record->kind = kind;
	record->flags = h->flags;
	record->length = bytes;
	if (length > SAMPLE_BYTES)
		length = SAMPLE_BYTES;
	else
		__builtin_memset(record->head, 0, sizeof(record->head));
	/* An empty frame has no beginning. */
	asm volatile("" : "+r"(length));
	if (length == 0 || length > SAMPLE_BYTES || bpf_xdp_load_bytes(ctx, 0, record->head, length)) {
		bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
		return;
	}
	if (kind == END || bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >= WAKE_BYTES)
		wake = BPF_RB_FORCE_WAKEUP;
	bpf_ringbuf_submit(record, wake);
	count(WRITTEN);
}

SEC("xdp")
int xdp_telemetry(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *data_end = (void *)(long)ctx->data_end;
	__u64 bytes = distance(data, data_end), now;
	struct flow_key key = {};
	struct headers h = {};
	struct flow fresh = {}, *flow;

	if (parse_headers(data, data_end, &h) != PARSED) {
		count(NO_FLOW);
		return XDP_PASS;
	}
	count(PACKETS);
	key.source = h.source;
	key.destination = h.destination;
	key.ports = h.ports;
	key.protocol = h.protocol;
	key.family = h.family;
	now = bpf_ktime_get_ns();
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow) {
		fresh.first = now;
		/* Another processor may have been faster: then its entry counts. */
		bpf_map_update_elem(&flows, &key, &fresh, BPF_NOEXIST);
		flow = bpf_map_lookup_elem(&flows, &key);
		if (!flow) {
			count(NOT_KEPT);
			return XDP_PASS;
		}
	}
	__sync_fetch_and_add(&flow->packets, 1);
	__sync_fetch_and_add(&flow->bytes, bytes);
	flow->last = now;
	if (flow->packets == 1)
		tell(ctx, &key, flow, BEGIN, &h, bytes);
	else if (flow->packets >= SAMPLE_FROM && !(flow->packets & (flow->packets - 1)))
		tell(ctx, &key, flow, SAMPLE, &h, bytes);
	if (h.protocol == IPPROTO_TCP && h.flags & (TCP_FIN | TCP_RST)) {
		tell(ctx, &key, flow, END, &h, bytes);
		bpf_map_delete_elem(&flows, &key);
	}
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
