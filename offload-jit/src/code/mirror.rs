//! Which registers hold the same in both banks.

use nic_model::isa::{Bank, Dst, Reg, Source};

use super::touch::{BANK, Places};
use super::{Code, Inst};
use crate::asm::{External, Goal};

/// The numbers of registers that do, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mirrored(u32);

impl Mirrored {
    /// At the beginning of each block.
    pub(super) fn at_entries(code: &Code) -> Vec<Mirrored> {
        let successors = code.successors();
        let mut at = vec![Mirrored(u32::MAX); code.blocks.len()];
        if let Some(first) = at.first_mut() {
            *first = Mirrored(0);
        }
        let mut changed = true;
        while changed {
            changed = false;
            for (block, to) in code.blocks.iter().zip(&successors).enumerate().map(|(n, (block, to))| ((n, block), to))
            {
                let mut end = at[block.0];
                block.1.insts.iter().for_each(|inst| end.step(inst));
                for &to in to {
                    let both = Mirrored(at[to].0 & end.0);
                    changed |= both != at[to];
                    at[to] = both;
                }
            }
        }
        at
    }

    /// Whether both banks hold the same at this number.
    pub(super) fn holds(self, n: u8) -> bool {
        self.0 >> (u32::from(n) % BANK) & 1 != 0
    }

    /// Whether a source is what stands in all of the destination already.
    pub(super) fn is_own(self, dst: Dst, src: Source) -> bool {
        match (dst.reg, src) {
            (Some(Reg::Gpr(to, a)), Source::Reg(Reg::Gpr(from, b))) => {
                a == b && (self.holds(a) || to == from && !dst.both)
            }
            _ => false,
        }
    }

    /// Behind an instruction.
    pub(super) fn step(&mut self, inst: &Inst) {
        if inst.goal == Some(Goal::External(External::Atomic)) {
            // The number that was there is left in both banks.
            self.0 |= 0b11 << 23;
            return;
        }
        if inst.called().is_some() {
            // A routine leaves its result, R0, in both banks, and nothing anyone may rely on in those of R1 to R5.
            self.0 = self.0 & !0xfff | 0b11;
            return;
        }
        for n in 0..BANK as u8 {
            match [Bank::A, Bank::B].map(|bank| inst.defs.meets(Places::gpr(bank, n))) {
                [false, false] => {}
                // The two are written by one instruction, with one result.
                [true, true] => self.0 |= 1 << n,
                _ => self.0 &= !(1 << n),
            }
        }
    }
}
