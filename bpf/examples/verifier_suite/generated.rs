//! Entries whose instructions the suite makes by C code: programs of the same shapes, made here.

use bpf::insn::{AluOp, Callee, Cond, Insn, Operand, PacketMode, Reg, Size, Wide, Width, encode};

/// Instructions that the largest entries have.
const LARGEST: usize = 1_000_000;
/// Jumps whose other way may wait to be walked.
const WAITING: usize = 8192;

/// The slots of a generated entry; `asked` is the result that the table has for it, by which some of them differ. `None`
/// for shapes that are not known.
pub fn slots(name: &str, asked: u32) -> Option<Vec<[u8; 8]>> {
    let mut out = Vec::new();
    match (name, asked) {
        ("bpf_fill_ld_abs_vlan_push_pop", _) => vlan_tags(&mut out),
        ("bpf_fill_jump_around_ld_abs", _) => over_packet_loads(&mut out),
        ("bpf_fill_rand_ld_dw", words) => wide_words(&mut out, words as usize),
        ("bpf_fill_scale", 1) => many_jumps(&mut out, 0),
        ("bpf_fill_scale", 2) => many_jumps(&mut out, 7),
        ("bpf_fill_torturous_jumps", 1) => short_jumps(&mut out),
        ("bpf_fill_torturous_jumps", 2) => long_jumps(&mut out),
        ("bpf_fill_torturous_jumps", 3) => {
            let (mut short, mut long) = (Vec::new(), Vec::new());
            short_jumps(&mut short);
            long_jumps(&mut long);
            let distance = |to: usize| Insn::Call { callee: Callee::Local(to as i32) };
            out.extend([distance(4), distance(3 + short.len())]);
            out.push(Insn::Store { size: Size::B, base: Reg::R10, off: -32, src: Operand::Imm(0) });
            out.extend([mov(Reg::R0, 3), Insn::Exit]);
            out.extend(short);
            out.extend(long);
        }
        _ => return None,
    }
    let raw = encode(&out).expect("what is made here has an encoding");
    Some(raw.iter().map(|slot| slot.to_le_bytes()).collect())
}

fn mov(dst: Reg, imm: i32) -> Insn {
    Insn::Mov { width: Width::W64, dst, src: Operand::Imm(imm), sext: None }
}

fn copy(dst: Reg, src: Reg) -> Insn {
    Insn::Mov { width: Width::W64, dst, src: Operand::Reg(src), sext: None }
}

fn branch(width: Width, cond: Cond, imm: i32, off: usize) -> Insn {
    Insn::Branch { width, cond, dst: Reg::R0, src: Operand::Imm(imm), off: off as i16 }
}

fn helper(id: u32) -> Insn {
    Insn::Call { callee: Callee::Helper(id) }
}

fn packet_byte(imm: i32) -> Insn {
    Insn::LoadPacket { size: Size::B, mode: PacketMode::Abs, imm }
}

fn goto(off: usize) -> Insn {
    Insn::Jump { off: off as i32, long: false }
}

/// Words that look random.
fn words() -> impl Iterator<Item = u64> {
    std::iter::successors(Some(0x9e37_79b9_7f4a_7c15u64), |x| {
        let x = x ^ (x << 13);
        let x = x ^ (x >> 7);
        Some(x ^ (x << 17))
    })
}

