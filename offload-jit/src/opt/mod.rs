//! Rewrites across instructions, on actions: what the Linux driver does before it translates.
//!
//! In order: drop what classic BPF's conversion leaves behind, negate constants so that they fit an operand, gather copies,
//! read packet bytes through windows. A rewritten instruction keeps its slot; what it no longer has to do becomes
//! [`crate::action::Action::Nothing`].

mod classic;
mod gather;
mod live;
mod negate;
mod window;

#[cfg(test)]
mod tests;

use bpf::program::Program;

use crate::admit::Admitted;
use crate::image::{Fault, Note};

/// Rewrites an admitted program; `program` is the one it came from.
pub(crate) fn rewrite(admitted: &mut Admitted, program: &Program) {
    let live = live::live(program);
    let steps = &mut admitted.steps;
    classic::drop_context_copy(steps);
    negate::negate_constants(steps);
    classic::drop_masks(steps);
    classic::drop_shifts(steps);
    for (end, copy) in gather::gather_copies(steps) {
        let reg = copy.through;
        if !copy.leaves_last_value() && live.behind(end, reg) {
            admitted.notes.push(Note { slot: end, fault: Fault::CopyLeavesOther { reg } });
        }
    }
    window::open_windows(steps);
}
