/* cpu=v3: programs that Linux refuses, each for another reason. */
#include <linux/bpf.h>
#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int (*name)[val]
#define __type(name, val) typeof(val) *name

static void *(*lookup)(void *map, const void *key) = (void *)1;
static unsigned int (*random)(void) = (void *)7;
static long (*skb_load_bytes)(void *ctx, unsigned int off, void *to, unsigned int len) = (void *)26;
static long (*adjust_head)(struct xdp_md *ctx, int delta) = (void *)44;
static long (*lock)(struct bpf_spin_lock *lock) = (void *)93;
static void *(*reserve)(void *ringbuf, unsigned long size, unsigned long flags) = (void *)131;
static void (*submit)(void *data, unsigned long flags) = (void *)132;
static long (*loop)(unsigned int turns, void *body, void *context, unsigned long flags) = (void *)181;

struct packet {
	unsigned char link[14], rest[12];
	unsigned int source, target;
} __attribute__((packed));

struct entry {
	struct bpf_spin_lock lock;
	unsigned int counts[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, unsigned int);
	__type(value, struct entry);
} entries SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

const volatile unsigned int limits[4] = {1, 2, 3, 4};
char LICENSE[] SEC("license") = "GPL";

#define DATA(ctx) ((void *)(long)(ctx)->data)
#define END(ctx) ((void *)(long)(ctx)->data_end)

SEC("xdp") int packet_unchecked(struct xdp_md *ctx)
{
	struct packet *p = DATA(ctx);
	return p->source == 1;
}

SEC("xdp") int packet_checked_short(struct xdp_md *ctx)
{
	struct packet *p = DATA(ctx);
	if (DATA(ctx) + 26 > END(ctx))
		return XDP_DROP;
	return p->source == 1;
}

SEC("xdp") int packet_gone(struct xdp_md *ctx)
{
	struct packet *p = DATA(ctx);
	if ((void *)(p + 1) > END(ctx))
		return XDP_DROP;
	if (adjust_head(ctx, -8))
		return XDP_DROP;
	return p->source == 1;
}

SEC("xdp") int value_unchecked(struct xdp_md *ctx)
{
	unsigned int key = ctx->ingress_ifindex;
	struct entry *e = lookup(&entries, &key);
	return e->counts[0];
}

SEC("xdp") int value_index(struct xdp_md *ctx)
{
	unsigned int key = 1, at = random() & 7;
	struct entry *e = lookup(&entries, &key);
	if (!e)
		return XDP_PASS;
	return e->counts[at];
}

SEC("xdp") int value_index_signed(struct xdp_md *ctx)
{
	unsigned int key = 1;
	long at = (int)random();
	struct entry *e = lookup(&entries, &key);
	if (!e || at > 3)
		return XDP_PASS;
	return e->counts[at];
}

SEC("xdp") int never_written(struct xdp_md *ctx)
{
	long x;
	asm volatile("%0 = r9" : "=r"(x));
	return x;
}

SEC("xdp") int reference_kept(struct xdp_md *ctx)
{
	unsigned int *e = reserve(&events, 8, 0);
	if (!e)
		return XDP_PASS;
	if (ctx->rx_queue_index == 3)
		return XDP_DROP;
	submit(e, 0);
	return XDP_PASS;
}

SEC("xdp") int lock_kept(struct xdp_md *ctx)
{
	unsigned int key = 1;
	struct entry *e = lookup(&entries, &key);
	if (!e)
		return XDP_PASS;
	lock(&e->lock);
	e->counts[0]++;
	return XDP_PASS;
}

SEC("xdp") int stack_index(struct xdp_md *ctx)
{
	volatile char text[16] = {};
	unsigned int at = ctx->rx_queue_index & 31;
	text[at] = 1;
	return text[3];
}

SEC("xdp") int another_types_helper(struct xdp_md *ctx)
{
	char bytes[4];
	skb_load_bytes(ctx, 0, bytes, sizeof(bytes));
	return bytes[0];
}

SEC("xdp") int argument_kind(struct xdp_md *ctx)
{
	return lookup(&entries, ctx) != 0;
}

SEC("xdp") int endless(struct xdp_md *ctx)
{
	int i = 0;
	while (i < 5)
		asm volatile("" : "+r"(i));
	return i;
}

SEC("xdp") int field_written(struct xdp_md *ctx)
{
	ctx->data_end = 0;
	return XDP_PASS;
}

SEC("tc") int size_unbounded(struct __sk_buff *ctx)
{
	char bytes[64] = {};
	skb_load_bytes(ctx, 0, bytes, ctx->len);
	return bytes[7];
}

SEC("xdp") int constant_written(struct xdp_md *ctx)
{
	unsigned int *limit = (unsigned int *)&limits[1];
	asm volatile("" : "+r"(limit));
	*limit = 5;
	return XDP_PASS;
}

SEC("xdp") int context_moved(struct xdp_md *ctx)
{
	unsigned long by = random() & 4;
	unsigned int *field = (void *)ctx + by;
	asm volatile("" : "+r"(field));
	return *field;
}

static int body(unsigned int turn, void *context)
{
	return turn > 3 ? 5 : 0;
}

SEC("xdp") int callback_result(struct xdp_md *ctx)
{
	loop(10, body, (void *)0, 0);
	return XDP_PASS;
}

static __attribute__((noinline)) unsigned int source_of(struct packet *p, unsigned int *seen)
{
	*seen += 1;
	return p->source;
}

SEC("xdp") int in_function(struct xdp_md *ctx)
{
	unsigned int seen = 0;
	struct packet *p = DATA(ctx);
	if (DATA(ctx) + 14 > END(ctx))
		return XDP_DROP;
	return source_of(p, &seen) + seen;
}
