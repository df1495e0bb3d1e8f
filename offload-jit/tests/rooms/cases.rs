//! The example `cases`: what it answers, and that a card's answers are the interpreter's.

#[path = "../../examples/cases/answer.rs"]
mod answer;
#[path = "../../examples/cases/bench.rs"]
mod bench;
#[path = "../../../bpf/examples/lines/mod.rs"]
mod lines;
#[path = "../../examples/cases/loaded.rs"]
mod loaded;

use answer::{Recorded, Setting, answer};
use bpf::engines::Interpreter;
use bpf::env::FixedEnv;
use bpf::insn::asm::assemble;
use bpf::insn::{Dialect, encode_bytes};
use bpf::interp::EngineConfig;
use lines::answer::Judged;
use nic_model::profile;
use offload_jit::Mode;
use serde_json::{Map, Value, json};

/// Of so many recorded programs one is run on every card.
const EVERY: usize = 7;

fn setting(card: &str, mode: Mode) -> Setting {
    Setting { card: profile::builtin(card).expect("it comes with the project"), mode, log_level: 0 }
}

/// Every way to run a case.
fn settings() -> [Setting; 3] {
    [("agilio-cx-2x40", Mode::Driver), ("open-npu", Mode::Driver), ("open-npu", Mode::Best)]
        .map(|(card, mode)| setting(card, mode))
}

fn slots(text: &str) -> String {
    let insns = assemble(text, "text", Dialect::Mc, &()).unwrap_or_else(|e| panic!("{e}"));
    lines::json::to_hex(&encode_bytes(&insns).expect("it has an encoding"))
}

fn ask(line: &Value, setting: &Setting) -> (Map<String, Value>, Judged) {
    let case = lines::case::parse(line).expect("a good line");
    answer(&case, &Recorded::parse(line).expect("a good line"), setting)
}

/// What the interpreter answers.
fn interpreted(line: &Value) -> Map<String, Value> {
    let config = EngineConfig { strict: true, ..EngineConfig::default() };
    let case = lines::case::parse(line).expect("a good line");
    lines::answer::answer(&case, &mut Interpreter::new(config, FixedEnv::default()), 0)
}

fn field<'a>(run: &'a Value, name: &str) -> Vec<&'a Value> {
    run.as_array().into_iter().flatten().map(|run| &run[name]).collect()
}

/// Asks the card and the interpreter; what they let be seen is equal.
fn agree(line: &Value, setting: &Setting) -> Map<String, Value> {
    let (card, host) = (ask(line, setting).0, interpreted(line));
    for seen in ["retval", "data_out"] {
        assert_eq!(field(&card["runs"], seen), field(&host["runs"], seen), "{line}: {card:?}");
    }
    assert_eq!(card["maps"], host["maps"], "{line}");
    card
}

#[test]
fn any_return_code_is_seen() {
    for setting in settings() {
        for code in [0, 1, 2, 3, 4, 5, 42, -1] {
            let line = json!({"name": "code", "prog_type": "xdp", "insns": slots(&format!("r0 = {code}\nexit\n"))});
            let answer = agree(&line, &setting);
            assert_eq!(answer["admitted"], json!(true), "{answer:?}");
            assert_eq!(answer["cycles"].as_array().map(Vec::len), Some(1));
            assert!(answer["body"].as_u64().is_some_and(|words| words > 0));
        }
    }
}

#[test]
fn maps_and_packets_are_those_of_the_interpreter() {
    let text = "r6 = *(u32 *)(r1 + 0)\nr7 = *(u32 *)(r1 + 4)\nr8 = r6\nr8 += 34\nif r8 > r7 goto short\n\
                r9 = *(u8 *)(r6 + 30)\n*(u8 *)(r6 + 31) = r9\nr9 &= 3\n*(u32 *)(r10 - 4) = r9\nr2 = r10\nr2 += -4\n\
                r1 = 0 ll\ncall 1\nif r0 == 0 goto short\nr1 = 1\nlock *(u64 *)(r0 + 0) += r1\nr0 = 7\nexit\nshort:\nr0 = 1\nexit\n";
    let slots = slots(text);
    let wide = slots.as_bytes().chunks(16).position(|slot| &slot[..2] == b"18").expect("a wide load");
    let mut packet = vec![0u8; 64];
    packet[30] = 6;
    let packet = lines::json::to_hex(&packet);
    for ty in ["array", "hash"] {
        let line = json!({
            "name": ty, "prog_type": "xdp", "insns": slots, "fixups": [{"insn": wide, "map": 0}],
            "maps": [{"name": "m", "type": ty, "key_size": 4, "value_size": 8, "max_entries": 4,
                      "init": [{"key": "02000000", "value": "0500000000000000"}]}],
            "runs": [{"data": packet}, {"data": packet}, {"data": "00".repeat(20)}],
        });
        for setting in settings() {
            let answer = agree(&line, &setting);
            assert_eq!(field(&answer["runs"], "retval")[0], &json!(7), "{answer:?}");
        }
    }
}

