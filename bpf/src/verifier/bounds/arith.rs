//! Arithmetic on [`Bounds`]: what is known of a result from what is known of the operands.

use super::{Bounds, Range};
use crate::insn::{AluOp, ByteOrder, Operand, Width};
use crate::verifier::tnum::Tnum;

impl<const BITS: u32> Range<BITS> {
    fn fits(value: i128) -> bool {
        (i128::from(Self::SMIN)..=i128::from(Self::SMAX)).contains(&value)
    }

    /// A signed range, or all signed values if it leaves the width.
    fn signed_or_all(min: i128, max: i128) -> (i64, i64) {
        if Self::fits(min) && Self::fits(max) { (min as i64, max as i64) } else { (Self::SMIN, Self::SMAX) }
    }

    /// Sum. Unsigned ends may wrap if both do.
    fn add(&self, o: &Self) -> Self {
        let (smin, smax) =
            Self::signed_or_all(i128::from(self.smin) + i128::from(o.smin), i128::from(self.smax) + i128::from(o.smax));
        let (umin, umax) = (u128::from(self.umin) + u128::from(o.umin), u128::from(self.umax) + u128::from(o.umax));
        let limit = u128::from(Self::UMAX);
        let (umin, umax) = match (umin > limit, umax > limit) {
            (false, true) => (0, Self::UMAX),
            _ => (umin as u64 & Self::UMAX, umax as u64 & Self::UMAX),
        };
        Self { umin, umax, smin, smax }
    }

    /// Difference. Unsigned ends may wrap if both do.
    fn sub(&self, o: &Self) -> Self {
        let (smin, smax) =
            Self::signed_or_all(i128::from(self.smin) - i128::from(o.smax), i128::from(self.smax) - i128::from(o.smin));
        let (umin, umax) = match (self.umin < o.umax, self.umax < o.umin) {
            (true, false) => (0, Self::UMAX),
            _ => (self.umin.wrapping_sub(o.umax) & Self::UMAX, self.umax.wrapping_sub(o.umin) & Self::UMAX),
        };
        Self { umin, umax, smin, smax }
    }

    fn mul(&self, o: &Self) -> Self {
        let (umin, umax) = match self.umax.checked_mul(o.umax) {
            Some(max) if max <= Self::UMAX => (self.umin * o.umin, max),
            _ => (0, Self::UMAX),
        };
        let corners = [(self.smin, o.smin), (self.smin, o.smax), (self.smax, o.smin), (self.smax, o.smax)];
        let products = corners.map(|(a, b)| i128::from(a) * i128::from(b));
        let min = products.into_iter().fold(i128::MAX, i128::min);
        let max = products.into_iter().fold(i128::MIN, i128::max);
        let (smin, smax) = Self::signed_or_all(min, max);
        Self { umin, umax, smin, smax }
    }

    /// The range of a bitwise result whose unsigned ends are given.
    fn bitwise(umin: u64, umax: u64) -> Self {
        let (smin, smax) = (Self::signed(umin), Self::signed(umax));
        let all = Self { umin, umax, ..Self::FULL };
        if smin <= smax { Self { smin, smax, ..all } } else { all }
    }

    /// Left shift by `n` below `BITS`; the signed reading is lost.
    fn lsh(&self, n: u32) -> Self {
        if self.umax > 1u64 << (BITS - 1 - n) {
            return Self::FULL;
        }
        Self { umin: self.umin << n, umax: self.umax << n, ..Self::FULL }
    }
}

/// The unsigned ends of a range.
type Ends = (u64, u64);

/// The amount of a shift, if it is one constant below the width; other shifts say nothing about their result.
fn shift_amount(width: Width, src: &Bounds) -> Option<u32> {
    match width {
        Width::W64 => src.constant().filter(|v| *v < 64 && src.wide == Range::known(*v)).map(|v| v as u32),
        Width::W32 => {
            src.low_constant().filter(|v| *v < 32 && src.low == Range::known(u64::from(*v)) && src.wide.umax < 32)
        }
    }
}

impl Bounds {
    /// The bounds of an operand: a register's, given by `reg`, or the immediate's.
    pub fn of_operand(src: Operand, reg: impl FnOnce(crate::insn::Reg) -> Self) -> Self {
        match src {
            Operand::Reg(r) => reg(r),
            Operand::Imm(imm) => Self::known(i64::from(imm) as u64),
        }
    }

