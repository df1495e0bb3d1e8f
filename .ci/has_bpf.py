"""Exits 0 where the bpf(2) system call may create a map, 1 where it may not."""

import ctypes
import platform
import struct
import sys

NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280}
number = NUMBERS.get(platform.machine())
if number is None or sys.platform != "linux":
    sys.exit(1)
libc = ctypes.CDLL(None, use_errno=True)
BPF_MAP_CREATE, BPF_MAP_TYPE_ARRAY = 0, 2
attributes = struct.pack("=5I", BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0) + bytes(52)
descriptor = libc.syscall(number, BPF_MAP_CREATE, attributes, len(attributes))
sys.exit(0 if descriptor >= 0 else 1)
