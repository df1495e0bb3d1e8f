//! Tests and the branches behind them.
//!
//! A branch can look at a bit or a byte of a register by itself, and an instruction that computes a value already says
//! whether it is 0: where that is all that a test asks, the test goes.

use nic_model::isa::{
    Alu, AluMove, AluOp, Beside, BitTest, BrBit, BrByte, BrCond, Cond, CondCodes, Effect, LoadCc, Move, Op, Pair, Reg,
    Source,
};

use super::dead::live_out;
use super::known::{self, Operands, sets_flags};
use super::touch::Places;
use super::{Block, Code, Hints};

/// Fuses the last tests of blocks with their branches.
pub(super) fn fuse(code: &mut Code, hints: &Hints) {
    let live = live_out(code);
    let states = known::solved(code, hints);
    for ((block, live), state) in code.blocks.iter_mut().zip(live).zip(&states) {
        // Whoever reads the flags behind the branch needs the test.
        let (Some(_), Some(state), false) = (branch(block), state, live.meets(Places::FLAGS)) else { continue };
        if block.memo.fused.as_deref().is_some_and(|memo| memo.1 == live && memo.0 == *state) {
            continue;
        }
        let mut known = known::operands(block, state.clone(), hints);
        let mut changed = false;
        while chain(block, &mut known) || bit_or_byte(block, live, &mut known) || zero(block, &mut known) {
            changed = true;
        }
        if changed {
            block.changed();
        } else {
            block.memo.fused = Some(Box::new((state.clone(), live)));
        }
    }
    code.known = Some(states);
}

/// The block's last branch, if it is one on condition codes; with its place.
fn branch(block: &Block) -> Option<(usize, BrCond)> {
    let at = block.insts.len().checked_sub(1)?;
    match block.insts[at].op {
        Op::BrCond(op) => Some((at, op)),
        _ => None,
    }
}

/// The latest instruction before `at` that sets the condition codes.
fn test(block: &Block, at: usize) -> Option<usize> {
    (0..at).rev().find(|n| block.insts[*n].defs.meets(Places::FLAGS))
}

/// Upper halves that are equal pass on what the comparison of the lower ones said.
fn chain(block: &mut Block, known: &mut Vec<Operands>) -> bool {
    let Some((at, op)) = branch(block) else { return false };
    let Some(high) = test(block, at) else { return false };
    let Op::Alu(Alu { op: AluOp::SubCarry, dst, .. }) = block.insts[high].op else { return false };
    let cond = match op.cond {
        Cond::CarrySet | Cond::Ge => Cond::CarrySet,
        Cond::CarryClear | Cond::Lt => Cond::CarryClear,
        _ => return false,
    };
    let Operands { lhs, rhs } = known[high];
    if dst.reg.is_some() || lhs.value().is_none() || lhs.value() != rhs.value() {
        return false;
    }
    block.insts[at] = block.insts[at].with(BrCond { cond, ..op });
    block.insts.remove(high);
    known.remove(high);
    true
}

