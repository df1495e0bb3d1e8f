//! The firmware's routines under load: programs with tail calls, maps of maps, routes, hashes, LRU maps and counters on a card
//! whose contexts are all at work, beside the interpreter at the host's hook. What leaves, what became of the packets and what
//! the maps hold must be what the interpreter makes of them in the trace's order, as far as no order decides it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use sim::traffic::{Record, TraceReader};

/// A scenario of the project's with changes: its placements, and the frames that left in each, by name of the placement.
fn run(name: &str, changes: &[(&str, &str)]) -> (Vec<Value>, BTreeMap<String, Vec<Vec<u8>>>) {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut text = std::fs::read_to_string(scenarios.join(format!("{name}.yaml"))).expect("the project has its files");
    let absolute = format!("{}/", scenarios.display());
    text = text.replace("pcap: ", &format!("pcap: {absolute}")).replace("object: ", &format!("object: {absolute}"));
    for (from, to) in changes.iter().chain(&[("nic: agilio-cx-2x40", "nic: open-npu")]) {
        assert!(text.contains(from), "{name}: the case changes something: {from}");
        text = text.replace(from, to);
    }
    // Expectations are of the scenario as it was.
    let text = text.split("\nexpect:").next().expect("a first part");
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    std::fs::write(directory.path().join("case.yaml"), text).expect("the directory can be written");
    let output = Command::new(env!("CARGO_BIN_EXE_sim"))
        .current_dir(directory.path())
        .args(["run", "case.yaml", "--quiet", "--capture", "."])
        .output()
        .expect("the tool runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = std::fs::read(directory.path().join(format!("results/{name}/report.json"))).expect("a report");
    let report: Value = serde_json::from_slice(&report).expect("the report is JSON");
    let variants = report["variants"].as_array().expect("it has placements").clone();
    let mut sent = BTreeMap::new();
    for entry in std::fs::read_dir(directory.path()).expect("the directory is there") {
        let path = entry.expect("a directory can be read").path();
        if path.extension().is_none_or(|end| end != "pcap") {
            continue;
        }
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let mut reader = TraceReader::open(&path).expect("the capture opens");
        let (mut frames, mut record) = (Vec::new(), Record::default());
        while reader.next_into(&mut record).expect("the capture is sound") {
            frames.push(record.bytes.clone());
        }
        frames.sort();
        sent.insert(name, frames);
    }
    (variants, sent)
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
