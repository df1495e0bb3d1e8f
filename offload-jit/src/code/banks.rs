//! Values in the bank they are read from.
//!
//! Lowering mirrors every value in both banks, so that any two can be the operands of one instruction. A register that is
//! read from one bank only need not stand in the other: that frees registers, and costs nothing.

use nic_model::isa::{Bank, Dst, Op, Reg};

use super::dead::{before, live_out};
use super::touch::Places;
use super::{Code, Inst};

/// Drops the writes to banks that nobody reads.
pub(super) fn unmirror(code: &mut Code) {
    let live = live_out(code);
    for (block, mut live) in code.blocks.iter_mut().zip(live) {
        block.changed();
        for inst in block.insts.iter_mut().rev() {
            if let Some(single) = to_one_bank(inst, live) {
                *inst = single;
            }
            live = before(inst, live);
        }
    }
}

fn to_one_bank(inst: &Inst, live: Places) -> Option<Inst> {
    let mut op = inst.op;
    let dst = destination(&mut op)?;
    let (Some(Reg::Gpr(_, n)), true) = (dst.reg, dst.both) else { return None };
    let [a, b] = [Bank::A, Bank::B].map(|bank| live.meets(Places::gpr(bank, n)));
    let bank = match (a, b) {
        (true, false) => Bank::A,
        (false, true) => Bank::B,
        _ => return None,
    };
    *dst = Dst::to(Reg::Gpr(bank, n));
    let single = Inst { op, defs: inst.defs.minus(Places::gpr(bank.other(), n)), ..inst.clone() };
    super::known::encodes(&single).then_some(single)
}

/// The destination of an instruction that has one of its own: not that of a merge, which is a source as well.
fn destination(op: &mut Op) -> Option<&mut Dst> {
    match op {
        Op::Immed(op) => Some(&mut op.load.dst),
        Op::Move(op) => Some(&mut op.dst),
        Op::Alu(op) => Some(&mut op.dst),
        Op::ShfMove(op) => Some(&mut op.dst),
        Op::AluShf(op) => Some(&mut op.dst),
        Op::DblShf(op) => Some(&mut op.dst),
        Op::Asr(op) => Some(&mut op.dst),
        Op::MulLast(op) => Some(&mut op.dst),
        _ => None,
    }
}
