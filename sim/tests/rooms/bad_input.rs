//! Bad scenarios: one message each, with its place, exit code 2, and nothing written.

use crate::support::scenario::{self, Run};

/// A sound scenario that every case changes in one place.
const SOUND: &str = r#"name: case
traffic:
  - pcap: traces/mixed.pcap
    pacing: {rate: 10 Gbps}
    limit: 100
programs:
  drop: {object: programs/drop.bpf.o}
nic: agilio-cx-2x40
host: xeon-e5-1650v4
variants:
  native: {attach: {xdp-native: drop}}
expect:
  - native.lost == 0
"#;

/// A run of the scenario in a directory with traces and programs of the project, and files of its own.
fn run(scenario: &str, extra: &[(&str, &[u8])]) -> Run {
    const FILES: [&str; 5] = [
        "programs/drop.bpf.o",
        "programs/firewall.bpf.o",
        "programs/slices.bpf.o",
        "programs/telemetry.bpf.o",
        "traces/mixed.pcap",
    ];
    let directory = scenario::directory();
    scenario::copy(&FILES, directory.path());
    for (name, bytes) in extra {
        std::fs::write(directory.path().join(name), bytes).expect("the directory can be written");
    }
    scenario::run_in(directory, scenario, &[])
}

/// Runs a changed scenario; checks exit code, that nothing is written, and that each part stands in the message.
fn refused(from: &str, to: &str, extra: &[(&str, &[u8])], parts: &[&str]) {
    assert!(SOUND.contains(from), "the case changes something: {from}");
    let run = run(&SOUND.replace(from, to), extra);
    let message = run.said();
    assert_eq!(run.code(), Some(2), "{to}\n{message}");
    assert!(run.output.stdout.is_empty(), "{to}");
    assert!(!run.directory.path().join("results").exists(), "{to}: nothing is written");
    for part in parts {
        assert!(message.contains(part), "{to}: no `{part}` in\n{message}");
    }
    assert_eq!(message.matches("error:").count(), 1, "{message}");
}

#[test]
fn the_sound_one_runs() {
    let run = run(SOUND, &[]).ended(&[0]);
    assert!(run.directory.path().join("results/case/report.json").is_file());
    assert!(run.directory.path().join("results/case/resolved.yaml").is_file());
}

#[test]
fn unknown_key() {
    refused("pacing:", "pacin:", &[], &["case.yaml:4:5", "pacin", "pacing", "^"]);
}

#[test]
fn wrong_unit() {
    refused("10 Gbps", "10 GHz", &[], &["case.yaml:4:", "10 GHz", "Gbps", "^"]);
}

#[test]
fn missing_file() {
    refused("traces/mixed.pcap", "traces/none.pcap", &[], &["case.yaml:3:11", "none.pcap", "No such file", "^"]);
    refused("drop.bpf.o", "none.bpf.o", &[], &["case.yaml:7:", "none.bpf.o", "^"]);
}

#[test]
fn unknown_card() {
    refused("agilio-cx-2x40", "agilio-cx-2x41", &[], &["case.yaml:8:6", "agilio-cx-2x40", "^"]);
    refused("xeon-e5-1650v4", "xeon", &[], &["case.yaml:9:7", "xeon-e5-1650v4", "^"]);
}

#[test]
fn non_elf_object() {
    let text: &[(&str, &[u8])] = &[("programs/text.bpf.o", b"int main() { return 0; }")];
    refused("drop.bpf.o", "text.bpf.o", text, &["case.yaml:7:", "ELF", "text.bpf.o", "^"]);
    refused("drop.bpf.o", "empty.bpf.o", &[("programs/empty.bpf.o", b"")], &["case.yaml:7:", "^"]);
}

#[test]
fn empty_trace() {
    refused("mixed.pcap", "empty.pcap", &[("traces/empty.pcap", b"")], &["case.yaml:3:11", "empty", "^"]);
    // A header and no record.
    let mut header = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    header.extend([0; 8]);
    header.extend([0xff, 0xff, 0, 0, 1, 0, 0, 0]);
    refused("mixed.pcap", "none.pcap", &[("traces/none.pcap", &header)], &["case.yaml:3:11", "no frame", "^"]);
}

#[test]
fn what_is_wrong_between_the_parts() {
    refused("xdp-native: drop", "xdp-native: dorp", &[], &["case.yaml:11:", "dorp", "drop", "^"]);
    refused("xdp-native: drop", "tc-ingress: drop", &[], &["case.yaml:11:", "tc-ingress", "xdp", "^"]);
    refused("native.lost == 0", "native.lots == 0", &[], &["case.yaml:13:5", "lots", "lost", "^"]);
    refused("native.lost == 0", "offload.lost == 0", &[], &["case.yaml:13:5", "offload", "native", "^"]);
    refused("name: case", "name: ../case", &[], &["case.yaml:1:7", "^"]);
    refused("limit: 100", "port: 9", &[], &["case.yaml:5:11", "port", "^"]);
    refused("xdp-native: drop}}", "xdp-native: drop}, queues: 99}", &[], &["case.yaml:11:", "queue", "^"]);
}

