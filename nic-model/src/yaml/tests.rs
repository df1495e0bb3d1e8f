use bpf::diag::At;
use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::des::Frequency;
use crate::quantity::Duration;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Scenario {
    name: String,
    #[serde(default)]
    cores: Vec<Core>,
    source: Option<Source>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Core {
    clock: Frequency,
    contexts: u32,
    #[serde(default)]
    wait: Duration,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Source {
    Pcap { file: String },
    Silent,
}

const GOOD: &str = "name: x\ncores:\n  - {clock: 800 MHz, contexts: 4}\n  - clock: 1.2 GHz\n    contexts: 8\n    wait: 25 ns\nsource: {pcap: {file: a.pcap}}\n";

fn place(diagnostic: &Diagnostic) -> (usize, usize, usize) {
    match &diagnostic.at {
        Some(At::Text { line, column, len, .. }) => (*line, *column, *len),
        other => panic!("no place: {other:?} in {diagnostic}"),
    }
}

fn fails(text: &str) -> Diagnostic {
    parse::<Scenario>("s.yaml", text).expect_err(text)
}

#[test]
fn a_good_text_is_read_and_its_values_have_places() {
    let (scenario, positions) = parse::<Scenario>("s.yaml", GOOD).unwrap();
    assert_eq!(scenario.cores[1].wait, Duration(25_000));
    assert_eq!(scenario.source, Some(Source::Pcap { file: "a.pcap".into() }));
    let at = |path| match positions.at(path) {
        Some(At::Text { line, column, len, .. }) => Some((line, column, len)),
        _ => None,
    };
    assert_eq!(at("cores[0].clock"), Some((3, 13, 7)));
    assert_eq!(at("cores[1].contexts"), Some((5, 15, 1)));
    assert_eq!(at("cores"), Some((2, 1, 5)));
    assert_eq!(at("source.pcap.file"), Some((7, 23, 6)));
    assert_eq!(at("cores[2].clock"), None);
    assert_eq!(at("nothing"), None);
    let (scenario, _) = parse::<Scenario>("s.yaml", "name: x\nsource: silent\n").unwrap();
    assert_eq!(scenario.source, Some(Source::Silent));
}

#[test]
fn mistakes_are_shown_where_they_stand() {
    let d = fails("name: x\ncores:\n  - {clock: 800 MHz, context: 4}\n");
    assert_eq!((d.code, place(&d)), ("yaml-unknown-key", (3, 22, 7)));
    assert_eq!(d.help.as_deref(), Some("did you mean `contexts`? The keys here are: clock, contexts, wait"));

    let d = fails("name: x\ncores:\n  - {clock: 800 MHz, contexts: four}\n");
    assert_eq!((d.code, place(&d)), ("yaml-wrong-type", (3, 32, 4)));
    assert_eq!(d.reason, "cores[0].contexts: invalid type: string \"four\", expected u32");

    let d = fails("name: x\ncores:\n  - {clock: 800 Mhz, contexts: 4}\n");
    assert_eq!((d.code, place(&d)), ("yaml-bad-value", (3, 13, 7)));
    assert_eq!(d.reason, "cores[0].clock: \"800 Mhz\" is not a frequency: unknown unit \"Mhz\"");
    assert_eq!(d.help.as_deref(), Some("write a number and one of Hz, kHz, MHz, GHz, such as \"800 MHz\""));

    let d = fails("name: x\ncores:\n  - {clock: 800, contexts: 4}\n");
    assert_eq!((d.code, place(&d)), ("yaml-bad-value", (3, 13, 3)));

    let d = fails("name: x\ncores:\n  - contexts: 4\n");
    assert_eq!((d.code, place(&d).0), ("yaml-missing-key", 3));
    assert_eq!(d.reason, "cores[0]: missing key `clock`");

    let d = fails("name: x\nsource: {pcop: {file: a}}\n");
    assert_eq!((d.code, place(&d).0), ("yaml-unknown-value", 2));
    assert_eq!(d.help.as_deref(), Some("did you mean `pcap`? The values here are: pcap, silent"));

    let d = fails("name: x\nsource: {pcap: {fil: a}}\n");
    assert_eq!((d.code, place(&d)), ("yaml-unknown-key", (2, 17, 3)));

    let d = fails("name: x\nnames: y\n");
    assert_eq!((d.code, place(&d)), ("yaml-unknown-key", (2, 1, 5)));

    let d = fails("name: x\nname: y\n");
    assert_eq!((d.code, place(&d)), ("yaml-duplicate-key", (2, 1, 4)));

    let d = fails("name: [x\n");
    assert_eq!(d.code, "yaml-syntax");
    let d = fails("- x\n");
    assert_eq!((d.code, place(&d).0), ("yaml-wrong-type", 1));
    assert_eq!(fails("").code, "yaml-missing-key");
    assert_eq!(fails("name: x\n---\nname: y\n").code, "yaml-syntax");
    assert_eq!(fails("? [a]\n: b\n").code, "yaml-syntax");
}

#[test]
fn the_caret_stands_under_the_value() {
    let d = fails("name: x\ncores:\n  - {clock: 800 Mhz, contexts: 4}\n");
    let shown = d.to_string();
    assert!(shown.contains("     3 |   - {clock: 800 Mhz, contexts: 4}\n       |             ^^^^^^^\n"), "{shown}");
}

#[test]
fn texts_that_would_eat_memory_are_refused() {
    assert_eq!(fails(&format!("name: {}\n", "x".repeat(MAX_TEXT))).code, "yaml-too-large");
    assert_eq!(fails(&"[".repeat(60)).code, "yaml-too-large");
    assert_eq!(fails(&"[".repeat(100_000)).code, "yaml-syntax");
    assert_eq!(fails(&"- ".repeat(10_000)).code, "yaml-too-large");
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..9 {
        let last = format!("*a{},", i - 1).repeat(10);
        bomb += &format!("a{i}: &a{i} [{last}]\n");
    }
    assert_eq!(fails(&bomb).code, "yaml-too-large");
    assert_eq!(fails("name: &a [*a]\n").code, "yaml-syntax");
    let (value, positions) = parse_value("s", "a: &x {b: 1}\nc: *x\n").unwrap();
    assert_eq!(value["c"]["b"], Value::from(1));
    assert!(positions.at("c.b").is_some());
}

#[test]
fn values_are_set_by_path() {
    let mut value = parse_value("s", GOOD).unwrap().0;
    set(&mut value, "cores[1].contexts", Value::from(2)).unwrap();
    set(&mut value, "source", Value::from("silent")).unwrap();
    let scenario: Scenario = from_value(value.clone()).unwrap();
    assert_eq!((scenario.cores[1].contexts, scenario.source), (2, Some(Source::Silent)));
    assert_eq!(set(&mut value, "cores[9].clock", Value::Null).unwrap_err().code, "yaml-bad-path");
    assert_eq!(set(&mut value, "name.x", Value::Null).unwrap_err().code, "yaml-bad-path");
    set(&mut value, "cores[0].cloak", Value::from(1)).unwrap();
    let error = from_value::<Scenario>(value).unwrap_err();
    assert_eq!((error.path.as_str(), error.key, error.diagnostic.code), ("cores[0].cloak", true, "yaml-unknown-key"));

    let mut value = parse_value("s", "cores: {value: 60, kind: documented, source: a}").unwrap().0;
    set(&mut value, "cores", Value::from(10)).unwrap();
    assert_eq!(value["cores"]["value"], Value::from(10));
    assert_eq!(value["cores"]["kind"], Value::from("given"));
}

proptest! {
    #[test]
    fn no_text_panics(text in "[\\[\\]{}:,\\-&*?|>'\"# \na-c0-2!%~]{0,60}") {
        let _ = parse::<Scenario>("s.yaml", &text);
        let _ = parse_value("s.yaml", &text);
    }

    #[test]
    fn a_value_of_any_path_has_a_place(keys in proptest::collection::vec("[a-z]{1,4}", 1..6)) {
        let text: String = keys.iter().enumerate().map(|(i, k)| format!("{}{k}:\n", "  ".repeat(i))).collect();
        let positions = parse_value("s", &text).unwrap().1;
        for depth in 1..=keys.len() {
            let at = positions.at_key(&keys[..depth].join("."));
            let expected = (depth, 2 * (depth - 1) + 1);
            let at_expected = matches!(at, Some(At::Text { line, column, .. }) if (line, column) == expected);
            prop_assert!(at_expected);
        }
    }
}
