//! Programs that a device driver's hook was run on by Linux 6.12: what the verifier says of them, and how many of their
//! instructions its dead-code passes removed, is recorded. The recording is found by the variable `SHARED_DIR`.

use std::path::PathBuf;

use bpf::insn::{Insn, Wide, decode_bytes};
use bpf::program::{MapIndex, MapSpec, MapType, ProgType, Program};
use bpf::verifier::{Fate, Options, Verdict, verify};
use serde_json::Value;

fn program(case: &Value) -> Program {
    let text = |v: &Value| v.as_str().expect("a string").to_owned();
    let number = |v: &Value| v.as_u64().expect("a number") as u32;
    let hex = text(&case["insns"]);
    let bytes = (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hexadecimal"));
    let mut insns = decode_bytes(&bytes.collect::<Vec<_>>()).expect("the driver's programs are programs");
    for fixup in case["fixups"].as_array().expect("a list") {
        if let Insn::LoadImm64 { value, .. } = &mut insns[number(&fixup["insn"]) as usize] {
            *value = Wide::Map(MapIndex(number(&fixup["map"])));
        }
    }
    let map = |m: &Value| MapSpec {
        name: text(&m["name"]),
        ty: MapType(number(&m["type"])),
        key_size: number(&m["key_size"]),
        value_size: number(&m["value_size"]),
        max_entries: number(&m["max_entries"]),
        flags: 0,
        ..MapSpec::default()
    };
    let maps = case["maps"].as_array().expect("a list").iter().map(map).collect();
    let ty = ProgType::ALL.into_iter().find(|t| t.number() == number(&case["prog_type"])).expect("a type we have");
    Program::from_insns(&text(&case["name"]), ty, insns, maps)
}

#[test]
fn as_many_instructions_are_removed_as_the_driver_was_told() {
    let Some(dir) = std::env::var_os("SHARED_DIR") else {
        eprintln!("SKIPPED as_many_instructions_are_removed_as_the_driver_was_told: SHARED_DIR is not set");
        return;
    };
    let path = PathBuf::from(dir).join("reference/nfp-driver-words.jsonl");
    let lines = std::fs::read_to_string(path).expect("the recording can be read");
    // What 6.12 did not conclude from constant keys yet.
    let options = Options { device_bound: true, constant_array_keys: false, ..Options::default() };
    let (mut accepted, mut unsupported) = (0, 0);
    for line in lines.lines() {
        let case: Value = serde_json::from_str(line).expect("a line is a program");
        let program = program(&case);
        let name = program.name.clone();
        let refused = case.get("refused").and_then(Value::as_str).unwrap_or("");
        // Refusals of the driver's own come after the verifier let it pass.
        let by_driver = refused.is_empty() || refused.contains("[nfp]") || refused.starts_with("translate");
        match verify(program, &options) {
            Verdict::Accepted(verified) => {
                assert!(by_driver, "{name}: {refused}");
                let gone = |fate: &Fate| matches!(fate, Fate::Removed | Fate::HardWired { removed: true, .. });
                let removed = verified.explored().slots().iter().filter(|s| gone(&s.fate)).count();
                if refused.is_empty() {
                    assert_eq!(removed as u64, case["removed"].as_u64().expect("a number"), "{name}");
                }
                accepted += 1;
            }
            Verdict::Rejected(rejection) => {
                assert!(!by_driver, "{name}: {:?}", rejection.lines);
                assert_eq!(rejection.reason(), refused, "{name}");
            }
            Verdict::Unsupported(diagnostic) => {
                println!("{name}: {}", diagnostic.reason);
                unsupported += 1;
            }
        }
    }
    println!("{accepted} accepted, {unsupported} not modelled");
    assert!(accepted > 20 * unsupported);
}
