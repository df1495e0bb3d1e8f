//! The text of instructions, held against the kernel's verifier log and `llvm-objdump`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use bpf::insn::legality::{FORMS, Group, Rule};
use bpf::insn::{Insn, RawInsn, Reg, RegSet, decode, decode_bytes};

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn helper(id: u32) -> Option<&'static str> {
    (id == 1).then_some("bpf_map_lookup_elem")
}

/// `tests/data/insn/text.linux.txt` was read off a running kernel by the script beside it. Beside the text it holds the
/// registers live before the instruction where nothing after it reads any: those it uses.
#[test]
fn verifier_text_is_the_kernels() {
    let golden = include_str!("data/insn/text.linux.txt");
    let mut lines = 0;
    for line in golden.lines().filter(|l| !l.starts_with('#')) {
        let [hex, text, live] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let insn = decode_bytes(&bytes(hex)).unwrap()[0];
        assert_eq!(insn.verifier(&helper).to_string(), text, "{hex}");
        lines += 1;
        // The kernel knows how many arguments a helper takes, and takes packet access to read everything.
        if matches!(insn, Insn::Call { .. } | Insn::LoadPacket { .. }) {
            continue;
        }
        // R10 is always live and not listed.
        let ours = insn.uses().minus(RegSet::of(Reg::R10));
        let linux = live.chars().filter_map(|c| Reg::new(c.to_digit(10)? as u8)).collect::<RegSet>();
        assert_eq!(ours, linux, "{text}");
    }
    assert!(lines > 200);
}

#[test]
fn names_of_maps_and_unknown_helpers() {
    let text = |hex: &str| decode_bytes(&bytes(hex)).unwrap()[0].verifier(&()).to_string();
    assert_eq!(text("8500000001000000"), "call unknown#1");
    assert_eq!(text("18110000030000000000000000000000"), "r1 = map[idx:3]");
    assert_eq!(text("18210000030000000000000008000000"), "r1 = map[idx:3][0]+8");
    assert_eq!(text("18410000feffffff0000000000000000"), "r1 = subprog[-2]");
}

/// xorshift64*: the same samples every time.
struct Samples(u64);

impl Samples {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn fill(&mut self, rule: Rule, register: bool) -> i32 {
        match rule {
            Rule::Is(value) => value,
            Rule::Nonzero => 1,
            Rule::Number => 3,
            Rule::Any if register => (self.next() >> 32) as i32 & 7 | (self.next() >> 40) as i32 & 2,
            Rule::Any if self.next() & 1 << 40 == 0 => (self.next() >> 50) as i32 - 8192,
            Rule::Any => (self.next() >> 32) as i32,
        }
    }
}

/// Random programs of every row, through `llvm-objdump`: each instruction's text must be ours.
#[test]
fn objdump_text_is_llvms() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (source, object) = (dir.join("insn_text.s"), dir.join("insn_text.o"));
    let mut random = Samples(0x9669);
    let mut slots = Vec::new();
    for _ in 0..20 {
        for row in &FORMS {
            // The second half comes with the first. Unknown to this version: load_acquire and store_release, callx by
            // immediate, an offset with an exit or a kernel function.
            let newer = row.group == Group::Linux && !matches!(row.opcode, 0xbf | 0xe5);
            if row.opcode == 0 || newer || row.imm == Rule::Number {
                continue;
            }
            slots.push(RawInsn {
                opcode: row.opcode,
                dst: random.fill(row.dst, true) as u8,
                src: random.fill(row.src, true) as u8,
                off: random.fill(row.off, false) as i16,
                imm: random.fill(row.imm, false),
            });
            if row.opcode == 0x18 {
                let has_high_half = matches!(row.src, Rule::Is(0 | 2 | 3 | 6));
                let imm = if has_high_half { random.next() as i32 } else { 0 };
                slots.push(RawInsn { imm, ..RawInsn::default() });
            }
        }
    }
    let mut text = String::from(".section code,\"ax\"\n");
    for slot in &slots {
        let bytes = slot.to_le_bytes().map(|b| b.to_string()).join(",");
        writeln!(text, ".byte {bytes}").unwrap();
    }
    std::fs::write(&source, text).unwrap();
    let assembled =
        Command::new("llvm-mc-19").args(["-triple=bpfel", "-filetype=obj", "-o"]).args([&object, &source]).status();
    let listing = Command::new("llvm-objdump-19").args(["-d", "--mcpu=v4", "--no-show-raw-insn"]).arg(&object).output();
    let (Ok(assembled), Ok(listing)) = (assembled, listing) else {
        eprintln!("skipped: objdump_text_is_llvms: llvm-mc-19 and llvm-objdump-19 are not installed");
        return;
    };
    assert!(assembled.success() && listing.status.success());

    let insns = decode(&slots).unwrap();
    let mut compared = 0;
    let mut differences = Vec::new();
    for line in String::from_utf8(listing.stdout).unwrap().lines() {
        let Some((slot, theirs)) = line.trim_start().split_once(':') else { continue };
        let Ok(slot) = slot.parse::<usize>() else { continue };
        let theirs = theirs.split(" <code").next().unwrap_or(theirs).trim();
        // Maps by index decode to maps by descriptor.
        let pseudo = slots[slot].src;
        let by_index = slots[slot].opcode == 0x18 && (pseudo == 5 || pseudo == 6);
        let theirs = if by_index {
            theirs.replace(&format!(", {pseudo:#x},"), &format!(", {:#x},", pseudo - 4))
        } else {
            theirs.to_owned()
        };
        let ours = insns[slot].objdump().to_string();
        if ours != theirs {
            differences.push(format!("{slot}: {:?}\n  ours   {ours}\n  theirs {theirs}", slots[slot]));
        }
        compared += 1;
    }
    assert!(
        differences.is_empty(),
        "{} differ, the first:\n{}",
        differences.len(),
        differences[..differences.len().min(40)].join("\n")
    );
    assert_eq!(compared, insns.iter().filter(|i| **i != Insn::Pad).count());
}
