// SPDX-License-Identifier: MIT OR Apache-2.0
/* l4lb.bpf.c with its maps described as they were before BTF; the instructions are the same. */
#define LEGACY_MAPS
#include "l4lb.bpf.c"
