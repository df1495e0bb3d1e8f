//! Rewrites across instructions, on actions: what the Linux driver does before it translates.
//!
//! In order: drop what classic BPF's conversion leaves behind, negate constants so that they fit an operand, gather copies,
//! read packet bytes through windows. A rewritten instruction keeps its slot; what it no longer has to do becomes
//! [`crate::action::Action::Nothing`].

mod classic;
mod gather;
mod negate;
mod window;

#[cfg(test)]
mod tests;

use bpf::insn::Reg;

use crate::action::CopyRun;
use crate::admit::Admitted;
use crate::image::{Fault, Note};

/// Rewrites an admitted program. `is_read` says whether a register's value may be read behind a slot.
pub(crate) fn rewrite(admitted: &mut Admitted, is_read: &dyn Fn(usize, Reg) -> bool) {
    let steps = &mut admitted.steps;
    classic::drop_context_copy(steps);
    negate::negate_constants(steps);
    classic::drop_masks(steps);
    classic::drop_shifts(steps);
    for (end, copy) in gather::gather_copies(steps, &|_, _| true) {
        let reg = copy.through;
        if !copy.leaves_last_value() && is_read(end, reg) {
            admitted.notes.push(Note { slot: end, fault: Fault::CopyLeavesOther { reg } });
        }
    }
    window::open_windows(steps);
}

/// Rewrites a program of mode best: copies that leave what the program reads afterwards, and windows.
pub(crate) fn rewrite_best(admitted: &mut Admitted, is_read: &dyn Fn(usize, Reg) -> bool) {
    let exact = |end: usize, copy: &CopyRun| copy.leaves_last_value() || !is_read(end, copy.through);
    gather::gather_copies(&mut admitted.steps, &exact);
    window::open_windows(&mut admitted.steps);
}
