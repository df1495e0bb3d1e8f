//! What a conversion from classic BPF leaves behind and the card does not need.

use bpf::insn::{Operand, Reg, Size, Width};

use crate::action::{Action, Amount, Arith, ShiftKind, Step};

/// Drops `r6 = r1` where it stands at the start, behind clearings `rX ^= rX` at most: nothing on the card reads the
/// context through a register.
pub(super) fn drop_context_copy(steps: &mut [Step]) {
    for step in steps {
        match step.action {
            Action::Alu { width: Width::W64, op: Arith::Xor, dst, src: Operand::Reg(src), .. } if dst == src => {}
            Action::Move { width: Width::W64, dst: Reg::R6, src: Reg::R1 } => step.action = Action::Nothing,
            Action::Nothing => {}
            _ => return,
        }
    }
}

/// Drops a mask of a checked packet load's own width: the load leaves nothing above.
pub(super) fn drop_masks(steps: &mut [Step]) {
    for at in 1..steps.len() {
        let Action::Classic { size, .. } = steps[at - 1].action else { continue };
        let mask = match size {
            Size::B => 0xff,
            Size::H => 0xffff,
            Size::W => -1,
            Size::D => continue,
        };
        let is_mask = matches!(
            steps[at].action,
            Action::Alu { width: Width::W64, op: Arith::And, dst: Reg::R0, src: Operand::Imm(imm), .. } if imm == mask
        );
        if is_mask && !steps[at].target {
            steps[at].action = Action::Nothing;
        }
    }
}

/// Drops a pair of shifts of R0 by 32, there and back, behind a checked packet load of four bytes.
pub(super) fn drop_shifts(steps: &mut [Step]) {
    for at in 2..steps.len() {
        if !matches!(steps[at - 2].action, Action::Classic { size: Size::W, .. }) {
            continue;
        }
        let pair = (shift_by_32(&steps[at - 1]), shift_by_32(&steps[at]));
        if matches!(
            pair,
            (Some(ShiftKind::Left), Some(ShiftKind::Right)) | (Some(ShiftKind::Right), Some(ShiftKind::Left))
        ) {
            steps[at - 1].action = Action::Nothing;
            steps[at].action = Action::Nothing;
        }
    }
}

fn shift_by_32(step: &Step) -> Option<ShiftKind> {
    match step.action {
        Action::Shift { width: Width::W64, kind, dst: Reg::R0, amount: Amount::Fixed(32), .. } if !step.target => {
            Some(kind)
        }
        _ => None,
    }
}
