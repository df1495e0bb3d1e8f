//! What nobody reads.

use std::rc::Rc;

use nic_model::isa::{Effect, MulHalf, Op};

use super::touch::Places;
use super::{Block, Code, Inst, Ways};
use crate::asm::{External, Goal};

/// What is live between the blocks of a program.
pub(super) struct Liveness {
    ways: Rc<Ways>,
    /// What each block reads of what it has not written.
    read: Vec<Places>,
    /// What it leaves as it was.
    kept: Vec<Places>,
    /// Places read before they are written, from the end of each block on.
    pub out: Vec<Places>,
}

impl Liveness {
    fn of(code: &mut Code) -> Self {
        let blocks = code.blocks.len();
        let none = || vec![Places::NONE; blocks];
        let mut live = Self { ways: code.ways(), read: none(), kept: none(), out: none() };
        code.blocks.iter_mut().enumerate().for_each(|(at, block)| live.look_at(block, at));
        live.solve();
        live
    }

    /// Notes what a block reads and writes.
    fn look_at(&mut self, block: &mut Block, at: usize) {
        let Block { insts, memo, .. } = block;
        let step = |[read, kept]: [Places; 2], inst: &Inst| [before(inst, read), before(inst, kept)];
        let found = memo.live.get_or_insert_with(|| insts.iter().rev().fold([Places::NONE, Places::ALL], step));
        [self.read[at], self.kept[at]] = *found;
    }

    fn solve(&mut self) {
        let blocks = self.out.len();
        self.out.fill(Places::NONE);
        let mut live_in = self.read.clone();
        let mut changed = true;
        while changed {
            changed = false;
            for at in (0..blocks).rev() {
                let out: Places = self.ways.of(at).map(|to| live_in[to]).collect();
                let before = self.read[at].union(out.and(self.kept[at]));
                self.out[at] = out;
                changed |= live_in[at] != before;
                live_in[at] = before;
            }
        }
    }
}

/// Places read before they are written, from the end of each block on.
pub(super) fn live_out(code: &mut Code) -> Vec<Places> {
    Liveness::of(code).out
}

/// What is live before an instruction.
pub(super) fn before(inst: &Inst, after: Places) -> Places {
    match inst.called() {
        Some((reads, clobbers)) => after.minus(clobbers).union(reads),
        None => after.minus(inst.defs).union(inst.uses).union(ends(inst)),
    }
}

/// The firmware takes the verdict from register 0 of bank A.
fn ends(inst: &Inst) -> Places {
    match inst.goal {
        Some(Goal::External(External::Done)) => Places::gpr(nic_model::isa::Bank::A, 0),
        _ => Places::NONE,
    }
}

/// Removes instructions whose results are dead, until none is left.
pub(super) fn remove(code: &mut Code) {
    let mut live = Liveness::of(code);
    loop {
        let mut changed = false;
        for (at, block) in code.blocks.iter_mut().enumerate() {
            // For what is live behind it, a block is swept once.
            if block.memo.swept != Some(live.out[at]) {
                if sweep(block, live.out[at]) {
                    live.look_at(block, at);
                    changed = true;
                }
                block.memo.swept = Some(live.out[at]);
            }
        }
        if !changed {
            return;
        }
        live.solve();
    }
}

/// Removes what is dead in a block; whether anything was.
fn sweep(block: &mut Block, out: Places) -> bool {
    let mut live = out;
    let mut dead = Vec::new();
    // The next instruction that stays.
    let mut next: Option<usize> = None;
    for at in (0..block.insts.len()).rev() {
        let inst = &block.insts[at];
        if !live.meets(inst.defs) && removable(inst) && !is_bound(block, at, next) {
            // What is known before the slot holds before the next of its instructions as well, for nothing of the slot
            // has happened yet that is ever seen.
            let (first, origin) = (inst.first, inst.origin);
            if let Some(next) = next.map(|next| &mut block.insts[next]).filter(|next| first && next.origin == origin) {
                next.first = true;
            }
            dead.push(at);
            continue;
        }
        live = before(inst, live);
        next = Some(at);
    }
    block.remove_all(dead.iter().rev().copied());
    !dead.is_empty()
}

/// Whether an instruction has to stay for those beside it, dead or not.
fn is_bound(block: &Block, at: usize, next: Option<usize>) -> bool {
    // The instruction behind the read of a local CSR takes its value, wanted or not.
    let takes_csr = at > 0 && matches!(block.insts[at - 1].op, Op::CsrRead(_));
    let half = |at: usize, half: MulHalf| matches!(block.insts[at].op, Op::MulLast(op) if op.half == half);
    takes_csr || half(at, MulHalf::Low) && next.is_some_and(|next| half(next, MulHalf::High))
}

/// Whether an instruction does nothing but write registers.
fn removable(inst: &Inst) -> bool {
    const RESULTS: Places = Places::GPRS.union(Places::FLAGS).union(Places::RUNNING).union(Places::BETWEEN);
    inst.op.effect() == Effect::Result && inst.defs.within(RESULTS) && matches!(inst.goal, None | Some(Goal::Value(_)))
}
