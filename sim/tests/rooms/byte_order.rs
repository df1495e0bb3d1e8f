//! Big-endian objects: on hosts of their byte order alone, and on no card; there the firewall does what it does elsewhere.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::scenario::{self, scenarios};

/// Runs an object at a hook of a host: exit code, messages, the placement's report.
fn run(object: &Path, order: &str, hook: &str) -> (Option<i32>, String, Value) {
    run_with(object, order, hook, &[])
}

/// The same with entries of the firewall's map of rules.
fn run_with(object: &Path, order: &str, hook: &str, rules: &[String]) -> (Option<i32>, String, Value) {
    let maps = match rules {
        [] => String::new(),
        rules => format!(", maps: {{blocked: {{entries: [{}]}}}}", rules.join(", ")),
    };
    let text = format!(
        "name: case\ntraffic:\n  - {{pcap: {}/traces/mixed.pcap, pacing: {{rate: 1 Mpps}}}}\nprograms:\n  p: {{object: {}{maps}}}\n\
         nic: agilio-cx-2x40\nhost: {{profile: xeon-e5-1650v4, set: {{byte_order: {order}}}}}\n\
         variants:\n  only: {{attach: {{{hook}: p}}}}\n",
        scenarios().display(),
        object.display()
    );
    let run = scenario::run(&text);
    (run.code(), run.said(), run.placements().into_iter().next().unwrap_or_default())
}

/// A program that passes every packet, built for the other byte order.
fn pass() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../bpf/tests/data/object/big.bpf.o")
}

#[test]
fn object_and_host_have_one_byte_order() {
    let (code, message, _) = run(&pass(), "little", "xdp-native");
    assert_eq!(code, Some(2), "{message}");
    assert!(message.contains("the object is big-endian, and the host is not"), "{message}");
    let firewall = scenarios().join("programs/firewall.bpf.o");
    let (code, message, _) = run(&firewall, "big", "xdp-native");
    assert_eq!(code, Some(2), "{message}");
    assert!(message.contains("the object is little-endian, and the host is not"), "{message}");
    assert_eq!(run(&pass(), "middle", "xdp-native").0, Some(2));
}

#[test]
fn a_big_endian_host_runs_it_and_the_card_does_not() {
    let (code, message, report) = run(&pass(), "big", "xdp-native");
    assert_eq!(code, Some(0), "{message}");
    assert_eq!(report["measured"]["fates"][0]["packets"], 22_451);
    let (code, message, report) = run(&pass(), "big", "xdp-offload");
    assert_eq!(code, Some(0), "{message}");
    assert_eq!(report["refusals"][0]["code"], "card-byte-order");
}

/// The firewall in a byte order, for one of the hooks.
fn firewall(order: &str, hook: &str) -> PathBuf {
    let directory = if order == "big" { "tests/data/big_endian" } else { "../scenarios/programs" };
    let name = if hook == "tc-ingress" { "firewall_tc.bpf.o" } else { "firewall.bpf.o" };
    Path::new(env!("CARGO_MANIFEST_DIR")).join(directory).join(name)
}

/// The rules of the quickstart, with values of that byte order.
fn rules(suffix: &str) -> Vec<String> {
    let text = std::fs::read_to_string(scenarios().join("quickstart.yaml")).expect("the quickstart is there");
    let entries =
        text.lines().filter_map(|line| line.trim().strip_prefix("- ").filter(|line| line.starts_with("{key")));
    let rules: Vec<String> = entries.map(|entry| entry.replace("le32", suffix)).collect();
    assert_eq!(rules.len(), 12);
    rules
}

/// What a map of the report holds, each byte string cut into numbers of these widths.
fn contents(report: &Value, map: &str, order: &str, key: &[usize], value: &[usize]) -> Vec<(Vec<u64>, Vec<u64>)> {
    let numbers = |text: &Value, widths: &[usize]| -> Vec<u64> {
        let mut text = text.as_str().expect("bytes are written in hexadecimal");
        let number = |width: &usize| {
            let (own, rest) = text.split_at(2 * width);
            text = rest;
            let value = u64::from_str_radix(own, 16).expect("they are hexadecimal");
            if order == "little" { value.swap_bytes() >> (64 - 8 * width) } else { value }
        };
        widths.iter().map(number).collect()
    };
    let maps = report["measured"]["maps"].as_array().expect("maps are reported");
    let map = maps.iter().find(|one| one["name"] == map).expect("the map is there");
    let entries = map["contents"].as_array().expect("its contents are reported");
    let mut entries: Vec<_> =
        entries.iter().map(|entry| (numbers(&entry["key"], key), numbers(&entry["value"], value))).collect();
    entries.sort();
    entries
}

#[test]
fn the_firewall_of_either_byte_order_does_the_same() {
    for hook in ["xdp-native", "tc-ingress"] {
        let reports = ["little", "big"].map(|order| {
            let suffix = if order == "big" { "be32" } else { "le32" };
            let (code, message, report) = run_with(&firewall(order, hook), order, hook, &rules(suffix));
            assert_eq!(code, Some(0), "{message}");
            // What an independent count says of the trace.
            assert_eq!(report["measured"]["fates"][0]["packets"], 3_124, "{order} {hook}");
            assert_eq!(report["measured"]["fates"][1]["packets"], 19_327, "{order} {hook}");
            let counters = contents(&report, "counters", order, &[4], &[8, 8]);
            let dropped = counters.iter().find(|(slot, _)| *slot == [6]);
            assert_eq!(dropped.map(|(_, traffic)| traffic[0]), Some(3_124), "{counters:?}");
            // Keys of rules are bytes of packets, the same in either order; their values are numbers of the machine.
            let hits = contents(&report, "blocked", order, &[], &[4, 4]);
            (counters, hits.into_iter().map(|(_, value)| value).collect::<Vec<_>>())
        });
        assert_eq!(reports[0], reports[1], "{hook}");
    }
}

#[test]
fn numbers_in_maps_are_of_the_hosts_byte_order() {
    // An action of the other order is no action that blocks.
    let hook = "xdp-native";
    let (code, message, report) = run_with(&firewall("big", hook), "big", hook, &rules("le32"));
    assert_eq!(code, Some(0), "{message}");
    assert_eq!(report["measured"]["fates"][0]["packets"], 22_451);
    let (_, message, report) = run_with(&firewall("big", hook), "big", "xdp-offload", &rules("be32"));
    assert_eq!(report["refusals"][0]["code"], "card-byte-order", "{message}");
}
