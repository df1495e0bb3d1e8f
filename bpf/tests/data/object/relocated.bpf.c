/* cpu=v3: every kind of CO-RE relocation, of layouts that are not the kernel's. */
#include <stdbool.h>
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
#define SEC(name) __attribute__((section(name), used))
#define CORE __attribute__((preserve_access_index))

struct xdp_md {
	__u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index;
} CORE;
/* Fewer fields, in another order, some of another size, some that are not there. */
struct iphdr___mine {
	__u32 daddr;
	__u8 protocol;
	__u64 tot_len;
	__u8 version : 4, ihl : 4;
	__u16 no_such_field;
} CORE;
struct tcphdr {
	__u16 window;
	__u16 fin : 1, syn : 1, ack : 1;
	int seq;
} CORE;
struct __sk_buff {
	__u32 mark;
	__u32 cb[2];
} CORE;
struct bpf_sock___flat {
	__u32 src_ip6[4];
	int state;
} CORE;
union bpf_attr___none {
	int a;
} CORE;
struct no_such_struct {
	int a;
} CORE;
struct ethhdr___same {
	unsigned char h_dest[6], h_source[6];
	__u16 h_proto;
} CORE;
struct udphdr___other {
	__u64 source;
} CORE;
enum xdp_action___mine { XDP_PASS___mine = 77, XDP_NO_SUCH = 5 };
enum bpf_no_such_enum { NO_SUCH_ENUM_VALUE = 3 };
typedef __u32 __be32;
typedef int no_such_typedef;

#define OFFSET(type, field) __builtin_preserve_field_info(((type *)0)->field, 0)
#define SIZE(type, field) __builtin_preserve_field_info(((type *)0)->field, 1)
#define EXISTS(type, field) __builtin_preserve_field_info(((type *)0)->field, 2)
#define SIGNED(type, field) __builtin_preserve_field_info(((type *)0)->field, 3)
#define LEFT(type, field) __builtin_preserve_field_info(((type *)0)->field, 4)
#define RIGHT(type, field) __builtin_preserve_field_info(((type *)0)->field, 5)
#define LOCAL_ID(type) __builtin_btf_type_id(*(type *)0, 0)
#define TARGET_ID(type) __builtin_btf_type_id(*(type *)0, 1)
#define TYPE_EXISTS(type) __builtin_preserve_type_info(*(type *)0, 0)
#define TYPE_SIZE(type) __builtin_preserve_type_info(*(type *)0, 1)
#define TYPE_MATCHES(type) __builtin_preserve_type_info(*(type *)0, 2)
#define ENUM_EXISTS(type, value) __builtin_preserve_enum_value(*(type *)value, 0)
#define ENUM_VALUE(type, value) __builtin_preserve_enum_value(*(type *)value, 1)

static volatile __u64 sink;
#define KEEP(x) sink = (x)

SEC("xdp")
int fields(struct xdp_md *ctx)
{
	KEEP(OFFSET(struct iphdr___mine, daddr));
	KEEP(SIZE(struct iphdr___mine, tot_len));
	KEEP(EXISTS(struct iphdr___mine, protocol));
	KEEP(EXISTS(struct iphdr___mine, no_such_field));
	KEEP(EXISTS(struct no_such_struct, a));
	KEEP(EXISTS(union bpf_attr___none, a));
	KEEP(SIGNED(struct tcphdr, seq));
	KEEP(OFFSET(struct __sk_buff, cb[1]));
	KEEP(SIZE(struct __sk_buff, cb[1]));
	KEEP(SIZE(struct __sk_buff, cb));
	KEEP(OFFSET(struct bpf_sock___flat, src_ip6[3]));
	KEEP(SIGNED(struct bpf_sock___flat, state));
	return 0;
}

SEC("xdp")
int bit_fields(struct xdp_md *ctx)
{
	KEEP(OFFSET(struct tcphdr, syn));
	KEEP(SIZE(struct tcphdr, ack));
	KEEP(SIGNED(struct tcphdr, ack));
	KEEP(LEFT(struct tcphdr, ack));
	KEEP(RIGHT(struct tcphdr, ack));
	KEEP(LEFT(struct iphdr___mine, ihl));
	KEEP(RIGHT(struct iphdr___mine, ihl));
	KEEP(LEFT(struct iphdr___mine, daddr));
	KEEP(RIGHT(struct iphdr___mine, daddr));
	return 0;
}

SEC("xdp")
int types(struct xdp_md *ctx)
{
	KEEP(TARGET_ID(struct iphdr___mine));
	KEEP(TARGET_ID(struct no_such_struct));
	KEEP(TYPE_EXISTS(struct iphdr___mine));
	KEEP(TYPE_EXISTS(struct no_such_struct));
	KEEP(TYPE_EXISTS(__be32));
	KEEP(TYPE_EXISTS(no_such_typedef));
	KEEP(TYPE_SIZE(struct iphdr___mine));
	KEEP(TYPE_SIZE(struct no_such_struct));
	KEEP(TYPE_MATCHES(struct iphdr___mine));
	KEEP(TYPE_MATCHES(struct ethhdr___same));
	KEEP(TYPE_MATCHES(struct udphdr___other));
	KEEP(TYPE_EXISTS(enum xdp_action___mine));
	KEEP(TYPE_MATCHES(enum xdp_action___mine));
	return 0;
}

SEC("xdp")
int local_types(struct xdp_md *ctx)
{
	KEEP(LOCAL_ID(struct iphdr___mine));
	return 0;
}

SEC("xdp")
int enumerators(struct xdp_md *ctx)
{
	KEEP(ENUM_VALUE(enum xdp_action___mine, XDP_PASS___mine));
	KEEP(ENUM_EXISTS(enum xdp_action___mine, XDP_PASS___mine));
	KEEP(ENUM_EXISTS(enum xdp_action___mine, XDP_NO_SUCH));
	KEEP(ENUM_EXISTS(enum bpf_no_such_enum, NO_SUCH_ENUM_VALUE));
	return 0;
}

/* Loads follow a field's place and, where it is unsigned, its size. */
SEC("xdp")
int loads(struct xdp_md *ctx)
{
	struct iphdr___mine *ip = (void *)(long)ctx->data;

	if ((void *)ip + 20 > (void *)(long)ctx->data_end)
		return 1;
	ip->tot_len = 7;
	return ip->daddr + ip->tot_len + ip->protocol + ctx->rx_queue_index;
}

/* What is not there is not reached. */
SEC("xdp")
int asking_first(struct xdp_md *ctx)
{
	struct iphdr___mine *ip = (void *)(long)ctx->data;

	if ((void *)ip + 20 > (void *)(long)ctx->data_end)
		return 1;
	if (EXISTS(struct iphdr___mine, no_such_field))
		return ip->no_such_field;
	if (ENUM_EXISTS(enum xdp_action___mine, XDP_NO_SUCH))
		return ENUM_VALUE(enum xdp_action___mine, XDP_NO_SUCH);
	return 2;
}

SEC("xdp")
int not_asking(struct xdp_md *ctx)
{
	struct iphdr___mine *ip = (void *)(long)ctx->data;

	if ((void *)ip + 20 > (void *)(long)ctx->data_end)
		return 1;
	return ip->no_such_field;
}

/* A signed field whose size differs. */
SEC("xdp")
int signed_field(struct xdp_md *ctx)
{
	struct udphdr___other *udp = (void *)(long)ctx->data;

	if ((void *)udp + 20 > (void *)(long)ctx->data_end)
		return 1;
	return udp->source + TYPE_EXISTS(struct no_such_struct);
}

char _license[] SEC("license") = "GPL";