    /// `self op src` at `width`. Division, remainder and shifts by a variable give no knowledge at all.
    pub fn alu(&self, width: Width, op: AluOp, src: &Self) -> Self {
        let mut out = match op {
            AluOp::Add => {
                Self { bits: self.bits.add(src.bits), wide: self.wide.add(&src.wide), low: self.low.add(&src.low) }
            }
            AluOp::Sub => {
                Self { bits: self.bits.sub(src.bits), wide: self.wide.sub(&src.wide), low: self.low.sub(&src.low) }
            }
            AluOp::Mul => {
                Self { bits: self.bits.mul(src.bits), wide: self.wide.mul(&src.wide), low: self.low.mul(&src.low) }
            }
            AluOp::And => self.bitwise(src, self.bits.and(src.bits), |bits, a, b| (bits.umin(), a.1.min(b.1))),
            AluOp::Or => self.bitwise(src, self.bits.or(src.bits), |bits, a, b| (a.0.max(b.0), bits.umax())),
            AluOp::Xor => self.bitwise(src, self.bits.xor(src.bits), |bits, _, _| (bits.umin(), bits.umax())),
            AluOp::Lsh | AluOp::Rsh | AluOp::Arsh => match shift_amount(width, src) {
                Some(n) => self.shift(width, op, n),
                None => return Self::UNKNOWN,
            },
            AluOp::Div | AluOp::Sdiv | AluOp::Mod | AluOp::Smod => return Self::UNKNOWN,
        };
        if width == Width::W32 {
            out.zero_extend_low();
        }
        out.sync();
        out
    }

    /// `self + by`, 64 bits.
    pub fn shifted(&self, by: i64) -> Self {
        self.alu(Width::W64, AluOp::Add, &Self::known(by as u64))
    }

    /// `-self` at `width`.
    pub fn negate(&self, width: Width) -> Self {
        Self::ZERO.alu(width, AluOp::Sub, self)
    }

    fn bitwise(&self, src: &Self, bits: Tnum, ends: fn(Tnum, Ends, Ends) -> Ends) -> Self {
        let low = if src.bits.low32().is_const() && bits.low32().is_const() {
            Range::known(bits.low32().value())
        } else {
            let (min, max) = ends(bits.low32(), (self.low.umin, self.low.umax), (src.low.umin, src.low.umax));
            Range::<32>::bitwise(min, max)
        };
        if src.bits.is_const() && bits.is_const() {
            return Self::known(bits.value());
        }
        let (min, max) = ends(bits, (self.wide.umin, self.wide.umax), (src.wide.umin, src.wide.umax));
        Self { bits, wide: Range::<64>::bitwise(min, max), low }
    }

    fn shift(&self, width: Width, op: AluOp, n: u32) -> Self {
        let mut out = match (width, op) {
            (Width::W64, AluOp::Lsh) => {
                let mut wide = self.wide.lsh(n);
                if n == 32 {
                    // The first half of the common pair of shifts that sign-extends a word.
                    (wide.smin, wide.smax) = (self.low.smin << 32, self.low.smax << 32);
                }
                let low = if n > 31 { Range::FULL } else { self.low.lsh(n) };
                Self { bits: self.bits.lsh(n), wide, low }
            }
            (Width::W32, AluOp::Lsh) => {
                Self { bits: self.bits.low32().lsh(n).low32(), wide: Range::FULL, low: self.low.lsh(n) }
            }
            (Width::W64, AluOp::Rsh) => Self {
                bits: self.bits.rsh(n),
                wide: Range { umin: self.wide.umin >> n, umax: self.wide.umax >> n, ..Range::FULL },
                low: Range::FULL,
            },
            (Width::W32, AluOp::Rsh) => Self {
                bits: self.bits.low32().rsh(n),
                wide: Range::FULL,
                low: Range { umin: self.low.umin >> n, umax: self.low.umax >> n, ..Range::FULL },
            },
            (Width::W64, _) => Self {
                bits: self.bits.arsh(n),
                wide: Range { smin: self.wide.smin >> n, smax: self.wide.smax >> n, ..Range::FULL },
                low: Range::FULL,
            },
            (Width::W32, _) => Self {
                bits: self.bits.low32().arsh32(n),
                wide: Range::FULL,
                low: Range { smin: self.low.smin >> n, smax: self.low.smax >> n, ..Range::FULL },
            },
        };
        out.ranges_from_bits();
        out
    }

    /// The number whose low 32 bits are these, and of which the rest is known as here.
    pub fn with_low(&self, low: u32) -> Self {
        let mut out = *self;
        out.bits = self.bits.with_low32(Tnum::known(u64::from(low)));
        out.low = Range::known(u64::from(low));
        out.sync();
        out
    }

