/* cpu=v1: iproute2's maps: one of all objects, one of the object's own. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bpf_elf_map {
	__u32 type, size_key, size_value, max_elem, flags, id, pinning, inner_id, inner_idx;
};

struct bpf_elf_map shared SEC("maps") = {
	.type = BPF_MAP_TYPE_HASH, .size_key = 4, .size_value = 4, .max_elem = 4, .pinning = 2};
struct bpf_elf_map own SEC("maps") = {
	.type = BPF_MAP_TYPE_ARRAY, .size_key = 4, .size_value = 4, .max_elem = 1, .pinning = 1};

SEC("classifier")
int entry(struct __sk_buff *skb)
{
	__u32 key = 0;

	return !!bpf_map_lookup_elem(&shared, &key) + !!bpf_map_lookup_elem(&own, &key);
}

char _license[] SEC("license") = "GPL";