#[test]
fn programs_in_slots_are_called() {
    let insns = slots("r2 = 0 ll\nr3 = 1\ncall 12\nr0 = 9\nexit\n");
    let line = json!({
        "name": "tail", "prog_type": "xdp", "insns": insns, "fixups": [{"insn": 0, "map": 0}],
        "maps": [{"name": "programs", "type": "prog_array", "key_size": 4, "value_size": 4, "max_entries": 3,
                  "progs": {"1": 77, "2": {"loop": 2, "ret": 41}}}],
    });
    let answer = agree(&line, &setting("open-npu", Mode::Best));
    assert_eq!(answer["runs"][0]["retval"], json!(77));
    let (refused, judged) = ask(&line, &setting("agilio-cx-2x40", Mode::Driver));
    assert_eq!((&refused["admitted"], judged), (&json!(false), Judged::Skipped));
    assert!(refused["refusals"].as_array().is_some_and(|all| all.iter().any(|r| r["rule"] == json!("helper"))));
}

#[test]
fn words_are_compared() {
    let driver = setting("agilio-cx-2x40", Mode::Driver);
    let mut line = json!({"name": "drop", "prog_type": "xdp", "insns": slots("r0 = 1\nexit\n")});
    assert_eq!(ask(&line, &driver).1, Judged::Skipped);
    let words = ask(&line, &driver).0["words"].clone();
    assert_eq!(words.as_array().map(Vec::len), Some(26), "as the Linux driver's");
    line["words"] = words.clone();
    assert_eq!(ask(&line, &driver).1, Judged::Passed);
    assert_eq!(ask(&line, &setting("agilio-cx-2x40", Mode::Best)).1, Judged::Skipped);
    line["words"][2] = json!("000000f0000c0300");
    let (_, judged) = ask(&line, &driver);
    assert!(matches!(&judged, Judged::Failed(why) if why.starts_with("word 2: expected ")), "{judged:?}");
    line["words"] = words;
    line["expect"] = json!({"retvals": [3]});
    assert!(matches!(ask(&line, &driver).1, Judged::Failed(_)));
}

#[test]
fn what_is_malformed_is_said_so() {
    for (line, why) in [
        (json!({"words": ["xyz"]}), "words: \"xyz\" is no word"),
        (json!({"words": 7}), "words: not a list"),
        (json!({"words": [7]}), "words: not a text"),
        (json!({"table_ids": [-1]}), "table_ids: -1 is no number of a map"),
    ] {
        assert_eq!(Recorded::parse(&line).unwrap_err(), why);
    }
}

#[test]
fn what_no_packet_has_is_a_fault() {
    let line = json!({
        "name": "odd", "prog_type": "sched_cls", "insns": slots("r0 = 2\nexit\n"),
        "runs": [{"data": "00".repeat(5)}, {"data": "00".repeat(9000)}, {"ctx": format!("{}01", "00".repeat(8))}],
    });
    let answer = ask(&line, &setting("open-npu", Mode::Best)).0;
    assert_eq!(
        field(&answer["runs"], "fault"),
        [
            "EINVAL: the packet is shorter than an Ethernet header",
            "EINVAL: the packet is longer than the 1920 bytes of a buffer",
            "EINVAL: ctx: packets of the card have no mark",
        ]
    );
}

#[test]
fn the_recorded_programs_do_the_same_on_every_card() {
    let Some(dir) = std::env::var_os("SHARED_DIR") else {
        println!("the_recorded_programs_do_the_same_on_every_card: skipped, SHARED_DIR is not set");
        return;
    };
    let path = std::path::PathBuf::from(dir).join("reference/nfp-driver-words.jsonl");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let settings = settings();
    let (mut passed, mut ran) = (0, 0);
    for (number, line) in text.lines().enumerate() {
        let line: Value = serde_json::from_str(line).expect("a line is JSON");
        let host = interpreted(&line);
        // The words of all, what they do of some.
        let settings = if number % EVERY == 0 { &settings[..] } else { &settings[..1] };
        for (n, setting) in settings.iter().enumerate() {
            let (card, judged) = ask(&line, setting);
            assert!(!matches!(judged, Judged::Failed(_)), "{judged:?}");
            passed += u32::from(n == 0 && judged == Judged::Passed);
            if card.contains_key("runs") && host.contains_key("runs") {
                ran += 1;
                // What differs is noted.
                let equal = card["runs"][0]["retval"] == host["runs"][0]["retval"] && card["maps"] == host["maps"];
                assert!(equal || card.contains_key("notes"), "{card:?}\n{host:?}");
            }
        }
    }
    println!("{passed} as the driver, {ran} ran");
    assert!(passed > 700 && ran > 900, "{passed} passed, {ran} ran");
}
