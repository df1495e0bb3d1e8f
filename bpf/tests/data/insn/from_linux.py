#!/usr/bin/env python3
"""Reads off the running Linux kernel what it takes for an instruction and how it prints one.

Writes legality.linux.txt and text.linux.txt beside this file. Needs root, x86-64 and Linux 6.15 or later (the live
register list of the verifier's log).
"""
import ctypes
import os
import random
import re
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
LIBC = ctypes.CDLL(None, use_errno=True)
LOG = ctypes.create_string_buffer(1 << 20)
GPL = ctypes.create_string_buffer(b"GPL")
SYS_BPF, PROG_LOAD, SOCKET_FILTER = 321, 5, 1


def insn(op, dst=0, src=0, off=0, imm=0):
    return struct.pack("<BBhi", op, src << 4 | dst, off, imm)


RETURN = insn(0xB7) + insn(0x95)


def load(insns):
    """Loads a socket filter; returns whether it was accepted and the log's lines."""
    buf = ctypes.create_string_buffer(insns, len(insns))
    LOG[0] = b"\0"
    attr = struct.pack("<IIQQIIQII16s", SOCKET_FILTER, len(insns) // 8, ctypes.addressof(buf), ctypes.addressof(GPL),
                       2, len(LOG), ctypes.addressof(LOG), 0, 0, b"t").ljust(144, b"\0")
    fd = LIBC.syscall(SYS_BPF, PROG_LOAD, ctypes.create_string_buffer(attr, len(attr)), len(attr))
    if fd >= 0:
        os.close(fd)
    lines = [x for x in LOG.value.decode(errors="replace").splitlines() if not x.startswith("processed")]
    return fd >= 0, lines


DST = [0, 1, 9, 10, 11, 15]
SRC = list(range(16))
OFF = [0, 1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 64, -1, -8, 32767, -32768]
IMM = [0, 1, 2, 8, 15, 16, 17, 31, 32, 33, 0x40, 0x41, 0x50, 0x51, 0x64, 0xA0, 0xA1, 0xE0, 0xE1, 0xF0, 0xF1, 0x100,
       0x110, -1, 2147483647, -2147483648]
STATIC = re.compile(r"unknown opcode|reserved fields|R1[1-5] is invalid|unrecognized bpf_ld_imm64|"
                    r"invalid atomic operand size|invalid atomic opcode|BPF_ATOMIC uses invalid|invalid may_goto")


def is_instruction(op, dst, src, off, imm):
    """Whether the kernel refuses it for what it is, rather than for what it does here."""
    body = insn(op, dst, src, off, imm) + (insn(0) if op == 0x18 else b"")
    if op == 0x95:
        body = insn(0x15, 0, 0, 1) + body
    registers = b"".join(insn(0xB7, r, imm=1) for r in range(10) if r not in (1, 6)) + insn(0xBF, 6, 1)
    accepted, lines = load(registers + body + RETURN)
    return accepted or not STATIC.search(lines[-1])


def shown(values, probed, register=False):
    if len(values) == len(probed):
        return "any"
    if register and values == [v for v in probed if v <= 10]:
        return "0-10"
    return ",".join(map(str, values))


def legality(out):
    print("# opcode, and the values of each field that Linux", os.uname().release.split("-")[0], "does not refuse", file=out)
    print("# while the other fields are 0 (imm 16 for byte order, 0x100 for 1- and 2-byte atomics), among:", file=out)
    for name, probed in (("dst", DST), ("src", SRC), ("off", OFF), ("imm", IMM)):
        print(f"# {name}", *probed, file=out)
    for op in range(256):
        base = {0xD4: 16, 0xD7: 16, 0xDC: 16, 0xCB: 0x100, 0xD3: 0x100}.get(op, 0)
        if not is_instruction(op, 0, 0, 0, base):
            continue
        dst = [v for v in DST if is_instruction(op, v, 0, 0, base)]
        src = [v for v in SRC if is_instruction(op, 0, v, 0, base)]
        off = [v for v in OFF if is_instruction(op, 0, 0, v, base)]
        imm = [v for v in IMM if is_instruction(op, 0, 0, 0, v)]
        print(f"{op:02x} dst={shown(dst, DST, True)} src={shown(src, SRC, True)} off={shown(off, OFF)} "
              f"imm={shown(imm, IMM)}", file=out)


