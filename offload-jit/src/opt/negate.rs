//! Constants that fit an operand better with the other sign.

use bpf::insn::{Cond, Operand};

use crate::action::{Action, Arith, Step};

/// Turns additions and subtractions of negative constants into the opposite of positive ones, and marks comparisons
/// that can add the negated constant instead of subtracting.
///
/// The least 32-bit number is its own negative. The driver converts it nevertheless, which makes a 64-bit addition of it
/// a subtraction.
pub(super) fn negate_constants(steps: &mut [Step]) {
    for step in steps {
        match &mut step.action {
            Action::Alu { op: op @ (Arith::Add | Arith::Sub), src: Operand::Imm(imm), .. } if *imm < 0 => {
                *op = if *op == Arith::Add { Arith::Sub } else { Arith::Add };
                *imm = imm.wrapping_neg();
            }
            Action::Branch {
                cond: Cond::Ge | Cond::Sge | Cond::Lt | Cond::Slt,
                src: Operand::Imm(imm),
                negated,
                ..
            } if *imm < 0 => {
                *negated = true;
                *imm = imm.wrapping_neg();
            }
            _ => {}
        }
    }
}
