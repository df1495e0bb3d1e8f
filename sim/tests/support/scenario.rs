//! The project's scenarios and their files, changed where a case needs it, and runs of them in directories of their own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use sim::traffic::{Record, TraceReader};
use tempfile::TempDir;

/// Where the project's scenarios are.
pub fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

/// A scenario of the project's, which finds its traces and programs wherever it stands; each change replaces every
/// occurrence of the first text by the second.
pub fn changed(name: &str, changes: &[(&str, &str)]) -> String {
    let path = scenarios().join(format!("{name}.yaml"));
    let mut text = std::fs::read_to_string(path).expect("the project has its scenarios");
    for (from, to) in changes {
        assert!(text.contains(from), "{name}: the case changes something: {from}");
        text = text.replace(from, to);
    }
    let absolute = scenarios().display().to_string();
    text.replace("pcap: ", &format!("pcap: {absolute}/")).replace("object: ", &format!("object: {absolute}/"))
}

/// The scenario without what it expects of its results.
pub fn without_expectations(text: &str) -> &str {
    text.split_once("\nexpect:").map_or(text, |(before, _)| before)
}

/// Copies these files of the scenarios' directory to another, each to the same place in it.
pub fn copy(files: &[&str], directory: &Path) {
    for file in files {
        let to = directory.join(file);
        std::fs::create_dir_all(to.parent().expect("it is in a directory")).expect("the directory can be made");
        std::fs::copy(scenarios().join(file), to).expect("the project has its files");
    }
}

/// A directory of a test's own.
pub fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory can be made")
}

/// A run of `sim run case.yaml`.
pub struct Run {
    /// Where it ran.
    pub directory: TempDir,
    /// What it printed, and how it ended.
    pub output: Output,
}

/// Runs a scenario in a new directory.
pub fn run(text: &str) -> Run {
    run_in(directory(), text, &[])
}

/// Runs a scenario in a directory that may have files for it, with more on the command line.
pub fn run_in(directory: TempDir, text: &str, args: &[&str]) -> Run {
    std::fs::write(directory.path().join("case.yaml"), text).expect("the directory can be written");
    let output = Command::new(env!("CARGO_BIN_EXE_sim"))
        .current_dir(directory.path())
        .args(["run", "case.yaml", "--quiet"])
        .args(args)
        .output()
        .expect("the tool runs");
    Run { directory, output }
}

impl Run {
    /// Exit code; none where a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.output.status.code()
    }

    /// All it printed.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&[&self.output.stdout[..], &self.output.stderr[..]].concat()).into_owned()
    }

    /// Fails the test unless it ended with one of these exit codes.
    #[track_caller]
    pub fn ended(self, codes: &[i32]) -> Run {
        assert!(self.code().is_some_and(|code| codes.contains(&code)), "{:?}: {}", self.code(), self.said());
        self
    }

    /// The placements of its report; none where it left no report.
    pub fn placements(&self) -> Vec<Value> {
        let Ok(mut results) = std::fs::read_dir(self.directory.path().join("results")) else { return Vec::new() };
        let own = results.next().expect("they have the scenario's name").expect("the directory can be read");
        let report = std::fs::read(own.path().join("report.json")).expect("results hold a report");
        let report: Value = serde_json::from_slice(&report).expect("the report is JSON");
        report["variants"].as_array().expect("it has placements").clone()
    }
}

/// The frames of a trace.
pub fn frames(trace: &Path) -> Vec<Vec<u8>> {
    let mut reader = TraceReader::open(trace).unwrap_or_else(|why| panic!("{why}"));
    let (mut frames, mut record) = (Vec::new(), Record::default());
    while reader.next_into(&mut record).unwrap_or_else(|why| panic!("{why}")) {
        frames.push(record.bytes.clone());
    }
    frames
}
