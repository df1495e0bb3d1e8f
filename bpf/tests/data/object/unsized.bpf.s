# An object as compilers of 2016 wrote them: symbols without type and size, no BTF.
	.section prog,"ax",@progbits
	.globl main_prog
main_prog:
	r6 = r1
	*(u32 *)(r10 - 4) = 0
	r2 = r10
	r2 += -4
	r1 = second ll
	call 1
	if r0 == 0 goto LBB0_2
	r0 = *(u32 *)(r0 + 0)
LBB0_2:
	exit
	.globl other_prog
other_prog:
	*(u32 *)(r10 - 4) = 0
	r2 = r10
	r2 += -4
	r1 = third ll
	call 1
	r0 = 2
	exit

	.section maps,"aw",@progbits
	.globl first
first:
	.long 1, 4, 8, 16, 0
	.globl second
second:
	.long 2, 4, 8, 32, 0
	.globl third
third:
	.long 6, 4, 16, 64, 0, 0, 0

	.section license,"aw",@progbits
	.globl _license
_license:
	.asciz "GPL"
