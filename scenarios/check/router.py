#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Says what the router must have done with the trace.

Usage: router.py DIRECTORY   of a run's results and captures
"""
import ipaddress
import struct

from packets import *

LAN, UPLINK = mac("02:00:00:00:00:10"), mac("02:00:00:00:00:11")
# What bpf_fib_lookup answers.
SUCCESS, BLACKHOLE, UNREACHABLE, PROHIBIT, NOT_FORWARDED, _, _, NO_NEIGHBOUR, TOO_LONG = range(9)
BY_EXCEPTION, REFUSED, HOST, OTHER, LAST_HOP, OPTIONS, MALFORMED = range(16, 23)
DROPPED = {BLACKHOLE, UNREACHABLE, PROHIBIT, REFUSED, MALFORMED}

# Exceptions: network, and (slot, port, next station's address, own address); None asks the routes.
EXCEPTIONS = {
    "198.51.100.10/32": (BY_EXCEPTION, 1, mac("00:00:5e:00:53:a1"), UPLINK),
    "198.51.100.0/28": (REFUSED,),
    "198.51.100.11/32": None,
    "2001:db8:100::50/124": (BY_EXCEPTION, 0, mac("00:00:5e:00:53:a2"), LAN),
    "fe80::/10": (HOST,),
}
# Routes in the order they are asked: sources, network, answer, longest packet.
ROUTES = [
    ("203.0.113.128/25", "198.51.100.53/32", (BLACKHOLE,), 0),
    ("2001:db8:2::/64", "2001:db8:100::10/128", (UNREACHABLE,), 0),
    ("0.0.0.0/0", "198.51.100.11/32", (SUCCESS, 1, mac("00:00:5e:00:53:fd"), UPLINK), 576),
    ("0.0.0.0/0", "198.51.100.0/24", (SUCCESS, 1, mac("00:00:5e:00:53:fe"), UPLINK), 1500),
    ("0.0.0.0/0", "192.0.2.1/32", (NOT_FORWARDED,), 0),
    ("0.0.0.0/0", "203.0.113.1/32", (NOT_FORWARDED,), 0),
    ("::/0", "2001:db8:1::1/128", (NOT_FORWARDED,), 0),
    ("::/0", "2001:db8:2::1/128", (NOT_FORWARDED,), 0),
    ("::/0", "2001:db8:100::/64", (SUCCESS, 1, mac("00:00:5e:00:53:f6"), UPLINK), 1500),
]


def within(address, network):
    network = ipaddress.ip_network(network)
    return address.version == network.version and address in network


def decide(packet):
    """(slot, port, next station, own address); slot alone where it is not forwarded."""
    source, destination = map(ipaddress.ip_address, (packet.source, packet.destination))
    networks = [network for network in EXCEPTIONS if within(destination, network)]
    if networks:
        longest = max(networks, key=lambda network: ipaddress.ip_network(network).prefixlen)
        if EXCEPTIONS[longest]:
            return longest, EXCEPTIONS[longest]
    else:
        longest = None
    for sources, network, answer, mtu in ROUTES:
        if within(source, sources) and within(destination, network):
            if answer[0] == SUCCESS and packet.length > mtu:
                return longest, (TOO_LONG,)
            return longest, answer
    raise SystemExit(f"no route of this check leads to {destination}")


def forwarded(packet, station, own):
    frame, head = packet.frame, bytearray(packet.frame[packet.network : packet.transport])
    if packet.family == 4:
        head[8] -= 1
        head[10:12] = bytes(2)
        head[10:12] = struct.pack("!H", checksum(bytes(head)))
    else:
        head[7] -= 1
    out = station + own + frame[packet.network - 2 : packet.network] + bytes(head) + frame[packet.transport :]
    return out.ljust(60, b"\0")


def main():
    run = Run(directory())
    counters, exceptions, fates, sent = Counts(), {}, {}, ([], [])

    def end(frame, slot, fate):
        counters.add(slot, len(frame))
        fates[fate] = fates.get(fate, 0) + 1

    for _, frame in read_pcap(SCENARIOS / "traces/mixed.pcap"):
        packet = parse(frame)
        if packet == "broken":
            end(frame, MALFORMED, "dropped")
        elif packet == "other" or frame[0] & 1:
            end(frame, OTHER, "delivered")
        elif packet.ttl <= 1:
            end(frame, LAST_HOP, "delivered")
        elif packet.frame[packet.network] & 15 != 5 if packet.family == 4 else packet.frame[packet.network + 6] == 0:
            end(frame, OPTIONS, "delivered")
        else:
            exception, (slot, *way) = decide(packet)
            if exception:
                exceptions[exception] = exceptions.get(exception, 0) + 1
            if way:
                port, station, own = way
                sent[port].append(forwarded(packet, station, own))
                end(frame, slot, "transmitted")
            else:
                end(frame, slot, "dropped" if slot in DROPPED else "delivered")

    for variant in run.variants():
        run.hold(f"{variant}: fates", run.fates(variant), fates)
        for port in (0, 1):
            run.hold_frames(f"{variant}: port {port}", run.sent(variant, port), sent[port], variant == "native")
        run.hold(f"{variant}: counters", run.counters(variant, "counters"), dict(counters))
        for family, name in ((4, "exceptions4"), (6, "exceptions6")):
            found = {}
            for key, value in run.map(variant, name).items():
                network = ipaddress.ip_network((key[4:], struct.unpack("<I", key[:4])[0]))
                if packets := struct.unpack("<IIQ", value)[2]:
                    found[str(network)] = packets
            expected = {key: count for key, count in exceptions.items() if (":" in key) == (family == 6)}
            run.hold(f"{variant}: {name}", found, expected)
    run.end()


if __name__ == "__main__":
    main()
