//! Big-endian objects: on hosts of their byte order alone, and on no card.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Runs an object at a hook of a host: exit code, messages, the placement's report.
fn run(object: &Path, order: &str, hook: &str) -> (Option<i32>, String, Value) {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let text = format!(
        "name: case\ntraffic:\n  - {{pcap: {}/traces/mixed.pcap, pacing: {{rate: 1 Mpps}}}}\nprograms:\n  p: {{object: {}}}\n\
         nic: agilio-cx-2x40\nhost: {{profile: xeon-e5-1650v4, set: {{byte_order: {order}}}}}\n\
         variants:\n  only: {{attach: {{{hook}: p}}}}\n",
        scenarios.display(),
        object.display()
    );
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    std::fs::write(directory.path().join("case.yaml"), text).expect("the directory can be written");
    let output = Command::new(env!("CARGO_BIN_EXE_sim"))
        .current_dir(directory.path())
        .args(["run", "case.yaml", "--quiet"])
        .output()
        .expect("the tool runs");
    let report = std::fs::read(directory.path().join("results/case/report.json")).unwrap_or_default();
    let report: Value = serde_json::from_slice(&report).unwrap_or_default();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), message, report["variants"][0].clone())
}

/// A program that passes every packet, built for the other byte order.
fn pass() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../bpf/tests/data/object/big.bpf.o")
}

#[test]
fn object_and_host_have_one_byte_order() {
    let (code, message, _) = run(&pass(), "little", "xdp-native");
    assert_eq!(code, Some(2), "{message}");
    assert!(message.contains("the object is big-endian, and the host is not"), "{message}");
    let firewall = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/programs/firewall.bpf.o");
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
