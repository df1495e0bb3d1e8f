//! Tracked numbers: which bits of a 64-bit value are known.
//!
//! The algebra is that of "Sound, Precise, and Fast Abstract Interpretation with Tristate Numbers" (CGO 2022); each
//! operation's result stands for at least every result of the operation on the values its operands stand for.

use std::fmt;

/// A set of 64-bit values given bit by bit: a bit is known, or may be either.
///
/// A bit set in `mask` is unknown and clear in `value`; the constructors keep that so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tnum {
    value: u64,
    mask: u64,
}

impl Tnum {
    /// Nothing is known.
    pub const UNKNOWN: Tnum = Tnum { value: 0, mask: u64::MAX };

    /// Exactly `value`.
    pub const fn known(value: u64) -> Self {
        Self { value, mask: 0 }
    }

    /// The bits of `value`, but those of `mask`, which are unknown.
    pub const fn new(value: u64, mask: u64) -> Self {
        Self { value: value & !mask, mask }
    }

    /// The smallest tracked number that holds every value from `min` to `max`.
    pub const fn range(min: u64, max: u64) -> Self {
        let differ = min ^ max;
        let low = match differ.leading_zeros() {
            64 => 0,
            zeros => u64::MAX >> zeros,
        };
        Self::new(min, low)
    }

    /// Known bits; unknown ones are 0.
    pub const fn value(self) -> u64 {
        self.value
    }

    /// Unknown bits.
    pub const fn mask(self) -> u64 {
        self.mask
    }

    /// The value, if every bit is known.
    pub const fn constant(self) -> Option<u64> {
        if self.mask == 0 { Some(self.value) } else { None }
    }

    /// Whether every bit is known.
    pub const fn is_const(self) -> bool {
        self.mask == 0
    }

    /// Whether nothing is known.
    pub const fn is_unknown(self) -> bool {
        self.mask == u64::MAX
    }

    /// The smallest value, unsigned.
    pub const fn umin(self) -> u64 {
        self.value
    }

    /// The largest value, unsigned.
    pub const fn umax(self) -> u64 {
        self.value | self.mask
    }

    /// Whether `value` is one of the values.
    pub const fn contains(self, value: u64) -> bool {
        value & !self.mask == self.value
    }

    /// Whether every value of `other` is one of this number's.
    pub const fn includes(self, other: Tnum) -> bool {
        other.mask & !self.mask == 0 && other.value & !self.mask == self.value
    }

    /// The smallest value above `bound`; the largest there is, if none lies above.
    pub const fn next_above(self, bound: u64) -> u64 {
        if bound >= self.umax() {
            return self.umax();
        }
        if bound < self.value {
            return self.value;
        }
        // Where `bound` first departs from the known bits, going down, decides: all unknown bits above follow it.
        let departs = (bound ^ self.value) & !self.mask;
        let below = match departs.leading_zeros() {
            64 => 0,
            zeros => u64::MAX >> zeros,
        };
        let followed = (bound & self.mask & !below) | self.value;
        if departs != 0 && bound & (below ^ (below >> 1)) == 0 {
            // The known bit is 1 where `bound` has 0: everything below may be at its least.
            return followed;
        }
        // Otherwise an unknown bit above, 0 in `bound`, must become 1: the lowest such, with those below it at 0.
        let candidates = self.mask & !bound & !below;
        let bit = candidates & candidates.wrapping_neg();
        (followed & !(bit.wrapping_sub(1) & self.mask)) | bit
    }

    /// Whether the two have a value in common.
    pub const fn overlaps(self, other: Tnum) -> bool {
        (self.value ^ other.value) & !self.mask & !other.mask == 0
    }

    /// Whether every value is a multiple of `size`, a power of two.
    pub const fn is_aligned(self, size: u64) -> bool {
        self.umax() & size.wrapping_sub(1) == 0
    }

    /// Values that are in both, given that there are some; bits known on either side are known.
    pub const fn intersect(self, other: Tnum) -> Self {
        Self::new(self.value | other.value, self.mask & other.mask)
    }

    /// Values that are in either.
    pub const fn union(self, other: Tnum) -> Self {
        Self::new(self.value, self.mask | other.mask | (self.value ^ other.value))
    }

    /// Sum, wrapping.
    pub const fn add(self, other: Tnum) -> Self {
        let least = self.value.wrapping_add(other.value);
        let most = least.wrapping_add(self.mask).wrapping_add(other.mask);
        // A carry that occurs in one of the two sums and not in the other makes the bits it reaches unknown.
        Self::new(least, (least ^ most) | self.mask | other.mask)
    }

