#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Says what the NAT64 must have done, and makes the answers of servers that only speak IPv4.

Usage: nat64.py DIRECTORY   of a run's results and captures
       nat64.py replies     writes ../traces/talk/replies4.pcap
"""
import struct
import sys

from packets import *

POOL = ip("203.0.113.64")
EXPLICIT = {ip("2001:db8:100::10"): ip("198.51.100.10"), ip("2001:db8:100::53"): ip("198.51.100.53")}
PREFIX = ip("64:ff9b::")[:12]
TO_FOUR = mac("00:00:5e:00:53:fe") + mac("02:00:00:00:00:11") + b"\x08\0"
TO_SIX = mac("00:00:5e:00:53:f6") + mac("02:00:00:00:00:10") + b"\x86\xdd"
LONGEST = 1500
SPEED = 10
TO_IPV4, TO_IPV6, SESSIONS, NOT_OURS, NOT_TRANSLATED, LAST_HOP, NO_SESSION, NO_PORT, NO_CHECKSUM, TOO_LONG = range(10)
REPLIES = SCENARIOS / "traces/talk/replies4.pcap"
ECHO = {8: 128, 0: 129, 128: 8, 129: 0}
FIELD = {TCP: 16, UDP: 6, ICMP: 2, ICMP6: 2}


def translatable(packet):
    """(protocol, source port, destination port) in the terms of IPv4, or None."""
    plain = packet.network + (40 if packet.family == 6 else 20)
    if packet.fragment != WHOLE or packet.transport != plain:
        return None
    if packet.ports:
        return packet.protocol, *packet.ports
    if packet.protocol == (ICMP6 if packet.family == 6 else ICMP):
        kinds = (128, 129) if packet.family == 6 else (8, 0)
        if packet.payload[0] in kinds:
            (number,) = struct.unpack_from("!H", packet.payload, 4)
            return ICMP, number, number
    return None


class Translator:
    def __init__(self):
        self.sessions, self.ports = {}, {}
        self.counters = Counts()

    def port(self, address, port, protocol, size):
        """The pool's port of a station's port."""
        if (address, port, protocol) in self.sessions:
            return self.sessions[address, port, protocol]
        hashed = lookup3(words(address + struct.pack("!HH", port, 0)), protocol)
        for step in range(8):
            candidate = 1024 + ((hashed + step) & 0xFFFFFFFF) % 64512
            if (candidate, protocol) not in self.ports:
                self.ports[candidate, protocol] = (address, port)
                self.sessions[address, port, protocol] = candidate
                self.counters.add(SESSIONS, size)
                return candidate
        return None

    def decide(self, frame):
        """(slot, frame that leaves or None)."""
        packet = parse(frame)
        if isinstance(packet, str) or packet.network != 14:
            return NOT_OURS, None
        if packet.family == 6:
            remote = EXPLICIT.get(packet.destination)
            if remote is None and packet.destination[:12] == PREFIX:
                remote = packet.destination[12:]
            if remote is None:
                return NOT_OURS, None
        elif packet.destination != POOL:
            return NOT_OURS, None
        found = translatable(packet)
        if not found:
            return NOT_TRANSLATED, None
        if packet.ttl <= 1:
            return LAST_HOP, None
        protocol, source, destination = found
        payload, padding = packet.payload, frame[packet.end :]
        if protocol == UDP and payload[6:8] == bytes(2):
            return NO_CHECKSUM, None
        if packet.family == 6:
            port = self.port(packet.source, source, protocol, len(frame))
            if port is None:
                return NO_PORT, None
            payload = translated(payload, protocol, port, 0)
            payload = transport_checked(POOL, remote, protocol, payload, FIELD[protocol])
            head = ipv4_header(POOL, remote, protocol, len(payload), packet.tos, packet.ttl - 1, 0, 0x4000)
            return TO_IPV4, (TO_FOUR + head + payload + padding).ljust(60, b"\0")
        inside = self.ports.get((destination, protocol))
        if inside is None:
            return NO_SESSION, None
        if len(frame) - 14 + 20 > LONGEST:
            return TOO_LONG, None
        address, port = inside
        remote = {four: six for six, four in EXPLICIT.items()}.get(packet.source, PREFIX + packet.source)
        six = ICMP6 if protocol == ICMP else protocol
        payload = translated(payload, protocol, port, 2)
        payload = transport_checked(remote, address, six, payload, FIELD[six])
        head = ipv6_header(remote, address, six, len(payload), packet.tos, packet.ttl - 1)
        return TO_IPV6, TO_SIX + head + payload + padding


def translated(payload, protocol, port, at):
    """A transport header with another port at `at`; of an echo with its type of the other protocol and its number."""
    if protocol == ICMP:
        return bytes([ECHO[payload[0]]]) + payload[1:4] + struct.pack("!H", port) + payload[6:]
    return payload[:at] + struct.pack("!H", port) + payload[at + 2 :]


def clients():
    return read_pcap(SCENARIOS / "traces/talk/clients.pcap")


def replies():
    """The servers' answers over IPv6, as servers of IPv4 would have given them to the pool's address."""
    translator = Translator()
    for _, frame in clients():
        translator.decide(frame)
    out = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)
    first = None
    for at, frame in read_pcap(SCENARIOS / "traces/talk/servers.pcap"):
        packet = parse(frame)
        if isinstance(packet, str) or packet.family != 6 or packet.source not in EXPLICIT:
            continue
        found = translatable(packet)
        if not found:
            continue
        protocol, _, destination = found
        # What nobody has asked for goes to a port that nobody has.
        port = translator.sessions.get((packet.destination, destination, protocol), 7)
        source = EXPLICIT[packet.source]
        payload = translated(packet.payload, protocol, port, 2)
        payload = transport_checked(source, POOL, protocol, payload, FIELD[protocol])
        out_frame = mac("02:00:00:00:00:11") + mac("00:00:5e:00:53:fe") + b"\x08\0"
        out_frame += ipv4_header(source, POOL, protocol, len(payload), packet.tos, 63, 0, 0x4000) + payload
        out_frame = out_frame.ljust(60, b"\0")
        out += struct.pack("<IIII", at // 10**9, at % 10**9, len(out_frame), len(out_frame)) + out_frame
        first = at if first is None else first
    REPLIES.write_bytes(out)
    print(f"the first comes after {first / SPEED / 1000} us at a speed of {SPEED}")


def main():
    run = Run(directory())
    translator, fates, sent = Translator(), {"transmitted": 0, "dropped": 0, "delivered": 0}, ([], [])
    events = [(at, 0, frame) for at, frame in clients()] + [(at, 1, frame) for at, frame in read_pcap(REPLIES)]
    for _, _, frame in sorted(events, key=lambda event: event[0]):
        slot, out = translator.decide(frame)
        translator.counters.add(slot, len(frame))
        if out:
            sent[1 if slot == TO_IPV4 else 0].append(out)
        fates["transmitted" if out else "dropped" if slot >= NO_SESSION else "delivered"] += 1
    fates = {fate: packets for fate, packets in fates.items() if packets}
    for variant in run.variants():
        run.hold(f"{variant}: fates", run.fates(variant), fates)
        for port in (0, 1):
            run.hold_frames(f"{variant}: port {port}", run.sent(variant, port), sent[port])
        run.hold(f"{variant}: counters", run.counters(variant, "counters"), dict(translator.counters))
    run.end()


if __name__ == "__main__":
    replies() if sys.argv[1:] == ["replies"] else main()
