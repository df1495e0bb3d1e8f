#!/bin/sh
# Builds every program here: NAME.bpf.c -> NAME.bpf.o. Argument: the directory for the objects (default: beside the
# sources; then the compiler's version is recorded in COMPILER too). The objects hold no absolute path.
set -eu
out=${1:-}
here=$(cd "$(dirname "$0")" && pwd)
[ -z "$out" ] || out=$(mkdir -p "$out" && cd "$out" && pwd)
cd "$here"

clang=clang-19
fail() { echo "build.sh: $1" >&2; exit 1; }
command -v "$clang" >/dev/null || fail "$clang not found (Debian: clang-19)"

# <linux/types.h> wants <asm/types.h>, which stands in a directory of the host's architecture: ask the compiler where.
asm=
for dir in $("$clang" -v -E -x c /dev/null 2>&1 | sed -n '/^#include </,/^End of search/s/^ //p'); do
	[ ! -f "$dir/asm/types.h" ] || { asm=$dir; break; }
done
[ -n "$asm" ] || fail "asm/types.h not found (Debian: linux-libc-dev)"

flags="-target bpf -mcpu=v3 -O2 -g -std=gnu11 -Wall -Wextra -Wno-unused-parameter -Werror -idirafter $asm"
# Debug information names files: ours relative to this directory, the system's by what follows their include directory.
resources=$("$clang" -print-resource-dir)
paths="-fdebug-compilation-dir=. -ffile-prefix-map=$here/= -ffile-prefix-map=$asm/= -ffile-prefix-map=/usr/include/= -ffile-prefix-map=$resources/="

for header in linux/bpf.h bpf/bpf_helpers.h; do
	# shellcheck disable=SC2086
	echo "#include <$header>" | "$clang" $flags -include linux/types.h -fsyntax-only -x c - 2>/dev/null ||
		fail "<$header> not found or not usable (Debian: linux-libc-dev, libbpf-dev)"
done

for source in *.bpf.c; do
	# shellcheck disable=SC2086
	"$clang" $flags $paths -c "$source" -o "${out:-.}/${source%.c}.o" || fail "$source does not compile"
done
[ -n "$out" ] || "$clang" --version | head -n 1 >COMPILER
