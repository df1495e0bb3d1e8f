//! Which registers may be read after an instruction before they are written, in its own function: states need only
//! agree on those. As in Linux it follows the shape of the program alone, not the paths that were walked.

use super::demand;
use super::privileges::Privileges;
use crate::helpers::signature;
use crate::insn::{Callee, Insn, Operand, Reg, RegSet, Size, Width};
use crate::program::{ProgType, Program};

/// Registers that may be read from a slot on, a bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LiveRegs {
    /// Any part of them.
    pub any: u16,
    /// All 64 bits of them.
    pub wide: u16,
}

/// The slots control may go to within the function.
pub(super) fn successors(insn: &Insn, slot: usize) -> impl Iterator<Item = usize> + use<> {
    let next = insn.falls_through().then_some(slot + insn.slots());
    let target = insn.target(slot).and_then(|t| usize::try_from(t).ok());
    next.into_iter().chain(target)
}

/// By slot, what may be read from it on.
pub(super) fn live_regs(program: &Program, privileges: Privileges, postorder: &[usize]) -> Vec<LiveRegs> {
    let mut live = vec![LiveRegs::default(); program.insns.len() + 1];
    let effects: Vec<_> = program.insns.iter().map(|insn| effect(insn, program.ty, privileges)).collect();
    let mut changed = true;
    while changed {
        changed = false;
        for &slot in postorder {
            let mut after = LiveRegs::default();
            for next in successors(&program.insns[slot], slot) {
                after.any |= live[next].any;
                after.wide |= live[next].wide;
            }
            let Effect { defs, uses, wide } = effects[slot];
            let before = LiveRegs { any: after.any & !defs | uses, wide: after.wide & !defs | wide };
            changed |= before != live[slot];
            live[slot] = before;
        }
    }
    live
}

#[derive(Clone, Copy)]
struct Effect {
    defs: u16,
    uses: u16,
    wide: u16,
}

/// R0 to R9.
const EVERY: u16 = (1 << 10) - 1;

/// The registers in which a call passes arguments; all where the loader may not call it.
fn arguments(callee: Callee, ty: ProgType, privileges: Privileges) -> RegSet {
    match callee {
        Callee::Helper(id) if demand::helper_for(id, ty, privileges).is_some() => signature::arguments(id, ty),
        _ => RegSet::ARGS,
    }
}

fn effect(insn: &Insn, ty: ProgType, privileges: Privileges) -> Effect {
    let bits = |o: Operand| o.reg().map_or(0, |r| RegSet::of(r).bits());
    let one = |r: Reg| RegSet::of(r).bits();
    let uses = match *insn {
        Insn::Call { callee } => arguments(callee, ty, privileges).bits(),
        // Linux takes it that packet loads of classic heritage read all there are.
        Insn::LoadPacket { .. } => EVERY,
        _ => insn.uses().bits(),
    };
    let defs = if uses == EVERY { 0 } else { insn.defs().bits() };
    let wide = match *insn {
        Insn::Alu { width: Width::W32, .. }
        | Insn::Mov { width: Width::W32, .. }
        | Insn::Neg { width: Width::W32, .. }
        | Insn::Branch { width: Width::W32, .. } => 0,
        Insn::End { bits: 64, dst, .. } => one(dst),
        Insn::End { .. } | Insn::Exit => 0,
        Insn::LoadPacket { .. } => insn.uses().bits(),
        // A pointer would be stored whole; a number of which part is stored is not read whole.
        Insn::Store { size, base, src, .. } if size != Size::D => uses & !bits(src) | one(base),
        Insn::Atomic { size: Size::W, base, .. } => one(base),
        _ => uses,
    };
    Effect { defs, uses, wide }
}
