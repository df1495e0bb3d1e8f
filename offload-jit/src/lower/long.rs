//! Products and quotients of 64 bits.
//!
//! The core multiplies 32 by 32 bits, so the low 64 bits of a product are one whole product and the low halves of two more.
//! It does not divide: that is a subroutine, placed once behind the program, which subtracts bit by bit.

use bpf::insn::{Operand, Reg as BpfReg, Width};
use nic_model::isa::{AluOp, Amount, Cond, Dst, MulHalf, MulStepNo, MulWidth, Reg, Source};

use super::Lowering;
use super::home::{ADDRESS, CONSTANT, Gpr, Home};
use crate::action::Division;

/// Dividend, which becomes the quotient.
const DIVIDEND: Home = Home { low: Gpr(25), high: Gpr(26) };
/// Divisor.
const DIVISOR: Home = Home { low: Gpr(27), high: Gpr(28) };
/// Remainder.
const REMAINDER: Home = Home { low: Gpr(29), high: Gpr(30) };
/// Bits that are left.
const COUNT: Gpr = Gpr(31);
/// Where the subroutine goes back to.
const LINK: Reg = ADDRESS.a();
/// Its top bit is the sign of the result.
const SIGN: Gpr = CONSTANT.low;
/// Bit of a word that is its sign.
const SIGN_BIT: u8 = 31;

