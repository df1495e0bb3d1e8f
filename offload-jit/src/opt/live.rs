//! Which registers are read after an instruction before they are written again.

use bpf::insn::{Reg, RegSet};
use bpf::program::Program;

/// Registers that are live behind each slot.
#[derive(Debug)]
pub(crate) struct Live(Vec<RegSet>);

impl Live {
    /// Whether the register's value behind `slot` may be read.
    pub(crate) fn behind(&self, slot: usize, reg: Reg) -> bool {
        self.0.get(slot).is_none_or(|set| set.contains(reg))
    }
}

/// Solves the equations over all of a program's slots, dead ones included, which errs on the side of live.
pub(crate) fn live(program: &Program) -> Live {
    let insns = &program.insns;
    let mut before = vec![RegSet::EMPTY; insns.len() + 1];
    let mut behind = vec![RegSet::EMPTY; insns.len()];
    loop {
        let mut changed = false;
        for (slot, insn) in insns.iter().enumerate().rev() {
            let mut out = RegSet::EMPTY;
            if insn.falls_through() {
                out = out.union(before[slot + 1]);
            }
            if let Some(to) = insn.target(slot).and_then(|to| usize::try_from(to).ok()).filter(|to| *to < insns.len()) {
                out = out.union(before[to]);
            }
            let own = out.minus(insn.defs()).union(insn.uses());
            changed |= own != before[slot] || out != behind[slot];
            (before[slot], behind[slot]) = (own, out);
        }
        if !changed {
            return Live(behind);
        }
    }
}
