//! The firmware's routines under load: programs with tail calls, maps of maps, routes, hashes, LRU maps and counters on a card
//! whose contexts are all at work, beside the interpreter at the host's hook. What leaves, what became of the packets and what
//! the maps hold must be what the interpreter makes of them in the trace's order, as far as no order decides it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::scenario;

/// A scenario of the project's with changes: its placements, and the frames that left in each, by name of the placement.
fn run(name: &str, changes: &[(&str, &str)]) -> (Vec<Value>, BTreeMap<String, Vec<Vec<u8>>>) {
    let changes = [changes, &[("nic: agilio-cx-2x40", "nic: open-npu")]].concat();
    // Expectations are of the scenario as it was.
    let text = scenario::changed(name, &changes);
    let text = scenario::without_expectations(&text);
    let run = scenario::run_in(scenario::directory(), text, &["--capture", "."]).ended(&[0]);
    let mut sent = BTreeMap::new();
    for entry in std::fs::read_dir(run.directory.path()).expect("the directory is there") {
        let path = entry.expect("a directory can be read").path();
        if path.extension().is_none_or(|end| end != "pcap") {
            continue;
        }
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let mut frames = scenario::frames(&path);
        frames.sort();
        sent.insert(name, frames);
    }
    (run.placements(), sent)
}

/// Packets by what became of them.
fn fates(placement: &Value) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for fate in placement["measured"]["fates"].as_array().expect("fates") {
        let outcome = fate["outcome"].as_str().expect("a word").to_owned();
        *sums.entry(outcome).or_default() += fate["packets"].as_u64().expect("a number");
    }
    sums
}

/// What a map holds at the end, by key.
fn contents(placement: &Value, map: &str) -> BTreeMap<String, String> {
    let maps = placement["measured"]["maps"].as_array().expect("maps");
    let map = maps.iter().find(|m| m["name"] == map).unwrap_or_else(|| panic!("no map {map}"));
    let text = |value: &Value| value.as_str().expect("hex digits").to_owned();
    let entries = map["contents"].as_array().expect("contents");
    entries.iter().map(|entry| (text(&entry["key"]), text(&entry["value"]))).collect()
}

fn placement<'a>(placements: &'a [Value], name: &str) -> &'a Value {
    let found = placements.iter().find(|placement| placement["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no placement {name}"));
    assert_eq!(found["refusals"].as_array().map_or(0, Vec::len), 0, "{}", found["refusals"]);
    found
}

/// Holds the card's placement against the host's, each with changes of its own to the scenario; `maps` are those whose
/// contents no order decides.
fn agree(name: &str, host: &[(&str, &str)], card: &[(&str, &str)], maps: &[&str]) {
    let (placements, sent) = run(name, host);
    let native = placement(&placements, "native");
    let (placements, sent_by_card) = run(name, card);
    let offload = placement(&placements, "offload");
    // What the card hands up faster than the host takes it is lost behind the program.
    let mut mine = fates(offload);
    if let Some(lost) = mine.remove("lost") {
        *mine.entry("delivered".to_owned()).or_default() += lost;
    }
    assert_eq!(mine, fates(native), "{name}");
    for map in maps {
        let (theirs, mine) = (contents(native, map), contents(offload, map));
        assert!(!theirs.is_empty(), "{name}: {map} is used");
        assert_eq!(mine, theirs, "{name}: {map}");
    }
    let of = |sent: &BTreeMap<String, Vec<Vec<u8>>>, placement: &str| {
        let of_placement = |(file, _): &(&String, &Vec<Vec<u8>>)| file.split(['.', '_']).any(|part| part == placement);
        let mut frames: Vec<Vec<u8>> =
            sent.iter().filter(of_placement).flat_map(|(_, frames)| frames.iter().cloned()).collect();
        frames.sort();
        frames
    };
    let (theirs, mine) = (of(&sent, "native"), of(&sent_by_card, "offload"));
    let differ = mine.iter().zip(&theirs).position(|(a, b)| a != b);
    assert_eq!((mine.len(), differ), (theirs.len(), None), "{name}: frames that left");
}

/// Tail calls, and a map of maps whose inner map counts.
#[test]
fn slices_count_exactly() {
    let host = [
        ("      - {at: 6 ms, map: jump, update: {key: 1, value: {program: xdp_tcp}}}\n", ""),
        ("      - {at: 8 ms, map: current, update: {key: 0, value: {map: second}}}\n", ""),
        ("    actions:\n      - {at: 12 ms, map: jump, delete: {key: 2}}\n", ""),
    ];
    let card = [host.as_slice(), &[("{rate: 1 Mpps}", "{rate: 10 Mpps}")]].concat();
    agree("slices", &host, &card, &["first"]);
}

/// Routes, neighbours, tries and redirects.
#[test]
fn routers_forward_alike() {
    agree("router", &[], &[("{rate: 2 Mpps}", "{rate: 10 Mpps}")], &[]);
}
