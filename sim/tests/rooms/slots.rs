//! Tail calls and maps of maps at the host's hooks: what slots hold at first, and what user space changes in them while
//! packets flow, against a count of the trace that runs no program.

use serde_json::Value;

use crate::support::scenario;

/// The placements of the scenario with changes.
fn run(changes: &[(&str, &str)]) -> Vec<Value> {
    scenario::run(&scenario::changed("slices", changes)).ended(&[0]).placements()
}

/// The protocol of each packet, if it is IPv4.
fn protocols() -> Vec<Option<u8>> {
    let frames = scenario::frames(&scenario::scenarios().join("traces/mixed.pcap"));
    let ipv4 = |frame: &Vec<u8>| frame.len() >= 34 && frame[12..14] == [8, 0];
    frames.iter().map(|frame| ipv4(frame).then(|| frame[23])).collect()
}

/// A word of a map, 0 where the report shows none.
fn word(placement: &Value, map: &str, key: u32) -> u64 {
    let maps = placement["measured"]["maps"].as_array().expect("maps");
    let map = maps.iter().find(|m| m["name"] == map).expect("the map is there");
    let hex = |text: &str| -> u64 {
        let bytes = (0..text.len() / 2).map(|i| u64::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hex digits"));
        bytes.rev().fold(0, |word, byte| word << 8 | byte)
    };
    let entry = map["contents"]
        .as_array()
        .expect("contents")
        .iter()
        .find(|e| hex(e["key"].as_str().unwrap()) == u64::from(key));
    entry.map_or(0, |entry| hex(entry["value"].as_str().expect("a value")))
}

fn packets(placement: &Value, outcome: &str) -> u64 {
    let fates = placement["measured"]["fates"].as_array().expect("fates");
    fates.iter().filter(|fate| fate["outcome"] == outcome).map(|fate| fate["packets"].as_u64().expect("a number")).sum()
}

fn work(placement: &Value, name: &str) -> Option<u64> {
    let work = placement["measured"]["work"].as_array().expect("work");
    work.iter().find(|work| work["name"] == name).map(|work| work["total"].as_u64().expect("a number"))
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;

#[test]
fn slots_change_while_packets_flow() {
    let placements = run(&[]);
    let (native, protocols) = (&placements[0], protocols());
    let of = |protocol: u8| protocols.iter().filter(|p| **p == Some(protocol)).count() as u64;
    // Packets come a microsecond apart; one that came shortly before an action may be looked at shortly after it.
    let before = |protocol: u8, packet: usize| {
        let count = |n: usize| protocols[..n].iter().filter(|p| **p == Some(protocol)).count() as u64;
        count(packet - 20)..=count(packet + 1)
    };
    let counted = |slot: u32| (word(native, "first", slot), word(native, "second", slot));
    let (tcp, udp, icmp) = (counted(0), counted(1), counted(2));
    // Until 6 ms UDP goes to the program that drops, then to the one that counts as TCP.
    assert!(before(UDP, 6_000).contains(&(udp.0 + udp.1)), "{udp:?}");
    assert_eq!(packets(native, "dropped"), udp.0 + udp.1);
    assert_eq!(tcp.0 + tcp.1, of(TCP) + of(UDP) - (udp.0 + udp.1));
    // From 12 ms on the slot of ICMP is empty again.
    assert!(before(ICMP, 12_000).contains(&(icmp.0 + icmp.1)), "{icmp:?}");
    assert_eq!(packets(native, "transmitted"), icmp.0 + icmp.1);
    // At 8 ms the map is swapped whole.
    assert!(before(ICMP, 8_000).contains(&icmp.0), "{icmp:?}");
    assert_eq!(udp.1, 0, "by then no packet goes there");
    assert!(tcp.0 >= *before(TCP, 8_000).start() && tcp.1 > 0);
    assert_eq!((work(native, "user map writes"), work(native, "user map writes refused")), (Some(3), Some(0)));
}

#[test]
fn slots_stay_where_nobody_writes() {
    // Drop all actions and the slot that the scenario fills: what the object puts there decides.
    let placements = run(&[
        ("          - {key: 2, value: {program: xdp_icmp}}\n", ""),
        ("        entries:\n", "        entries: []\n"),
        ("      - {at: 6 ms, map: jump, update: {key: 1, value: {program: xdp_tcp}}}\n", ""),
        ("      - {at: 8 ms, map: current, update: {key: 0, value: {map: second}}}\n", ""),
        ("    actions:\n      - {at: 12 ms, map: jump, delete: {key: 2}}\n", ""),
    ]);
    let (native, protocols) = (&placements[0], protocols());
    let of = |protocol: u8| protocols.iter().filter(|p| **p == Some(protocol)).count() as u64;
    assert_eq!((word(native, "first", 0), word(native, "first", 1)), (of(TCP), of(UDP)));
    assert_eq!((packets(native, "dropped"), packets(native, "transmitted")), (of(UDP), 0));
    assert_eq!(work(native, "user map writes"), None);
}

#[test]
fn what_a_map_refuses_is_counted() {
    let placements = run(&[("map: jump, delete: {key: 2}", "map: jump, delete: {key: 3}")]);
    assert_eq!(work(&placements[0], "user map writes refused"), Some(1));
}

#[test]
fn the_card_refuses_by_name() {
    let placements = run(&[]);
    let refusals = placements[1]["refusals"].as_array().expect("refusals");
    let codes: Vec<_> = refusals.iter().map(|r| (r["code"].as_str().unwrap(), r["actual"].as_str())).collect();
    assert!(codes.contains(&("offload-map-type", Some("prog_array"))), "{codes:?}");
    assert!(codes.contains(&("card-map-actions", Some("an action at 6 ms"))), "{codes:?}");
}