/// Five rounds of 51 tags pushed and 51 popped, with a look at the first byte before each; whatever goes wrong jumps to
/// the end, as far as a jump goes.
fn vlan_tags(out: &mut Vec<Insn>) {
    const TAGS: usize = 51;
    let len = (1 << 15) - TAGS * 2 * 5 * 6;
    let fail = |out: &mut Vec<Insn>, width, imm| out.push(branch(width, Cond::Ne, imm, len - out.len() - 3));
    out.push(copy(Reg::R6, Reg::R1));
    for _ in 0..5 {
        for push in [true, false] {
            for _ in 0..TAGS {
                out.push(packet_byte(0));
                fail(out, Width::W32, 0x34);
                out.push(copy(Reg::R1, Reg::R6));
                match push {
                    true => out.extend([mov(Reg::R2, 1), mov(Reg::R3, 2), helper(18)]),
                    false => out.push(helper(19)),
                }
                fail(out, Width::W64, 0);
            }
        }
    }
    out.resize(len - 3, mov(Reg::R0, 0xbef));
    let zero = Insn::Mov { width: Width::W32, dst: Reg::R0, src: Operand::Imm(0), sext: None };
    out.extend([goto(1), zero, Insn::Exit]);
}

/// A jump over as many packet loads as a jump may go over once Linux has written them out.
fn over_packet_loads(out: &mut Vec<Insn>) {
    let len = (1 << 15) / 7;
    out.extend([copy(Reg::R6, Reg::R1), packet_byte(0), branch(Width::W64, Cond::Eq, 10, len - 4)]);
    out.resize(len - 1, packet_byte(1));
    out.push(Insn::Exit);
}

/// Wide words, each mixed into the result, up to so many slots.
fn wide_words(out: &mut Vec<Insn>, slots: usize) {
    let xor = |dst, src| Insn::Alu { width: Width::W64, op: AluOp::Xor, dst, src: Operand::Reg(src) };
    out.push(Insn::Mov { width: Width::W32, dst: Reg::R0, src: Operand::Imm(0), sext: None });
    for word in words() {
        if out.len() >= slots {
            break;
        }
        out.extend([Insn::LoadImm64 { dst: Reg::R1, value: Wide::Value(word) }, Insn::Pad, xor(Reg::R0, Reg::R1)]);
    }
    out.push(copy(Reg::R1, Reg::R0));
    out.push(Insn::Alu { width: Width::W64, op: AluOp::Rsh, dst: Reg::R1, src: Operand::Imm(32) });
    out.extend([xor(Reg::R0, Reg::R1), Insn::Exit]);
}

/// As many jumps as may wait, in the innermost of so many functions, then nothing much up to the largest size.
fn many_jumps(out: &mut Vec<Insn>, functions: usize) {
    for _ in 0..functions {
        out.extend([Insn::Call { callee: Callee::Local(1) }, Insn::Exit]);
    }
    out.push(copy(Reg::R6, Reg::R1));
    let slots = 64 - 4 * functions;
    for (turn, word) in (1..=WAITING).zip(words()) {
        out.extend([helper(7), branch(Width::W64, Cond::Eq, word as i32, 2), copy(Reg::R1, Reg::R10)]);
        let off = -8 * (turn % slots + 1) as i16;
        out.push(Insn::Store { size: Size::D, base: Reg::R1, off, src: Operand::Reg(Reg::R6) });
    }
    out.resize(LARGEST - WAITING * 4, mov(Reg::R0, 42));
    out.push(Insn::Exit);
}

/// Branches over 128 slots, into as many jumps that all lead to one place: from some a byte suffices.
fn short_jumps(out: &mut Vec<Insn>) {
    const COUNT: usize = 128;
    out.push(helper(7));
    out.extend((1..=COUNT).map(|i| branch(Width::W64, Cond::Eq, i as i32, COUNT)));
    out.extend((1..=COUNT).map(|i| goto(COUNT - i)));
    out.extend([mov(Reg::R0, 1), Insn::Exit]);
}

/// Branches over 2048 slots, into jumps that lead from group to group of 16.
fn long_jumps(out: &mut Vec<Insn>) {
    const COUNT: usize = 2048;
    out.push(helper(7));
    out.extend((1..=COUNT).map(|i| branch(Width::W64, Cond::Eq, i as i32, COUNT)));
    out.push(goto(COUNT));
    out.extend((0..COUNT).map(|i| goto(15 - i % 16)));
    out.extend([mov(Reg::R0, 2), Insn::Exit]);
}