    /// Difference, wrapping.
    pub const fn sub(self, other: Tnum) -> Self {
        let base = self.value.wrapping_sub(other.value);
        let most = base.wrapping_add(self.mask);
        let least = base.wrapping_sub(other.mask);
        Self::new(base, (most ^ least) | self.mask | other.mask)
    }

    /// Two's complement negation.
    pub const fn neg(self) -> Self {
        Tnum::known(0).sub(self)
    }

    /// Bitwise and.
    pub const fn and(self, other: Tnum) -> Self {
        let known = self.value & other.value;
        Self::new(known, self.umax() & other.umax() & !known)
    }

    /// Bitwise or.
    pub const fn or(self, other: Tnum) -> Self {
        let known = self.value | other.value;
        Self::new(known, (self.mask | other.mask) & !known)
    }

    /// Bitwise exclusive or.
    pub const fn xor(self, other: Tnum) -> Self {
        Self::new(self.value ^ other.value, self.mask | other.mask)
    }

    /// Left shift by a known amount below 64.
    pub const fn lsh(self, amount: u32) -> Self {
        Self { value: self.value << (amount & 63), mask: self.mask << (amount & 63) }
    }

    /// Logical right shift by a known amount below 64.
    pub const fn rsh(self, amount: u32) -> Self {
        Self { value: self.value >> (amount & 63), mask: self.mask >> (amount & 63) }
    }

    /// Arithmetic right shift by a known amount below 64. An unknown sign bit is shifted in as unknown.
    pub const fn arsh(self, amount: u32) -> Self {
        let (value, mask) = (self.value as i64 >> (amount & 63), self.mask as i64 >> (amount & 63));
        Self::new(value as u64, mask as u64)
    }

    /// Arithmetic right shift of the low 32 bits by a known amount below 32; the high bits become 0.
    pub const fn arsh32(self, amount: u32) -> Self {
        let (value, mask) = (self.value as i32 >> (amount & 31), self.mask as i32 >> (amount & 31));
        Self::new(value as u32 as u64, mask as u32 as u64)
    }

    /// Product, wrapping: long multiplication in which an unknown bit of the left-hand side joins the sums with and
    /// without its row.
    pub const fn mul(self, other: Tnum) -> Self {
        let (mut left, mut row, mut sum) = (self, other, Tnum::known(0));
        while left.umax() != 0 {
            if left.value & 1 == 1 {
                sum = sum.add(row);
            } else if left.mask & 1 == 1 {
                sum = sum.union(sum.add(row));
            }
            left = left.rsh(1);
            row = row.lsh(1);
        }
        sum
    }

    /// The low `bytes` bytes, zero-extended.
    pub const fn cast(self, bytes: u32) -> Self {
        if bytes >= 8 {
            return self;
        }
        let low = (1u64 << (bytes * 8)) - 1;
        Self { value: self.value & low, mask: self.mask & low }
    }

    /// The low `bytes` bytes in the opposite order, zero-extended.
    pub const fn swap_bytes(self, bytes: u32) -> Self {
        let up = 64 - bytes * 8;
        Self { value: self.value.swap_bytes() >> up, mask: self.mask.swap_bytes() >> up }
    }

    /// The low 32 bits, zero-extended.
    pub const fn low32(self) -> Self {
        self.cast(4)
    }

    /// The high 32 bits in place; the low ones are 0.
    pub const fn high32(self) -> Self {
        self.rsh(32).lsh(32)
    }

    /// These high 32 bits with the low 32 of `low`.
    pub const fn with_low32(self, low: Tnum) -> Self {
        self.high32().or(low.low32())
    }

    /// The low `bits` bits, sign-extended to 64.
    pub const fn sign_extend(self, bits: u32) -> Self {
        let up = 64 - bits;
        self.lsh(up).arsh(up)
    }
}

