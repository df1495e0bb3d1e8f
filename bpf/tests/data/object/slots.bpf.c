/* cpu=v1: iproute2's definitions: programs by section, maps of maps by number, pinning. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct bpf_elf_map {
	__u32 type, size_key, size_value, max_elem, flags, id, pinning, inner_id, inner_idx;
};

struct bpf_elf_map jumps SEC("maps") = {
	.type = BPF_MAP_TYPE_PROG_ARRAY, .size_key = 4, .size_value = 4, .max_elem = 17, .id = 2, .pinning = 2};
struct bpf_elf_map model SEC("maps") = {.type = BPF_MAP_TYPE_ARRAY,
	.size_key = 4, .size_value = 8, .max_elem = 3, .id = 5, .pinning = 1, .inner_idx = 1};
struct bpf_elf_map outer SEC("maps") = {.type = BPF_MAP_TYPE_ARRAY_OF_MAPS,
	.size_key = 4, .size_value = 4, .max_elem = 2, .id = 6, .inner_id = 5};
struct bpf_elf_map shapeless SEC("maps") = {.type = BPF_MAP_TYPE_HASH_OF_MAPS,
	.size_key = 4, .size_value = 4, .max_elem = 2, .id = 7};

SEC("classifier")
int entry(struct __sk_buff *skb)
{
	__u32 key = 0;
	void *map = bpf_map_lookup_elem(&outer, &key);

	bpf_tail_call(skb, &jumps, 1);
	return !!map;
}

SEC("2/1")
int one(struct __sk_buff *skb)
{
	return 1;
}

SEC("2/0x10")
int sixteen(struct __sk_buff *skb)
{
	return 16;
}

SEC("from-netdev")
int wrong(struct __sk_buff *skb)
{
	__u32 key = 0;

	return !!bpf_map_lookup_elem(&shapeless, &key);
}

SEC("prog")
int plain(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("loadbalancer")
int unsaid(struct __sk_buff *skb)
{
	return 0;
}

char _license[] SEC("license") = "GPL";
