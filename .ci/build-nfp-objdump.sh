#!/bin/sh
# Builds binutils' objdump for the NFP and prints its path: the witness of nic-model/tests/rooms/isa_binutils.rs.
#
#   NFP_OBJDUMP=$(.ci/build-nfp-objdump.sh DIR) cargo test -p nic-model isa_binutils
#
# The source is Debian's package binutils-source, installed with apt-get if it is missing. DIR receives `objdump` and the
# test firmware of the binutils test suite (`*.nffw`); what it holds already is used again. Takes well under a minute on
# two cores; a log is kept in DIR/build.log.
set -eu

dir=${1:?usage: build-nfp-objdump.sh DIR}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

if [ ! -x "$dir/objdump" ]; then
    if ! ls /usr/src/binutils/binutils-*.tar.* >/dev/null 2>&1; then
        apt-get install -y --no-install-recommends binutils-source >&2 ||
            { apt-get update && apt-get install -y --no-install-recommends binutils-source; } >&2
    fi
    archive=$(ls /usr/src/binutils/binutils-*.tar.* | head -n 1)

    source=$dir/source
    build=$dir/build
    rm -rf "$source" "$build"
    mkdir -p "$source" "$build"
    # Only what objdump links, and the top level that configures it.
    tar -xf "$archive" -C "$source" --strip-components=1 --no-wildcards-match-slash \
        --exclude='binutils-*/gas' --exclude='binutils-*/ld' --exclude='binutils-*/gold' --exclude='binutils-*/gprof*'

    {
        cd "$build"
        # C++ is probed for by the top level but nothing here needs it; documentation and translations are left out.
        "$source/configure" --target=nfp-elf --disable-nls --disable-shared --disable-plugins --disable-werror \
            --disable-gas --disable-ld --disable-gold --disable-gprof --disable-gprofng --disable-libctf \
            --without-zstd --without-debuginfod --without-msgpack CFLAGS='-O1 -g0' MAKEINFO=true
        make -j2 MAKEINFO=true configure-binutils all-libiberty all-zlib all-libsframe all-bfd all-opcodes
        make -j2 MAKEINFO=true -C binutils objdump
    } >"$dir/build.log" 2>&1 || {
        tail -n 30 "$dir/build.log" >&2
        exit 1
    }

    cp "$source"/binutils/testsuite/binutils-all/nfp/*.nffw "$dir/"
    cp "$build/binutils/objdump" "$dir/objdump"
    rm -rf "$source" "$build"
fi

echo "$dir/objdump"
