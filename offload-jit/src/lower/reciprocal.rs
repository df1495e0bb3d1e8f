//! Unsigned division by a constant as multiplication (Granlund and Montgomery, "Division by Invariant Integers using
//! Multiplication", PLDI 1994, figure 6.2, for 32-bit dividends).

/// How to divide any 32-bit number by one constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quotient {
    /// By 0, which BPF defines as 0 (RFC 9669 §4.1).
    Zero,
    /// By more than 2^31: the quotient is whether the dividend is not below the divisor.
    Compare,
    /// By a power of two: `n >> by`.
    Shift {
        /// The multiplier that would do it, by its low 32 bits.
        magic: u32,
        /// Its exponent.
        by: u8,
    },
    /// `((n >> before) * magic >> 32) >> after`.
    Narrow {
        /// Power of two taken out of an even divisor whose own multiplier has 33 bits.
        before: u8,
        /// Multiplier.
        magic: u32,
        /// Shift after it.
        after: u8,
    },
    /// With `h = n * magic >> 32`: `(((n - h) >> 1) + h) >> after`. The multiplier is `2^32 + magic`.
    Wide {
        /// Multiplier without its top bit.
        magic: u32,
        /// Shift after it.
        after: u8,
    },
}

/// A multiplier for `divisor` that is exact for dividends below `2^bits`: its value, below 2^33, and the shift after
/// taking the high word of the product.
fn multiplier(divisor: u32, bits: u32) -> (u64, u32) {
    // The smallest l with 2^l >= divisor; at most 31, for larger divisors are compared.
    let mut shift = 32 - (divisor - 1).leading_zeros();
    let divisor = u64::from(divisor);
    let top = 1u64 << (32 + shift);
    let (mut low, mut high) = (top / divisor, (top + (1u64 << (32 + shift - bits))) / divisor);
    while shift > 0 && low >> 1 < high >> 1 {
        (low, high, shift) = (low >> 1, high >> 1, shift - 1);
    }
    (high, shift)
}

/// Picks the way.
pub(super) fn quotient(divisor: u32) -> Quotient {
    match divisor {
        0 => return Quotient::Zero,
        0x8000_0001.. => return Quotient::Compare,
        _ => {}
    }
    let full = multiplier(divisor, 32);
    // An even divisor whose multiplier has 33 bits is made odd first; the dividend then has fewer bits too.
    let zeros = divisor.trailing_zeros();
    let (before, (magic, after)) = if full.0 > u64::from(u32::MAX) && zeros > 0 {
        (zeros, multiplier(divisor >> zeros, 32 - zeros))
    } else {
        (0, full)
    };
    let low = magic as u32;
    if divisor.is_power_of_two() {
        Quotient::Shift { magic: low, by: zeros as u8 }
    } else if magic > u64::from(u32::MAX) {
        // The formula takes one bit of the shift before the last addition.
        Quotient::Wide { magic: low, after: after as u8 - 1 }
    } else {
        Quotient::Narrow { before: before as u8, magic: low, after: after as u8 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Does with machine integers what the emitted instructions do.
    fn apply(way: Quotient, n: u32, divisor: u32) -> u32 {
        let high = |a: u32, b: u32| ((u64::from(a) * u64::from(b)) >> 32) as u32;
        match way {
            Quotient::Zero => 0,
            Quotient::Compare => u32::from(n >= divisor),
            Quotient::Shift { by, .. } => n >> by,
            Quotient::Narrow { before, magic, after } => high(n >> before, magic) >> after,
            Quotient::Wide { magic, after } => {
                let h = high(n, magic);
                (((n - h) >> 1) + h) >> after
            }
        }
    }

    fn check(n: u32, divisor: u32) {
        let way = quotient(divisor);
        assert_eq!(apply(way, n, divisor), n.checked_div(divisor).unwrap_or(0), "{n} / {divisor}: {way:?}");
    }

    #[test]
    fn small_divisors_and_powers_of_two_are_exact_at_the_edges() {
        let near = |n: u32| [n.wrapping_sub(1), n, n.wrapping_add(1)];
        let divisors = (0..3000).chain((0..32).flat_map(|k| near(1 << k))).chain([641, 6_700_417, u32::MAX]);
        for divisor in divisors {
            for k in 0..32 {
                near(1 << k).into_iter().chain(near(divisor.wrapping_mul(k))).for_each(|n| check(n, divisor));
            }
            near(u32::MAX).into_iter().for_each(|n| check(n, divisor));
        }
    }

    #[test]
    fn every_way_is_taken() {
        assert_eq!(quotient(0), Quotient::Zero);
        assert_eq!(quotient(0x8000_0001), Quotient::Compare);
        assert!(matches!(quotient(0x8000_0000), Quotient::Shift { by: 31, .. }));
        assert!(matches!(quotient(10), Quotient::Narrow { before: 0, .. }));
        assert!(matches!(quotient(14), Quotient::Narrow { before: 1, .. }));
        assert!(matches!(quotient(7), Quotient::Wide { .. }));
    }

    proptest! {
        #[test]
        fn any_division_is_exact(n: u32, divisor: u32) {
            check(n, divisor);
        }
    }
}
