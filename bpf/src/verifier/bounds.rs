//! What is known of a number: its bits, and its range read four ways.
//!
//! A value has a signed and an unsigned reading of all 64 bits and of the low 32. Each of the four ranges, and the
//! known bits, can teach the others something; [`Bounds::sync`] exchanges what they know. How much is exchanged, and in
//! which order, follows Linux: a program must not be taken here because we know more than it does.

mod arith;
mod branch;
#[cfg(test)]
mod tests;

pub use branch::{assume, assume_of_itself, taken};

use super::tnum::Tnum;

/// A range of the low `BITS` bits, 32 or 64, in both readings. 32-bit values are held widened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range<const BITS: u32> {
    /// Smallest value, unsigned.
    pub umin: u64,
    /// Largest value, unsigned.
    pub umax: u64,
    /// Smallest value, signed.
    pub smin: i64,
    /// Largest value, signed.
    pub smax: i64,
}

impl<const BITS: u32> Range<BITS> {
    /// Largest unsigned value of this width.
    pub const UMAX: u64 = u64::MAX >> (64 - BITS);
    /// Smallest signed value of this width.
    pub const SMIN: i64 = i64::MIN >> (64 - BITS);
    /// Largest signed value of this width.
    pub const SMAX: i64 = i64::MAX >> (64 - BITS);
    /// Every value.
    pub const FULL: Self = Self { umin: 0, umax: Self::UMAX, smin: Self::SMIN, smax: Self::SMAX };

    /// The low bits of `value`, read as signed.
    pub const fn signed(value: u64) -> i64 {
        (value << (64 - BITS)) as i64 >> (64 - BITS)
    }

    /// The low bits of `value`, read as unsigned.
    pub const fn unsigned(value: i64) -> u64 {
        value as u64 & Self::UMAX
    }

    /// Exactly the low bits of `value`.
    pub const fn known(value: u64) -> Self {
        let (u, s) = (value & Self::UMAX, Self::signed(value));
        Self { umin: u, umax: u, smin: s, smax: s }
    }

    /// Whether every value of `other` lies in this range.
    pub const fn includes(&self, other: &Self) -> bool {
        self.umin <= other.umin && self.umax >= other.umax && self.smin <= other.smin && self.smax >= other.smax
    }

    /// Whether both readings have a value at all.
    pub const fn is_consistent(&self) -> bool {
        self.umin <= self.umax && self.smin <= self.smax
    }

    fn learn_unsigned(&mut self, min: u64, max: u64) {
        self.umin = self.umin.max(min);
        self.umax = self.umax.min(max);
    }

    fn learn_signed(&mut self, min: i64, max: i64) {
        self.smin = self.smin.max(min);
        self.smax = self.smax.min(max);
    }

    /// Takes what the known bits imply.
    fn learn_bits(&mut self, bits: Tnum) {
        let sign = 1u64 << (BITS - 1);
        self.learn_signed(
            Self::signed(bits.value() | (bits.mask() & sign)),
            Self::signed(bits.value() | (bits.mask() & !sign)),
        );
        self.learn_unsigned(bits.umin() & Self::UMAX, bits.umax() & Self::UMAX);
    }

    /// Lets the two readings teach each other, where one of them does not cross the other's wrap.
    fn exchange(&mut self) {
        if Self::signed(self.umin) <= Self::signed(self.umax) {
            self.learn_signed(Self::signed(self.umin), Self::signed(self.umax));
        }
        let (low, high) = (Self::unsigned(self.smin), Self::unsigned(self.smax));
        if low <= high {
            self.learn_unsigned(low, high);
        } else if self.umax < low {
            // The signed range is [0, high] and [low, max] unsigned, and only the first part is left.
            self.smin = Self::signed(self.umin);
            self.umax = self.umax.min(high);
        } else if high < self.umin {
            self.smax = Self::signed(self.umax);
            self.umin = self.umin.max(low);
        }
    }
}

/// What is known of a 64-bit number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Its bits.
    pub bits: Tnum,
    /// All 64 bits.
    pub wide: Range<64>,
    /// The low 32 bits.
    pub low: Range<32>,
}

impl Bounds {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self { bits: Tnum::UNKNOWN, wide: Range::FULL, low: Range::FULL };

    /// Exactly `value`.
    pub const fn known(value: u64) -> Self {
        Self { bits: Tnum::known(value), wide: Range::known(value), low: Range::known(value) }
    }

    /// Zero.
    pub const ZERO: Self = Self::known(0);

    /// Everything that these bits admit.
    pub fn of_bits(bits: Tnum) -> Self {
        let mut b = Self { bits, ..Self::UNKNOWN };
        b.sync();
        b
    }

    /// The value, if every bit is known.
    pub const fn constant(&self) -> Option<u64> {
        self.bits.constant()
    }

    /// The low 32 bits, if every one of them is known.
    pub const fn low_constant(&self) -> Option<u32> {
        match self.bits.low32().constant() {
            Some(v) => Some(v as u32),
            None => None,
        }
    }

