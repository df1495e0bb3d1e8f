# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the checks here share: traces, headers, checksums computed afresh, reports. Standard library only.

A check works out from the trace and the README alone what a program must have done, and holds the frames that left, as
`sim run --capture` kept them, and the maps of the report against that. It knows nothing of the simulator.
"""
import dataclasses
import ipaddress
import json
import pathlib
import struct
import sys

TCP, UDP, ICMP, ICMP6, IPIP, IPV6 = 6, 17, 1, 58, 4, 41
WHOLE, FIRST, LATER = 0, 1, 2
EXTENSIONS = (0, 43, 44, 60)
SCENARIOS = pathlib.Path(__file__).resolve().parent.parent


def read_pcap(path):
    """[(nanoseconds, frame)] of a classic pcap file; frames are padded to 60 bytes, as a sending card does."""
    data = pathlib.Path(path).read_bytes()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    scale = 1 if data[:4] in (b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d") else 1000
    frames, at = [], 24
    while at < len(data):
        seconds, part, caplen, length = struct.unpack_from(order + "IIII", data, at)
        frame = data[at + 16 : at + 16 + caplen]
        frames.append((seconds * 10**9 + part * scale, frame.ljust(max(length, 60), b"\0")))
        at += 16 + caplen
    return frames


def checksum(data):
    """The internet checksum (RFC 1071) of bytes."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip(text):
    return ipaddress.ip_address(text).packed


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


@dataclasses.dataclass
class Packet:
    """An IP packet in its frame; offsets are from the frame's start."""

    frame: bytes
    network: int
    transport: int
    end: int  # of the packet; what follows is padding
    family: int
    source: bytes
    destination: bytes
    protocol: int
    fragment: int
    tos: int
    ttl: int

    @property
    def ports(self):
        """(source, destination), or None."""
        if self.protocol in (TCP, UDP) and self.fragment != LATER:
            return struct.unpack_from("!HH", self.frame, self.transport)
        return None

    @property
    def flags(self):
        return self.frame[self.transport + 13] if self.protocol == TCP else 0

    @property
    def length(self):
        return self.end - self.network

    @property
    def payload(self):
        return self.frame[self.transport : self.end]


def parse(frame):
    """A Packet, "other" for what is no IP, "broken" for what is no whole packet."""
    at = 14
    (kind,) = struct.unpack_from("!H", frame, 12)
    for _ in range(2):
        if kind in (0x8100, 0x88A8):
            (kind,) = struct.unpack_from("!H", frame, at + 2)
            at += 4
    fragment = WHOLE
    if kind == 0x0800:
        first, tos, length, _, pieces, ttl, protocol = struct.unpack_from("!BBHHHBB", frame, at)
        if len(frame) < at + 20 or first >> 4 != 4 or first & 15 < 5:
            return "broken"
        fragment = LATER if pieces & 0x1FFF else FIRST if pieces & 0x2000 else WHOLE
        source, destination = frame[at + 12 : at + 16], frame[at + 16 : at + 20]
        family, transport = 4, at + (first & 15) * 4
    elif kind == 0x86DD:
        if len(frame) < at + 40 or frame[at] >> 4 != 6:
            return "broken"
        first, length, protocol, ttl = struct.unpack_from("!IHBB", frame, at)
        source, destination = frame[at + 8 : at + 24], frame[at + 24 : at + 40]
        family, tos, length, transport = 6, first >> 20 & 255, length + 40, at + 40
        for _ in range(4):
            if protocol not in EXTENSIONS or fragment == LATER:
                break
            if len(frame) < transport + 8:
                return "broken"
            step = (frame[transport + 1] + 1) * 8
            if protocol == 44:
                (pieces,) = struct.unpack_from("!H", frame, transport + 2)
                fragment = LATER if pieces & 0xFFF8 else FIRST if pieces & 1 else WHOLE
                step = 8
            protocol = frame[transport]
            transport += step
    else:
        return "other"
    need = {TCP: 20, UDP: 8}.get(protocol, 0) if fragment != LATER else 0
    if at + length > len(frame) or at + length < transport or transport + need > len(frame):
        return "broken"
    return Packet(
        frame, at, transport, at + length, family, source, destination, protocol, fragment, tos, ttl
    )


def ipv4_header(source, destination, protocol, length, tos=0, ttl=64, identification=0, pieces=0):
    """An IPv4 header without options for that many bytes behind it."""
    head = struct.pack("!BBHHHBBH", 0x45, tos, length + 20, identification, pieces, ttl, protocol, 0)
    head += source + destination
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:]


def ipv6_header(source, destination, protocol, length, tos=0, limit=64, label=0):
    return struct.pack("!IHBB", 6 << 28 | tos << 20 | label, length, protocol, limit) + source + destination


def pseudo(source, destination, protocol, length):
    """The pseudo-header that transport checksums cover."""
    if len(source) == 4:
        return source + destination + struct.pack("!HH", protocol, length)
    return source + destination + struct.pack("!II", length, protocol)


