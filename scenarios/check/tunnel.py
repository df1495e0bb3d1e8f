#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Says what both ends of the tunnel must have done.

Usage: tunnel.py DIRECTORY   of a run's results and captures
       tunnel.py wrap        writes ../traces/talk/wrapped.pcap: what another end makes of the servers' frames
"""
import struct
import sys

from packets import *

OWN, REMOTE = ip("10.0.0.1"), ip("10.0.1.2")
UPLINK = mac("02:00:00:00:00:11")
# VLAN: network. Network: the tunnel's other end, and the station on the way there.
NETWORKS = {0: 5000, 100: 5100}
ENDS = {5000: (ip("10.0.1.2"), mac("00:00:5e:00:53:fe")), 5100: (ip("10.0.2.2"), mac("00:00:5e:00:53:fd"))}
STATION = mac("00:00:5e:00:53:02")
SEGMENTS = {5000: 0, 5100: 100}
LONGEST = 1530
AROUND = 14 + 20 + 8 + 8
WRAPPED_UP, UNWRAPPED, NO_SEGMENT, NO_STATION, GROUP, OTHER, TOO_LONG, FAILED = range(8)
WRAPPED = SCENARIOS / "traces/talk/wrapped.pcap"


def vxlan(frame, number, source, destination, port, tos):
    """The packet around a frame: IPv4, UDP without a checksum, VXLAN."""
    payload = struct.pack("!HHHHII", port, 4789, len(frame) + 16, 0, 8 << 24, number << 8) + frame
    return ipv4_header(source, destination, UDP, len(payload), tos, pieces=0x4000) + payload


def wrap():
    """Networks in turn, one that nobody knows among them; flows by the frame's number."""
    out = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)
    for number, (at, frame) in enumerate(read_pcap(SCENARIOS / "traces/talk/servers.pcap")[:1200]):
        network = (5000, 5100, 5000, 5100, 7)[number % 5]
        frame = mac("02:00:00:00:00:11") + mac("00:00:5e:00:53:fe") + b"\x08\0" + vxlan(
            frame, network, REMOTE, OWN, 0xC000 + number % 97, 0
        )
        if number % 50 == 0:
            # Another packet of UDP, to nobody's tunnel.
            frame = frame[:36] + struct.pack("!H", 4790) + frame[38:]
        out += struct.pack("<IIII", at // 10**9, at % 10**9, len(frame), len(frame)) + frame
    WRAPPED.write_bytes(out)


def wrapped(frame):
    """(slot, frame that leaves) at tc, where the outer tag has been taken off."""
    vlan = 0
    if frame[12:14] in (b"\x81\0", b"\x88\xa8"):
        vlan = struct.unpack_from("!H", frame, 14)[0] & 0xFFF
        frame = frame[:12] + frame[16:]
    if vlan not in NETWORKS:
        return NO_SEGMENT, frame, None
    if frame[0] & 1:
        return GROUP, frame, None
    packet = parse(frame)
    if isinstance(packet, str) or packet.network != 14:
        return OTHER, frame, None
    number = NETWORKS[vlan]
    if frame[:6] != STATION:
        return NO_STATION, frame, None
    if len(frame) - 14 + AROUND > LONGEST:
        return TOO_LONG, frame, None
    ports = struct.pack("!HH", *packet.ports) if packet.ports and packet.fragment == WHOLE else bytes(4)
    data = packet.source.ljust(16, b"\0") + packet.destination.ljust(16, b"\0") + ports
    hashed = lookup3(words(data + struct.pack("<I", packet.protocol)), number)
    remote, station = ENDS[number]
    out = station + UPLINK + b"\x08\0" + vxlan(frame, number, OWN, remote, 0xC000 | hashed & 0x3FFF, packet.tos)
    return WRAPPED_UP, frame, out


def unwrapped(frame):
    """(slot, frame that leaves) at XDP."""
    if frame[12:14] != b"\x08\0" or frame[14] != 0x45 or frame[23] != UDP or frame[30:34] != OWN:
        return OTHER, None
    if frame[36:38] != struct.pack("!H", 4789) or not frame[42] & 8:
        return OTHER, None
    number = int.from_bytes(frame[46:49], "big")
    if number not in SEGMENTS:
        return NO_SEGMENT, None
    inner, vlan = frame[50:], SEGMENTS[number]
    if vlan:
        inner = inner[:12] + struct.pack("!HH", 0x8100, vlan) + inner[12:]
    return UNWRAPPED, inner.ljust(60, b"\0")


def main():
    run = Run(directory())
    # Both programs count in one map.
    fates, sent, counters = {"transmitted": 0, "dropped": 0, "delivered": 0}, ([], []), Counts()

    def to_tc(frame):
        slot, seen, out = wrapped(frame)
        counters.add(slot, len(seen))
        if out:
            sent[1].append(out)
        fates["transmitted" if out else "dropped" if slot in (TOO_LONG, FAILED) else "delivered"] += 1

    for _, frame in read_pcap(SCENARIOS / "traces/mixed.pcap"):
        slot, out = unwrapped(frame)
        counters.add(slot, len(frame))
        to_tc(frame)
    for _, frame in read_pcap(WRAPPED):
        slot, out = unwrapped(frame)
        counters.add(slot, len(frame))
        if out:
            fates["transmitted"] += 1
            sent[0].append(out)
        else:
            to_tc(frame)
    for variant in run.variants():
        run.hold(f"{variant}: fates", run.fates(variant), fates)
        for port in (0, 1):
            run.hold_frames(f"{variant}: port {port}", run.sent(variant, port), sent[port])
        run.hold(f"{variant}: counters", run.counters(variant, "counters"), dict(counters))
    run.end()


if __name__ == "__main__":
    wrap() if sys.argv[1:] == ["wrap"] else main()
