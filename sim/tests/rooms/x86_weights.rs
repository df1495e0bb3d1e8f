//! The table of host instructions against what the running kernel's JIT emits, as a foreign disassembler counts it.

use std::fs;
use std::process::Command;

use bpf::insn::{AluOp, AtomicOp, ByteOrder, Cond, Insn, Operand, PacketMode, Reg, Size, Width, encode_bytes};
use bpf::program::{Function, ProgType, Program};
use sim::host::x86::executed;

use crate::support::asm::*;
use crate::support::kernel::{Kernel, kernel};
use crate::support::rng::Rng;

const WIDTHS: [Width; 2] = [Width::W32, Width::W64];
/// `bpf_get_prandom_u32`: a number that the verifier does not know.
const RANDOM: u32 = 7;

/// A program, and how many instructions of its image no ordinary run executes.
struct Case {
    name: String,
    program: Program,
    aside: u32,
}

fn case(name: impl Into<String>, body: &[Insn], aside: u32) -> Case {
    // Every register and a word of the stack hold something, and R0 a number that nobody knows.
    let mut insns = vec![store(Size::D, R10, -8, 1), helper(RANDOM)];
    insns.extend(Reg::all().filter(|reg| (1..=9).contains(&reg.index())).map(|reg| mov(reg, 5 + reg.index() as i32)));
    insns.extend(body);
    insns.extend([mov(R0, 0), exit()]);
    Case { name: name.into(), program: Program::from_insns("row", ProgType::Xdp, insns, vec![]), aside }
}

/// What the image of a division holds for divisors of 0 and -1, and for the upper half of a remainder left alone.
fn aside(insn: &Insn) -> u32 {
    let Insn::Alu { width, op, src: Operand::Reg(_), .. } = insn else { return 0 };
    match (op, width) {
        (AluOp::Div, _) => 2,
        (AluOp::Mod, Width::W64) => 0,
        (AluOp::Mod, Width::W32) => 1,
        (AluOp::Sdiv, _) => 5,
        (AluOp::Smod, Width::W64) => 4,
        (AluOp::Smod, Width::W32) => 5,
        _ => 0,
    }
}

/// Every row whose instruction goes on to the next, with registers drawn.
fn straight(rng: &mut Rng) -> Vec<Vec<Insn>> {
    let reg = |rng: &mut Rng| Reg::all().nth(rng.below(10) as usize).expect("ten registers can be written");
    let mut rows = Vec::new();
    for width in WIDTHS {
        for op in AluOp::ALL {
            for src in [reg(rng).operand(), 3.operand(), (-1).operand()] {
                let shift = matches!(op, AluOp::Lsh | AluOp::Rsh | AluOp::Arsh);
                if shift && src == Operand::Imm(-1) {
                    continue;
                }
                // A divisor that an earlier row has made 0 is none that an ordinary run has, but the image is the same.
                rows.push(vec![Insn::Alu { width, op, dst: reg(rng), src }]);
            }
        }
        rows.push(vec![Insn::Neg { width, dst: reg(rng) }]);
        for (src, sext) in [(reg(rng).operand(), None), ((-7).operand(), None), (0.operand(), None)] {
            rows.push(vec![Insn::Mov { width, dst: reg(rng), src, sext }]);
        }
        for bits in [8, 16] {
            rows.push(vec![Insn::Mov { width, dst: reg(rng), src: reg(rng).operand(), sext: Some(bits) }]);
        }
    }
    rows.push(vec![Insn::Mov { width: Width::W64, dst: reg(rng), src: reg(rng).operand(), sext: Some(32) }]);
    for order in [ByteOrder::Le, ByteOrder::Be, ByteOrder::Swap] {
        rows.extend([16, 32, 64].map(|bits| vec![Insn::End { order, dst: reg(rng), bits }]));
    }
    rows.push(wide(reg(rng), 1).to_vec());
    rows.push(wide(reg(rng), u64::MAX / 3).to_vec());
    for size in [Size::B, Size::H, Size::W, Size::D] {
        rows.push(vec![load(size, reg(rng), R10, -8)]);
        if size != Size::D {
            rows.push(vec![Insn::Load { size, sext: true, dst: reg(rng), base: R10, off: -8 }]);
        }
        rows.push(vec![store(size, R10, -8, reg(rng))]);
        rows.push(vec![store(size, R10, -8, 9)]);
        rows.push(vec![Insn::LoadAcquire { size, dst: reg(rng), base: R10, off: -8 }]);
        rows.push(vec![Insn::StoreRelease { size, base: R10, off: -8, src: reg(rng) }]);
    }
    for size in [Size::W, Size::D] {
        for op in [AtomicOp::Add, AtomicOp::Or, AtomicOp::And, AtomicOp::Xor] {
            rows.extend([false, true].map(|fetch| vec![atomic(op, fetch, size, R10, -8, reg(rng))]));
        }
        rows.push(vec![atomic(AtomicOp::Xchg, true, size, R10, -8, reg(rng))]);
        // Somebody reads the upper half of what was there, so that it is cleared after 32 bits.
        rows.push(vec![atomic(AtomicOp::Cmpxchg, true, size, R10, -8, reg(rng)), mov(reg(rng), R0)]);
    }
    rows
}