def transport_checked(source, destination, protocol, payload, field):
    """The payload with a checksum computed afresh at `field`; of UDP never 0."""
    payload = payload[:field] + b"\0\0" + payload[field + 2 :]
    covered = b"" if protocol == ICMP else pseudo(source, destination, protocol, len(payload))
    value = checksum(covered + payload) or (0xFFFF if protocol == UDP else 0)
    return payload[:field] + struct.pack("!H", value) + payload[field + 2 :]


def words(data):
    """32-bit words of bytes as a little-endian machine loads them."""
    return list(struct.unpack(f"<{len(data) // 4}I", data))


def lookup3(data, seed):
    """Bob Jenkins's hash of words."""

    def rotated(value, by):
        return (value << by | value >> 32 - by) & 0xFFFFFFFF

    data = list(data)
    state = [(0xDEADBEEF + (len(data) << 2) + seed) & 0xFFFFFFFF] * 3
    while len(data) > 3:
        for i in range(3):
            state[i] = (state[i] + data[i]) & 0xFFFFFFFF
        data = data[3:]
        for (x, y, z), by in zip(((0, 2, 1), (1, 0, 2), (2, 1, 0)) * 2, (4, 6, 8, 16, 19, 4)):
            state[x] = (state[x] - state[y]) & 0xFFFFFFFF
            state[x] ^= rotated(state[y], by)
            state[y] = (state[y] + state[z]) & 0xFFFFFFFF
    for i, word in enumerate(data):
        state[i] = (state[i] + word) & 0xFFFFFFFF
    for (x, y), by in zip(((2, 1), (0, 2), (1, 0), (2, 1), (0, 2), (1, 0), (2, 1)), (14, 11, 25, 16, 4, 14, 24)):
        state[x] ^= state[y]
        state[x] = (state[x] - rotated(state[y], by)) & 0xFFFFFFFF
    return state[2]


class Run:
    """A run's report and captures."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        (path,) = self.directory.glob("*/report.json")
        self.report = json.loads(path.read_text())
        self.wrong = []

    def variants(self):
        """Placements that ran, by name."""
        return {v["name"]: v["measured"] for v in self.report["variants"] if "measured" in v}

    def refused(self):
        """Codes of refusals, by placement."""
        return {v["name"]: [r["code"] for r in v["refusals"]] for v in self.report["variants"] if "refusals" in v}

    def sent(self, variant, port):
        """Frames that left by a port."""
        return [frame for _, frame in read_pcap(self.directory / f"{variant}.port{port}.pcap")]

    def map(self, variant, name):
        """{key: value} of a map at the end, without entries of zeros."""
        (found,) = [m for m in self.variants()[variant]["maps"] if m["name"] == name]
        return {bytes.fromhex(e["key"]): bytes.fromhex(e["value"]) for e in found["contents"]}

    def counters(self, variant, name, fields=2):
        """{slot: (numbers)} of a map of 64-bit words, summed over processors, without slots of zeros."""
        counters = {}
        for key, value in self.map(variant, name).items():
            numbers = struct.unpack(f"<{len(value) // 8}Q", value)
            total = tuple(sum(numbers[i::fields]) for i in range(fields))
            counters[int.from_bytes(key, "little")] = total
        return counters

    def fates(self, variant):
        """{outcome: packets}."""
        fates = {}
        for fate in self.variants()[variant]["fates"]:
            fates[fate["outcome"]] = fates.get(fate["outcome"], 0) + fate["packets"]
        return fates

    def hold(self, what, found, expected):
        """Notes a difference."""
        if found != expected:
            self.wrong.append(f"{what}: found {found!r:.600}, expected {expected!r:.600}")

    def hold_frames(self, what, found, expected, ordered=True):
        """Notes the first frame that differs; several queues may put them into another order."""
        if not ordered:
            found, expected = sorted(found), sorted(expected)
        self.hold(f"{what}: number of frames", len(found), len(expected))
        for number, (one, other) in enumerate(zip(found, expected)):
            if one != other:
                self.wrong.append(f"{what}: frame {number}\n  found    {one.hex()}\n  expected {other.hex()}")
                break

    def end(self):
        """Says how it went, and ends the process."""
        name = self.report["scenario"]
        for line in self.wrong:
            print(f"{name}: {line}", file=sys.stderr)
        print(f"{name}: {'FAILED' if self.wrong else 'as expected'}")
        sys.exit(1 if self.wrong else 0)


def directory():
    """The argument of every check: the directory of results and captures of one run."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} DIRECTORY   (of: sim run SCENARIO --results DIRECTORY --capture DIRECTORY)")
    return sys.argv[1]


class Counts(dict):
    """{slot: (packets, bytes)}."""

    def add(self, slot, size):
        packets, total = self.get(slot, (0, 0))
        self[slot] = (packets + 1, total + size)