impl fmt::Display for Tnum {
    /// As the verifier's log prints it: `(value; mask)`, hexadecimal, unknown bits 0 in the value; a constant in decimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_const() {
            return write!(f, "{}", self.value as i64);
        }
        write!(f, "({:#x}; {:#x})", self.value, self.mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: u32 = 4;

    /// All tracked numbers whose high bits are known zeros, and all values of each.
    fn small() -> impl Iterator<Item = Tnum> {
        let top = 1u64 << WIDTH;
        (0..top).flat_map(move |mask| (0..top).filter(move |v| v & mask == 0).map(move |v| Tnum::new(v, mask)))
    }

    fn values(t: Tnum) -> impl Iterator<Item = u64> {
        (0..1u64 << WIDTH).filter(move |v| t.contains(*v))
    }

    fn sound(name: &str, op: fn(Tnum, Tnum) -> Tnum, concrete: fn(u64, u64) -> u64) {
        for a in small() {
            for b in small() {
                let r = op(a, b);
                assert_eq!(r.value & r.mask, 0, "{name} {a} {b}");
                for x in values(a) {
                    for y in values(b) {
                        assert!(r.contains(concrete(x, y)), "{name}: {a} {b} gave {r}, not {x} {y}");
                    }
                }
            }
        }
    }

    #[test]
    fn binary_operations_hold_every_concrete_result() {
        sound("add", Tnum::add, u64::wrapping_add);
        sound("sub", Tnum::sub, u64::wrapping_sub);
        sound("and", Tnum::and, |x, y| x & y);
        sound("or", Tnum::or, |x, y| x | y);
        sound("xor", Tnum::xor, |x, y| x ^ y);
        sound("mul", Tnum::mul, u64::wrapping_mul);
        sound("union, left", Tnum::union, |x, _| x);
        sound("union, right", Tnum::union, |_, y| y);
    }

    #[test]
    fn shifts_and_extensions_hold_every_concrete_result() {
        // Moved up so that both the sign bit and the middle of the word are exercised.
        for base in [0, 29, 60] {
            for t in small() {
                let t = t.lsh(base);
                for v in (0..1u64 << WIDTH).map(|v| v << base).filter(|v| t.contains(*v)) {
                    for n in 0..64 {
                        assert!(t.lsh(n).contains(v << n));
                        assert!(t.rsh(n).contains(v >> n));
                        assert!(t.arsh(n).contains((v as i64 >> n) as u64));
                        assert!(t.arsh32(n & 31).contains((v as i32 >> (n & 31)) as u32 as u64));
                    }
                    assert!(t.cast(4).contains(v & 0xffff_ffff) && t.cast(1).contains(v & 0xff));
                    assert!(t.sign_extend(32).contains(v as i32 as u64) && t.sign_extend(8).contains(v as i8 as u64));
                    for bytes in [2, 4, 8] {
                        assert!(t.swap_bytes(bytes).contains(v.swap_bytes() >> (64 - 8 * bytes)));
                    }
                    assert!(t.neg().contains(v.wrapping_neg()));
                }
            }
        }
    }

    #[test]
    fn the_lattice_operations_are_exact() {
        for a in small() {
            for b in small() {
                let common: Vec<u64> = values(a).filter(|v| b.contains(*v)).collect();
                assert_eq!(a.overlaps(b), !common.is_empty(), "{a} {b}");
                assert_eq!(a.includes(b), values(b).all(|v| a.contains(v)), "{a} {b}");
                if a.overlaps(b) {
                    assert_eq!(values(a.intersect(b)).collect::<Vec<_>>(), common, "{a} {b}");
                }
            }
        }
    }

    #[test]
    fn a_range_is_the_smallest_number_around_it() {
        for min in 0..1u64 << WIDTH {
            for max in min..1u64 << WIDTH {
                let r = Tnum::range(min, max);
                assert!((min..=max).all(|v| r.contains(v)));
                assert_eq!(r, (min..=max).map(Tnum::known).reduce(Tnum::union).expect("a range is not empty"));
            }
        }
        assert!(Tnum::range(0, u64::MAX).is_unknown());
        assert_eq!(Tnum::range(u64::MAX, u64::MAX), Tnum::known(u64::MAX));
    }

    #[test]
    fn the_next_value_is_the_smallest_above() {
        for t in small() {
            for bound in 0..1 << WIDTH {
                let wanted = values(t).find(|v| *v > bound).unwrap_or(t.umax());
                assert_eq!(t.next_above(bound), wanted, "{t} above {bound}");
            }
        }
    }

    #[test]
    fn alignment_looks_at_unknown_bits_too() {
        assert!(Tnum::new(8, 0x10).is_aligned(8));
        assert!(!Tnum::new(8, 0x14).is_aligned(8));
        assert!(Tnum::new(3, 0).is_aligned(1));
    }
}
