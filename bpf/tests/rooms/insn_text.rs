//! The text of instructions, held against the kernel's verifier log and `llvm-objdump`.

use crate::support;

use std::fmt::Write as _;
use std::path::Path;

use bpf::diag::SourceLine;
use bpf::insn::legality::{FORMS, Group, Rule};
use bpf::insn::{Dialect, Insn, Listing, RawInsn, Reg, RegSet, Show, asm, decode, decode_bytes};
use bpf::object::Object;
use bpf::program::{ProgType, Program};
use support::llvm;

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
    let golden = include_str!("../data/insn/text.linux.txt");
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

/// Random programs of every row, through `llvm-objdump`, with numbers in hexadecimal and in decimal, which is `llvm-mc`'s way:
/// each instruction's text must be ours.
#[test]
fn llvms_text_is_llvms() {
    if !llvm::installed("llvms_text_is_llvms") {
        return;
    }
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
    let object = llvm::assemble("insn_text", &text).unwrap();
    let insns = decode(&slots).unwrap();
    for (dialect, arg) in [(Dialect::Objdump, "--print-imm-hex"), (Dialect::Mc, "--no-print-imm-hex")] {
        let listing = llvm::listing(&object, &["--no-show-raw-insn", arg]);
        compare(&slots, &insns, &listing, dialect);
    }
}

fn compare(slots: &[RawInsn], insns: &[Insn], listing: &str, dialect: Dialect) {
    let mut compared = 0;
    let mut differences = Vec::new();
    for line in listing.lines() {
        let Some((slot, theirs)) = line.trim_start().split_once(':') else { continue };
        let Ok(slot) = slot.parse::<usize>() else { continue };
        let theirs = theirs.split(" <code").next().unwrap_or(theirs).trim();
        // Maps by index decode to maps by descriptor.
        let pseudo = slots[slot].src;
        let by_index = slots[slot].opcode == 0x18 && (pseudo == 5 || pseudo == 6);
        let theirs = if by_index {
            match dialect {
                Dialect::Mc => theirs.replace(&format!(", {pseudo},"), &format!(", {},", pseudo - 4)),
                _ => theirs.replace(&format!(", {pseudo:#x},"), &format!(", {:#x},", pseudo - 4)),
            }
        } else {
            theirs.to_owned()
        };
        let ours = insns[slot].text(dialect, &()).to_string();
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

fn listing(program: &Program, dialect: Dialect, show: Show) -> String {
    let functions: Vec<_> = program.functions.iter().map(|f| (f.start, f.name.as_str())).collect();
    let lines: Vec<(usize, &SourceLine)> = program.lines.iter().map(|l| (l.slot, &l.line)).collect();
    let (functions, lines) = (&functions[..], &lines[..]);
    let order = program.byte_order;
    Listing { insns: &program.insns, functions, lines, order, dialect, names: &(), show }.to_string()
}

/// The lines of each function, by its heading.
fn functions(listing: &str) -> std::collections::BTreeMap<&str, Vec<&str>> {
    let mut blocks = std::collections::BTreeMap::new();
    let mut heading = "";
    for line in listing.lines() {
        if line.ends_with(">:") {
            heading = line;
        }
        blocks.entry(heading).or_insert_with(Vec::new).push(line);
    }
    blocks
}

/// What a relocation or a linker changes: what wide loads load, and where calls go.
fn is_linked(line: &str) -> bool {
    ["ll", "ld_pseudo"].iter().any(|mark| line.contains(mark)) || line.contains("\tcall ")
}

/// Programs of the scenarios and some others, with bytes, source lines and their places: line for line as
/// `llvm-objdump -d -S -l` lists the object, where both have a function at the same place.
#[test]
fn listings_are_llvms() {
    if !llvm::installed("listings_are_llvms") {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scenarios = std::fs::read_dir(root.join("../scenarios/programs")).unwrap().map(|e| e.unwrap().path());
    // Called functions, jumps both ways, big-endian.
    let others = ["calls", "jumps", "big"].map(|name| root.join(format!("tests/data/object/{name}.bpf.o")));
    let files = scenarios.chain(others);
    let (mut compared, mut instructions) = (0, 0);
    for file in files.filter(|p| p.to_string_lossy().ends_with(".bpf.o")) {
        let Ok(object) = Object::parse(&std::fs::read(&file).unwrap()) else { continue };
        let plain = llvm::without_debug(&file);
        let whole = Show { bytes: true, source: true, places: true };
        let parts = [
            Show::default(),
            Show { bytes: true, ..Show::default() },
            Show { source: true, ..Show::default() },
            Show { places: true, ..Show::default() },
        ];
        // One object is enough for the parts.
        let parts = if file.ends_with("firewall.bpf.o") { &parts[..] } else { &[] };
        for show in parts.iter().copied().chain([whole]) {
            let mut args = Vec::new();
            args.extend(show.source.then_some("-S"));
            args.extend(show.places.then_some("-l"));
            args.extend((!show.bytes).then_some("--no-show-raw-insn"));
            let theirs = llvm::listing(&plain, &args);
            let theirs = functions(&theirs);
            for entry in object.programs() {
                let Ok(program) = object.program(Some(&entry.name), Some(ProgType::Xdp)) else { continue };
                let ours = listing(&program, Dialect::Objdump, show);
                for (heading, ours) in functions(&ours) {
                    let Some(theirs) = theirs.get(heading) else { continue };
                    let gone = |line: &&&str| !line.is_empty() && !line.starts_with("Disassembly");
                    let theirs: Vec<_> = theirs.iter().filter(gone).collect();
                    let ours: Vec<_> = ours.iter().filter(gone).collect();
                    for (ours, theirs) in ours.iter().zip(&theirs) {
                        if !is_linked(theirs) {
                            assert_eq!(ours, theirs, "{} {show:?}", file.display());
                            instructions += 1;
                        }
                    }
                    assert_eq!(ours.len(), theirs.len(), "{} {heading} {show:?}", file.display());
                    compared += 1;
                }
            }
        }
    }
    assert!(compared >= 12 && instructions >= 1000, "{compared} functions, {instructions} lines");
}

/// A listing in any dialect is read back to the program.
#[test]
fn listings_are_read() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/programs/firewall.bpf.o");
    let object = Object::parse(&std::fs::read(file).unwrap()).unwrap();
    let program = object.program(None, None).unwrap();
    let show = Show { bytes: true, source: true, places: true };
    for dialect in [Dialect::Verifier, Dialect::Objdump, Dialect::Mc] {
        let text = listing(&program, dialect, show);
        let read = asm::assemble(&text, "listing", dialect, &()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(read, program.insns, "{dialect:?}");
    }
    let log = listing(&program, Dialect::Verifier, show);
    let start =
        "xdp_firewall:\n; void *data = (void *)(long)ctx->data; @ firewall.bpf.c:32\n   0: (61) r3 = *(u32 *)(r1 +0)\n";
    assert!(log.starts_with(start), "{}", &log[..200]);
}
