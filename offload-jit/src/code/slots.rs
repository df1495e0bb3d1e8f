//! Deferred slots: instructions from before a branch that may as well run behind it, while the core fetches.

use nic_model::isa::{Csr, Effect, Op};

use super::touch::Places;
use super::{Block, Code, Inst, Next, keep_flags, set_slots};

/// Most slots of a branch (the Linux driver's choice), and of a jump to a register.
const BRANCH_SLOTS: usize = 2;
const JUMP_SLOTS: usize = 3;
/// Instructions between setting a local memory pointer and using it.
const DELAY: usize = 3;

/// Fills the slots of the branch at the end of each block.
pub(super) fn fill(code: &mut Code) {
    let live = super::dead::live_out(code);
    for (block, live) in code.blocks.iter_mut().zip(live) {
        let most = match block.next() {
            Next::On => continue,
            Next::Return => JUMP_SLOTS,
            _ => BRANCH_SLOTS,
        };
        fill_block(block, most, live);
    }
}

fn fill_block(block: &mut Block, most: usize, live: Places) {
    let mut filled = 0;
    let branch = block.insts.len() - 1;
    let mut at = branch;
    // `at` walks up; what stays between the candidate and the branch is in its way.
    while filled < most && at > 0 {
        at -= 1;
        let end = block.insts.len() - 1 - filled;
        if may_move(block, at, end, live) {
            let mut moved = block.insts.remove(at);
            if block.insts[at..].iter().any(|inst| inst.uses.meets(Places::FLAGS)) || live.meets(Places::FLAGS) {
                keep_flags(&mut moved);
            }
            // Slots keep the order that the instructions had.
            block.insts.insert(end, moved);
            filled += 1;
        }
    }
    let end = block.insts.len() - 1 - filled;
    set_slots(&mut block.insts[end], filled as u8);
}

/// Whether the instruction at `at` may run behind the branch at `branch`, which it does not hang together with.
fn may_move(block: &Block, at: usize, branch: usize, live: Places) -> bool {
    let inst = &block.insts[at];
    let plain = inst.op.effect() == Effect::Result && !matches!(inst.op, Op::Nop(_));
    // A slot that holds an address to return to is as good as another.
    let open = inst.goal.is_some() && !matches!(inst.op, Op::Immed(_));
    let hangs = inst.follows() || block.insts.get(at + 1).is_some_and(Inst::follows);
    let takes_csr = at > 0 && matches!(block.insts[at - 1].op, Op::CsrRead(_));
    if !plain || open || hangs || takes_csr || moves_pointer(inst) {
        return false;
    }
    // A pointer that has been set still needs what stands between.
    let early = &block.insts[at.saturating_sub(DELAY)..at];
    let waits = at < DELAY || early.iter().any(|inst| matches!(&inst.op, Op::CsrWrite(op) if is_pointer(op.csr)));
    let pointers: Places = (0..4).map(Places::pointer).collect();
    if waits && block.insts[at + 1..].iter().any(|inst| inst.uses.meets(pointers)) {
        return false;
    }
    let mut probe = inst.clone();
    let behind = &block.insts[at + 1..=branch];
    let flags_read = behind.iter().any(|inst| inst.uses.meets(Places::FLAGS)) || live.meets(Places::FLAGS);
    if flags_read {
        keep_flags(&mut probe);
        let set_here = inst.defs.meets(Places::FLAGS);
        // Whoever reads flags behind must not mean this instruction's.
        let resets = behind.iter().position(|inst| inst.defs.meets(Places::FLAGS));
        let reads = behind.iter().position(|inst| inst.uses.meets(Places::FLAGS));
        let own = match (resets, reads) {
            (Some(set), Some(read)) => read <= set,
            (None, _) => true,
            (Some(_), None) => false,
        };
        if probe.defs.meets(Places::FLAGS) || set_here && own {
            return false;
        }
    }
    let ignored = Places::BETWEEN.union(Places::FLAGS);
    let (uses, defs) = (probe.uses, probe.defs.minus(ignored));
    if uses.meets(Places::FLAGS) {
        return false;
    }
    behind.iter().all(|other| {
        let (reads, writes) = match other.called() {
            // A routine begins behind the slots.
            Some(_) => (Places::NONE, Places::NONE),
            None => (other.uses, other.defs),
        };
        let memory =
            matches!(other.op, Op::Cmd(_)) && (uses.union(defs)).meets(Places::XFER_IN.union(Places::XFER_OUT));
        let moves = matches!(other.op, Op::CsrWrite(ref op) if is_pointer(op.csr)) && uses.meets(pointers);
        !memory && !moves && !writes.minus(ignored).meets(uses.union(defs)) && !reads.meets(defs)
    })
}

fn is_pointer(csr: Csr) -> bool {
    [Csr::LM_ADDR0, Csr::LM_ADDR1, Csr::LM_ADDR2, Csr::LM_ADDR3].contains(&csr)
}

fn moves_pointer(inst: &Inst) -> bool {
    (0..4).any(|n| inst.defs.meets(Places::pointer(n)))
}
