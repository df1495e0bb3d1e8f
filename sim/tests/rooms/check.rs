//! `sim check`: what it prints, as files to read, and how it ends. `BLESS` in the environment writes the files anew.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn check(directory: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    command.current_dir(directory).arg("check").args(args).output().expect("the tool runs")
}

/// What the tool prints and how it ends, against a file.
fn golden(name: &str, code: i32, args: &[&str]) {
    let output = check(&root(), args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "no progress where standard error is no terminal");
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/check").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == expected, "{name} is not what is printed now; set BLESS to write it anew\n{text}");
}

#[test]
fn what_it_prints() {
    golden("firewall.txt", 0, &["scenarios/programs/firewall.bpf.o"]);
    golden("firewall_tc.txt", 1, &["scenarios/programs/firewall_tc.bpf.o"]);
    golden("firewall_tc.json", 1, &["scenarios/programs/firewall_tc.bpf.o", "--json"]);
    golden("refusals.log", 0, &["bpf/tests/data/object/refusals.bpf.o", "--log", "1"]);
    golden("calls-open-npu.txt", 1, &["bpf/tests/data/object/calls.bpf.o", "--nic", "open-npu"]);
}

#[test]
fn a_directory_is_walked_in_order_whatever_is_in_it() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let at = |name: &str| directory.path().join("objects").join(name);
    std::fs::create_dir_all(at("b")).expect("the directory can be made");
    for (object, name) in [("drop", "b/drop.o"), ("firewall", "a.o"), ("drop_tc", "c.o")] {
        let from = root().join(format!("scenarios/programs/{object}.bpf.o"));
        std::fs::copy(from, at(name)).expect("the project has its files");
    }
    std::fs::write(at("source.c"), "int main() { return 0; }").expect("the directory can be written");
    let good = check(directory.path(), &["objects"]);
    assert_eq!(good.status.code(), Some(0));
    let text = String::from_utf8_lossy(&good.stdout).into_owned();
    let places = ["objects/a.o", "objects/b/drop.o", "objects/c.o"].map(|name| text.find(name).expect("it is named"));
    assert!(places.is_sorted(), "{text}");

    std::fs::write(at("d.o"), "no object").expect("the directory can be written");
    let bad = check(directory.path(), &["objects"]);
    assert_eq!(bad.status.code(), Some(2));
    let text = String::from_utf8_lossy(&bad.stdout).into_owned();
    assert!(text.contains("3 of 3 programs offloadable") && text.contains("1 of 4 files could not be read"), "{text}");

    // The same of logs.
    let logs = check(directory.path(), &["objects", "--log", "1"]);
    assert_eq!(logs.status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&logs.stdout).matches("processed ").count(), 3);
    let message = String::from_utf8_lossy(&logs.stderr).into_owned();
    assert!(message.starts_with("error: objects/d.o: object-not-elf"), "{message}");
}

/// Sizes: kept apart from features, told with the length the program would have, and lifted by a card that has more.
#[test]
fn sizes_that_are_too_small_are_all_named_and_lifted() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let object = root().join("scenarios/programs/firewall.bpf.o");
    std::fs::copy(object, directory.path().join("fw.o")).expect("the project has its files");
    let card = |name: &str, entries: u64, words: u64| {
        let text = format!(
            "base: agilio-cx-2x40\nname: {name}\ndescription: a card of the test\ncapabilities:\n  \
             max_elements: {{value: {entries}, kind: assumed, source: test}}\n  \
             max_instructions: {{value: {words}, kind: assumed, source: test}}\n"
        );
        std::fs::write(directory.path().join(format!("{name}.yaml")), text).expect("the directory can be written");
        let output = check(directory.path(), &["fw.o", "--json", "--nic", &format!("{name}.yaml")]);
        let json: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code(), json)
    };
    let (code, small) = card("small", 1000, 100);
    assert_eq!(code, Some(1));
    let program = &small["objects"][0]["programs"][0];
    let refusals = program["refusals"].as_array().expect("refusals are a list");
    let rules: Vec<_> = refusals.iter().map(|r| (r["cause"].as_str(), r["rule"].as_str())).collect();
    assert_eq!(rules, [(Some("size"), Some("map-entries")), (Some("size"), Some("length"))]);
    assert_eq!(small["summary"]["refused_by_size"], 1);
    let words = program["budget"]["words"]["driver"].as_u64().expect("its length is known");
    let entries = program["budget"]["map_entries"].as_u64().expect("its maps are known");
    assert_eq!(refusals[1]["actual"], format!("{words} instructions"));

    let (code, large) = card("large", entries, words);
    assert_eq!(code, Some(0), "{large}");
    let (code, _) = card("short", entries, words - 1);
    assert_eq!(code, Some(1));
}

#[test]
fn bad_input_is_told_apart_from_a_refusal() {
    for args in [
        &["none.o"][..],
        &["scenarios/programs/firewall.bpf.o", "--nic", "agilio"],
        &["scenarios/programs/firewall.bpf.o", "--nic", "none.yaml"],
        &["docs"],
    ] {
        let output = check(&root(), args);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
        assert!(message.starts_with("error: ") && output.stdout.is_empty(), "{args:?}: {message}");
    }
}