/// A test of one bit, or of a register of which all but one byte is 0.
fn bit_or_byte(block: &mut Block, live: Places, known: &mut Vec<Operands>) -> bool {
    let Some((at, op)) = branch(block) else { return false };
    let equal = match op.cond {
        Cond::Eq => true,
        Cond::Ne => false,
        _ => return false,
    };
    let Some(tested) = test(block, at) else { return false };
    let inst = &block.insts[tested];
    let between = &block.insts[tested + 1..at];
    let bits = match inst.op {
        Op::Alu(Alu { src: Pair { lhs: Source::Reg(_), .. }, .. }) => known[tested].lhs,
        _ => known[tested].rhs,
    };
    let dead = |dst: Option<Reg>| match dst {
        None => true,
        Some(Reg::Gpr(..)) => {
            let mut after = live;
            for inst in block.insts[tested + 1..].iter().rev() {
                after = super::dead::before(inst, after);
            }
            !inst.defs.minus(Places::FLAGS.union(Places::BETWEEN)).meets(after)
        }
        Some(_) => false,
    };
    let (dst, reg, new): (_, _, Op) = match inst.op {
        Op::Alu(Alu { op: AluOp::And, dst, src, .. }) => {
            let (reg, mask) = match (src.lhs, src.rhs) {
                (Source::Reg(reg), Source::Imm(mask)) | (Source::Imm(mask), Source::Reg(reg)) => (reg, mask),
                _ => return false,
            };
            let Some(bit) = single(mask.into()) else { return false };
            (dst, reg, BrBit { set: !equal, test: BitTest::new(reg, bit), to: op.to, defer: 0 }.into())
        }
        Op::Alu(Alu { op: AluOp::Xor | AluOp::Sub, dst, src, .. }) => {
            let (reg, value) = match (src.lhs, src.rhs) {
                (Source::Reg(reg), Source::Imm(value)) | (Source::Imm(value), Source::Reg(reg)) => (reg, value),
                _ => return false,
            };
            if bits.most() > 0xff {
                return false;
            }
            (dst, reg, BrByte { equal, byte: 0, src: Beside::new(reg, value), to: op.to, defer: 0 }.into())
        }
        Op::Move(Move { op: AluMove::Copy, dst, rhs, .. }) => {
            let Source::Reg(reg) = rhs.src else { return false };
            match single(bits.most()) {
                Some(bit) => {
                    (dst, reg, BrBit { set: !equal, test: BitTest::new(reg, bit), to: op.to, defer: 0 }.into())
                }
                None if bits.most() <= 0xff => {
                    (dst, reg, BrByte { equal, byte: 0, src: Beside::new(reg, 0), to: op.to, defer: 0 }.into())
                }
                None => return false,
            }
        }
        _ => return false,
    };
    // The branch reads what the test read.
    let new = block.insts[at].with(new);
    let moved = between.iter().any(|inst| inst.defs.meets(new.uses)) || inst.defs.meets(new.uses);
    if !matches!(reg, Reg::Gpr(..)) || moved || !dead(dst.reg) || !known::encodes(&new) {
        return false;
    }
    block.insts[at] = new;
    block.insts.remove(tested);
    known.remove(tested);
    true
}

fn single(mask: u32) -> Option<u8> {
    if mask.is_power_of_two() { Some(mask.trailing_zeros() as u8) } else { None }
}

/// A test for 0 of what the instruction before has just computed.
fn zero(block: &mut Block, known: &mut Vec<Operands>) -> bool {
    let Some((at, op)) = branch(block) else { return false };
    if !matches!(op.cond, Cond::Eq | Cond::Ne) {
        return false;
    }
    let Some(tested) = test(block, at) else { return false };
    let Op::Move(Move { op: AluMove::Copy, dst, rhs, .. }) = block.insts[tested].op else { return false };
    let Source::Reg(reg @ Reg::Gpr(bank, n)) = rhs.src else { return false };
    // What it writes besides is what stands there already, or nothing.
    if dst.reg.is_some() && dst.reg != Some(reg) || dst.both {
        return false;
    }
    let place = Places::gpr(bank, n);
    let Some(made) = (0..tested).rev().find(|at| block.insts[*at].defs.meets(place)) else { return false };
    if block.insts[made + 1..tested].iter().any(|inst| inst.defs.meets(Places::FLAGS) || inst.called().is_some()) {
        return false;
    }
    let inst = &block.insts[made];
    if inst.called().is_some() || inst.op.effect() != Effect::Result {
        return false;
    }
    let with = match inst.op {
        Op::LdField(mut op) => {
            op.cc = LoadCc::Set;
            inst.with(op)
        }
        Op::LdFieldClear(mut op) => {
            op.cc = LoadCc::Set;
            inst.with(op)
        }
        Op::Alu(Alu { op: AluOp::AddCarry | AluOp::SubCarry, .. }) => return false,
        other if sets_flags(&other) => inst.clone(),
        other => {
            let mut other = other;
            match super::cond_codes(&mut other) {
                Some(cc) => *cc = CondCodes::Set,
                None => return false,
            }
            inst.with(other)
        }
    };
    // The flags set now must not be what somebody between relies on.
    if block.insts[made + 1..tested].iter().any(|inst| inst.uses.meets(Places::FLAGS)) || !known::encodes(&with) {
        return false;
    }
    block.insts[made] = with;
    block.insts.remove(tested);
    known.remove(tested);
    true
}
