//! The reader of JSON cases against the running kernel: generated programs, written as a line, are answered with the
//! kernel's verdict, error number, result and packet.

use crate::support;

use bpf::engines::{Interpreter, ProgramSet};
use bpf::env::FixedEnv;
use bpf::insn::{Insn, Wide, encode};
use bpf::interp::EngineConfig;
use bpf::program::ProgType;
use serde_json::{Value, json};
use support::kernel::{Kernel, kernel};
use support::lines::answer::{Judged, answer, judge};
use support::lines::{self, case};
use support::{both, executed, functions, generate};

/// A set of one program, as a line.
fn line(set: &ProgramSet, expect: Value) -> Value {
    let bytes: Vec<u8> = encode(&set.main.insns).unwrap().into_iter().flat_map(|slot| slot.to_le_bytes()).collect();
    let fixups = set.main.insns.iter().enumerate().filter_map(|(slot, insn)| match insn {
        Insn::LoadImm64 { value: Wide::Map(map), .. } => Some(json!({"insn": slot, "map": map.0})),
        Insn::LoadImm64 { value: Wide::MapValue { map, off }, .. } => {
            Some(json!({"insn": slot, "map": map.0, "kind": "value", "off": off}))
        }
        _ => None,
    });
    let maps = set.maps().iter().enumerate().map(|(at, spec)| {
        let entries = set.entries.iter().filter(|entry| entry.map == at);
        let hex = lines::json::to_hex;
        let init: Vec<Value> =
            entries.map(|entry| json!({"key": hex(&entry.key), "value": hex(&entry.value)})).collect();
        json!({
            "type": spec.ty.0, "key_size": spec.key_size, "value_size": spec.value_size,
            "max_entries": spec.max_entries, "map_flags": spec.flags, "init": init,
        })
    });
    let starts = functions::starts(&set.main.insns);
    let (types, ids) = functions::btf(starts.len());
    json!({
        "btf": lines::json::to_hex(&types), "func_info": starts.iter().zip(ids).collect::<Vec<_>>(),
        "name": "generated", "prog_type": set.main.ty.name(), "insns": lines::json::to_hex(&bytes),
        "maps": maps.collect::<Vec<_>>(), "fixups": fixups.collect::<Vec<_>>(),
        "runs": [{"data": lines::json::to_hex(&PACKET)}], "expect": expect,
    })
}

const PACKET: [u8; 64] = {
    let mut packet = [0x5a; 64];
    (packet[12], packet[13]) = (8, 0);
    packet
};

/// What the kernel says of the set's program and what a run gives; nothing where it says that it is mistaken itself, which
/// some programs bring about by functions that nothing reaches.
fn kernels(kernel: Kernel, set: &ProgramSet) -> Option<(Value, Option<Vec<u8>>)> {
    let maps: Vec<_> = set.maps().iter().map(|spec| kernel.create(spec).unwrap()).collect();
    for entry in &set.entries {
        maps[entry.map].update(&entry.key, &entry.value, 0).unwrap();
    }
    match both::load(kernel, set.main.ty, &set.main.insns, &maps) {
        Ok(program) => {
            let run = program.run(&PACKET, None).unwrap();
            Some((json!({"verdict": "ACCEPT", "errno": 0, "retvals": [run.retval]}), Some(run.packet)))
        }
        Err(error) if error.log.contains("verifier bug") => None,
        Err(error) => Some((json!({"verdict": "REJECT", "errno": error.errno}), None)),
    }
}

