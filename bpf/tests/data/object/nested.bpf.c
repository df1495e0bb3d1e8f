/* cpu=v3: what definitions put into maps, sections of data with names of their own, and functions by visibility. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct inner {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
};
struct inner red SEC(".maps"), blue SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 5);
	__type(key, __u32);
	__array(values, struct inner);
} colours SEC(".maps") = {.values = {[1] = &blue, [4] = &red}};

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_ARRAY);
		__uint(max_entries, 7);
		__uint(key_size, 4);
		__uint(value_size, 12);
	});
} by_number SEC(".maps") = {};

int second(struct xdp_md *ctx);
int third(struct xdp_md *ctx);
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__array(values, int(struct xdp_md *));
} next SEC(".maps") = {.values = {[0] = &second, [3] = &third}};

/* Nobody names it: it lives in the slots of another. */
SEC(".data.counts") long counts[2] = {3, 4};
SEC(".rodata.limits") const volatile int limit = 9;
SEC(".bss.scratch") long scratch;

__hidden __attribute__((noinline)) int hidden_one(int a)
{
	return a + limit;
}

__attribute__((noinline)) int global_one(int a)
{
	return a ^ limit;
}

static __attribute__((noinline)) int static_one(int a)
{
	return a * limit;
}

SEC("xdp")
int first(struct xdp_md *ctx)
{
	__u32 key = 1;
	void *map = bpf_map_lookup_elem(&colours, &key), *other = bpf_map_lookup_elem(&by_number, &key);
	__u64 *value = map ? bpf_map_lookup_elem(map, &key) : 0;

	bpf_tail_call(ctx, &next, 3);
	return other && value ? *value : hidden_one(key) + global_one(ctx->ingress_ifindex) + static_one(key);
}

SEC("xdp")
int second(struct xdp_md *ctx)
{
	scratch += counts[1];
	return XDP_DROP;
}

SEC("xdp")
int third(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp.frags/cpumap")
int fourth(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp/devmap")
int fifth(struct xdp_md *ctx)
{
	return ctx->egress_ifindex;
}

char _license[] SEC("license") = "GPL";
int _version SEC("version") = 0x060102;
