# What llvm-mc reads: labels, data, comments, several statements in a line.
	.text
	.file	"source.c"
	.section	xdp,"ax",@progbits
	.globl	prog
	.p2align	3
	.type	prog,@function
prog:                                   # @prog
	r6 = r1; r7 = 0 // two in a line
	/* a comment */ w0 = 0x10 /* and
	one over two lines */ ; r2 = -1
	r3 = 0x1122334455667788 ll
	r4 = -1 ll
	w1 = *(u8*)(r2 + 1)
	r1 = *(u16 *)(r2 - 1)
	r1 = *(s32 *)(r10 - 8)
	r5 = *(u64 *)(r10 + 0)
	if r1 s> r2 goto .Lend
	if w1 s<= -5 goto loop
	if r1 & 5 goto +1
	if w1 != w2 goto -2
loop:
again:
	w1 += 1
	r1 -= r2
	r1 *= 3
	r1 /= 3
	w1 s/= w2
	r1 s%= 5
	r1 %= r2
	r1 |= 1
	w1 &= 255
	r1 ^= r1
	r1 <<= 5
	w1 >>= w2
	r1 s>>= 63
	r1 = -r1
	w1 = -w1
	r1 = (s8)r2
	w1 = (s16)w2
	r1 = (s32)r2
	r1 = le16 r1
	r1 = be32 r1
	r1 = bswap64 r1
	*(u8 *)(r1 + 0) = 5
	*(u16 *)(r1 + 2) = w2
	*(u32 *)(r1 + 4) = r2
	*(u64 *)(r1 + 8) = r2
	lock *(u32 *)(r1 + 4) += w2
	lock *(u64 *)(r1 + 8) |= r2
	w2 = atomic_fetch_and((u32 *)(r1 + 4), w2)
	r2 = atomic_fetch_xor((u64 *)(r1 + 4), r2)
	r2 = xchg_64(r1 + 4, r2)
	w0 = cmpxchg32_32(r1 + 4, w0, w2)
	r0 = *(u8 *)skb[4]
	r0 = *(u32 *)skb[r7]
	r1 = addr_space_cast(r2, 1, 0)
	may_goto .Lend
	call 7
	callx r3
	.quad	0xffff0005
	.byte	0x95, 0, 0, 0; .4byte 0
	gotol loop
	goto again
.Lend:
	exit
	.size	prog, .Lend-prog
	.section	.maps,"aw",@progbits
flows:
	.long	1
	.zero	28