#[test]
fn maps_that_do_not_fit() {
    let with = |maps: &str| format!("{{object: programs/firewall.bpf.o, program: xdp_firewall, maps: {maps}}}");
    let from = "{object: programs/drop.bpf.o}";
    refused(from, &with("{blokced: {entries: []}}"), &[], &["case.yaml:7:", "blokced", "blocked", "^"]);
    let short = with("{blocked: {entries: [{key: 192.0.2.1, value: 1le32 0le32}]}}");
    refused(from, &short, &[], &["case.yaml:7:", "20 bytes", "4 bytes", "^"]);
    let wrong = with("{blocked: {entries: [{key: 192.0.2.x, value: 1le32 0le32}]}}");
    refused(from, &wrong, &[], &["case.yaml:7:", "192.0.2.x", "^"]);
}

#[test]
fn not_yaml() {
    refused("traffic:", "traffic: [", &[], &["case.yaml:", "^"]);
    refused("name: case", "name: case\nname: again", &[], &["case.yaml:2:1", "name", "^"]);
}

/// The sound scenario with a program that has slots, and this beside its object.
fn refused_slots(program: &str, parts: &[&str]) {
    let to = format!("object: programs/slices.bpf.o, program: xdp_slices, {program}");
    refused("object: programs/drop.bpf.o", &to, &[], parts);
}

#[test]
fn slots() {
    let entry = |map: &str, value: &str| format!("maps: {{{map}: {{entries: [{{key: 0, value: {value}}}]}}}}");
    refused_slots(&entry("jump", "5"), &["case.yaml:7:", "value of map `jump` is a program", "{program: NAME}", "^"]);
    refused_slots(&entry("jump", "{map: first}"), &["case.yaml:7:", "value of map `jump` is a program", "^"]);
    refused_slots(&entry("jump", "{program: xdp_none}"), &["case.yaml:7:", "xdp_none", "^"]);
    refused_slots(&entry("current", "{map: none}"), &["case.yaml:7:", "the object has no map `none`", "^"]);
    refused_slots(&entry("current", "{map: jump}"), &["current[00000000]", "EINVAL"]);
    let beyond = "maps: {jump: {entries: [{key: 3, value: {program: xdp_tcp}}]}}";
    refused_slots(beyond, &["jump[03000000]", "E2BIG"]);
}

#[test]
fn actions() {
    let action = |action: &str| format!("actions: [{{{action}}}]");
    let both = "at: 1 ms, map: first, update: {key: 0, value: 1}, delete: {key: 0}";
    refused_slots(&action(both), &["case.yaml:7:", "an action updates an entry, deletes one", "^"]);
    refused_slots(&action("at: 1 ms, map: first"), &["case.yaml:7:", "an action updates", "delete: {key: KEY}", "^"]);
    refused_slots(&action("at: 1 ms, map: third, delete: {key: 0}"), &["case.yaml:7:", "no map `third`", "jump", "^"]);
    let three = "at: 1 ms, map: first, dump: true, lookup: {key: 0}";
    refused_slots(&action(three), &["case.yaml:7:", "reads one or reads all", "^"]);
    refused_slots(&action("at: 1 ms, map: first, process: 1024, dump: true"), &["case.yaml:7:", "0 to 1023", "^"]);
    refused_slots(&action("at: 1, map: first, delete: {key: 0}"), &["case.yaml:7:", "^"]);
    refused_slots(&action("at: 3601 s, map: first, delete: {key: 0}"), &["case.yaml:7:", "3600 s", "^"]);
    refused_slots(&action("at: 1 ms, map: first, update: {key: 0, value: 1le32}"), &["8 bytes", "4 bytes", "^"]);
}

#[test]
fn readers() {
    let reader =
        |reader: &str| format!("object: programs/telemetry.bpf.o, program: xdp_telemetry, readers: [{{{reader}}}]");
    for (written, parts) in [
        ("map: flows, every: 1 ms", ["case.yaml:7:", "a ring buffer, named once", "flows (lru_hash)", "^"]),
        ("map: none, every: 1 ms", ["case.yaml:7:", "no map `none`", "events", "^"]),
        ("map: events, every: 9 us", ["case.yaml:7:", "10 us to 3600 s", "9 us", "^"]),
        ("map: events", ["case.yaml:7:", "every", "readers", "^"]),
    ] {
        refused("object: programs/drop.bpf.o", &reader(written), &[], &parts);
    }
    refused("limit: 100", "start: 3601 s", &[], &["case.yaml:5:12", "3600 s", "3601 s", "^"]);
}
