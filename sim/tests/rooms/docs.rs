//! What the pages for users show works as they show it.

use std::path::Path;
use std::process::Command;

use sim::report::METRICS;
use sim::scenario::Scenario;

use crate::support::scenario::{copy, directory};

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(path).expect("the project has its pages")
}

/// The first piece of a page in that language.
fn piece<'a>(page: &'a str, language: &str) -> &'a str {
    let (_, after) = page.split_once(&format!("```{language}\n")).expect("the page has one");
    after.split("```").next().expect("a first part")
}

#[test]
fn the_scenario_is_one() {
    let directory = directory();
    let files = ["programs/firewall.bpf.o", "programs/firewall_tc.bpf.o", "traces/mixed.pcap"];
    copy(&files, directory.path());
    let path = directory.path().join("firewall.yaml");
    std::fs::write(&path, piece(&page("scenarios.md"), "yaml")).expect("the directory can be written");
    let scenario = Scenario::load(&path).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!((scenario.variants.len(), scenario.expect.len()), (6, 3));
}

#[test]
fn every_metric_is_named() {
    let page = page("scenarios.md");
    for metric in METRICS {
        let short = metric.name.strip_prefix("latency").unwrap_or(metric.name);
        let named = [metric.name, short].into_iter().any(|name| page.contains(&format!("`{name}`")));
        assert!(named, "docs/scenarios.md does not name {}", metric.name);
    }
}

#[test]
fn commands_on_a_state_work() {
    let directory = directory();
    copy(&["programs/firewall.bpf.o"], &directory.path().join("scenarios"));
    let script = format!("set -e\nsim() {{ \"$SIM\" \"$@\"; }}\n{}", piece(&page("state.md"), "sh"));
    let output = Command::new("sh")
        .current_dir(directory.path())
        .env("SIM", env!("CARGO_BIN_EXE_sim"))
        .args(["-c", &script])
        .output()
        .expect("there is a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(directory.path().join("bpf-state.json").is_file());
}
