//! Arithmetic, by what is known of the operands in every run.

use bpf::facts::RegFacts;
use bpf::insn::{AluOp, ByteOrder, Operand, Reg, Width};
use bpf::verifier::Span;

use super::{Best, opcode};
use crate::action::{Action, Amount, Arith, Product, ShiftKind};
use crate::admit::amount;
use crate::refusal::{Refusal, Rule};

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
            AluOp::Div => self.divide(index, width, dst, src),
            AluOp::Mod => self.remainder(index, width, dst, src),
            AluOp::Smod => self.refuse(index, opcode("a signed remainder").help("take remainders of unsigned numbers")),
            AluOp::Sdiv => self.refuse(index, opcode("a signed division").help("divide unsigned numbers")),
        }
    }

    fn multiply(&mut self, index: usize, width: Width, dst: Reg, src: Operand) -> Action {
        let left = span(self.facts.before(index, dst), width);
        let right = match (src, width) {
            (Operand::Reg(reg), _) => span(self.facts.before(index, reg), width),
            (Operand::Imm(imm), Width::W64) => Span { min: Self::constant(imm), max: Self::constant(imm) },
            (Operand::Imm(imm), Width::W32) => Span { min: (imm as u32).into(), max: (imm as u32).into() },
        };
        let short = |span: Span| span.max <= u64::from(u16::MAX);
        let product = match width {
            Width::W32 => Product::LowOnly,
            Width::W64 if short(left) && short(right) => Product::Short,
            Width::W64 => Product::Long,
        };
        for (side, span) in [("left", left), ("right", right)] {
            if width == Width::W64 && span.max > u64::from(u32::MAX) {
                let refusal = Refusal::new(Rule::Multiply, "the card multiplies 32-bit numbers")
                    .limit("factors below 2^32", format!("{side} factor up to {:#x}", span.max))
                    .help("mask or bound both factors to 32 bits first");
                return self.refuse(index, refusal);
            }
        }
        Action::Multiply { dst, by: src, product }
    }

    /// The constant that a 32-bit dividend is divided by.
    fn divisor(&mut self, index: usize, width: Width, dst: Reg, src: Operand) -> Option<u32> {
        let limit = "a dividend below 2^32 by a constant from 0 to 2^32 - 1";
        let dividend = span(self.facts.before(index, dst), width);
        let divisor = match (src, width) {
            (Operand::Reg(reg), _) => span(self.facts.before(index, reg), width),
            (Operand::Imm(imm), Width::W64) => Span { min: Self::constant(imm), max: Self::constant(imm) },
            (Operand::Imm(imm), Width::W32) => Span { min: (imm as u32).into(), max: (imm as u32).into() },
        };
        let refusal = if dividend.max > u64::from(u32::MAX) {
            Refusal::new(Rule::Divide, "the dividend may not fit 32 bits")
                .limit(limit, format!("dividend up to {:#x}", dividend.max))
        } else {
            match divisor.constant().map(u32::try_from) {
                Some(Ok(by)) => return Some(by),
                Some(Err(_)) => Refusal::new(Rule::Divide, "the divisor does not fit 32 bits")
                    .limit(limit, format!("{:#x}", divisor.max)),
                None => Refusal::new(Rule::Divide, "the divisor is not constant")
                    .limit(limit, format!("{} to {}", divisor.min, divisor.max)),
            }
        };
        self.refuse(index, refusal.help("divide 32-bit numbers by constants, or shift"));
        None
    }

    fn divide(&mut self, index: usize, width: Width, dst: Reg, src: Operand) -> Action {
        let Some(by) = self.divisor(index, width, dst, src) else { return Action::Nothing };
        match (by, width) {
            // The hardware has no shift by 0.
            (1, Width::W64) => Action::Nothing,
            (1, Width::W32) => clear_upper(dst),
            (_, Width::W64) => Action::Divide { dst, by },
            (_, Width::W32) => Action::Sequence(vec![clear_upper(dst), Action::Divide { dst, by }]),
        }
    }

    /// By a power of two.
    fn remainder(&mut self, index: usize, width: Width, dst: Reg, src: Operand) -> Action {
        let by = match src {
            Operand::Imm(imm) => u32::try_from(imm).ok(),
            Operand::Reg(reg) => {
                span(self.facts.before(index, reg), width).constant().and_then(|by| u32::try_from(by).ok())
            }
        };
        let mask = by.filter(|by| by.is_power_of_two()).and_then(|by| i32::try_from(by - 1).ok());
        match mask {
            Some(mask) => Action::Alu { width, op: Arith::And, dst, src: Operand::Imm(mask), zext: true },
            None => self.refuse(index, opcode("this remainder").help("take remainders by constant powers of two")),
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
