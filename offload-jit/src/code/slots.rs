//! Deferred slots: instructions from before a branch that may as well run behind it, while the core fetches.

use nic_model::isa::{Csr, Effect, Op};

use super::touch::Places;
use super::{Block, Code, Inst, Next, keep_flags, set_slots};

/// Most slots of a branch (the Linux driver's choice), and of a jump to a register.
const BRANCH_SLOTS: usize = 2;
const JUMP_SLOTS: usize = 3;
/// Instructions between setting a local memory pointer and using it.
const DELAY: usize = 3;
/// The local memory pointers.
const POINTERS: Places =
    Places::pointer(0).union(Places::pointer(1)).union(Places::pointer(2)).union(Places::pointer(3));

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

/// What stands between a candidate and the branch, both branch and what has been moved behind it included.
#[derive(Debug, Default)]
struct Between {
    reads: Places,
    writes: Places,
    commands: bool,
    sets_pointer: bool,
    /// Somebody reads the flags; who comes first reads them.
    reads_flags: bool,
    /// Somebody sets the flags.
    sets_flags: bool,
    /// The first of those reads them.
    first_reads: bool,
    /// What is read here and in the slots.
    reads_in_all: Places,
}

impl Between {
    /// Takes the instruction in front of all that.
    fn add(&mut self, inst: &Inst) {
        // A routine begins behind the slots.
        if inst.called().is_none() {
            self.reads = self.reads.union(inst.uses);
            self.writes = self.writes.union(inst.defs);
        }
        self.commands |= matches!(inst.op, Op::Cmd(_));
        self.sets_pointer |= matches!(inst.op, Op::CsrWrite(ref op) if is_pointer(op.csr));
        let (reads, sets) = (inst.uses.meets(Places::FLAGS), inst.defs.meets(Places::FLAGS));
        self.first_reads = reads || self.first_reads && !sets;
        self.reads_flags |= reads;
        self.sets_flags |= sets;
        self.reads_in_all = self.reads_in_all.union(inst.uses);
    }
}

fn fill_block(block: &mut Block, most: usize, live: Places) {
    let mut filled = 0;
    let branch = block.insts.len() - 1;
    let mut between = Between::default();
    between.add(&block.insts[branch]);
    let mut at = branch;
    // `at` walks up; what stays between the candidate and the branch is in its way.
    while filled < most && at > 0 {
        at -= 1;
        if !may_move(block, at, &between, live) {
            between.add(&block.insts[at]);
            continue;
        }
        let end = block.insts.len() - 1 - filled;
        if between.reads_in_all.union(live).meets(Places::FLAGS) {
            keep_flags(&mut block.insts[at]);
        }
        between.reads_in_all = between.reads_in_all.union(block.insts[at].uses);
        // Slots keep the order that the instructions had.
        block.insts[at..=end].rotate_left(1);
        filled += 1;
    }
    let end = block.insts.len() - 1 - filled;
    set_slots(&mut block.insts[end], filled as u8);
}

/// Whether the instruction at `at` may run behind the branch, which it does not hang together with.
fn may_move(block: &Block, at: usize, between: &Between, live: Places) -> bool {
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
    if waits && between.reads_in_all.meets(POINTERS) {
        return false;
    }
    let mut probe = inst.clone();
    if between.reads_flags || live.meets(Places::FLAGS) {
        keep_flags(&mut probe);
        // Whoever reads flags behind must not mean this instruction's.
        let own = !between.sets_flags || between.reads_flags && between.first_reads;
        if probe.defs.meets(Places::FLAGS) || inst.defs.meets(Places::FLAGS) && own {
            return false;
        }
    }
    let ignored = Places::BETWEEN.union(Places::FLAGS);
    let (uses, defs) = (probe.uses, probe.defs.minus(ignored));
    let both = uses.union(defs);
    let transferred = between.commands && both.meets(Places::XFER_IN.union(Places::XFER_OUT));
    let pointed = between.sets_pointer && uses.meets(POINTERS);
    let held = uses.meets(Places::FLAGS) || transferred || pointed;
    !held && !between.writes.minus(ignored).meets(both) && !between.reads.meets(defs)
}

fn is_pointer(csr: Csr) -> bool {
    [Csr::LM_ADDR0, Csr::LM_ADDR1, Csr::LM_ADDR2, Csr::LM_ADDR3].contains(&csr)
}

fn moves_pointer(inst: &Inst) -> bool {
    inst.defs.meets(POINTERS)
}
