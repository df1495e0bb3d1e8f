//! `sim regress`: red when a cost changes, green when nothing does, and what it says.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::scenario::copy;

/// A directory with one small scenario, whose card has these values set.
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    copy(&["programs/firewall.bpf.o", "traces/mixed.pcap"], &directory.path().join("scenarios"));
    directory
}

fn scenario(directory: &Path, nic: &str) {
    let text = format!(
        "name: small\ntraffic:\n  - {{pcap: traces/mixed.pcap, pacing: {{rate: 4 Mpps}}, limit: 2000}}\n\
         programs:\n  fw: {{object: programs/firewall.bpf.o}}\nnic: {nic}\nhost: xeon-e5-1650v4\n\
         variants:\n  offload: {{attach: {{xdp-offload: fw}}}}\n"
    );
    std::fs::write(directory.join("scenarios/small.yaml"), text).expect("the directory can be written");
}

fn regress(directory: &Path, extra: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sim"))
        .current_dir(directory)
        .args(["regress", "scenarios", "--quiet", "--baseline", "baseline"])
        .args(extra)
        .output()
        .expect("the tool runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_cost_that_changes_turns_it_red_and_is_named() {
    let directory = directory();
    let at = directory.path();
    scenario(at, "agilio-cx-2x40");
    let (code, text) = regress(at, &[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("no baseline") && text.contains("--bless"), "{text}");

    assert_eq!(regress(at, &["--bless"]).0, Some(0));
    let (code, text) = regress(at, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("1 passed, 0 failed"), "{text}");

    let blessed = std::fs::read_to_string(at.join("baseline/small.json")).expect("the baseline is written");
    scenario(at, "{profile: agilio-cx-2x40, set: {core_costs.branch: 5}}");
    let junit: PathBuf = at.join("junit.xml");
    let (code, text) = regress(at, &["--junit", junit.to_str().expect("the path is text")]);
    assert_eq!(code, Some(1), "{text}");
    let line = text.lines().find(|l| l.contains("offload.card.cycles:")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains(" -> ") && line.contains('%'), "{line}");
    let junit = std::fs::read_to_string(junit).expect("the JUnit report is written");
    assert!(junit.contains("failures=\"1\"") && junit.contains("offload.card.cycles"), "{junit}");
    let after = std::fs::read_to_string(at.join("baseline/small.json")).expect("the baseline is there");
    assert_eq!(blessed, after, "a red run leaves the baseline as it was");
}

#[test]
fn a_damaged_baseline_is_bad_input() {
    let directory = directory();
    scenario(directory.path(), "agilio-cx-2x40");
    std::fs::create_dir(directory.path().join("baseline")).expect("the directory is new");
    std::fs::write(directory.path().join("baseline/small.json"), "{").expect("the directory can be written");
    let (code, text) = regress(directory.path(), &[]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("small.json") && text.contains("--bless"), "{text}");
}

#[test]
fn an_empty_directory_is_bad_input() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    std::fs::create_dir(directory.path().join("scenarios")).expect("the directory is new");
    let (code, text) = regress(directory.path(), &[]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("*.yaml"), "{text}");
}
