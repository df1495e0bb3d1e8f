//! The same scenario gives the same bytes: run again, on any number of threads, and from a build of another kind.
//!
//! Runs here are short, or one scenario; `.ci/run` holds whole ones, of both builds, against the same baselines.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::scenario::{self, scenarios};

/// A directory with these files of the scenarios' one.
fn copied(files: &[&str]) -> TempDir {
    let directory = scenario::directory();
    scenario::copy(files, directory.path());
    directory
}

/// The quickstart, all its placements and programs, with two thousand packets of its trace once over.
fn short_quickstart() -> TempDir {
    let directory = copied(&["programs/firewall.bpf.o", "programs/firewall_tc.bpf.o", "traces/mixed.pcap"]);
    let text = fs::read_to_string(scenarios().join("quickstart.yaml")).expect("the project has its scenarios");
    let loops = text.lines().find(|line| line.trim_start().starts_with("loop:")).expect("the quickstart loops");
    let indent = &loops[..loops.len() - loops.trim_start().len()];
    let short = text.replacen(loops, &format!("{indent}limit: 2000"), 1);
    // What a short run shows is not what the whole one is expected to.
    let short = scenario::without_expectations(&short);
    fs::write(directory.path().join("quickstart.yaml"), format!("{short}\n")).expect("the directory can be written");
    directory
}

/// What a run wrote and printed.
#[derive(PartialEq)]
struct Run {
    report: String,
    resolved: String,
    printed: Vec<u8>,
}

fn run(directory: &TempDir, file: &str, jobs: &str) -> Run {
    let results = tempfile::tempdir().expect("a temporary directory can be made");
    let output = Command::new(env!("CARGO_BIN_EXE_sim"))
        .current_dir(directory.path())
        .args(["run", file, "--quiet", "--jobs", jobs, "--results"])
        .arg(results.path())
        .output()
        .expect("the tool runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| fs::read_to_string(results.path().join("quickstart").join(name));
    Run {
        report: read("report.json").expect("a report is written"),
        resolved: read("resolved.yaml").expect("the scenario is written"),
        printed: output.stdout,
    }
}

/// Runs every scenario of a directory and holds the results against the baselines.
fn regress(directory: &Path) {
    let results = tempfile::tempdir().expect("a temporary directory can be made");
    let output = Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(["regress", "--quiet", "--baseline"])
        .arg(scenarios().join("../results/baseline"))
        .arg("--results")
        .args([results.path(), directory])
        .output()
        .expect("the tool runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn two_runs_and_any_number_of_threads_give_the_same_bytes() {
    let directory = short_quickstart();
    let first = run(&directory, "quickstart.yaml", "1");
    assert!(first == run(&directory, "quickstart.yaml", "1"), "a second run gives other bytes");
    assert!(first == run(&directory, "quickstart.yaml", "2"), "two threads give other bytes");
}

/// A release build is held against the same baselines by `sim regress`; this one has other optimisations and checks.
#[test]
fn this_build_gives_what_a_baseline_holds() {
    regress(copied(&["drop.yaml", "programs/drop.bpf.o", "programs/drop_tc.bpf.o", "traces/mixed.pcap"]).path());
}

/// `resolved.yaml`, put beside the scenario, gives the same results.
#[test]
fn a_resolved_scenario_runs_and_gives_the_same() {
    let directory = short_quickstart();
    let first = run(&directory, "quickstart.yaml", "2");
    fs::write(directory.path().join("again.yaml"), &first.resolved).expect("the directory can be written");
    let again = run(&directory, "again.yaml", "2");
    assert!(first.report == again.report, "the report of the resolved scenario differs");
    assert!(first.resolved == again.resolved, "the scenario resolves to another one");
}
