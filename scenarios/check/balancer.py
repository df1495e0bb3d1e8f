#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Says what the balancer must have done with the trace, and fills its rings.

Usage: balancer.py DIRECTORY   of a run's results and captures
       balancer.py rings       prints ../entries/balancer-ring.csv
       balancer.py actions     prints what user space does when server 2 goes
"""
import hashlib
import struct
import sys

from packets import *

RING = 61
# Number: address. 0 is nobody.
REALS = {1 + i: ip(f"203.0.113.{201 + i}") for i in range(9)} | {
    10: ip("2001:db8:200::10"),
    11: ip("2001:db8:200::11"),
}
# {address, port, protocol}: (number, by source, memory, reals).
VIPS = {
    (ip("198.51.100.10"), 80, TCP): (0, False, True, (1, 2, 3, 4)),
    (ip("198.51.100.10"), 8080, TCP): (1, False, True, (5, 6, 7)),
    (ip("198.51.100.11"), 80, TCP): (2, True, True, (1, 2)),
    (ip("198.51.100.53"), 53, UDP): (3, False, True, (8, 9)),
    (ip("2001:db8:100::10"), 80, TCP): (4, False, True, (10, 11)),
    (ip("2001:db8:100::53"), 53, UDP): (5, False, False, (8, 9)),
    (ip("198.51.100.10"), 7, TCP): (6, False, True, (10,)),
    (ip("198.51.100.53"), 53, TCP): (7, False, True, ()),
}
GONE = 2  # the server that is taken out of the first VIP's ring,
GONE_AFTER = 14453  # after this packet of the trace
SOURCE4, SOURCE6, GATEWAY = ip("172.16.0.0")[:2], ip("2001:db8:f::")[:12], mac("00:00:5e:00:53:fe")
LONGEST = 1520
FORWARDED, FROM_MEMORY, NEW, ANSWERED, NO_VIP, OTHER, FRAGMENT, NO_REAL, TOO_LONG, MALFORMED = range(10)


def maglev(number, reals):
    """A ring by Maglev's rule: each server in turn takes the next slot of its own order that is free."""
    if not reals:
        return [0] * RING
    orders = []
    for real in reals:
        digest = hashlib.sha256(b"vip %d real %d" % (number, real)).digest()
        first, step = digest[0] % RING, digest[1] % (RING - 1) + 1
        orders.append(iter([(first + i * step) % RING for i in range(RING)]))
    ring = [0] * RING
    while 0 in ring:
        for real, order in zip(reals, orders):
            slot = next((slot for slot in order if ring[slot] == 0), None)
            if slot is not None:
                ring[slot] = real
    return ring


def rings():
    return {number: maglev(number, reals) for number, _, _, reals in VIPS.values()}


def without_gone():
    number, _, _, reals = VIPS[ip("198.51.100.10"), 80, TCP]
    return maglev(number, [real for real in reals if real != GONE])


def wrapped(packet, real, hashed):
    """The frame that goes to a real server."""
    address, frame = REALS[real], packet.frame
    inner = IPIP if packet.family == 4 else IPV6
    if len(address) == 4:
        outer = ipv4_header(SOURCE4 + struct.pack("<I", hashed)[:2], address, inner, packet.length, packet.tos)
        kind = 0x0800
    else:
        outer = ipv6_header(SOURCE6 + struct.pack("<I", hashed), address, inner, packet.length, packet.tos)
        kind = 0x86DD
    link = GATEWAY + frame[0:6] + frame[12 : packet.network - 2] + struct.pack("!H", kind)
    return link + outer + frame[packet.network :]


def answered(packet):
    """The echo reply."""
    frame = packet.frame
    if packet.family == 4:
        options = frame[packet.network + 20 : packet.transport]
        head = frame[packet.network : packet.network + 8] + struct.pack("!BBH", 64, packet.protocol, 0)
        head += packet.destination + packet.source + options
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    else:
        head = frame[packet.network : packet.network + 7] + b"\x40" + packet.destination + packet.source
        head += frame[packet.network + 40 : packet.transport]
    payload = bytes([0 if packet.family == 4 else 129]) + packet.payload[1:]
    payload = transport_checked(packet.destination, packet.source, packet.protocol, payload, 2)
    return frame[6:12] + frame[0:6] + frame[12 : packet.network] + head + payload + frame[packet.end :]


