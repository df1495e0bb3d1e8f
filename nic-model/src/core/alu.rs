//! Arithmetic and condition codes, without registers.
//!
//! What is known of each rule stands at its row in the instruction table ([`crate::isa`]).

use crate::isa::{AluOp, Cond};

/// Condition codes, in one word that the inner loop can keep in a register: the result that N (its bit 31) and Z (all bits
/// clear) speak of below, C at bit 32, V at bit 33.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Flags(u64);

impl Flags {
    /// After an operation that is neither sum nor difference.
    #[inline(always)]
    pub(super) const fn of(result: u32) -> Flags {
        Flags(result as u64)
    }

    /// The result.
    #[inline(always)]
    pub(super) const fn result(self) -> u32 {
        self.0 as u32
    }

    /// C.
    #[inline(always)]
    pub(super) const fn carry(self) -> bool {
        self.0 >> 32 & 1 != 0
    }

    const fn overflow(self) -> bool {
        self.0 >> 33 & 1 != 0
    }

    const fn negative(self) -> bool {
        self.0 >> 31 & 1 != 0
    }

    /// The four codes as a number: Z, N, C, V from its lowest bit.
    #[inline(always)]
    pub(super) const fn state(self) -> u32 {
        (self.result() == 0) as u32 | (self.0 >> 31 << 1) as u32 & 0xe
    }

    /// The states in which a branch on `cond` is taken, one bit each.
    pub(super) const fn taken_in(cond: Cond) -> u16 {
        let (mut states, mut state) = (0, 0);
        while state < 16 {
            // A result that is both zero and negative does not exist; what its bit says does not matter.
            let result = if state & 1 != 0 { 0 } else { 1 };
            if Flags(state >> 1 << 31 | result).holds(cond) {
                states |= 1 << state;
            }
            state += 1;
        }
        states
    }

    /// Whether a branch on `cond` is taken.
    #[inline]
    pub(super) const fn holds(self, cond: Cond) -> bool {
        let zero = self.result() == 0;
        let less = self.negative() != self.overflow();
        match cond {
            Cond::Eq => zero,
            Cond::Ne => !zero,
            Cond::Minus => self.negative(),
            Cond::Plus => !self.negative(),
            Cond::CarrySet => self.carry(),
            Cond::CarryClear => !self.carry(),
            Cond::OverflowSet => self.overflow(),
            Cond::OverflowClear => !self.overflow(),
            Cond::Ge => !less,
            Cond::Lt => less,
            Cond::Le => zero || less,
            Cond::Gt => !zero && !less,
        }
    }
}

/// `lhs + rhs + carry`.
#[inline(always)]
const fn sum(lhs: u32, rhs: u32, carry: bool) -> Flags {
    let wide = lhs as u64 + rhs as u64 + carry as u64;
    let result = wide as u32;
    Flags(wide | ((((lhs ^ result) & (rhs ^ result)) >> 31) as u64) << 33)
}

/// An `alu` operation of two operands; the result is in the flags.
#[inline(always)]
pub(super) const fn alu(op: AluOp, lhs: u32, rhs: u32, carry: bool) -> Flags {
    match op {
        AluOp::Add => sum(lhs, rhs, false),
        AluOp::Add16 => sum(lhs, rhs & 0xffff, false),
        AluOp::Add8 => sum(lhs, rhs & 0xff, false),
        AluOp::AddCarry => sum(lhs, rhs, carry),
        AluOp::Sub => sum(lhs, !rhs, true),
        AluOp::SubCarry => sum(lhs, !rhs, carry),
        AluOp::SubReverse => sum(rhs, !lhs, true),
        AluOp::And => Flags::of(lhs & rhs),
        AluOp::NotAnd => Flags::of(!lhs & rhs),
        AluOp::AndNot => Flags::of(lhs & !rhs),
        AluOp::Or => Flags::of(lhs | rhs),
        AluOp::Xor => Flags::of(lhs ^ rhs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Comparisons of 32 and 64 bits as the Linux driver writes them: subtract, subtract with carry, branch.
        #[test]
        fn differences_compare(a: u64, b: u64) {
            let low = alu(AluOp::Sub, a as u32, b as u32, false);
            prop_assert_eq!(low.result(), (a as u32).wrapping_sub(b as u32));
            prop_assert_eq!(low.holds(Cond::CarrySet), a as u32 >= b as u32);
            prop_assert_eq!(low.holds(Cond::Lt), (a as i32) < b as i32);
            prop_assert_eq!(low.holds(Cond::Gt), a as i32 > b as i32);
            prop_assert_eq!(low.holds(Cond::Eq), a as u32 == b as u32);
            let high = alu(AluOp::SubCarry, (a >> 32) as u32, (b >> 32) as u32, low.carry());
            prop_assert_eq!(u64::from(high.result()) << 32 | u64::from(low.result()), a.wrapping_sub(b));
            prop_assert_eq!(high.holds(Cond::CarryClear), a < b);
            prop_assert_eq!(high.holds(Cond::Lt), (a as i64) < b as i64);
            prop_assert_eq!(high.holds(Cond::Ge), a as i64 >= b as i64);
        }

        #[test]
        fn sums_carry(a: u64, b: u64) {
            let low = alu(AluOp::Add, a as u32, b as u32, true);
            let high = alu(AluOp::AddCarry, (a >> 32) as u32, (b >> 32) as u32, low.carry());
            prop_assert_eq!(u64::from(high.result()) << 32 | u64::from(low.result()), a.wrapping_add(b));
            prop_assert_eq!(high.carry(), a.checked_add(b).is_none());
            prop_assert_eq!(high.overflow(), (a as i64).checked_add(b as i64).is_none());
            prop_assert_eq!(alu(AluOp::SubReverse, a as u32, b as u32, false), alu(AluOp::Sub, b as u32, a as u32, false));
            prop_assert_eq!(alu(AluOp::Add16, a as u32, b as u32, true).result(), (a as u32).wrapping_add(b as u32 & 0xffff));
        }
    }
}
