//! Multiplication in steps of eight bits, and division by a constant as multiplication by its reciprocal.

use bpf::insn::{Operand, Reg as BpfReg};
use nic_model::isa::{AluOp, Dst, MulHalf, MulStepNo, MulWidth, Shift, Source};

use super::Lowering;
use super::home::{Gpr, Home, SCRATCH};
use super::reciprocal::{Quotient, quotient};
use crate::action::Product;

impl Lowering<'_> {
    /// `dst *= by`.
    pub(super) fn multiply(&mut self, dst: BpfReg, by: Operand, product: Product) {
        let dst = Home::of(dst);
        let factor = match by {
            Operand::Reg(src) => Home::of(src).low.b().into(),
            Operand::Imm(imm) => self.asm.wide_operand(imm as u32, SCRATCH.b()),
        };
        match product {
            Product::Short => {
                self.steps(MulWidth::By16, &[MulStepNo::One, MulStepNo::Two], dst.low, factor);
                self.asm.multiply_read(MulWidth::By16, MulHalf::Low, dst.low.both());
            }
            Product::Long => self.product(dst.low, factor, dst.low.both(), Some(dst.high.both())),
            Product::LowOnly => {
                self.product(dst.low, factor, dst.low.both(), None);
                self.asm.constant(dst.high.both(), 0);
            }
        }
    }

    /// 32 by 32 bits; the high half only where it is asked for.
    fn product(&mut self, left: Gpr, right: Source, low: Dst, high: Option<Dst>) {
        self.steps(MulWidth::By32, MulStepNo::ALL, left, right);
        self.asm.multiply_read(MulWidth::By32, MulHalf::Low, low);
        if let Some(high) = high {
            self.asm.multiply_read(MulWidth::By32, MulHalf::High, high);
        }
    }

    fn steps(&mut self, width: MulWidth, steps: &[MulStepNo], left: Gpr, right: Source) {
        self.asm.multiply_start(left.a(), right);
        for &step in steps {
            self.asm.multiply_step(width, step, left.a(), right);
        }
    }

    /// `dst /= by`. The upper half is 0 before and after.
    pub(super) fn divide(&mut self, dst: BpfReg, by: u32) {
        let dst = Home::of(dst).low;
        match quotient(by) {
            Quotient::Zero => {
                self.asm.constant(dst.both(), 0);
            }
            Quotient::Compare => {
                // The carry of a subtraction is the comparison's result.
                let divisor = self.asm.wide_operand(by, SCRATCH.b());
                self.asm.alu(Dst::NONE, dst.a(), AluOp::Sub, divisor);
                self.asm.constant(Dst::to(SCRATCH.a()), 0);
                self.asm.alu(dst.both(), SCRATCH.a(), AluOp::AddCarry, 0u8);
            }
            Quotient::Shift { magic, by } => {
                // The driver builds the multiplier before it finds that a shift is enough.
                self.asm.wide_operand(magic, SCRATCH.b());
                self.asm.shift(dst.both(), dst.a(), right(by));
            }
            Quotient::Narrow { before, magic, after } => {
                let magic = self.asm.wide_operand(magic, SCRATCH.b());
                if before > 0 {
                    self.asm.shift(dst.both(), dst.a(), Shift::Right(before));
                }
                self.product(dst, magic, Dst::NONE, Some(dst.both()));
                if after > 0 {
                    self.asm.shift(dst.both(), dst.a(), Shift::Right(after));
                }
            }
            Quotient::Wide { magic, after } => {
                // The multiplier has 33 bits: (n - high) / 2 + high, with high = n * magic >> 32, cannot overflow.
                let magic = self.asm.wide_operand(magic, SCRATCH.b());
                self.product(dst, magic, Dst::NONE, Some(SCRATCH.both()));
                self.asm.alu(dst.both(), dst.a(), AluOp::Sub, SCRATCH.b());
                self.asm.shift(dst.both(), dst.a(), Shift::Right(1));
                self.asm.alu(dst.both(), dst.a(), AluOp::Add, SCRATCH.b());
                self.asm.shift(dst.both(), dst.a(), right(after));
            }
        }
    }
}

/// A shift right by 0 to 31. By 0 the word means a shift by the left operand of the instruction before it, which is what
/// the driver's translator emits for a division by 1.
fn right(by: u8) -> Shift {
    if by == 0 { Shift::RightIndirect } else { Shift::Right(by) }
}
