//! 32-bit constants out of 16-bit ones.

use nic_model::isa::{Dst, Immed, ImmedShift, Load};

/// How a constant is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Built {
    /// By one instruction.
    Once {
        /// Sixteen bits of it, or of its complement.
        value: u16,
        /// Where they stand.
        shift: ImmedShift,
        /// They are the complement's.
        invert: bool,
    },
    /// By two: the low half, then the high one.
    Twice {
        /// Low half.
        low: u16,
        /// High half.
        high: u16,
    },
}

/// One instruction where the bits that are set, or those that are clear, lie within 16 bits at a byte boundary.
pub(super) fn build(value: u32) -> Built {
    for (value, invert) in [(value, false), (!value, true)] {
        for (shift, bits) in [(ImmedShift::None, 0), (ImmedShift::One, 8), (ImmedShift::Two, 16)] {
            if value & !(0xffff << bits) == 0 {
                return Built::Once { value: (value >> bits) as u16, shift, invert };
            }
        }
    }
    Built::Twice { low: value as u16, high: (value >> 16) as u16 }
}

/// A load of a constant by one instruction, if there is one.
pub(crate) fn once(value: u32) -> Option<impl Fn(Dst) -> Immed> {
    let Built::Once { value, shift, invert } = build(value) else { return None };
    Some(move |dst| Immed { load: Load { dst, value }, invert, shift, predicate: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(built: Built) -> u32 {
        match built {
            Built::Once { value, shift, invert } => {
                let bits = match shift {
                    ImmedShift::None => 0,
                    ImmedShift::One => 8,
                    ImmedShift::Two => 16,
                };
                let value = u32::from(value) << bits;
                if invert { !value } else { value }
            }
            Built::Twice { low, high } => u32::from(high) << 16 | u32::from(low),
        }
    }

    #[test]
    fn the_cheapest_form_is_taken() {
        let once = |v| matches!(build(v), Built::Once { .. });
        for v in [0, 1, 0xffff, 0x00ff_ff00, 0xffff_0000, u32::MAX, 0xffff_0000 | 7, 0xff00_00ff, 0x0000_ffff] {
            assert!(once(v), "{v:#x}");
        }
        for v in [0x1234_5678, 0x0100_0001, 0x8000_0001, 0xff00_ff00] {
            assert!(!once(v), "{v:#x}");
        }
        assert_eq!(build(0x00ff_0000), Built::Once { value: 0xff00, shift: ImmedShift::One, invert: false });
    }

    proptest! {
        #[test]
        fn every_constant_comes_out(v in prop_oneof![any::<u32>(), any::<u16>().prop_map(|v| !(u32::from(v) << 8))]) {
            prop_assert_eq!(value(build(v)), v);
        }
    }
}