class Balancer:
    def __init__(self):
        self.rings, self.known = rings(), {}
        self.counters, self.reals = Counts(), Counts()

    def packet(self, frame):
        """(fate, frame that leaves)."""
        fate, slot, out = self.decide(frame)
        self.counters.add(slot, len(frame))
        return fate, out

    def decide(self, frame):
        packet = parse(frame)
        if packet == "other":
            return "delivered", OTHER, None
        if packet == "broken":
            return "dropped", MALFORMED, None
        if packet.destination not in {address for address, _, _ in VIPS}:
            return "delivered", NO_VIP, None
        if packet.fragment != WHOLE:
            return "dropped", FRAGMENT, None
        if packet.protocol in (ICMP, ICMP6):
            if packet.payload[0] == (8 if packet.family == 4 else 128) and packet.payload[1] == 0:
                return "transmitted", ANSWERED, answered(packet)
            return "delivered", OTHER, None
        if packet.protocol not in (TCP, UDP):
            return "delivered", OTHER, None
        vip = VIPS.get((packet.destination, packet.ports[1], packet.protocol))
        if vip is None:
            return "delivered", NO_VIP, None
        number, by_source, memory, _ = vip
        ports = struct.pack("!HH", *packet.ports)
        data = packet.source.ljust(16, b"\0")
        if not by_source:
            data += packet.destination.ljust(16, b"\0") + ports + struct.pack("<I", packet.protocol)
        hashed = lookup3(words(data), number)
        key = (packet.source, packet.destination, ports, packet.protocol)
        if memory and key in self.known and not packet.flags & 2:
            self.counters.add(FROM_MEMORY, len(frame))
            real = self.known[key]
        else:
            real = self.rings[number][hashed % RING]
            if memory:
                self.known[key] = real
                self.counters.add(NEW, len(frame))
        if real not in REALS:
            return "dropped", NO_REAL, None
        if packet.length + (20 if len(REALS[real]) == 4 else 40) > LONGEST:
            return "dropped", TOO_LONG, None
        self.reals.add(real, len(frame))
        return "transmitted", FORWARDED, wrapped(packet, real, hashed)


def main():
    run = Run(directory())
    balancer, fates, frames = Balancer(), {}, []
    for number, (_, frame) in enumerate(read_pcap(SCENARIOS / "traces/mixed.pcap")):
        if number == GONE_AFTER + 1:
            balancer.rings[0] = without_gone()
        fate, out = balancer.packet(frame)
        fates[fate] = fates.get(fate, 0) + 1
        frames += [out] if out else []
    for variant in run.variants():
        run.hold(f"{variant}: fates", run.fates(variant), fates)
        run.hold_frames(f"{variant}: port 0", run.sent(variant, 0), frames, ordered=variant == "native")
        run.hold(f"{variant}: port 1", run.sent(variant, 1), [])
        run.hold(f"{variant}: counters", run.counters(variant, "counters"), dict(balancer.counters))
        run.hold(f"{variant}: real_traffic", run.counters(variant, "real_traffic"), dict(balancer.reals))
    run.end()


if __name__ == "__main__":
    if sys.argv[1:] == ["rings"]:
        print("key,value")
        for vip, ring in rings().items():
            for slot, real in enumerate(ring):
                print(f"{vip * RING + slot},{real}")
    elif sys.argv[1:] == ["actions"]:
        for slot, (before, after) in enumerate(zip(rings()[0], without_gone())):
            if before != after:
                print(f"      - {{at: 156.87 ms, map: ring, update: {{key: {slot}, value: {after}}}}}")
    else:
        main()
