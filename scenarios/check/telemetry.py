#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Says what user space must have heard of the trace's flows.

Usage: telemetry.py DIRECTORY   of a run's results and captures
"""
import json
import struct

from packets import *

BEGIN, SAMPLE, END = range(3)
PACKETS, NO_FLOW, WRITTEN, LOST, NOT_KEPT = range(5)
RECORD = "<QQQ16s16s4sBBHBBH60s"


def expected():
    """(records in the order they are made, counters of packets, flows at the end)."""
    flows, records, counters = {}, [], {}
    for _, frame in read_pcap(SCENARIOS / "traces/mixed.pcap"):
        packet = parse(frame)
        if isinstance(packet, str):
            counters[NO_FLOW] = counters.get(NO_FLOW, 0) + 1
            continue
        counters[PACKETS] = counters.get(PACKETS, 0) + 1
        ports = struct.pack("!HH", *packet.ports) if packet.ports else bytes(4)
        key = (packet.source.ljust(16, b"\0"), packet.destination.ljust(16, b"\0"), ports)
        key += (packet.protocol, packet.family, 0)
        packets, size = flows.get(key, (0, 0))
        flows[key] = packets, size = packets + 1, size + len(frame)
        flags = packet.flags if packet.fragment != LATER else 0
        over = packet.protocol == TCP and flags & 5
        kinds = [BEGIN] if packets == 1 else [SAMPLE] if packets >= 8 and packets & packets - 1 == 0 else []
        for kind in kinds + ([END] if over else []):
            records.append((packets, size, *key, kind, flags, len(frame), frame[:60].ljust(60, b"\0")))
        if over:
            del flows[key]
    return records, counters, flows


def read(run, variant):
    """(when user space read it, what the program wrote) of each record."""
    lines = (run.directory / f"{variant}.xdp.events.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in lines]
    return [(line["at_ps"], struct.unpack(RECORD, bytes.fromhex(line["bytes"]))) for line in lines]


def main():
    run = Run(directory())
    records, counters, flows = expected()
    for variant in run.variants():
        heard = read(run, variant)
        run.hold(f"{variant}: fates", run.fates(variant), {"delivered": sum(counters.values())})
        found = {slot: total for slot, (total,) in run.counters(variant, "counters", 1).items()}
        lost = found.get(LOST, 0)
        run.hold(f"{variant}: packets counted", [found.get(slot) for slot in counters], list(counters.values()))
        run.hold(f"{variant}: records written", found.get(WRITTEN), len(heard))
        run.hold(f"{variant}: records written and lost", len(heard) + lost, len(records))
        run.hold(f"{variant}: whether records are lost", lost > 0, variant == "neglected")
        work = {work["name"]: work["total"] for work in run.variants()[variant]["work"]}
        run.hold(f"{variant}: records read", work.get("user records read"), len(heard))
        for at, record in heard:
            # What a program does is there when its core takes the packet; its clock goes on meanwhile.
            if record[0] * 1000 > at + 1_000_000:
                run.hold(f"{variant}: time of a record", record[0] * 1000, f"no microsecond after it was read, {at}")
                break
        contents = [record[1:] for _, record in heard]
        if variant == "native-4":
            run.hold(f"{variant}: records", sorted(contents), sorted(records))
        elif variant == "neglected":
            # What was heard is what was made, in its order, with gaps.
            rest = iter(records)
            run.hold(f"{variant}: records in order", all(record in rest for record in contents), True)
        else:
            run.hold(f"{variant}: records", contents, records)
        shown = run.map(variant, "flows")
        run.hold(f"{variant}: flows shown", len(shown), min(256, len(flows)))
        for key, value in shown.items():
            key = struct.unpack("<16s16s4sBBH", key)
            run.hold(f"{variant}: flow {key}", struct.unpack("<QQ", value[:16]), flows.get(key))
    run.end()


if __name__ == "__main__":
    main()
