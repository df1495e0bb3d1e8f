//! `sim btf`, held against bpftool.

use std::process::{Command, Output};

use crate::support::scenario::scenarios;

fn sim(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim")).arg("btf").args(args).output().expect("sim runs")
}

fn said(args: &[&str]) -> String {
    let output = sim(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("sim prints text")
}

fn bpftool(args: &[&str]) -> Option<String> {
    let output = Command::new("bpftool").args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn object(name: &str) -> String {
    scenarios().join("programs").join(name).display().to_string()
}

#[test]
fn types_are_dumped_as_bpftool_dumps_them() {
    for name in ["drop.bpf.o", "firewall.bpf.o", "l4lb.bpf.o", "l4lb_tc.bpf.o"] {
        let file = object(name);
        let dump = ["dump", "file", &file];
        let with =
            |more: &[&'static str]| -> Vec<String> { dump.iter().chain(more).map(|word| (*word).to_owned()).collect() };
        for more in [&[][..], &["format", "raw"], &["format", "c"], &["-j"], &["-p"]] {
            let words = with(more);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let (flags, rest): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| word.starts_with('-'));
            let Some(theirs) = bpftool(&[&flags[..], &["btf"], &rest].concat()) else {
                eprintln!("skipped: types_are_dumped_as_bpftool_dumps_them: bpftool is not installed");
                return;
            };
            let ours = said(&words);
            if flags.is_empty() {
                assert_eq!(ours, theirs, "{name} {more:?}");
            } else {
                let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
                // Text again, so that the order of fields counts.
                assert_eq!(read(&ours).to_string(), read(&theirs).to_string(), "{name} {more:?}");
            }
            if more == ["-j"] {
                assert_eq!(ours.trim_end(), theirs.trim_end(), "{name}");
            }
        }
    }
}

#[test]
fn types_come_from_dwarf_where_asked() {
    let file = object("l4lb.bpf.o");
    let (btf, dwarf) = (said(&["dump", "file", &file]), said(&["dump", "file", &file, "--source", "dwarf"]));
    assert!(btf.contains("DATASEC '.maps'") && !dwarf.contains("DATASEC"), "pahole leaves variables out, too");
    assert!(dwarf.contains("STRUCT 'xdp_md' size=24 vlen=6"), "{dwarf}");
}

#[test]
fn structures_are_shown_with_their_places() {
    let file = object("drop.bpf.o");
    let shown = said(&["layout", &file, "xdp_md"]);
    assert!(shown.starts_with("struct xdp_md {\n\t__u32 data;"), "{shown}");
    assert!(
        shown.contains("/*     0     4 */") && shown.contains("/* size: 24, cachelines: 1, members: 6 */"),
        "{shown}"
    );
    let json: serde_json::Value = serde_json::from_str(&said(&["layout", &file, "xdp_md", "-j"])).expect("JSON");
    assert_eq!(json[0]["pieces"][5]["name"], "egress_ifindex");
    assert_eq!(json[0]["pieces"][5]["offset"], 20);
}

#[test]
fn what_cannot_be_shown_is_said_in_one_line() {
    let file = object("drop.bpf.o");
    let source = object("drop.bpf.c");
    for (args, code) in [
        (&["dump", "prog", "7"][..], "btf-usage"),
        (&["dump", "file", &file, "format", "rust"], "btf-usage"),
        (&["dump", "file", &source], "object-not-elf"),
        (&["layout", &file, "nobody"], "btf-no-such-type"),
        (&["dump", "file", "/nowhere.o"], "file-unreadable"),
    ] {
        let output = sim(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let first = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned();
        assert!(first.contains(code), "{args:?}: {first}");
    }
}
