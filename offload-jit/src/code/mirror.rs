//! Which registers hold the same in both banks.

use nic_model::isa::{Bank, Dst, Reg, Source};

use super::touch::BANK;
use super::{Block, Code, Inst};
use crate::asm::{External, Goal};

/// The numbers of registers that do, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mirrored(u32);

impl Mirrored {
    /// At the beginning of each block.
    pub(super) fn at_entries(code: &mut Code) -> Vec<Mirrored> {
        let ways = code.ways();
        // What a block leaves is what it mirrors, and of what was mirrored before it that which it does not touch.
        let step = |mut now: Mirrored, inst: &Inst| {
            now.step(inst);
            now
        };
        let steps = code.blocks.iter_mut().map(|Block { insts, memo, .. }| {
            let found = || [0, u32::MAX].map(|before| insts.iter().fold(Mirrored(before), step));
            *memo.mirror.get_or_insert_with(found)
        });
        let steps: Vec<[Mirrored; 2]> = steps.collect();
        let mut at = vec![Mirrored(u32::MAX); code.blocks.len()];
        if let Some(first) = at.first_mut() {
            *first = Mirrored(0);
        }
        let mut changed = true;
        while changed {
            changed = false;
            for (n, [made, kept]) in steps.iter().enumerate() {
                let end = made.0 | at[n].0 & kept.0;
                for to in ways.of(n) {
                    let both = Mirrored(at[to].0 & end);
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
        // Where both are written, it is by one instruction, with one result.
        let [a, b] = [Bank::A, Bank::B].map(|bank| inst.defs.bank(bank));
        self.0 = self.0 & !(a | b) | a & b;
    }
}
