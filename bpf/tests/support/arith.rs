//! Random arithmetic and branches on numbers nobody knows.

use bpf::insn::{AluOp, ByteOrder, Cond, Insn, Operand, Reg, Width};

use super::asm::{R0, R6, R7, R8, exit, helper, mov};
use super::rng::Rng;

pub fn width(rng: &mut Rng) -> Width {
    rng.pick(&[Width::W32, Width::W64])
}

/// An operation that is legal in itself.
pub fn operation(rng: &mut Rng, dst: Reg, regs: &[Reg]) -> Insn {
    let width = width(rng);
    match rng.below(9) {
        0..=5 => {
            let op = rng.pick(&AluOp::ALL);
            let bits = if width == Width::W32 { 32 } else { 64 };
            let src = if rng.once_in(2) {
                Operand::Reg(rng.pick(regs))
            } else {
                Operand::Imm(match (op, rng.immediate()) {
                    (AluOp::Lsh | AluOp::Rsh | AluOp::Arsh, imm) => (imm as u32 % bits) as i32,
                    (AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod, 0) => 7,
                    (_, imm) => imm,
                })
            };
            Insn::Alu { width, op, dst, src }
        }
        6 => Insn::Neg { width, dst },
        7 => {
            let signs = if width == Width::W64 { &[None, Some(8), Some(16), Some(32)][..] } else { &[None, Some(8)] };
            Insn::Mov { width, dst, src: Operand::Reg(rng.pick(regs)), sext: rng.pick(signs) }
        }
        _ => {
            let order = rng.pick(&[ByteOrder::Swap, ByteOrder::Le, ByteOrder::Be]);
            Insn::End { order, dst, bits: rng.pick(&[16, 32, 64]) }
        }
    }
}

/// A branch; where it goes is filled in later.
pub fn comparison(rng: &mut Rng, dst: Reg, regs: &[Reg]) -> Insn {
    let src = if rng.once_in(3) { Operand::Reg(rng.pick(regs)) } else { Operand::Imm(rng.immediate()) };
    Insn::Branch { width: width(rng), cond: rng.pick(&Cond::ALL), dst, src, off: 0 }
}

/// A program that only computes and compares; every branch goes to its end.
pub fn program(rng: &mut Rng) -> Vec<Insn> {
    let regs = [R0, R6, R7, R8];
    let mut out = Vec::new();
    for reg in [R6, R7, R8] {
        out.extend([helper(7), mov(reg, R0)]);
    }
    out.push(mov(R0, R6));
    for _ in 0..4 + rng.below(8) {
        let dst = rng.pick(&regs);
        let insn = if rng.once_in(4) { comparison(rng, dst, &regs) } else { operation(rng, dst, &regs) };
        out.push(insn);
    }
    let end = out.len();
    for (slot, insn) in out.iter_mut().enumerate() {
        if let Insn::Branch { off, .. } = insn {
            *off = (end - slot - 1) as i16;
        }
    }
    out.extend([mov(R0, 0), exit()]);
    out
}
