/* cpu=v1: definitions of maps, some of which are refused. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

typedef struct {
	__u32 a;
	__u8 b[5];
} odd_value;

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1000);
	__uint(key_size, 12);
	__uint(value_size, sizeof(odd_value));
	__uint(pinning, LIBBPF_PIN_NONE);
} by_size SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 8);
	__type(key, __u64);
	__type(value, odd_value);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(numa_node, 0);
} by_type SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} inner SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = {.values = {&inner}};

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} events SEC(".maps");

SEC("xdp")
int plain(struct xdp_md *ctx)
{
	char key[12] = {};
	__u64 prefix = 32;
	odd_value *v = bpf_map_lookup_elem(&by_size, key);
	odd_value *w = bpf_map_lookup_elem(&by_type, &prefix);

	bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, key, sizeof(key));
	return v && w ? v->a + w->b[1] : 0;
}

SEC("xdp")
int nested(struct xdp_md *ctx)
{
	__u32 zero = 0;
	void *map = bpf_map_lookup_elem(&outer, &zero);

	return !!map;
}

char _license[] SEC("license") = "Dual MIT/GPL";
