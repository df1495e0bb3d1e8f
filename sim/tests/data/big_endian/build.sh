#!/bin/sh
# Builds the firewalls of scenarios/programs for the other byte order. The objects hold types and no absolute path.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../../../../scenarios/programs"
asm=
for dir in $(clang-19 -v -E -x c /dev/null 2>&1 | sed -n '/^#include </,/^End of search/s/^ //p'); do
	[ ! -f "$dir/asm/types.h" ] || { asm=$dir; break; }
done
paths="-fdebug-compilation-dir=. -ffile-prefix-map=$asm/= -ffile-prefix-map=/usr/include/= -ffile-prefix-map=$(clang-19 -print-resource-dir)/="
for name in firewall firewall_tc; do
	# shellcheck disable=SC2086
	clang-19 -target bpfeb -mcpu=v3 -O2 -g -std=gnu11 -Wall -Wextra -Wno-unused-parameter -Werror -I "$here" \
		-idirafter "$asm" $paths -c "$name.bpf.c" -o "$here/$name.bpf.o"
	llvm-strip-19 --strip-debug "$here/$name.bpf.o"
done
