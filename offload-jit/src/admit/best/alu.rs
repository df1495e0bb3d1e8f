//! Arithmetic, by what is known of the operands in every run.

use bpf::facts::RegFacts;
use bpf::insn::{AluOp, ByteOrder, Operand, Reg, Width};
use bpf::verifier::Span;

use super::{Best, opcode};
use crate::action::{Action, Amount, Arith, Division, Product, ShiftKind};
use crate::admit::amount;

/// Clears the upper half.
fn clear_upper(dst: Reg) -> Action {
    Action::Move { width: Width::W32, dst, src: dst }
}

/// What a register may hold as a number of that width.
fn span(facts: &RegFacts, width: Width) -> Span {
    match (facts.is_number(), width) {
        (true, Width::W64) => Span { min: facts.number.wide.umin, max: facts.number.wide.umax },
        (true, Width::W32) => Span { min: facts.number.low.umin, max: facts.number.low.umax },
        (false, _) => Span { min: 0, max: u64::MAX },
    }
}

impl Best<'_> {
    pub(super) fn alu(&mut self, index: usize, width: Width, op: AluOp, dst: Reg, src: Operand) -> Action {
        if self.visit.operands(self.origin[index], dst, src).is_none() {
            return Action::Nothing;
        }
        let by = match src {
            Operand::Reg(reg) => span(self.facts.before(index, reg), Width::W64),
            Operand::Imm(imm) => Span { min: Self::constant(imm), max: Self::constant(imm) },
        };
        let arith = |op| Action::Alu { width, op, dst, src, zext: true };
        let shift = |kind| Action::Shift { width, kind, dst, amount: shift_amount(width, src, by), zext: true };
        match op {
            AluOp::Add => arith(Arith::Add),
            AluOp::Sub => arith(Arith::Sub),
            AluOp::And => arith(Arith::And),
            AluOp::Or => arith(Arith::Or),
            AluOp::Xor => arith(Arith::Xor),
            AluOp::Lsh => shift(ShiftKind::Left),
            AluOp::Rsh => shift(ShiftKind::Right),
            AluOp::Arsh => shift(ShiftKind::Arithmetic),
            AluOp::Mul => self.multiply(index, width, dst, src),
            AluOp::Div => self.divide(index, width, dst, src, Division { signed: false, remainder: false }),
            AluOp::Mod => self.divide(index, width, dst, src, Division { signed: false, remainder: true }),
            AluOp::Sdiv => self.divide(index, width, dst, src, Division { signed: true, remainder: false }),
            AluOp::Smod => self.divide(index, width, dst, src, Division { signed: true, remainder: true }),
        }
    }

    /// What the right-hand side may be.
    fn right(&self, index: usize, width: Width, src: Operand) -> Span {
        let value = match (src, width) {
            (Operand::Reg(reg), _) => return span(self.facts.before(index, reg), width),
            (Operand::Imm(imm), Width::W64) => Self::constant(imm),
            (Operand::Imm(imm), Width::W32) => (imm as u32).into(),
        };
        Span { min: value, max: value }
    }

    fn multiply(&mut self, index: usize, width: Width, dst: Reg, src: Operand) -> Action {
        let factors = [span(self.facts.before(index, dst), width), self.right(index, width, src)];
        let within = |most: u64| factors.iter().all(|factor| factor.max <= most);
        let product = match width {
            Width::W32 => Product::LowOnly,
            Width::W64 if within(u16::MAX.into()) => Product::Short,
            Width::W64 if within(u32::MAX.into()) => Product::Long,
            Width::W64 => return Action::MultiplyLong { dst, by: src },
        };
        Action::Multiply { dst, by: src, product }
    }

    /// By constants, where the dividend has 32 bits, without dividing.
    fn divide(&mut self, index: usize, width: Width, dst: Reg, src: Operand, division: Division) -> Action {
        let dividend = span(self.facts.before(index, dst), width);
        let by = self.right(index, width, src).constant().and_then(|by| u32::try_from(by).ok());
        // Without a sign bit on either side signed numbers are unsigned ones.
        let sign = match width {
            Width::W64 => i64::MAX as u64,
            Width::W32 => i32::MAX as u64,
        };
        let unsigned = !division.signed || dividend.max <= sign && by.is_some_and(|by| u64::from(by) <= sign);
        let narrow = dividend.max <= u64::from(u32::MAX);
        match by.filter(|_| unsigned) {
            // A mask: the remainder by a power of two, of any dividend.
            Some(by) if division.remainder && by.is_power_of_two() && i32::try_from(by - 1).is_ok() => {
                let mask = Operand::Imm((by - 1) as i32);
                Action::Alu { width, op: Arith::And, dst, src: mask, zext: true }
            }
            Some(1) if !division.remainder => match width {
                Width::W64 => Action::Nothing,
                Width::W32 => clear_upper(dst),
            },
            Some(by) if !division.remainder && narrow => match width {
                Width::W64 => Action::Divide { dst, by },
                Width::W32 => Action::Sequence(vec![clear_upper(dst), Action::Divide { dst, by }]),
            },
            _ => Action::DivideLong { division, width, dst, by: src },
        }
    }

    pub(super) fn extend(&mut self, index: usize, width: Width, dst: Reg, src: Operand, bits: u8) -> Action {
        let Operand::Reg(src) = src else {
            return self
                .refuse(index, opcode("a sign-extending move of a constant").help("move the extended constant"));
        };
        if self.visit.operands(self.origin[index], dst, Operand::Reg(src)).is_none() {
            return Action::Nothing;
        }
        let full = if width == Width::W64 { 64 } else { 32 };
        Action::Sequence(vec![Action::Move { width: Width::W64, dst, src }, sign_extension(dst, width, full - bits)])
    }

    /// The host's order is little endian: to it, nothing changes but the bits above; from it or simply round, all bytes do.
    pub(super) fn byte_order(&mut self, order: ByteOrder, dst: Reg, bits: u8) -> Action {
        match (order, bits) {
            (ByteOrder::Be | ByteOrder::Swap, _) => Action::ToBig { dst, bits },
            (ByteOrder::Le, 16) => {
                Action::Alu { width: Width::W64, op: Arith::And, dst, src: Operand::Imm(0xffff), zext: true }
            }
            (ByteOrder::Le, 32) => clear_upper(dst),
            (ByteOrder::Le, _) => Action::Nothing,
        }
    }
}

/// Shifts up and down again, so that the sign comes in.
pub(super) fn sign_extension(dst: Reg, width: Width, by: u8) -> Action {
    let shift = |kind| Action::Shift { width, kind, dst, amount: Amount::Fixed(by), zext: true };
    Action::Sequence(vec![shift(ShiftKind::Left), shift(ShiftKind::Arithmetic)])
}

/// How far a shift goes. Of 32-bit shifts the hardware takes the amount modulo 32 itself.
fn shift_amount(width: Width, src: Operand, by: Span) -> Amount {
    match (amount(width, src, by), src) {
        (Amount::Below32(_) | Amount::From32(_), Operand::Reg(reg)) if width == Width::W32 => Amount::Any(reg),
        (other, _) => other,
    }
}
