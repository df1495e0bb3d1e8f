//! Where the driver relies on what the verifier saw and some run may not keep to.
//!
//! Linux does not walk a path again from a state that a walked one covers, and numbers that no check depends on count as
//! covered. So a range that the driver's hook was told may leave out what such a path brings: the instruction chosen by it
//! is then wrong for that path ([`Fault::UnseenRange`]). [`Facts`] hold in every run.

use bpf::facts::{Facts, Kinds};
use bpf::insn::{AluOp, Insn, Operand, Reg};
use bpf::verifier::{AluSeen, Detail, Span, VerifiedProgram};

use crate::admit::amount;
use crate::image::{Fault, Note};

/// The arithmetic of a program that is translated by a range that is not certain, by slot.
pub(crate) fn unseen_ranges(program: &VerifiedProgram, facts: &Facts) -> Vec<Note> {
    let mut notes = Vec::new();
    for (index, &slot) in program.origin().iter().enumerate() {
        let Insn::Alu { width, op, dst, src } = program.program().insns[slot] else { continue };
        let Some(Detail::Alu(seen)) = program.explored().slot(slot).map(|seen| &seen.detail) else { continue };
        let holds = |reg: Reg| {
            let facts = facts.before(index, reg);
            if facts.kinds != Kinds::NUMBER {
                return Span { min: 0, max: u64::MAX };
            }
            Span { min: facts.number.wide.umin, max: facts.number.wide.umax }
        };
        let mut doubt = |reg| notes.push(Note { slot, fault: Fault::UnseenRange { reg } });
        let AluSeen { dst: left, src: right } = *seen;
        match (op, src) {
            (AluOp::Mul | AluOp::Div, _) if wider(left, holds(dst)) => doubt(dst),
            (AluOp::Mul, Operand::Reg(by)) if wider(right, holds(by)) => doubt(by),
            (AluOp::Div, Operand::Reg(by)) if holds(by).constant() != right.constant() => doubt(by),
            (AluOp::Lsh | AluOp::Rsh | AluOp::Arsh, Operand::Reg(by))
                if amount(width, src, right) != amount(width, src, holds(by)) =>
            {
                doubt(by);
            }
            _ => {}
        }
    }
    notes
}

/// Whether a factor may need a longer multiplication than what was seen of it.
fn wider(seen: Span, holds: Span) -> bool {
    let halves = |span: Span| [u64::from(u16::MAX), u64::from(u32::MAX)].map(|most| span.max > most);
    halves(holds) != halves(seen)
}
