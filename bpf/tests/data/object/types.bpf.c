/* cpu=v3: every kind of type. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define tagged __attribute__((btf_type_tag("tagged")))

enum big { BIG = 0x100000000ULL };
enum negative { NEGATIVE = -1 };
struct declared;
union declared_too;
typedef int number;

struct all {
	int a : 3;
	int b : 5;
	const volatile char *restrict p;
	struct declared *f;
	union declared_too *u;
	number grid[3][4];
	float real;
	double wide;
	enum big e;
	enum negative n;
	_Bool yes;
	int tagged *t;
	union {
		int x;
		long y;
	};
	long long q __attribute__((btf_decl_tag("field")));
};

struct all visible;
static volatile int hidden;
const volatile int constant = 5;

static __attribute__((noinline)) int sub(struct all *s, number k)
{
	return s->a + k + hidden;
}

SEC("xdp")
int inside(struct xdp_md *ctx)
{
	return sub(&visible, ctx->rx_queue_index) + constant;
}

char _license[] SEC("license") = "GPL";
