#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Says what the stateful firewall must have done with the talk of clients and servers.

Usage: stateful.py DIRECTORY   of a run's results and captures
"""
import ipaddress
import struct

from packets import *

SPEED, START_NS = 10, 1_172_129
INSIDE = [ipaddress.ip_network("198.51.100.0/24"), ipaddress.ip_network("2001:db8:100::/48")]
SERVICES = {
    (ip(address), port, protocol)
    for address, port, protocol in (
        ("198.51.100.10", 80, TCP),
        ("198.51.100.10", 8080, TCP),
        ("198.51.100.10", 514, UDP),
        ("198.51.100.10", 0, ICMP),
        ("198.51.100.11", 80, TCP),
        ("198.51.100.53", 53, UDP),
        ("198.51.100.53", 53, TCP),
        ("2001:db8:100::10", 80, TCP),
        ("2001:db8:100::10", 514, UDP),
        ("2001:db8:100::10", 0, ICMP6),
        ("2001:db8:100::53", 53, UDP),
    )
}
OPENED, BELONGS, RELATED, FRAGMENT, LOCAL, NOT_ALLOWED, NO_CONNECTION, LOST_FRAGMENT, UNKNOWN, MALFORMED = range(10)
OPENING, ANSWERED, ESTABLISHED, HALF_CLOSED, CLOSED = range(5)
FIN, SYN, RST, ACK = 1, 2, 4, 16
# By state, in ns of the run; the last is of all but TCP.
LIFETIMES = [3_000_000, 6_000_000, 3_600_000_000, 12_000_000, 1_500_000, 2_400_000]
# What the host may take until it looks at a packet: no decision here depends on so little.
UNSURE_NS = 60_000


class Connection:
    def __init__(self, opener):
        self.opener, self.state, self.finished = opener, OPENING, 0
        self.packets, self.bytes = [0, 0], [0, 0]
        self.seen = 0


class Firewall:
    def __init__(self):
        self.connections, self.fragments = {}, set()
        self.now = 0

    def open_for(self, packet, port):
        address = ipaddress.ip_address(packet.source)
        if any(address in network for network in INSIDE if network.version == address.version):
            return True
        return (packet.destination, port, packet.protocol) in SERVICES

    def track(self, packet, ends, port, opens):
        """`ends` are (source, destination) with whatever tells connections between them apart."""
        connection = self.find(packet.protocol, *ends)
        if connection and opens and packet.protocol == TCP and connection.state == CLOSED:
            connection = None
        if connection:
            back = ends[0] != connection.opener
            self.advance(connection, packet, back)
            connection.packets[back] += 1
            connection.bytes[back] += packet.length
            connection.seen = self.now
            return BELONGS
        if not opens:
            return NO_CONNECTION
        if not self.open_for(packet, port):
            return NOT_ALLOWED
        connection = self.connections[packet.protocol, *ends] = Connection(ends[0])
        connection.packets[0], connection.bytes[0] = 1, packet.length
        connection.seen = self.now
        return OPENED

    def find(self, protocol, one, other):
        """A connection that either has opened and whose time is not over; what is over may still stand in the table."""
        for name in ((protocol, one, other), (protocol, other, one)):
            if connection := self.connections.get(name):
                idle, limit = self.now - connection.seen, LIFETIMES[connection.state if protocol == TCP else 5]
                if abs(idle - limit) < UNSURE_NS:
                    raise SystemExit(f"a connection's time is over just when a packet comes: {idle} of {limit} ns")
                if idle < limit:
                    return connection
        return None

    @staticmethod
    def advance(connection, packet, back):
        if packet.protocol != TCP:
            if back:
                connection.state = ESTABLISHED
            return
        flags, state = packet.flags, connection.state
        if flags & RST:
            state = CLOSED
        elif state == OPENING and back and flags & SYN and flags & ACK:
            state = ANSWERED
        elif state == ANSWERED and not back and flags & ACK:
            state = ESTABLISHED
        if flags & FIN and state >= ANSWERED:
            connection.finished |= 2 if back else 1
            state = CLOSED if connection.finished == 3 else HALF_CLOSED
        connection.state = state

    def related(self, packet):
        """An error carries the beginning of the packet it is about."""
        inner = packet.payload[8:]
        if packet.family == 4:
            protocol, source, destination = inner[9], inner[12:16], inner[16:20]
            rest = inner[(inner[0] & 15) * 4 :]
        else:
            protocol, source, destination, rest = inner[6], inner[8:24], inner[24:40], inner[40:]
        known = self.find(protocol, (source, rest[0:2]), (destination, rest[2:4]))
        return RELATED if known else NO_CONNECTION

    def whole(self, packet):
        if packet.protocol in (TCP, UDP):
            ports = packet.frame[packet.transport : packet.transport + 4]
            ends = ((packet.source, ports[:2]), (packet.destination, ports[2:]))
            opens = packet.protocol == UDP or packet.flags & (SYN | ACK | RST) == SYN
            return self.track(packet, ends, packet.ports[1], opens)
        if packet.protocol not in (ICMP, ICMP6):
            return UNKNOWN
        kind = packet.payload[0]
        request, reply = (8, 0) if packet.family == 4 else (128, 129)
        if kind in (request, reply):
            number = packet.payload[4:6]
            ends = ((packet.source, number), (packet.destination, number))
            return self.track(packet, ends, 0, kind == request)
        if kind in (3, 11, 12) if packet.family == 4 else kind < 128:
            return self.related(packet)
        return LOCAL if packet.family == 6 and (130 <= kind <= 137 or kind == 143) else UNKNOWN

    def decide(self, frame):
        packet = parse(frame)
        if packet == "other":
            return LOCAL
        if packet == "broken":
            return MALFORMED
        if packet.fragment == WHOLE:
            return self.whole(packet)
        at = packet.network + 4 if packet.family == 4 else packet.transport - 4
        number = frame[at : at + (2 if packet.family == 4 else 4)]
        key = (packet.source, packet.destination, number, packet.protocol)
        if packet.fragment == FIRST:
            counter = self.whole(packet)
            if counter <= LOCAL:
                self.fragments.add(key)
            return counter
        return FRAGMENT if key in self.fragments else LOST_FRAGMENT


def table(firewall):
    """What the table of connections holds at the end: key without padding, state, what finished, packets, bytes."""
    rows = set()
    for (protocol, opener, other), connection in firewall.connections.items():
        key = opener[0].ljust(16, b"\0") + other[0].ljust(16, b"\0") + opener[1] + other[1] + bytes([protocol])
        rows.add((key, connection.state, connection.finished, *connection.packets, *connection.bytes))
    return rows


def main():
    run = Run(directory())
    clients = [(at, 0, frame) for at, frame in read_pcap(SCENARIOS / "traces/talk/clients.pcap")]
    servers = [(at, 1, frame) for at, frame in read_pcap(SCENARIOS / "traces/talk/servers.pcap")]
    if servers[0][0] - clients[0][0] != START_NS:
        raise SystemExit("the trace is not the one this check was written for")
    firewall, counters, sent, dropped = Firewall(), Counts(), ([], []), 0
    for at, port, frame in sorted(clients + servers, key=lambda event: event[0]):
        firewall.now = at // SPEED
        counter = firewall.decide(frame)
        counters.add(counter, len(frame))
        if counter <= LOCAL:
            sent[1 - port].append(frame)
        else:
            dropped += 1
    for variant in run.variants():
        fates = {"transmitted": len(sent[0]) + len(sent[1]), "dropped": dropped}
        run.hold(f"{variant}: fates", run.fates(variant), fates)
        for port in (0, 1):
            run.hold_frames(f"{variant}: port {port}", run.sent(variant, port), sent[port])
        run.hold(f"{variant}: counters", run.counters(variant, "counters"), dict(counters))
        # A report shows 256 entries of a map.
        expected, shown = table(firewall), run.map(variant, "connections")
        run.hold(f"{variant}: connections shown", len(shown), min(256, len(expected)))
        for key, value in shown.items():
            state, finished, _, *rest = struct.unpack("<BB6xQ4Q", value)
            if (key[:37], state, finished, *rest) not in expected:
                run.hold(f"{variant}: connection {key.hex()}", (state, finished, *rest), "one that there is")
    run.end()


if __name__ == "__main__":
    main()
