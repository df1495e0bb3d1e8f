//! Arithmetic: what the card has no instruction for, and what has to be known of operands.

use bpf::insn::{AluOp, ByteOrder, Operand, Reg, Width};
use bpf::verifier::{AluSeen, Detail, SlotSeen, Span};

use super::{Visit, opcode};
use crate::action::{Action, Amount, Arith, Product, ShiftKind};
use crate::image::Fault;
use crate::refusal::{Refusal, Rule};

/// What the verifier says of a value it knows nothing of.
const UNKNOWN: Span = Span { min: 0, max: u64::MAX };

impl Visit<'_> {
    pub(super) fn alu(
        &mut self,
        slot: usize,
        width: Width,
        op: AluOp,
        dst: Reg,
        src: Operand,
        seen: &SlotSeen,
    ) -> Action {
        if self.operands(slot, dst, src).is_none() {
            return Action::Nothing;
        }
        let spans = match &seen.detail {
            Detail::Alu(spans) => *spans,
            _ => AluSeen { dst: UNKNOWN, src: UNKNOWN },
        };
        let arith = |op| Action::Alu { width, op, dst, src, zext: seen.zext };
        let shift = |kind| Action::Shift { width, kind, dst, amount: amount(width, src, spans.src), zext: seen.zext };
        self.note_faults(slot, width, op, dst, src, spans);
        match op {
            AluOp::Add => arith(Arith::Add),
            AluOp::Sub => arith(Arith::Sub),
            AluOp::And => arith(Arith::And),
            AluOp::Or => arith(Arith::Or),
            AluOp::Xor => arith(Arith::Xor),
            AluOp::Lsh => shift(ShiftKind::Left),
            AluOp::Rsh => shift(ShiftKind::Right),
            AluOp::Arsh => shift(ShiftKind::Arithmetic),
            AluOp::Mul => self.multiply(slot, width, dst, src, spans),
            AluOp::Div => self.divide(slot, dst, src, spans),
            AluOp::Mod | AluOp::Smod => {
                self.refuse(slot, opcode("a remainder").help("mask with a power of two, or divide and multiply back"))
            }
            AluOp::Sdiv => self.refuse(slot, opcode("a signed division").help("divide unsigned numbers")),
        }
    }

    /// Notes what the driver is known to translate wrongly.
    fn note_faults(&mut self, slot: usize, width: Width, op: AluOp, dst: Reg, src: Operand, seen: AluSeen) {
        const WORD: u64 = u32::MAX as u64;
        const SIGNED_WORD: u64 = i32::MAX as u64;
        let variable = seen.src.constant().is_none();
        match (op, src) {
            (AluOp::Add | AluOp::Sub, Operand::Imm(i32::MIN)) if width == Width::W64 => {
                self.note(slot, Fault::LeastConstant);
            }
            (AluOp::Div, _) if seen.src.constant() == Some(1) => self.note(slot, Fault::DivisionByOne),
            (AluOp::Lsh, Operand::Reg(by)) if width == Width::W64 && seen.src.min == 0 && seen.src.max > 0 => {
                self.note(slot, Fault::LeftShiftByZero { by });
            }
            // Below 2^32 the half that is shifted by the wrong amount is 0.
            (AluOp::Rsh | AluOp::Arsh, Operand::Reg(by)) if width == Width::W64 && by == dst && seen.src.max > WORD => {
                self.note(slot, Fault::RightShiftByItself { reg: by });
            }
            (AluOp::Arsh, Operand::Reg(by)) if by != dst && variable && seen.src.max > SIGNED_WORD => {
                self.note(slot, Fault::AmountsSign { by });
            }
            _ => {}
        }
    }

    pub(super) fn mov(&mut self, slot: usize, width: Width, dst: Reg, src: Operand, sext: Option<u8>) -> Action {
        if let Some(bits) = sext {
            return self.refuse(
                slot,
                Refusal::new(Rule::SignExtension, "the translator would copy without extending the sign")
                    .limit("plain moves", format!("sign extension from {bits} bits"))
                    .help("build for -mcpu=v3 or below, which uses shifts"),
            );
        }
        match (width, src) {
            (Width::W64, Operand::Reg(Reg::R10)) => Action::FrameTop { dst },
            (_, Operand::Imm(imm)) => {
                let value = if width == Width::W64 { i64::from(imm) as u64 } else { u64::from(imm as u32) };
                Action::Constant { dst, value }
            }
            (_, Operand::Reg(reg)) => match self.operands(slot, dst, src) {
                Some(()) => Action::Move { width, dst, src: reg },
                None => Action::Nothing,
            },
        }
    }

    pub(super) fn byte_order(&mut self, slot: usize, order: ByteOrder, dst: Reg, bits: u8) -> Action {
        match order {
            ByteOrder::Be => Action::ToBig { dst, bits },
            ByteOrder::Le => self.refuse(slot, opcode("a conversion to little endian").help("mask the value instead")),
            ByteOrder::Swap => self.refuse(
                slot,
                opcode("an unconditional byte swap").help("build for -mcpu=v3 or below, which converts to big endian"),
            ),
        }
    }

    /// Factors of 32 bits at most. An immediate of 64-bit width is sign-extended, so a negative one is no such factor.
    fn multiply(&mut self, slot: usize, width: Width, dst: Reg, src: Operand, seen: AluSeen) -> Action {
        const LIMIT: &str = "factors below 2^32";
        const HELP: &str = "mask or bound both factors to 32 bits first";
        let refusal = |what: String| {
            Refusal::new(Rule::Multiply, "the card multiplies 32-bit numbers").limit(LIMIT, what).help(HELP)
        };
        if seen.dst.max > u64::from(u32::MAX) {
            return self.refuse(slot, refusal(format!("left factor up to {:#x}", seen.dst.max)));
        }
        let right = match src {
            Operand::Imm(imm) if width == Width::W64 && imm < 0 => {
                return self.refuse(slot, refusal(format!("right factor {imm}")));
            }
            Operand::Imm(imm) => u64::from(imm as u32),
            Operand::Reg(_) if seen.src.max > u64::from(u32::MAX) => {
                return self.refuse(slot, refusal(format!("right factor up to {:#x}", seen.src.max)));
            }
            Operand::Reg(_) => seen.src.max,
        };
        let short = seen.dst.max <= u64::from(u16::MAX) && right <= u64::from(u16::MAX);
        let product = match width {
            _ if short => Product::Short,
            Width::W64 => Product::Long,
            Width::W32 => Product::LowOnly,
        };
        Action::Multiply { dst, by: src, product }
    }

    /// A 32-bit dividend by a constant. Division by a register that is known to be 0 gives BPF's 0, where the driver
    /// itself fails.
    fn divide(&mut self, slot: usize, dst: Reg, src: Operand, seen: AluSeen) -> Action {
        let limit = "a dividend below 2^32 by a constant from 0 to 2^32 - 1";
        let refusal = |reason: &str, actual: String| {
            Refusal::new(Rule::Divide, reason).limit(limit, actual).help("divide 32-bit numbers by constants, or shift")
        };
        if seen.dst.max > u64::from(u32::MAX) {
            let actual = format!("dividend up to {:#x}", seen.dst.max);
            return self.refuse(slot, refusal("the dividend may not fit 32 bits", actual));
        }
        let divisor = match src {
            Operand::Imm(imm) => u32::try_from(imm).map_err(|_| ("the divisor is negative", imm.to_string())),
            Operand::Reg(_) => match seen.src.constant() {
                Some(value) => {
                    u32::try_from(value).map_err(|_| ("the divisor does not fit 32 bits", value.to_string()))
                }
                None => Err(("the divisor is not constant", format!("{} to {}", seen.src.min, seen.src.max))),
            },
        };
        match divisor {
            Ok(by) => Action::Divide { dst, by },
            Err((reason, actual)) => self.refuse(slot, refusal(reason, actual)),
        }
    }
}

/// How far a shift goes, as the driver tells the cases apart. Amounts are taken modulo the width, as BPF does.
pub(crate) fn amount(width: Width, src: Operand, seen: Span) -> Amount {
    let mask = if width == Width::W64 { 63 } else { 31 };
    match src {
        Operand::Imm(imm) => Amount::Fixed(imm as u8 & mask),
        Operand::Reg(reg) => match seen.constant() {
            Some(value) => Amount::Fixed(value as u8 & mask),
            None if seen.max < 32 => Amount::Below32(reg),
            // Beyond 63 the amount wraps to below 32 again.
            None if seen.min >= 32 && seen.max < 64 => Amount::From32(reg),
            None => Amount::Any(reg),
        },
    }
}
