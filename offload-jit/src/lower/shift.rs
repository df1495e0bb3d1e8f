//! Shifts. A shift of 64 bits is a funnel shift of one half and a plain shift of the other.
//!
//! A shift by a register is *indirect*: its amount is the low five bits of the result before it, which an OR that goes
//! nowhere puts there. For an arithmetic shift the same result's top bit is the sign that comes in. In both cases the half
//! that the other one still needs is written last.

use bpf::insn::{Reg as BpfReg, Width};
use nic_model::isa::{AluOp, Amount as By, Dst, Reg, Shift};

use super::Lowering;
use super::home::{ADDRESS, CONSTANT, Gpr, Home, SCRATCH};
use crate::action::{Amount, ShiftKind};
use crate::mode::Mode;

/// Bit of an amount that says 32 or more.
const BIT_OF_32: u8 = 5;

impl Lowering<'_> {
    /// `dst` shifted.
    pub(super) fn shift(&mut self, width: Width, kind: ShiftKind, dst: BpfReg, amount: Amount, zext: bool) {
        let dst = Home::of(dst);
        if let (Mode::Best, Amount::Below32(by) | Amount::From32(by) | Amount::Any(by)) = (self.mode, amount)
            && (width == Width::W64 && Home::of(by) == dst || kind == ShiftKind::Arithmetic && by == BpfReg::R0)
        {
            // An amount that is shifted itself must outlive the half that is written first, and register 0 as a left
            // operand is none.
            self.asm.copy(CONSTANT.low.both(), Home::of(by).low.b());
            match (width, amount) {
                (Width::W32, _) => self.indirect_arithmetic(dst.low, CONSTANT.low, dst.low),
                (_, Amount::From32(_)) => self.shift_from_32(kind, dst, CONSTANT.low),
                _ => self.shift_any(kind, dst, CONSTANT.low),
            }
            self.clear_upper(dst, zext && width == Width::W32);
            return;
        }
        match (width, amount) {
            (Width::W32, _) => {
                self.shift_word(kind, dst.low, amount);
                self.clear_upper(dst, zext);
            }
            (Width::W64, Amount::Fixed(n)) => self.shift_fixed(kind, dst, n),
            (Width::W64, Amount::Below32(by)) => {
                let by = Home::of(by).low;
                self.first_below_32(kind, dst, by);
                self.second_below_32(kind, dst, by);
            }
            (Width::W64, Amount::From32(by)) => self.shift_from_32(kind, dst, Home::of(by).low),
            (Width::W64, Amount::Any(by)) => self.shift_any(kind, dst, Home::of(by).low),
        }
    }

    /// 32 bits: the hardware takes the amount modulo 32 as BPF does.
    fn shift_word(&mut self, kind: ShiftKind, word: Gpr, amount: Amount) {
        match (amount, kind) {
            (Amount::Fixed(0), _) => {}
            (Amount::Fixed(n), ShiftKind::Left) => self.asm.shift(word.both(), word.b(), Shift::Left(n)),
            (Amount::Fixed(n), ShiftKind::Right) => self.asm.shift(word.both(), word.b(), Shift::Right(n)),
            (Amount::Fixed(n), ShiftKind::Arithmetic) => {
                self.note(word.a());
                self.asm.arithmetic_shift(word.both(), word.b(), By::By(n));
            }
            (Amount::Below32(by) | Amount::From32(by) | Amount::Any(by), kind) => {
                let by = Home::of(by).low;
                match kind {
                    ShiftKind::Left => self.indirect(word, by, Shift::LeftIndirect, word),
                    ShiftKind::Right => self.indirect(word, by, Shift::RightIndirect, word),
                    ShiftKind::Arithmetic => self.indirect_arithmetic(word, by, word),
                }
            }
        }
    }

    /// 64 bits by a constant.
    fn shift_fixed(&mut self, kind: ShiftKind, dst: Home, n: u8) {
        let Home { low, high } = dst;
        match (kind, n) {
            (_, 0) => {}
            (ShiftKind::Left, 1..=31) => {
                self.asm.funnel(high.both(), high.a(), low.b(), By::By(32 - n));
                self.asm.shift(low.both(), low.b(), Shift::Left(n));
            }
            (ShiftKind::Left, 32) => {
                self.asm.copy(high.both(), low.b());
                self.asm.constant(low.both(), 0);
            }
            (ShiftKind::Left, _) => {
                self.asm.shift(high.both(), low.b(), Shift::Left(n - 32));
                self.asm.constant(low.both(), 0);
            }
            (ShiftKind::Right, 1..=31) => {
                self.asm.funnel(low.both(), high.a(), low.b(), By::By(n));
                self.asm.shift(high.both(), high.b(), Shift::Right(n));
            }
            (ShiftKind::Right, 32) => {
                self.asm.copy(low.both(), high.b());
                self.asm.constant(high.both(), 0);
            }
            (ShiftKind::Right, _) => {
                self.asm.shift(low.both(), high.b(), Shift::Right(n - 32));
                self.asm.constant(high.both(), 0);
            }
            (ShiftKind::Arithmetic, 1..=31) => {
                self.asm.funnel(low.both(), high.a(), low.b(), By::By(n));
                self.note(high.a());
                self.asm.arithmetic_shift(high.both(), high.b(), By::By(n));
            }
            (ShiftKind::Arithmetic, 32) => {
                // The copy's result is the sign that the shift after it takes.
                self.asm.copy(low.both(), high.b());
                self.asm.arithmetic_shift(high.both(), high.b(), By::By(31));
            }
            (ShiftKind::Arithmetic, _) => {
                self.note(high.a());
                self.asm.arithmetic_shift(low.both(), high.b(), By::By(n - 32));
                self.asm.arithmetic_shift(high.both(), high.b(), By::By(31));
            }
        }
    }

    /// 64 bits by a register of unknown size: one bit of it chooses the path. The second half of the short path stands
    /// in the delay slots of the jump over the long one.
    fn shift_any(&mut self, kind: ShiftKind, dst: Home, by: Gpr) {
        let (from_32, end) = (self.asm.label(), self.asm.label());
        self.asm.branch_bit_set(by.a(), BIT_OF_32, from_32);
        self.first_below_32(kind, dst, by);
        self.asm.jump(end, 2);
        self.second_below_32(kind, dst, by);
        self.asm.bind(from_32);
        self.shift_from_32(kind, dst, by);
        self.asm.bind(end);
    }

    /// By less than 32: the half that takes bits from the other one.
    fn first_below_32(&mut self, kind: ShiftKind, dst: Home, by: Gpr) {
        let Home { low, high } = dst;
        match kind {
            ShiftKind::Left if self.mode == Mode::Best => {
                // By 31 - n of what is shifted by 1 already: by 32 - n at once would be by 0 where n is 0.
                self.asm.alu(SCRATCH.both(), 31u8, AluOp::Sub, by.b());
                self.asm.shift(ADDRESS.both(), low.b(), Shift::Right(1));
                self.note(SCRATCH.a());
                self.asm.shift(ADDRESS.both(), ADDRESS.b(), Shift::RightIndirect);
                self.note(by.a());
                self.asm.shift(high.both(), high.b(), Shift::LeftIndirect);
                self.asm.alu(high.both(), high.a(), AluOp::Or, ADDRESS.b());
            }
            ShiftKind::Left => {
                self.asm.alu(SCRATCH.both(), 32u8, AluOp::Sub, by.b());
                self.note(SCRATCH.a());
                self.asm.funnel(high.both(), high.a(), low.b(), By::Indirect);
            }
            ShiftKind::Right | ShiftKind::Arithmetic => {
                self.note(by.a());
                self.asm.funnel(low.both(), high.a(), low.b(), By::Indirect);
            }
        }
    }

    /// By less than 32: the half that only loses bits. Two instructions in every case.
    fn second_below_32(&mut self, kind: ShiftKind, dst: Home, by: Gpr) {
        match kind {
            ShiftKind::Left => self.indirect(dst.low, by, Shift::LeftIndirect, dst.low),
            ShiftKind::Right => self.indirect(dst.high, by, Shift::RightIndirect, dst.high),
            ShiftKind::Arithmetic => self.indirect_arithmetic(dst.high, by, dst.high),
        }
    }

    /// By 32 and more: one half moves over, the other is filled.
    fn shift_from_32(&mut self, kind: ShiftKind, dst: Home, by: Gpr) {
        let Home { low, high } = dst;
        match kind {
            ShiftKind::Left => {
                self.indirect(high, by, Shift::LeftIndirect, low);
                self.asm.constant(low.both(), 0);
            }
            ShiftKind::Right => {
                self.indirect(low, by, Shift::RightIndirect, high);
                self.asm.constant(high.both(), 0);
            }
            ShiftKind::Arithmetic => {
                self.indirect_arithmetic(low, by, high);
                self.asm.arithmetic_shift(high.both(), high.b(), By::By(31));
            }
        }
    }

    /// `to = from` shifted by the register `amount`.
    fn indirect(&mut self, to: Gpr, amount: Gpr, by: Shift, from: Gpr) {
        self.note(amount.a());
        self.asm.shift(to.both(), from.b(), by);
    }

    /// `to = from` shifted right by the register `amount`, with the sign of `from`: one OR gives both.
    fn indirect_arithmetic(&mut self, to: Gpr, amount: Gpr, from: Gpr) {
        if self.mode == Mode::Best {
            // The driver's OR takes the amount's own top bit for a sign.
            self.asm.copy_beside(Dst::NONE, amount.a(), from.b());
            self.asm.arithmetic_shift(to.both(), from.b(), By::Indirect);
            return;
        }
        self.asm.alu(Dst::NONE, amount.a(), AluOp::Or, from.b());
        self.asm.arithmetic_shift(to.both(), from.b(), By::Indirect);
    }

    /// Makes a value the previous result.
    pub(super) fn note(&mut self, value: Reg) {
        self.asm.alu(Dst::NONE, value, AluOp::Or, 0u8);
    }
}