impl Lowering<'_> {
    /// `dst *= by`, all 64 bits. What is known to be 0 of the upper halves falls away later.
    pub(super) fn multiply_long(&mut self, dst: BpfReg, by: Operand) {
        let dst = Home::of(dst);
        let by = match by {
            Operand::Reg(by) => Home::of(by),
            Operand::Imm(imm) => self.constant_home(i64::from(imm) as u64),
        };
        // The factors are read again for every step, so the sum of the upper halves waits elsewhere.
        self.partial(dst.low, by.high.b().into(), DIVIDEND.low);
        self.partial(dst.high, by.low.b().into(), DIVIDEND.high);
        self.asm.alu(DIVIDEND.low.both(), DIVIDEND.low.a(), AluOp::Add, DIVIDEND.high.b());
        self.product_steps(dst.low, by.low.b().into());
        self.asm.multiply_read(MulWidth::By32, MulHalf::Low, dst.low.both());
        self.asm.multiply_read(MulWidth::By32, MulHalf::High, dst.high.both());
        self.asm.alu(dst.high.both(), dst.high.a(), AluOp::Add, DIVIDEND.low.b());
    }

    fn product_steps(&mut self, left: Gpr, right: Source) {
        self.asm.multiply_start(left.a(), right);
        for &step in MulStepNo::ALL {
            self.asm.multiply_step(MulWidth::By32, step, left.a(), right);
        }
    }

    /// The low half of a product.
    fn partial(&mut self, left: Gpr, right: Source, to: Gpr) {
        self.product_steps(left, right);
        self.asm.multiply_read(MulWidth::By32, MulHalf::Low, to.both());
    }

    /// `dst = dst / by` or `dst % by`. By 0 they are 0 and `dst` (RFC 9669 section 4.1).
    pub(super) fn divide_long(&mut self, division: Division, width: Width, dst: BpfReg, by: Operand) {
        let dst = Home::of(dst);
        let signed = division.signed;
        match by {
            Operand::Reg(by) => self.widen(width, signed, DIVISOR, Home::of(by)),
            Operand::Imm(imm) => {
                let value = match (width, signed) {
                    (Width::W32, false) => u64::from(imm as u32),
                    _ => i64::from(imm) as u64,
                };
                for (half, value) in DIVISOR.halves().into_iter().zip([value as u32, (value >> 32) as u32]) {
                    self.asm.constant(half.both(), value);
                }
            }
        }
        self.widen(width, signed, DIVIDEND, dst);
        if signed {
            self.asm.copy(SIGN.both(), DIVIDEND.high.b());
            if !division.remainder {
                self.asm.alu(SIGN.both(), SIGN.a(), AluOp::Xor, DIVISOR.high.b());
            }
            self.negate_if(DIVIDEND.high, DIVIDEND);
            self.negate_if(DIVISOR.high, DIVISOR);
        }
        let routine = match self.divide {
            Some(label) => label,
            None => *self.divide.insert(self.asm.label()),
        };
        let back = self.asm.label();
        self.asm.address(Dst::to(LINK), back);
        self.asm.jump(routine, 0);
        self.asm.bind(back);
        let result = if division.remainder { REMAINDER } else { DIVIDEND };
        if signed {
            self.negate_if(SIGN, result);
        }
        self.asm.copy(dst.low.both(), result.low.b());
        match width {
            Width::W64 => self.asm.copy(dst.high.both(), result.high.b()),
            Width::W32 => self.asm.constant(dst.high.both(), 0),
        }
    }

    /// A number of some width as one of 64 bits.
    fn widen(&mut self, width: Width, signed: bool, to: Home, from: Home) {
        self.asm.copy(to.low.both(), from.low.b());
        match (width, signed) {
            (Width::W64, _) => self.asm.copy(to.high.both(), from.high.b()),
            (Width::W32, false) => self.asm.constant(to.high.both(), 0),
            (Width::W32, true) => {
                self.note(from.low.a());
                self.asm.arithmetic_shift(to.high.both(), from.low.b(), Amount::By(SIGN_BIT));
            }
        }
    }

    /// `number = -number` if the word's top bit is set.
    fn negate_if(&mut self, sign: Gpr, number: Home) {
        let (negative, end) = (self.asm.label(), self.asm.label());
        self.asm.branch_bit_set(sign.a(), SIGN_BIT, negative);
        self.asm.jump(end, 0);
        self.asm.bind(negative);
        self.asm.alu(number.low.both(), 0u8, AluOp::Sub, number.low.b());
        self.asm.alu(number.high.both(), 0u8, AluOp::SubCarry, number.high.b());
        self.asm.bind(end);
    }

    /// The subroutine, where the program has called for it: of the dividend, from its top bit down, bits move into the
    /// remainder; where that then holds the divisor, the divisor is taken out and the quotient gets a 1.
    pub(super) fn division(&mut self) {
        let Some(routine) = self.divide else { return };
        let [next, take, keep, divide] = std::array::from_fn(|_| self.asm.label());
        self.asm.bind(routine);
        self.asm.alu(Dst::NONE, DIVISOR.low.a(), AluOp::Or, DIVISOR.high.b());
        self.asm.branch(Cond::Ne, divide, 0);
        self.asm.copy(REMAINDER.low.both(), DIVIDEND.low.b());
        self.asm.copy(REMAINDER.high.both(), DIVIDEND.high.b());
        self.asm.constant(DIVIDEND.low.both(), 0);
        self.asm.constant(DIVIDEND.high.both(), 0);
        self.asm.jump_register(LINK, 0);
        self.asm.bind(divide);
        self.asm.constant(REMAINDER.low.both(), 0);
        self.asm.constant(REMAINDER.high.both(), 0);
        self.asm.constant(COUNT.both(), u64::BITS);
        self.asm.bind(next);
        let words = [DIVIDEND.low, DIVIDEND.high, REMAINDER.low, REMAINDER.high];
        for (word, op) in words.into_iter().zip([AluOp::Add, AluOp::AddCarry, AluOp::AddCarry, AluOp::AddCarry]) {
            self.asm.alu(word.both(), word.a(), op, word.b());
        }
        // A bit that left the remainder at the top says that it is larger than any divisor.
        self.asm.branch(Cond::CarrySet, take, 0);
        self.asm.alu(Dst::NONE, REMAINDER.low.a(), AluOp::Sub, DIVISOR.low.b());
        self.asm.alu(Dst::NONE, REMAINDER.high.a(), AluOp::SubCarry, DIVISOR.high.b());
        self.asm.branch(Cond::CarryClear, keep, 0);
        self.asm.bind(take);
        self.asm.alu(REMAINDER.low.both(), REMAINDER.low.a(), AluOp::Sub, DIVISOR.low.b());
        self.asm.alu(REMAINDER.high.both(), REMAINDER.high.a(), AluOp::SubCarry, DIVISOR.high.b());
        self.asm.alu(DIVIDEND.low.both(), DIVIDEND.low.a(), AluOp::Or, 1u8);
        self.asm.bind(keep);
        self.asm.alu(COUNT.both(), COUNT.a(), AluOp::Sub, 1u8);
        self.asm.branch(Cond::Ne, next, 0);
        self.asm.jump_register(LINK, 0);
    }
}
