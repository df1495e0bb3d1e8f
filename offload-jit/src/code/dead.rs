//! What nobody reads.

use nic_model::isa::{Effect, MulHalf, Op};

use super::touch::Places;
use super::{Block, Code, Inst};
use crate::asm::{External, Goal};

/// Places read before they are written, from the end of each block on.
pub(super) fn live_out(code: &Code) -> Vec<Places> {
    let successors = code.successors();
    let mut live_in = vec![Places::NONE; code.blocks.len()];
    let mut live_out = live_in.clone();
    let mut changed = true;
    while changed {
        changed = false;
        for at in (0..code.blocks.len()).rev() {
            let out = successors[at].iter().map(|to| live_in[*to]).collect();
            let before = code.blocks[at].insts.iter().rev().fold(out, |live, inst| before(inst, live));
            live_out[at] = out;
            changed |= live_in[at] != before;
            live_in[at] = before;
        }
    }
    live_out
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
    loop {
        let live = live_out(code);
        let before = code.len();
        for (block, out) in code.blocks.iter_mut().zip(live) {
            sweep(block, out);
        }
        if code.len() == before {
            return;
        }
    }
}

fn sweep(block: &mut Block, out: Places) {
    let mut live = out;
    let mut kept: Vec<Inst> = Vec::with_capacity(block.insts.len());
    while let Some(inst) = block.insts.pop() {
        // The instruction behind the read of a local CSR takes its value, wanted or not.
        let takes_csr = matches!(block.insts.last().map(|inst| &inst.op), Some(Op::CsrRead(_)));
        let next = kept.last();
        let halves = matches!(inst.op, Op::MulLast(low) if low.half == MulHalf::Low)
            && matches!(next.map(|next| &next.op), Some(Op::MulLast(high)) if high.half == MulHalf::High);
        if !live.meets(inst.defs) && removable(&inst) && !halves && !takes_csr {
            // What is known before the slot holds before the next of its instructions as well, for nothing of the slot
            // has happened yet that is ever seen.
            if inst.first
                && let Some(next) = kept.last_mut().filter(|next| next.origin == inst.origin)
            {
                next.first = true;
            }
            continue;
        }
        live = before(&inst, live);
        kept.push(inst);
    }
    kept.reverse();
    block.insts = kept;
}

/// Whether an instruction does nothing but write registers.
fn removable(inst: &Inst) -> bool {
    const RESULTS: Places = Places::GPRS.union(Places::FLAGS).union(Places::RUNNING).union(Places::BETWEEN);
    inst.op.effect() == Effect::Result && inst.defs.within(RESULTS) && matches!(inst.goal, None | Some(Goal::Value(_)))
}
