//! What is known of the bits of a word.

/// Bits that are certainly 0 and bits that are certainly 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bits {
    /// Certainly 0.
    pub zero: u32,
    /// Certainly 1.
    pub one: u32,
}

impl Bits {
    /// Nothing is known.
    pub(crate) const UNKNOWN: Bits = Bits { zero: 0, one: 0 };

    /// Everything is.
    pub(crate) const fn constant(value: u32) -> Bits {
        Bits { zero: !value, one: value }
    }

    /// The word, if all of it is known.
    pub(super) const fn value(self) -> Option<u32> {
        if self.zero | self.one == u32::MAX { Some(self.one) } else { None }
    }

    /// The largest word it may be.
    pub(super) const fn most(self) -> u32 {
        !self.zero
    }

    /// What holds where it is this or that.
    pub(super) const fn join(self, other: Bits) -> Bits {
        Bits { zero: self.zero & other.zero, one: self.one & other.one }
    }

    /// What holds where both are said of one word.
    pub(super) const fn meet(self, other: Bits) -> Bits {
        Bits { zero: self.zero | other.zero, one: self.one | other.one }
    }

    pub(super) const fn not(self) -> Bits {
        Bits { zero: self.one, one: self.zero }
    }

    pub(super) const fn and(self, other: Bits) -> Bits {
        Bits { zero: self.zero | other.zero, one: self.one & other.one }
    }

    pub(super) const fn or(self, other: Bits) -> Bits {
        Bits { zero: self.zero & other.zero, one: self.one | other.one }
    }

    pub(super) const fn xor(self, other: Bits) -> Bits {
        Bits { zero: self.zero & other.zero | self.one & other.one, one: self.zero & other.one | self.one & other.zero }
    }

    /// The sum, where a carry comes in or does not.
    pub(super) fn add(self, other: Bits, carry: Option<bool>) -> Bits {
        if let (Some(a), Some(b), Some(carry)) = (self.value(), other.value(), carry) {
            return Bits::constant(a.wrapping_add(b).wrapping_add(carry.into()));
        }
        // The sum of the largest words bounds it; low bits that are 0 in both stay so without a carry.
        let most = u64::from(self.most()) + u64::from(other.most()) + 1;
        let high = match u32::try_from(most) {
            Ok(most) => u32::MAX.checked_shl(32 - most.leading_zeros()).unwrap_or(0),
            Err(_) => 0,
        };
        let low = if carry == Some(false) {
            let trailing = (!self.zero | !other.zero).trailing_zeros();
            1u32.checked_shl(trailing).map_or(u32::MAX, |bit| bit - 1)
        } else {
            0
        };
        Bits { zero: high | low, one: 0 }
    }

    /// Shifted left, zeros come in.
    pub(super) fn left(self, by: u32) -> Bits {
        Bits { zero: self.zero << by | !(u32::MAX << by), one: self.one << by }
    }

    /// Shifted right, zeros come in.
    pub(super) fn right(self, by: u32) -> Bits {
        Bits { zero: self.zero >> by | !(u32::MAX >> by), one: self.one >> by }
    }

    pub(super) fn rotated(self, by: u32) -> Bits {
        Bits { zero: self.zero.rotate_right(by), one: self.one.rotate_right(by) }
    }

    /// These bits from another word, the others from this one.
    pub(super) const fn with(self, mask: u32, other: Bits) -> Bits {
        Bits { zero: self.zero & !mask | other.zero & mask, one: self.one & !mask | other.one & mask }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Bits;

    /// Words, and what is known of them.
    fn known() -> impl Strategy<Value = (u32, Bits)> {
        (any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(value, a, b)| {
            let seen = a & b;
            (value, Bits { zero: !value & seen, one: value & seen })
        })
    }

    fn holds(bits: Bits, value: u32) -> bool {
        bits.zero & value == 0 && bits.one & !value == 0
    }

    proptest! {
        #[test]
        fn what_is_known_holds((x, a) in known(), (y, b) in known(), by in 0u32..32, carry in any::<bool>(), mask in any::<u32>()) {
            prop_assert!(holds(a.and(b), x & y));
            prop_assert!(holds(a.or(b), x | y));
            prop_assert!(holds(a.xor(b), x ^ y));
            prop_assert!(holds(a.not(), !x));
            prop_assert!(holds(a.left(by), x << by));
            prop_assert!(holds(a.right(by), x >> by));
            prop_assert!(holds(a.rotated(by), x.rotate_right(by)));
            prop_assert!(holds(a.with(mask, b), x & !mask | y & mask));
            prop_assert!(holds(a.join(b), x) && holds(a.join(b), y));
            let sum = x.wrapping_add(y).wrapping_add(carry.into());
            prop_assert!(holds(a.add(b, Some(carry)), sum));
            prop_assert!(holds(a.add(b, None), sum));
        }
    }
}
