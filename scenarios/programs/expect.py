#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Counts what the firewall and the load balancer must do with a trace, without running either.

Usage: expect.py [TRACE]   (default: ../traces/mixed.pcap; nanosecond or microsecond pcap, either byte order)

Written from README.md alone, so that its numbers can stand as expectations in tests of the programs. Frames that the
load balancer changes get their checksums computed afresh over the whole packet, not by difference as the program does.
Bytes at tc are those of frames whose outer VLAN tag the host's stack has taken off before.
"""
import collections
import ipaddress
import pathlib
import struct
import sys

VLAN = (0x8100, 0x88A8)
TCP, UDP = 6, 17
PROTOCOLS = {0: "any", 1: "icmp", TCP: "tcp", UDP: "udp", 58: "icmpv6"}

# {source, destination port, protocol}: action. 1 blocks, 0 counts and lets pass. See README.md for what each shows.
RULES = {
    ("192.0.2.10", 53, UDP): 1,
    ("192.0.2.11", 0, 0): 0,
    ("192.0.2.12", 0, 0): 1,
    ("192.0.2.12", 80, TCP): 0,
    ("192.0.2.13", 0, 0): 1,
    ("192.0.2.26", 0, 1): 1,
    ("192.0.2.37", 23, TCP): 1,
    ("192.0.2.99", 0, 0): 1,
    ("203.0.113.12", 0, 0): 1,
    ("203.0.113.140", 0, 0): 1,
    ("2001:db8:1::10", 80, TCP): 1,
    ("2001:db8:2::10", 0, 58): 1,
}

# {virtual address, port, protocol}: (first backend, mask, flags).
SERVICES = {
    ("198.51.100.10", 80, TCP): (0, 3, 0),
    ("198.51.100.10", 8080, TCP): (8, 7, 0),
    ("198.51.100.10", 7, TCP): (32, 0, 0),
    ("198.51.100.11", 80, TCP): (16, 1, 1),
    ("198.51.100.53", 53, UDP): (20, 3, 0),
    ("198.51.100.53", 53, TCP): (40, 0, 0),
}

# Slot: (address, MAC address).
BACKENDS = {
    slot: (f"203.0.113.{200 + slot}", f"00:00:5e:00:53:{0x10 + slot:02x}")
    for slot in [*range(4), *range(8, 18), *range(20, 24), 32]
}


def read_pcap(path):
    """Yields the frames of a classic pcap file."""
    data = pathlib.Path(path).read_bytes()
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<"}.get(data[:4], ">")
    at = 24
    while at < len(data):
        caplen, length = struct.unpack_from(order + "8xII", data, at)
        if caplen != length:
            raise ValueError(f"{path}: a truncated frame at byte {at}")
        yield data[at + 16 : at + 16 + caplen]
        at += 16 + caplen


def network(frame):
    """(type, offset) of the network header behind at most two tags; None where the frame ends before it."""
    at = 12
    for _ in range(3):
        if len(frame) < at + 2:
            return None
        (kind,) = struct.unpack_from("!H", frame, at)
        if kind not in VLAN or at == 20:
            return kind, at + 2
        at += 4
    return None


def ipv4(frame, at):
    """(header length, fragment field, protocol) of an IPv4 header; None where it is broken."""
    if len(frame) < at + 20 or frame[at] >> 4 != 4 or frame[at] & 15 < 5:
        return None
    (fragment,) = struct.unpack_from("!H", frame, at + 6)
    return (frame[at] & 15) * 4, fragment, frame[at + 9]


def classify(frame):
    """(slot, source, destination port, protocol) as the firewall sees a frame."""
    found = network(frame)
    if not found:
        return "MALFORMED", None, 0, 0
    kind, at = found
    first = True
    if kind == 0x0800:
        header = ipv4(frame, at)
        if not header:
            return "MALFORMED", None, 0, 0
        length, fragment, protocol = header
        source = ipaddress.ip_address(frame[at + 12 : at + 16])
        first = fragment & 0x1FFF == 0
    elif kind == 0x86DD:
        length = 40
        if len(frame) < at + length or frame[at] >> 4 != 6:
            return "MALFORMED", None, 0, 0
        protocol = frame[at + 6]
        source = ipaddress.ip_address(frame[at + 8 : at + 24])
    else:
        return "NOT_IP", None, 0, 0
    slot = {TCP: "TCP", UDP: "UDP", 1: "ICMP", 58: "ICMP"}.get(protocol, "OTHER_IP")
    if protocol not in (TCP, UDP) or not first:
        return slot, source, 0, protocol
    if len(frame) < at + length + 4:
        return "MALFORMED", None, 0, 0
    return slot, source, struct.unpack_from("!H", frame, at + length + 2)[0], protocol


def firewall(frame, rules):
    """(verdict, slot, key of the rule that was found or None)."""
    slot, source, port, protocol = classify(frame)
    if source is not None:
        for key in ((source, port, protocol), (source, 0, 0)):
            if key in rules:
                return "DROP" if rules[key] == 1 else "PASS", slot, key
    return "PASS", slot, None


def flow_hash(source, address, ports, protocol, by_source):
    words = [int.from_bytes(source, "little")]
    if not by_source:
        words += [int.from_bytes(address, "little"), int.from_bytes(ports, "little"), protocol]
    value = 0
    for word in words:
        value = (value + word) % 2**32
        value ^= value << 13 & 0xFFFFFFFF
        value ^= value >> 17
        value ^= value << 5 & 0xFFFFFFFF
    return value ^ value >> 16


def checksum(data):
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def rewritten(frame, at, length, protocol, address, mac):
    """The frame as it leaves for a backend."""
    out = bytearray(frame)
    out[6:12] = frame[0:6]
    out[0:6] = mac
    out[at + 16 : at + 20] = address
    out[at + 10 : at + 12] = bytes(2)
    struct.pack_into("!H", out, at + 10, checksum(out[at : at + length]))
    (total,) = struct.unpack_from("!H", frame, at + 2)
    field = at + length + (16 if protocol == TCP else 6)
    if protocol == TCP or frame[field : field + 2] != bytes(2):
        out[field : field + 2] = bytes(2)
        pseudo = out[at + 12 : at + 20] + struct.pack("!HH", protocol, total - length)
        value = checksum(bytes(pseudo + out[at + length : at + total]))
        struct.pack_into("!H", out, field, value or (0xFFFF if protocol == UDP else 0))
    return bytes(out)


def l4lb(frame, services, backends):
    """(verdict, slot, backend or None, frame that leaves)."""
    found = network(frame)
    if not found:
        return "PASS", "MALFORMED", None, frame
    kind, at = found
    if kind != 0x0800:
        return "PASS", "NOT_IPV4", None, frame
    header = ipv4(frame, at)
    if not header:
        return "PASS", "MALFORMED", None, frame
    length, fragment, protocol = header
    if fragment & 0x3FFF or protocol not in (TCP, UDP):
        return "PASS", "NO_PORTS", None, frame
    if len(frame) < at + length + (20 if protocol == TCP else 8):
        return "PASS", "MALFORMED", None, frame
    source, address = frame[at + 12 : at + 16], frame[at + 16 : at + 20]
    ports = frame[at + length : at + length + 4]
    service = services.get((ipaddress.ip_address(address), int.from_bytes(ports[2:], "big"), protocol))
    if service is None:
        return "PASS", "NO_SERVICE", None, frame
    first, mask, flags = service
    index = (first + (flow_hash(source, address, ports, protocol, flags & 1) & mask)) % 2**32
    if index not in backends:
        return "PASS", "NO_BACKEND", None, frame
    to, mac = backends[index]
    return "TX", "FORWARDED", index, rewritten(frame, at, length, protocol, to, mac)


def rules():
    """RULES with parsed addresses."""
    return {(ipaddress.ip_address(a), port, proto): action for (a, port, proto), action in RULES.items()}


def services():
    """SERVICES with parsed addresses."""
    return {(ipaddress.ip_address(a), port, proto): value for (a, port, proto), value in SERVICES.items()}


def backends():
    """BACKENDS as bytes."""
    return {i: (ipaddress.ip_address(a).packed, bytes.fromhex(mac.replace(":", ""))) for i, (a, mac) in BACKENDS.items()}


def table(title, counts):
    print(title)
    for name, (packets, size, tagged) in counts:
        print(f"  {name:<28} {packets:>6} packets {size:>8} bytes {tagged:>6} tagged {size - 4 * tagged:>8} bytes at tc")


def main():
    trace = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "../traces/mixed.pcap"
    names = ("fw", "slot", "rule", "lb", "reason", "backend")
    tables = {name: collections.defaultdict(lambda: [0, 0, 0]) for name in names}
    the_rules, the_services, the_backends = rules(), services(), backends()

    def count(name, key, frame):
        tables[name][key][0] += 1
        tables[name][key][1] += len(frame)
        tables[name][key][2] += struct.unpack_from("!H", frame, 12)[0] in VLAN

    for frame in read_pcap(trace):
        verdict, slot, rule = firewall(frame, the_rules)
        count("fw", verdict, frame)
        count("slot", slot, frame)
        if rule:
            source, port, protocol = rule
            count("rule", f"{source} port {port} {PROTOCOLS[protocol]}", frame)
        verdict, slot, backend, _ = l4lb(frame, the_services, the_backends)
        count("lb", verdict, frame)
        count("reason", slot, frame)
        if backend is not None:
            count("backend", f"backend {backend}", frame)

    table("firewall: verdicts", sorted(tables["fw"].items()))
    table("firewall: counters", sorted(tables["slot"].items()))
    table("firewall: rules", sorted(tables["rule"].items()))
    table("l4lb: verdicts", sorted(tables["lb"].items()))
    table("l4lb: counters", sorted(tables["reason"].items()))
    table("l4lb: backends", sorted(tables["backend"].items(), key=lambda row: int(row[0].split()[1])))


if __name__ == "__main__":
    main()
