#!/bin/sh
# Rebuilds the programs in a temporary directory and compares the instruction bytes of every program section with the
# committed objects. Prints a line for each object. Exit: 0 all equal, 1 a difference, 2 cannot be checked, 3 the
# compiler is not the recorded one, so that its code may differ and behaviour has to be compared instead.
set -u
cd "$(dirname "$0")" || exit 2
fail() { echo "check.sh: $1" >&2; exit 2; }

for tool in clang-19 llvm-objdump-19 llvm-objcopy-19; do
	command -v "$tool" >/dev/null || fail "$tool not found (Debian: clang-19, llvm-19)"
done
version=$(clang-19 --version | head -n 1)
if [ "$version" != "$(cat COMPILER)" ]; then
	echo "compiler is '$version', the objects are of '$(cat COMPILER)': not compared"
	exit 3
fi

work=$(mktemp -d) || fail "no temporary directory"
trap 'rm -rf "$work"' EXIT INT TERM
./build.sh "$work/new" || fail "the programs do not build"

sections() { llvm-objdump-19 --section-headers "$1" | awk '$NF == "TEXT" && $3 != "00000000" { print $2 }'; }

# Writes the program sections of an object, each under a line with its name.
instructions() {
	for section in $(sections "$1"); do
		echo "section $section"
		llvm-objcopy-19 --dump-section "$section=$work/bytes" "$1" "$work/ignored" || return 1
		od -An -v -tx8 "$work/bytes"
	done
}

status=0
for name in $( (ls ./*.bpf.o; cd "$work/new" && ls ./*.bpf.o) | sort -u); do
	if [ ! -f "$name" ]; then
		echo "${name#./}: missing here"
		status=1
	elif [ ! -f "$work/new/$name" ]; then
		echo "${name#./}: has no source"
		status=1
	elif instructions "$name" >"$work/old.txt" && instructions "$work/new/$name" >"$work/new.txt" &&
		[ -s "$work/old.txt" ] && cmp -s "$work/old.txt" "$work/new.txt"; then
		echo "${name#./}: equal"
	else
		echo "${name#./}: differs"
		status=1
	fi
done
exit $status