#[test]
fn cases_are_answered_as_the_kernel_answers() {
    let Some(kernel) = kernel("cases_are_answered_as_the_kernel_answers") else { return };
    let mut engine = Interpreter::new(EngineConfig { strict: true, ..EngineConfig::default() }, FixedEnv::default());
    let cases = std::env::var("CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(30);
    let (mut passed, mut refused, mut skipped, mut failed) = (0, 0, 0, Vec::new());
    for seed in 0..cases {
        let ty = [ProgType::Xdp, ProgType::SchedCls][seed as usize % 2];
        let run = executed::set(seed, ty);
        // Verdicts alone of the others: they draw random numbers.
        let mut broken = generate::mutated(seed, &generate::program(seed, ty));
        broken.maps = generate::maps();
        for (set, runs) in [(run.set, true), (ProgramSet::of(broken), false)] {
            if !set.parts.is_empty() || !set.links.is_empty() || encode(&set.main.insns).is_err() {
                continue;
            }
            let Some((mut expect, packet)) = kernels(kernel, &set) else {
                skipped += 1;
                continue;
            };
            if !runs {
                expect.as_object_mut().unwrap().remove("retvals");
            }
            let text = line(&set, expect).to_string();
            let case = case::parse(&serde_json::from_str(&text).unwrap()).unwrap_or_else(|why| panic!("{why}: {text}"));
            let answer = answer(&case, &mut engine, 0);
            match judge(case.expect.as_ref(), &answer) {
                Judged::Passed => passed += 1,
                Judged::Skipped => {
                    skipped += 1;
                    continue;
                }
                Judged::Failed(why) => {
                    let line = answer.get("errline").unwrap_or(&Value::Null);
                    failed.push(format!("seed {seed}{}: {why}: {line}", if runs { "" } else { ", mutated" }));
                    continue;
                }
            }
            match packet {
                Some(packet) if runs => {
                    assert_eq!(answer["runs"][0]["data_out"], json!(lines::json::to_hex(&packet)), "seed {seed}");
                }
                Some(_) => {}
                None => refused += 1,
            }
        }
    }
    println!("{passed} passed, {refused} of them refused; {skipped} skipped");
    assert!(failed.is_empty(), "{} are answered otherwise:\n{}", failed.len(), failed.join("\n"));
    assert!(passed > 0 && refused > 0, "cases of both kinds are looked at: {passed}, {refused}");
}

#[test]
fn what_is_malformed_is_said_so() {
    let exit = "9500000000000000";
    for (line, wanted) in [
        (json!({}), "prog_type: not there"),
        (json!({"prog_type": 2, "insns": exit}), "prog_type: 2 is not one of"),
        (json!({"prog_type": 6}), "insns: not there"),
        (json!({"prog_type": 6, "insns": "95"}), "insns: 1 bytes behind the last slot"),
        (json!({"prog_type": 6, "insns": "9"}), "insns: half a byte at the end"),
        (json!({"prog_type": 6, "insns": "zz"}), "insns: 'z' is no hexadecimal digit"),
        (json!({"prog_type": 6, "insns": exit, "maps": 7}), "maps: not a list"),
        (json!({"prog_type": 6, "insns": exit, "maps": [{"type": "tree"}]}), "maps[0].type: there is no tree"),
        (json!({"prog_type": 6, "insns": exit, "fixups": [{"insn": 9}]}), "fixups[0].map: there is no map 0"),
        (
            json!({"prog_type": 6, "insns": exit, "maps": [{"type": 2}], "fixups": [{"insn": 0}]}),
            "fixups[0].insn: there is no wide load at 0",
        ),
    ] {
        let why = case::parse(&line).expect_err("it is malformed");
        assert!(why.starts_with(wanted), "{why}");
    }
}

#[test]
fn encodings_that_linux_refuses_are_refused() {
    let answered = |insns: &str| {
        let case = case::parse(&json!({"prog_type": 6, "insns": insns})).unwrap();
        let mut engine = Interpreter::new(EngineConfig::default(), FixedEnv::default());
        let answer = answer(&case, &mut engine, 0);
        (answer["verdict"].clone(), answer["errno"].clone(), answer["errline"].clone())
    };
    let exit = "9500000000000000";
    let fd = format!("1811000007000000{}{exit}", "00".repeat(8));
    assert_eq!(answered(&fd), (json!("REJECT"), json!(9), json!("fd 7 is not pointing to valid bpf_map")));
    let unknown = format!("ff00000000000000{exit}");
    assert_eq!(answered(&unknown), (json!("REJECT"), json!(22), json!("unknown opcode ff")));
}
