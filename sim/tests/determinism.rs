//! The same scenario gives the same bytes: run again, on any number of threads, and from a build of another kind.

use std::path::{Path, PathBuf};

use assert_cmd::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sim() -> Command {
    let mut command = Command::cargo_bin("sim").expect("the tool is built");
    command.current_dir(root());
    command
}

/// Files of a run of the quickstart, and what it printed.
fn quickstart(jobs: &str) -> Vec<Vec<u8>> {
    let results = tempfile::tempdir().expect("a temporary directory can be made");
    let output = sim()
        .args(["run", "scenarios/quickstart.yaml", "--quiet", "--jobs", jobs, "--results"])
        .arg(results.path())
        .output()
        .expect("the tool runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let files = ["report.json", "resolved.yaml"].map(|name| results.path().join("quickstart").join(name));
    let read = |path: &PathBuf| std::fs::read(path).expect("the run has written its results");
    files.iter().map(read).chain([output.stdout]).collect()
}

#[test]
fn two_runs_and_any_number_of_threads_give_the_same_bytes() {
    let first = quickstart("1");
    assert!(first == quickstart("1"), "a second run gives other bytes");
    assert!(first == quickstart("2"), "two threads give other bytes");
}

/// A release build is held against the same baselines by `sim regress`; this one has other optimisations and checks.
#[test]
fn this_build_gives_what_the_baselines_hold() {
    let results = tempfile::tempdir().expect("a temporary directory can be made");
    let output = sim()
        .args(["regress", "scenarios", "--quiet", "--results"])
        .arg(results.path())
        .output()
        .expect("the tool runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

/// `resolved.yaml`, put beside the scenario, gives the same results.
#[test]
fn a_resolved_scenario_runs_and_gives_the_same() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let copy = |from: &str| {
        let to = directory.path().join(from);
        std::fs::create_dir_all(to.parent().expect("the file is in a directory")).expect("the directory can be made");
        std::fs::copy(root().join("scenarios").join(from), to).expect("the project has its files");
    };
    copy("programs/firewall.bpf.o");
    copy("programs/firewall_tc.bpf.o");
    copy("traces/mixed.pcap");
    copy("quickstart.yaml");
    let run = |file: &str, results: &str| {
        let mut command = Command::cargo_bin("sim").expect("the tool is built");
        let command = command.current_dir(directory.path()).args(["run", file, "--quiet", "--results", results]);
        let output = command.output().expect("the tool runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let read = |name: &str| std::fs::read_to_string(directory.path().join(results).join("quickstart").join(name));
        (read("report.json").expect("a report is written"), read("resolved.yaml").expect("the scenario is written"))
    };
    let (report, resolved) = run("quickstart.yaml", "first");
    std::fs::write(directory.path().join("again.yaml"), &resolved).expect("the directory can be written");
    let (again, resolved_again) = run("again.yaml", "second");
    assert!(report == again, "the report of the resolved scenario differs");
    assert!(resolved == resolved_again, "the scenario resolves to another one");
}
