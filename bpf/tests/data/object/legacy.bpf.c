/* cpu=v2: maps as structures, libbpf's and iproute2's, in sections and of types told by name or context alone. */
#include <linux/bpf.h>
#define SEC(name) __attribute__((section(name), used))
static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;

struct bpf_map_def {
	__u32 type, key_size, value_size, max_entries, map_flags;
};

struct bpf_elf_map {
	__u32 type, size_key, size_value, max_elem, flags, id, pinning, inner_id, inner_idx;
};

struct bpf_map_def SEC("maps") flows = {BPF_MAP_TYPE_HASH, 16, 8, 1024, 1};
struct bpf_map_def SEC("maps") counts = {BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 256};
struct bpf_elf_map SEC("maps/more") routes = {
	.type = BPF_MAP_TYPE_LPM_TRIE, .size_key = 8, .size_value = 4, .max_elem = 64, .flags = 1, .pinning = 2};

SEC("prog")
int by_context(struct xdp_md *ctx)
{
	__u32 key = 3;
	__u64 *v = bpf_map_lookup_elem(&counts, &key);

	return v ? *v : 0;
}

SEC("2/1")
int slot(struct __sk_buff *skb)
{
	__u64 key = skb->len;
	__u64 keys[2] = {key, 0};
	__u32 *v = bpf_map_lookup_elem(&routes, &key);
	__u64 *w = bpf_map_lookup_elem(&flows, keys);

	return v && w ? *v + *w : 0;
}

SEC("kprobe/tcp_sendmsg")
int probe(void *ctx)
{
	return 0;
}

char _license[] SEC("license") = "Proprietary";
