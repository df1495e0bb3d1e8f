#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Says where the packets of the trace and copies of them must have gone.

Usage: fanout.py DIRECTORY   of a run's results and captures
"""
from packets import *

RST = 4
FLOODED, FORWARDED, STEERED, OTHER, MALFORMED, LEAVING, TOO_LONG, ARRIVED, RESET = range(9)
# By port: own address, longest frame.
STATIONS = [(mac("02:00:00:00:00:10"), 1514), (mac("02:00:00:00:00:11"), 90)]
TAP, SPARE = ("transmitted", "virtual device"), ("lost", "host.redirect-device-down")


def main():
    run = Run(directory())
    counters, fates, sent = Counts(), {}, ([], [])

    def end(fate):
        fates[fate] = fates.get(fate, 0) + 1

    def leave(frame, port, copy=""):
        own, longest = STATIONS[port]
        if len(frame) > longest:
            counters.add(TOO_LONG, len(frame))
            end((f"{copy}dropped", "devmap program"))
        else:
            counters.add(LEAVING, len(frame))
            end((f"{copy}transmitted", "xdp program"))
            sent[port].append(frame[:6] + own + frame[12:])

    for _, frame in read_pcap(SCENARIOS / "traces/mixed.pcap"):
        packet = parse(frame)
        if packet == "broken":
            slot = MALFORMED
            end(("dropped", "xdp program"))
        elif packet == "other" or frame[0] & 1:
            # It came by port 0: port 1 gets a copy, the device behind it the packet.
            slot = FLOODED
            leave(frame, 1, "copy ")
            end(TAP)
        elif packet.fragment == WHOLE and packet.protocol == UDP:
            slot = FORWARDED
            port = packet.destination[-1] & 3
            if port < 2:
                leave(frame, port)
            else:
                end([TAP, SPARE][port - 2])
        elif packet.fragment == WHOLE and packet.protocol == TCP:
            slot = STEERED
            reset = packet.flags & RST
            counters.add(RESET if reset else ARRIVED, len(frame))
            end(("dropped" if reset else "delivered", "cpumap program" if reset else "cpumap"))
        else:
            slot = OTHER
            end(("delivered", "host stack"))
        counters.add(slot, len(frame))

    for variant, measured in run.variants().items():
        found = {(fate["outcome"], fate["place"]): fate["packets"] for fate in measured["fates"]}
        run.hold(f"{variant}: fates", found, fates)
        run.hold(f"{variant}: counters", run.counters(variant, "counters"), dict(counters))
        for port in (0, 1):
            run.hold_frames(f"{variant}: port {port}", run.sent(variant, port), sent[port], ordered=False)
    run.end()


if __name__ == "__main__":
    main()