def samples():
    """Every row of the opcode table with a few values in its fields."""
    rng = random.Random(9669)
    reg = lambda: rng.randrange(10)
    imm = lambda: rng.choice([0, 1, -1, 5, -5, 0x7F, 0x80, 2147483647, -2147483648, rng.getrandbits(32) - (1 << 31)])
    off = lambda: rng.choice([0, 4, -4, 32767, -32768, rng.randrange(-512, 512)])
    for cls in (4, 7):
        for op in (0, 1, 2, 3, 4, 5, 6, 7, 9, 0xA, 0xB, 0xC):
            for _ in range(2):
                yield insn(op << 4 | cls, reg(), imm=imm())
                yield insn(op << 4 | cls | 8, reg(), reg())
        for op in (3, 9):
            yield insn(op << 4 | cls, reg(), off=1, imm=imm())
            yield insn(op << 4 | cls | 8, reg(), reg(), 1)
        for bits in (8, 16, 32)[: 2 if cls == 4 else 3]:
            yield insn(0xB8 | cls, reg(), reg(), bits)
        yield insn(0x80 | cls, reg())
    for op in (0xD4, 0xD7, 0xDC):
        for bits in (16, 32, 64):
            yield insn(op, reg(), imm=bits)
    for size in (0, 8, 16, 24):
        for _ in range(2):
            yield insn(0x61 | size, reg(), reg(), off())
            yield insn(0x62 | size, reg(), 0, off(), imm())
            yield insn(0x63 | size, reg(), reg(), off())
            if size != 24:
                yield insn(0x81 | size, reg(), reg(), off())
    for op in (0xC3, 0xDB):
        for what in (0, 1, 0x40, 0x41, 0x50, 0x51, 0xA0, 0xA1, 0xE1, 0xF1):
            yield insn(op, reg(), reg(), off(), what)
    for size in (0, 8, 16, 24):
        yield insn(0xC3 | size, reg(), reg(), off(), 0x100)
        yield insn(0xC3 | size, reg(), reg(), off(), 0x110)
    for spaces in (1, 1 << 16):
        yield insn(0xBF, reg(), reg(), 1, spaces)
    for size in (0, 8, 16):
        for _ in range(2):
            yield insn(0x20 | size, imm=imm())
            yield insn(0x40 | size, 0, reg(), 0, imm())
    for cls in (5, 6):
        for op in (1, 2, 3, 4, 5, 6, 7, 0xA, 0xB, 0xC, 0xD):
            yield insn(op << 4 | cls, reg(), 0, rng.choice([0, 1, 2]), imm())
            yield insn(op << 4 | cls | 8, reg(), reg(), rng.choice([0, 1, 2]))
    for n in (0, 1):
        yield insn(0x85, imm=[1, 9999][n])
        lo, hi = rng.getrandbits(32), rng.getrandbits(32)
        yield struct.pack("<BBhIBBhI", 0x18, reg(), 0, lo, 0, 0, 0, hi if n else 0)


def printed(body, tail=insn(0xB7) * 2 + RETURN):
    """The line of the live register list for the first instruction: registers and text."""
    line = next(x for x in load(body + tail)[1] if re.match(r"\s+0: [0-9.]{10} \(", x))
    live, text = re.match(r"\s+0: ([0-9.]{10}) \(..\) (.*)", line).groups()
    return f"{body.hex()}\t{text}\t{live}"


def text(out):
    print("# bytes, text, registers live before it, as printed by Linux", os.uname().release.split("-")[0], file=out)
    for body in samples():
        print(printed(body), file=out)
    print(printed(insn(0x05, off=0)), file=out)
    print(printed(insn(0x06, imm=0)), file=out)
    print(printed(insn(0xE5, off=1)), file=out)
    print(printed(insn(0x85, src=1, imm=2), RETURN + RETURN), file=out)


if __name__ == "__main__":
    for name, write in (("legality", legality), ("text", text)):
        with open(os.path.join(HERE, name + ".linux.txt"), "w") as out:
            write(out)
