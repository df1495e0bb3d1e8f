#!/bin/sh
# Builds the test objects here: NAME.bpf.c -> NAME.bpf.o, NAME.bpf.s -> NAME.bpf.o. The objects hold no absolute path.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here"
asm=
for dir in $(clang-19 -v -E -x c /dev/null 2>&1 | sed -n '/^#include </,/^End of search/s/^ //p'); do
	[ ! -f "$dir/asm/types.h" ] || { asm=$dir; break; }
done
flags="-O2 -g -std=gnu11 -Wall -idirafter $asm -fdebug-compilation-dir=. -ffile-prefix-map=$here/= -ffile-prefix-map=$asm/= -ffile-prefix-map=/usr/include/= -ffile-prefix-map=$(clang-19 -print-resource-dir)/="
for source in *.bpf.c; do
	# The first line names the CPU, and the target where it is not bpf.
	cpu=$(sed -n '1s/.*cpu=\([a-z0-9]*\).*/\1/p' "$source")
	target=$(sed -n '1s/.*target=\([a-z0-9]*\).*/\1/p' "$source")
	# shellcheck disable=SC2086
	clang-19 -target "${target:-bpf}" -mcpu="${cpu:-v3}" $flags -c "$source" -o "${source%.c}.o"
	llvm-strip-19 --strip-debug "${source%.c}.o"
done
for source in *.bpf.s; do
	llvm-mc-19 -triple=bpfel -filetype=obj "$source" -o "${source%.s}.o"
done
