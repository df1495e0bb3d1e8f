#!/bin/sh
# Writes uapi.btf, the types of uapi.c.
set -eu
cd "$(dirname "$0")"
object=$(mktemp)
trap 'rm -f "$object"' EXIT
asm=$(clang-19 -v -E -x c /dev/null 2>&1 | sed -n '/^#include </,/^End of search/s/^ //p' |
	while read -r dir; do [ ! -f "$dir/asm/types.h" ] || { echo "$dir"; break; }; done)
clang-19 -target bpf -D__x86_64__ -O2 -g -idirafter "$asm" -c uapi.c -o "$object"
llvm-objcopy-19 -O binary --only-section=.BTF --set-section-flags .BTF=alloc "$object" uapi.btf
