#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Says who must have been banned by when, and what user space must have found.

Usage: guard.py DIRECTORY   of a run's results and captures
"""
from packets import *

SYN, ACK = 2, 16
TURNED_AWAY, LET_IN, HEARD, OPENED, BANNED, NO_IP = range(6)
MOST = 100
SCANNER, PARDONED, ACCUSED = ip("192.0.2.13"), ip("192.0.2.26"), ip("192.0.2.11")


def untagged(frame):
    """Bytes that tc sees of a frame: its outer tag stands beside it."""
    return len(frame) - (4 if frame[12:14] in (b"\x81\x00", b"\x88\xa8") else 0)


def main():
    run = Run(directory())
    trace = [frame for _, frame in read_pcap(SCENARIOS / "traces/mixed.pcap")]
    counters, gate, openings, banned = Counts(), Counts(), {}, {}
    fates = {"delivered": 0, "dropped": 0}

    def play():
        for frame in trace:
            packet, end = parse(frame), "delivered"
            if isinstance(packet, str):
                counters.add(NO_IP, len(frame))
                counters.add(NO_IP, untagged(frame))
                gate.add(NO_IP, len(frame))
            else:
                gate.add(LET_IN, len(frame))
                if packet.source in banned:
                    banned[packet.source] += 1
                    counters.add(TURNED_AWAY, len(frame))
                    end = "dropped"
                else:
                    counters.add(LET_IN, len(frame))
                    slot = HEARD
                    if packet.protocol == TCP and packet.fragment == WHOLE and packet.flags & (SYN | ACK) == SYN:
                        counters.add(OPENED, untagged(frame))
                        openings[packet.source] = openings.get(packet.source, 0) + 1
                        if openings[packet.source] > MOST:
                            banned[packet.source] = 0
                            slot, end = BANNED, "dropped"
                    counters.add(slot, untagged(frame))
            fates[end] += 1

    found = []

    def look(at, source):
        found.append((at, source, banned.get(source)))

    play()
    look(25, SCANNER)
    del banned[PARDONED], openings[PARDONED]
    banned[ACCUSED] = 0
    look(28, PARDONED)
    play()
    look(60, SCANNER)
    look(60, PARDONED)

    def key(source):
        return source if len(source) == 16 else source + bytes(12)

    run.hold("guarded: fates", run.fates("guarded"), fates)
    run.hold("guarded: counters", run.counters("guarded", "counters"), dict(counters))
    for name, expected in (("openings", openings), ("banned", banned)):
        values = {key(source): struct.pack("<Q", number) for source, number in expected.items() if number}
        run.hold(f"guarded: {name}", run.map("guarded", name), values)
    for operation in run.variants()["guarded"]["operations"]:
        if operation["operation"] == "lookup":
            entries = [entry for read in operation["read"] for entry in read["contents"]]
            there = [(key(source), number) for _, source, number in found if number is not None]
            values = [(bytes.fromhex(e["key"]), int.from_bytes(bytes.fromhex(e["value"]), "little")) for e in entries]
            run.hold("guarded: read", values, there)
            failed = [(f["errno"], f["count"], f["first_at_ps"]) for f in operation["failed"]]
            run.hold("guarded: not there", failed, [("ENOENT", 1, 28 * 10**9)])
    run.hold("gate: fates", run.fates("gate"), {"delivered": 2 * len(trace)})
    run.hold("gate: counters", run.counters("gate", "counters"), dict(gate))
    run.end()


if __name__ == "__main__":
    main()