fn cases() -> Vec<Case> {
    let mut cases = vec![case("nothing", &[], 0)];
    let mut rng = Rng::new(1);
    for _ in 0..4 {
        for row in straight(&mut rng) {
            let aside = aside(&row[0]);
            cases.push(case(format!("{row:?}"), &row, aside));
        }
    }
    for seed in 0..20 {
        let mut body: Vec<Insn> = Vec::new();
        let rows = straight(&mut rng);
        for _ in 0..60 {
            body.extend(&rows[rng.below(rows.len() as u64) as usize]);
        }
        let aside = body.iter().map(aside).sum();
        cases.push(case(format!("mixture {seed}"), &body, aside));
    }
    for width in WIDTHS {
        for cond in Cond::ALL {
            for src in [0.operand(), 3.operand(), R9.operand()] {
                if src == Operand::Imm(0) && !matches!(cond, Cond::Eq | Cond::Ne) {
                    continue;
                }
                // R9 and R0 are unknown, so whether the branch is taken is too.
                let known = [mov(R9, R0), helper(RANDOM), mov(R1, 1), mov(R2, 2), mov(R3, 3), mov(R4, 4), mov(R5, 5)];
                let branch = Insn::Branch { width, cond, dst: R0, src, off: 1 };
                let body = [known.as_slice(), &[branch, mov(R4, 1)]].concat();
                cases.push(case(format!("{branch:?}"), &body, 0));
            }
        }
    }
    let over = [branch(Cond::Eq, R0, 3, 2), mov(R4, 1), jump(1), mov(R4, 2)];
    cases.push(case("jump", &over, 0));
    // Aside: the refill of the counter.
    cases.push(case("may_goto", &[Insn::MayGoto { off: 1 }, mov(R4, 1)], 2));
    cases.push(case("two exits", &[branch(Cond::Eq, R0, 3, 2), mov(R0, 1), exit()], 0));
    cases.push(case("helper without arguments", &[helper(5)], 0));

    let bare = |name: &str, ty, insns: Vec<Insn>, aside| Case {
        name: name.to_owned(),
        program: Program::from_insns("row", ty, insns, vec![]),
        aside,
    };
    cases.push(bare("no stack, nothing saved", ProgType::Xdp, vec![mov(R0, 0), exit()], 0));
    let called =
        vec![mov(R6, 1), call(2), add(R0, R6), exit(), mov(R7, 3), store(Size::D, R10, -8, R7), mov(R0, 1), exit()];
    let mut called = bare("a function of the program", ProgType::Xdp, called, 0);
    called.program.functions.push(Function::new("f", 4));
    cases.push(called);
    // Aside: the way out when the packet has no such byte, an `xor` and a jump.
    for (mode, size) in [(PacketMode::Abs, Size::B), (PacketMode::Abs, Size::W), (PacketMode::Ind(R7), Size::H)] {
        let insns = vec![mov(R6, R1), mov(R7, 4), Insn::LoadPacket { size, mode, imm: 3 }, mov(R0, 0), exit()];
        cases.push(bare("packet load", ProgType::SchedCls, insns, 2));
    }
    let words = [load(Size::W, R2, R1, 0), load(Size::W, R3, R1, 4), mov(R0, 0), exit()];
    cases.push(bare("ends of the packet", ProgType::Xdp, words.to_vec(), 0));
    cases
}

