//! Local memory pointers act three instructions after they are written. Where nothing useful stands between, nothing does.

use nic_model::isa::{Csr, Nop, Op};

use super::touch::Places;
use super::{Code, Inst};

/// Instructions between writing a pointer and using it (nic-model's `local_csr_wr`).
const DELAY: u8 = 3;
/// There are four pointers.
const POINTERS: usize = 4;

/// For each pointer, how many instructions have to pass before it may be used.
type Wait = [u8; POINTERS];

fn pointer(csr: Csr) -> Option<usize> {
    [Csr::LM_ADDR0, Csr::LM_ADDR1, Csr::LM_ADDR2, Csr::LM_ADDR3].iter().position(|known| *known == csr)
}

/// Instructions that an instruction has to wait for.
fn needs(inst: &Inst, wait: Wait) -> u8 {
    if inst.called().is_some() {
        // The routine uses them from the instruction behind the branch on.
        return [wait[0], wait[2]].into_iter().max().unwrap_or(0).saturating_sub(1);
    }
    let used = (0..POINTERS).filter(|n| inst.uses.meets(Places::pointer(*n as u8)));
    used.map(|n| wait[n]).max().unwrap_or(0)
}

fn step(inst: &Inst, wait: &mut Wait) {
    let passes = |wait: &mut Wait, n: u8| wait.iter_mut().for_each(|left| *left = left.saturating_sub(n));
    match &inst.op {
        Op::CsrWrite(op) => {
            passes(wait, 1);
            if let Some(n) = pointer(op.csr) {
                wait[n] = DELAY;
            }
        }
        _ if inst.called().is_some() => *wait = Wait::default(),
        _ => passes(wait, 1),
    }
}

/// Puts instructions without effect where a pointer would be used too early.
pub(super) fn wait_for_pointers(code: &mut Code) {
    let ways = code.ways();
    let mut at_entry = vec![Wait::default(); code.blocks.len()];
    let mut changed = true;
    while changed {
        changed = false;
        for at in 0..code.blocks.len() {
            let mut wait = at_entry[at];
            for inst in &code.blocks[at].insts {
                let needed = needs(inst, wait);
                wait.iter_mut().for_each(|left| *left = left.saturating_sub(needed));
                step(inst, &mut wait);
            }
            for to in ways.of(at) {
                for (there, here) in at_entry[to].iter_mut().zip(wait) {
                    changed |= here > *there;
                    *there = here.max(*there);
                }
            }
        }
    }
    for (block, mut wait) in code.blocks.iter_mut().zip(at_entry) {
        let mut insts: Vec<Inst> = Vec::with_capacity(block.insts.len());
        for inst in block.insts.drain(..) {
            let needed = needs(&inst, wait);
            // Not between an instruction and the one that hangs on its result.
            let mut at = insts.len();
            if inst.follows() {
                at -= 1;
                while at > 0 && insts[at].follows() {
                    at -= 1;
                }
            }
            for _ in 0..needed {
                insts.insert(at, Inst::new(Nop {}.into(), inst.origin, None));
            }
            wait.iter_mut().for_each(|left| *left = left.saturating_sub(needed));
            step(&inst, &mut wait);
            insts.push(inst);
        }
        block.insts = insts;
        block.changed();
    }
}
