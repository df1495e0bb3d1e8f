//! Which registers are read before they are written, from each slot on; backwards over the program.

use crate::helpers::signature;
use crate::insn::{AluOp, Callee, Insn, Operand, RegSet, Size, Width};
use crate::program::{ProgType, Program};

/// Registers live before a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Live {
    /// Any part of them.
    pub any: RegSet,
    /// Their upper 32 bits.
    pub high: RegSet,
}

/// Registers that pass no argument.
const NOT_ARGS: RegSet = RegSet::ALL.minus(RegSet::ARGS);

/// Registers live before each slot.
pub(super) fn live(program: &Program) -> Vec<Live> {
    let insns = &program.insns;
    let mut live = vec![Live::default(); insns.len() + 1];
    let mut changed = true;
    while changed {
        changed = false;
        for slot in (0..insns.len()).rev() {
            let insn = &insns[slot];
            if matches!(insn, Insn::Pad) {
                continue;
            }
            let mut after = Live::default();
            if insn.falls_through() {
                after = live[slot + insn.slots()];
            }
            if let Some(target) = insn.target(slot) {
                let there = live[target as usize];
                after = Live { any: after.any.union(there.any), high: after.high.union(there.high) };
            }
            let entry = match *insn {
                Insn::Call { callee: Callee::Local(_) } => insn.function(slot).and_then(|f| live.get(f as usize)),
                _ => None,
            };
            let before = before(insn, program.ty, after, entry.copied());
            changed |= live[slot] != before;
            live[slot] = before;
        }
    }
    live.pop();
    live
}

/// What is live before an instruction; `entry` is what is live where a called function starts.
fn before(insn: &Insn, ty: ProgType, after: Live, entry: Option<Live>) -> Live {
    let defs = insn.defs();
    let (any, high) = match entry {
        Some(entry) => (entry.any.minus(NOT_ARGS), entry.high.minus(NOT_ARGS)),
        None => uses(insn, ty),
    };
    // The upper half of a copy's source is read only if that of the copy is.
    let high = match *insn {
        Insn::Mov { width: Width::W64, dst, src: Operand::Reg(src), sext: None } if !after.high.contains(dst) => {
            high.minus(RegSet::of(src))
        }
        Insn::Alu { width: Width::W64, op, dst, src } if low_from_low(op) && !after.high.contains(dst) => {
            high.minus(RegSet::of(dst)).minus(src.reg().map_or(RegSet::EMPTY, RegSet::of))
        }
        _ => high,
    };
    Live { any: after.any.minus(defs).union(any), high: after.high.minus(defs).union(high) }
}

/// Operations whose low 32 result bits depend on the operands' low 32 bits alone.
fn low_from_low(op: AluOp) -> bool {
    matches!(op, AluOp::Add | AluOp::Sub | AluOp::Mul | AluOp::And | AluOp::Or | AluOp::Xor)
}

/// Registers an instruction reads, and those of which it reads the upper half.
fn uses(insn: &Insn, ty: ProgType) -> (RegSet, RegSet) {
    let operand = |o: Operand| o.reg().map_or(RegSet::EMPTY, RegSet::of);
    let all = insn.uses();
    let high = match *insn {
        Insn::Alu { width: Width::W32, .. }
        | Insn::Mov { width: Width::W32, .. }
        | Insn::Neg { width: Width::W32, .. }
        | Insn::Branch { width: Width::W32, .. } => RegSet::EMPTY,
        Insn::End { bits, dst, .. } => {
            if bits == 64 {
                RegSet::of(dst)
            } else {
                RegSet::EMPTY
            }
        }
        Insn::Mov { sext: Some(_), .. } => RegSet::EMPTY,
        Insn::Store { size, base, src, .. } if size != Size::D => all.minus(operand(src)).union(RegSet::of(base)),
        Insn::StoreRelease { size, base, .. } if size != Size::D => RegSet::of(base),
        Insn::Atomic { size: Size::W, base, .. } => RegSet::of(base),
        Insn::Call { callee: Callee::Helper(id) } => {
            let arguments = signature::arguments(id, ty);
            return (arguments, arguments);
        }
        _ => all,
    };
    (all, high)
}