/// Instructions of each image, as objdump lists them. Marks of branch targets and padding are no work of a program's.
fn listed(images: &[Vec<u8>]) -> Option<Vec<u32>> {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let file = dir.path().join("images.bin");
    fs::write(&file, images.concat()).expect("the images can be written");
    let listing = Command::new("objdump")
        .args(["-D", "-b", "binary", "-m", "i386:x86-64", "--no-show-raw-insn"])
        .arg(&file)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let mut ends = Vec::new();
    for image in images {
        ends.push(ends.last().unwrap_or(&0) + image.len());
    }
    let mut counts = vec![0; images.len()];
    for line in String::from_utf8_lossy(&listing.stdout).lines() {
        let Some((address, text)) = line.split_once(":\t") else { continue };
        let Ok(address) = usize::from_str_radix(address.trim(), 16) else { continue };
        assert!(!text.contains("(bad)"), "{line}");
        if !["endbr64", "int3"].contains(&text.trim()) {
            counts[ends.partition_point(|end| *end <= address)] += 1;
        }
    }
    Some(counts)
}

/// Whether the kernel translates as the one the table was taken from, or why not.
fn comparable() -> Result<(), String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let release = read("/proc/sys/kernel/osrelease");
    let mut parts = release.split(['.', '-']).map_while(|part| part.trim().parse::<u32>().ok());
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if !cfg!(target_arch = "x86_64") {
        return Err("this is no x86-64 machine".to_owned());
    }
    if version < (6, 18) {
        return Err(format!("the table is that of Linux 6.18, this is {}", release.trim()));
    }
    if !read("/proc/cpuinfo").split_whitespace().any(|flag| flag == "bmi2") {
        return Err("this processor has no BMI2".to_owned());
    }
    match (read("/proc/sys/net/core/bpf_jit_enable").trim(), read("/proc/sys/net/core/bpf_jit_harden").trim()) {
        ("1", "0" | "1") => Ok(()),
        (enable, harden) => Err(format!("bpf_jit_enable is {enable}, bpf_jit_harden {harden}; 1 and 0 are needed")),
    }
}

fn image(kernel: Kernel, case: &Case) -> Vec<u8> {
    let ty = if case.program.ty == ProgType::Xdp { 6 } else { 3 };
    let bytes = encode_bytes(&case.program.insns).expect("every row has an encoding");
    let loaded = kernel.load(ty, &bytes, "GPL").unwrap_or_else(|error| panic!("{}: {}", case.name, error.log));
    loaded.image().unwrap_or_else(|errno| panic!("{}: errno {errno}", case.name))
}

#[test]
fn the_table_counts_what_the_kernel_emits() {
    const NAME: &str = "the_table_counts_what_the_kernel_emits";
    let Some(kernel) = kernel(NAME) else { return };
    if let Err(why) = comparable() {
        eprintln!("SKIPPED {NAME}: {why}");
        return;
    }
    let cases = cases();
    let images: Vec<Vec<u8>> = cases.iter().map(|case| image(kernel, case)).collect();
    let Some(counts) = listed(&images) else {
        eprintln!("SKIPPED {NAME}: objdump is not here");
        return;
    };
    for (case, count) in cases.iter().zip(counts) {
        let table = executed(&case.program);
        let sum = table.slots.iter().sum::<u32>() + table.per_run;
        assert_eq!(sum + case.aside, count, "{}: {sum} by the table, {count} in the image", case.name);
    }
}
