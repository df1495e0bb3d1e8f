#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Says where the packets of the trace must have gone.

Usage: steer.py DIRECTORY   of a run's results and captures
"""
from packets import *

CONTAINERS = {ip("198.51.100.11"): "peer device", ip("2001:db8:100::10"): "host.redirect-no-device"}
# TCP: address (None is any of IPv4), port. UDP too; one of them hears one station alone, which the trace does not have.
LISTEN = {(ip("198.51.100.10"), 80), (None, 8080)}
DATAGRAMS = {(ip("198.51.100.53"), 53), (ip("2001:db8:100::53"), 53)}
CONTAINER, LISTENING, CONNECTED, DATAGRAM, NOT_GIVEN, OTHER, NOBODY, COPIED = range(8)


def main():
    run = Run(directory())
    counters, fates, copies = Counts(), {}, 0
    for _, frame in read_pcap(SCENARIOS / "traces/mixed.pcap"):
        packet = parse(frame)
        # The host takes the outer tag off before tc.
        size = len(frame) - 4 * (frame[12:14] in (b"\x81\0", b"\x88\xa8"))
        place = ("delivered", "host stack")
        if isinstance(packet, str):
            slot = OTHER
        elif packet.destination in CONTAINERS:
            slot, where = CONTAINER, CONTAINERS[packet.destination]
            place = ("lost" if where.startswith("host.") else "delivered", where)
        elif packet.protocol not in (TCP, UDP) or packet.fragment != WHOLE:
            slot = OTHER
        else:
            address, port = packet.destination, packet.ports[1]
            if packet.protocol == TCP:
                found = (address, port) in LISTEN or (packet.family == 4 and (None, port) in LISTEN)
                slot = LISTENING if found else NOBODY
            else:
                slot = DATAGRAM if (address, port) in DATAGRAMS else NOBODY
            if slot == NOBODY:
                place = ("dropped", "tc program")
                if packet.protocol == UDP or packet.flags & 18 == 2:
                    counters.add(COPIED, size)
                    copies += 1
        counters.add(slot, size)
        fates[place] = fates.get(place, 0) + 1
    # A device that is no port's has them.
    fates["copy transmitted", "virtual device"] = copies
    for variant, measured in run.variants().items():
        found = {(fate["outcome"], fate["place"]): fate["packets"] for fate in measured["fates"]}
        run.hold(f"{variant}: fates", found, fates)
        run.hold(f"{variant}: counters", run.counters(variant, "counters"), dict(counters))
        work = {work["name"]: work["total"] for work in measured["work"]}
        run.hold(f"{variant}: copies", work.get("host copies sent"), copies)
        for port in (0, 1):
            run.hold(f"{variant}: port {port}", run.sent(variant, port), [])
    run.end()


if __name__ == "__main__":
    main()
