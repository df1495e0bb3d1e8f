/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Stands in for the machine's own header, which speaks of the machine that compiles. */
#include <linux/byteorder/big_endian.h>
