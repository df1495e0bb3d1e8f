/* cpu=v3: CO-RE relocations, harmless and not. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
struct xdp_md {
	__u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};
struct ethhdr {
	__u8 h_dest[6];
	__u8 h_source[6];
	__u16 h_proto;
} __attribute__((packed));
/* Not the kernel's layout: two fields of it, moved together. */
struct iphdr___short {
	__u8 ttl;
	__u32 saddr;
};
struct task_struct {
	int pid;
};
#pragma clang attribute pop

#define SEC(name) __attribute__((section(name), used))
static void *(*const bpf_get_current_task)(void) = (void *)35;

SEC("xdp")
int fixed(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;

	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return 1;
	return eth->h_proto == 8 && eth->h_source[2] == 3 ? 2 : ctx->rx_queue_index;
}

SEC("xdp")
int moved(struct xdp_md *ctx)
{
	struct iphdr___short *ip = (void *)(long)ctx->data;

	if ((void *)(ip + 1) > (void *)(long)ctx->data_end)
		return 1;
	return ip->saddr;
}

SEC("xdp")
int kernels(struct xdp_md *ctx)
{
	struct task_struct *task = bpf_get_current_task();

	return task->pid;
}

SEC("xdp")
int number_here(struct xdp_md *ctx)
{
	return __builtin_btf_type_id(*(struct task_struct *)0, 0);
}

char _license[] SEC("license") = "GPL";
