//! Local memory pointers are set as early as three instructions before they are used, where those may as well run behind.
//!
//! A pointer and what computes its address move up past instructions that have nothing to do with them, so that these
//! pass the time that would otherwise be passed by waiting.

use nic_model::isa::{Bank, Csr, Effect, Op};

use super::dead::live_out;
use super::touch::Places;
use super::{Block, Code, Inst, keep_flags};

/// Instructions between setting a pointer and using it.
const DELAY: usize = 3;
/// Most instructions that compute an address: a constant of two, and the sum.
const LONGEST: usize = 3;

/// Scratch of lowering, in both banks.
fn scratch() -> Places {
    Places::gpr(Bank::A, 21).union(Places::gpr(Bank::B, 21))
}

/// Moves the settings of pointers up.
pub(super) fn hoist(code: &mut Code) {
    let live = live_out(code);
    for (block, live) in code.blocks.iter_mut().zip(live) {
        block.changed();
        for at in 0..block.insts.len() {
            if let Some(pointer) = set_pointer(&block.insts[at]) {
                hoist_one(block, at, pointer, live);
            }
        }
    }
}

/// The pointer that an instruction sets, as a place.
fn set_pointer(inst: &Inst) -> Option<Places> {
    let Op::CsrWrite(op) = &inst.op else { return None };
    let pointers = [Csr::LM_ADDR0, Csr::LM_ADDR1, Csr::LM_ADDR2, Csr::LM_ADDR3];
    pointers.iter().position(|csr| *csr == op.csr).map(|n| Places::pointer(n as u8))
}

/// How many instructions are missing between the setting at `at` and its first use.
fn missing(block: &Block, at: usize, pointer: Places) -> usize {
    let behind = block.insts.iter().skip(at + 1).take(DELAY);
    let used = behind.clone().position(|inst| inst.uses.meets(pointer));
    used.map_or(0, |passed| DELAY - passed)
}

fn hoist_one(block: &mut Block, at: usize, pointer: Places, live: Places) {
    let missing = missing(block, at, pointer);
    if missing == 0 {
        return;
    }
    // What computes the address, in scratch, and nothing else.
    let computes = |inst: &Inst| {
        let results = inst.defs.minus(Places::FLAGS.union(Places::BETWEEN));
        inst.op.effect() == Effect::Result && inst.goal.is_none() && !inst.follows() && results.within(scratch())
    };
    let mut start = at;
    while start > 0 && at - start < LONGEST && computes(&block.insts[start - 1]) && !takes_csr(block, start - 1) {
        start -= 1;
    }
    // Flags that it sets on the way are nobody's, or it stays.
    let sets = block.insts[start..at].iter().any(|inst| inst.defs.meets(Places::FLAGS));
    let flags = block.insts[at + 1..].iter().find(|inst| inst.uses.union(inst.defs).meets(Places::FLAGS));
    let read = flags.map_or(live, |inst| inst.uses).meets(Places::FLAGS);
    if sets && read {
        return;
    }
    let mut unit: Vec<Inst> = block.insts[start..=at].to_vec();
    unit.iter_mut().for_each(keep_flags);
    let ignored = Places::BETWEEN;
    let uses = unit.iter().map(|inst| inst.uses).collect::<Places>().minus(ignored);
    let defs = unit.iter().map(|inst| inst.defs).collect::<Places>().minus(ignored);
    if defs.meets(Places::FLAGS) || uses.meets(Places::FLAGS) {
        return;
    }
    let mut to = start;
    while to > 0 && start - to < missing {
        let inst = &block.insts[to - 1];
        let alone = !inst.follows() && !takes_csr(block, to - 1) && !block.insts.get(to).is_some_and(Inst::follows);
        let apart = !inst.defs.minus(ignored).meets(uses.union(defs)) && !inst.uses.meets(defs);
        if !(alone && apart && inst.op.effect() == Effect::Result) {
            break;
        }
        to -= 1;
    }
    if to < start {
        block.insts[start..=at].clone_from_slice(&unit);
        block.insts[to..=at].rotate_right(unit.len());
    }
}

/// Whether the instruction takes the value of a local CSR that the one before it reads.
fn takes_csr(block: &Block, at: usize) -> bool {
    at.checked_sub(1).is_some_and(|before| matches!(block.insts[before].op, Op::CsrRead(_)))
}