    /// Takes the low half as the whole, zero-extended. Does not exchange knowledge.
    fn zero_extend_low(&mut self) {
        self.bits = self.bits.low32();
        let low = self.low;
        let (smin, smax) = if low.smin >= 0 { (low.smin, low.smax) } else { (0, Range::<32>::UMAX as i64) };
        self.wide = Range { umin: low.umin, umax: low.umax, smin, smax };
    }

    /// The low `bits` bits (16, 32 or 64) in another byte order, zero-extended. Ranges do not survive a swap.
    pub fn ordered(&self, order: ByteOrder, bits: u8) -> Self {
        let bytes = u32::from(bits) / 8;
        match order {
            ByteOrder::Le => self.truncated(bytes),
            ByteOrder::Be | ByteOrder::Swap => Self::of_bits(self.bits.swap_bytes(bytes)),
        }
    }

    /// The low 32 bits, zero-extended, as a 32-bit move leaves them.
    pub fn zero_extended(&self) -> Self {
        let mut out = *self;
        out.zero_extend_low();
        out.sync();
        out
    }

    /// The low `bytes` bytes, zero-extended, as a load of that size leaves them.
    pub fn truncated(&self, bytes: u32) -> Self {
        if bytes >= 8 {
            return *self;
        }
        let mask = (1u64 << (bytes * 8)) - 1;
        let same_upper = self.wide.umin & !mask == self.wide.umax & !mask;
        let (umin, umax) = if same_upper { (self.wide.umin & mask, self.wide.umax & mask) } else { (0, mask) };
        let mut out = Self {
            bits: self.bits.cast(bytes),
            wide: Range { umin, umax, smin: umin as i64, smax: umax as i64 },
            low: if bytes < 4 { Range::FULL } else { self.low },
        };
        out.sync();
        out
    }

    /// The low `bits` bits (8, 16 or 32), sign-extended to `width`; at 32 bits the upper half becomes zero.
    pub fn sign_extended(&self, bits: u32, width: Width) -> Self {
        match width {
            Width::W64 => self.sign_extended_wide(bits),
            Width::W32 => self.sign_extended_low(bits).zero_extended(),
        }
    }

    fn sign_extended_wide(&self, bits: u32) -> Self {
        let sign = |v: u64| (v << (64 - bits)) as i64 >> (64 - bits);
        if let Some(v) = self.constant() {
            return Self::known(sign(v) as u64);
        }
        let (a, b) = (sign(self.wide.smin as u64), sign(self.wide.smax as u64));
        let same_upper = self.wide.smin >> bits == self.wide.smax >> bits;
        if same_upper && (a >= 0) == (b >= 0) {
            let (min, max) = (a.min(b), a.max(b));
            return Self {
                bits: Tnum::range(min as u64, max as u64),
                wide: Range { umin: min as u64, umax: max as u64, smin: min, smax: max },
                low: Range {
                    umin: Range::<32>::unsigned(min),
                    umax: Range::<32>::unsigned(max),
                    smin: Range::<32>::signed(min as u64),
                    smax: Range::<32>::signed(max as u64),
                },
            };
        }
        let (min, max) = (i64::MIN >> (64 - bits), i64::MAX >> (64 - bits));
        Self {
            bits: Tnum::UNKNOWN,
            wide: Range { smin: min, smax: max, ..Range::FULL },
            low: Range { smin: min, smax: max, ..Range::FULL },
        }
    }

    fn sign_extended_low(&self, bits: u32) -> Self {
        let sign = |v: u64| (v << (64 - bits)) as i64 >> (64 - bits);
        if let Some(v) = self.constant() {
            let v = sign(v) as u64 & Range::<32>::UMAX;
            return Self { bits: self.bits.with_low32(Tnum::known(v)), wide: self.wide, low: Range::known(v) };
        }
        let (a, b) = (sign(self.low.smin as u64), sign(self.low.smax as u64));
        let same_upper = self.low.smin >> bits == self.low.smax >> bits;
        if same_upper && (a >= 0) == (b >= 0) {
            let (min, max) = (a.min(b), a.max(b));
            let low =
                Range { umin: Range::<32>::unsigned(min), umax: Range::<32>::unsigned(max), smin: min, smax: max };
            return Self { bits: self.bits.with_low32(Tnum::range(low.umin, low.umax)), wide: self.wide, low };
        }
        let (min, max) = (i64::MIN >> (64 - bits), i64::MAX >> (64 - bits));
        Self {
            bits: self.bits.with_low32(Tnum::UNKNOWN),
            wide: self.wide,
            low: Range { smin: min, smax: max, ..Range::FULL },
        }
    }
}