    /// Whether `value` is possible.
    pub fn contains(&self, value: u64) -> bool {
        let (low, s, ls) = (value & Range::<32>::UMAX, value as i64, Range::<32>::signed(value));
        self.bits.contains(value)
            && (self.wide.umin..=self.wide.umax).contains(&value)
            && (self.wide.smin..=self.wide.smax).contains(&s)
            && (self.low.umin..=self.low.umax).contains(&low)
            && (self.low.smin..=self.low.smax).contains(&ls)
    }

    /// Whether everything possible under `other` is possible here.
    pub const fn includes(&self, other: &Self) -> bool {
        self.wide.includes(&other.wide) && self.low.includes(&other.low) && self.bits.includes(other.bits)
    }

    /// Bits that may be other than zero, counted from the lowest.
    pub const fn width(&self) -> u32 {
        64 - self.wide.umax.leading_zeros()
    }

    /// Exchanges what bits and ranges know of each other.
    pub fn sync(&mut self) {
        self.ranges_from_bits();
        for _ in 0..3 {
            self.deduce();
        }
        self.bits_from_ranges();
        self.ranges_from_bits();
    }

    pub(super) fn ranges_from_bits(&mut self) {
        self.low.learn_bits(self.bits.low32());
        self.wide.learn_bits(self.bits);
        self.only_value();
    }

    /// Bits and unsigned range may have one value in common and no more.
    fn only_value(&mut self) {
        let (umin, umax) = (self.wide.umin, self.wide.umax);
        let next = self.bits.next_above(umin);
        let only = if self.bits.contains(umin) {
            (next > umax).then_some(umin)
        } else if next == self.bits.umax() || next <= umax && self.bits.next_above(next) > umax {
            Some(next)
        } else {
            None
        };
        if let Some(value) = only {
            *self = Self::known(value);
        }
    }

    fn bits_from_ranges(&mut self) {
        let wide = self.bits.intersect(Tnum::range(self.wide.umin, self.wide.umax));
        let low = wide.low32().intersect(Tnum::range(self.low.umin, self.low.umax));
        self.bits = wide.with_low32(low);
    }

    fn deduce(&mut self) {
        self.low_from_wide();
        self.low.exchange();
        self.wide.exchange();
        self.wide_from_low();
    }

    /// The low half of a 64-bit range is a range of its own where the upper half does not change, or changes by one
    /// while the low half goes from negative to positive.
    fn low_from_wide(&mut self) {
        let low = Range::<32>::unsigned;
        let sign = Range::<32>::signed;
        let (umin, umax) = (self.wide.umin, self.wide.umax);
        let (smin, smax) = (self.wide.smin as u64, self.wide.smax as u64);
        if umin >> 32 == umax >> 32 {
            self.low.learn_unsigned(low(umin as i64), low(umax as i64));
            if sign(umin) <= sign(umax) {
                self.low.learn_signed(sign(umin), sign(umax));
            }
        }
        if smin >> 32 == smax >> 32 {
            if low(smin as i64) <= low(smax as i64) {
                self.low.learn_unsigned(low(smin as i64), low(smax as i64));
            }
            if sign(smin) <= sign(smax) {
                self.low.learn_signed(sign(smin), sign(smax));
            }
        }
        for (min, max) in [(umin, umax), (smin, smax)] {
            let next = ((min >> 32) as u32).wrapping_add(1) == (max >> 32) as u32;
            if next && sign(min) < 0 && sign(max) >= 0 {
                self.low.learn_signed(sign(min), sign(max));
            }
        }
    }

    /// The ends of a 64-bit range keep their upper halves and take the low range's ends where those are tighter.
    fn wide_from_low(&mut self) {
        let upper = !Range::<32>::UMAX;
        let low = self.low;
        self.wide.learn_unsigned((self.wide.umin & upper) | low.umin, (self.wide.umax & upper) | low.umax);
        let (smin, smax) = (self.wide.smin as u64 & upper, self.wide.smax as u64 & upper);
        self.wide.learn_signed((smin | low.umin) as i64, (smax | low.umax) as i64);
        // After a sign extension the upper half repeats the sign; a non-negative low half then is the whole number.
        if low.smin >= 0 && self.wide.smin >= Range::<32>::SMIN && self.wide.smax <= Range::<32>::SMAX {
            self.wide = Range { umin: low.smin as u64, umax: low.smax as u64, smin: low.smin, smax: low.smax };
            self.bits = self.bits.intersect(Tnum::range(low.smin as u64, low.smax as u64));
        }
    }

    /// Whether bits and ranges agree that there is a value. They may not on a path that no run takes.
    pub fn is_consistent(&self) -> bool {
        self.wide.is_consistent()
            && self.low.is_consistent()
            && self.constant().is_none_or(|v| self.wide == Range::known(v))
            && self.low_constant().is_none_or(|v| self.low == Range::known(u64::from(v)))
    }

    /// Learns that it lies between two signed numbers, both of which fit 32 bits with their sign.
    pub fn limit(&mut self, min: i64, max: i64) {
        self.wide.learn_signed(min, max);
        if min >= i64::from(i32::MIN) && max <= i64::from(i32::MAX) {
            self.low.learn_signed(min, max);
        }
        self.sync();
    }

    /// Forgets all ranges but not the bits; what is done with a number that has become contradictory.
    pub fn forget_ranges(&mut self) {
        self.wide = Range::FULL;
        self.low = Range::FULL;
    }
}
