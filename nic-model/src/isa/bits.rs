//! Bit positions inside an instruction word.

/// Up to four runs of bits that together hold one number, lowest part first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits {
    runs: [(u8, u8); 4],
}

/// `width` bits from bit `lo` upwards.
pub(super) const fn bits(lo: u8, width: u8) -> Bits {
    Bits { runs: [(lo, width), (0, 0), (0, 0), (0, 0)] }
}

impl Bits {
    /// The same number continued, above what is there, by `width` bits from bit `lo` upwards.
    pub(super) const fn then(mut self, lo: u8, width: u8) -> Self {
        let mut i = 0;
        while self.runs[i].1 != 0 {
            i += 1;
        }
        self.runs[i] = (lo, width);
        self
    }

    /// How many bits the number has.
    pub(super) const fn width(self) -> u32 {
        let r = self.runs;
        (r[0].1 + r[1].1 + r[2].1 + r[3].1) as u32
    }

    /// The largest number that fits.
    pub(super) const fn max(self) -> u32 {
        ((1u64 << self.width()) - 1) as u32
    }

    /// The bits of the word that hold the number.
    pub(super) const fn mask(self) -> u64 {
        let mut mask = 0;
        let mut i = 0;
        while i < self.runs.len() {
            let (lo, width) = self.runs[i];
            mask |= ((1u64 << width) - 1) << lo;
            i += 1;
        }
        mask
    }

    /// Reads the number out of `word`.
    #[inline(always)]
    pub(super) fn get(self, word: u64) -> u32 {
        let [(lo, width), rest @ ..] = self.runs;
        let mut value = word >> lo & ((1 << width) - 1);
        let mut at = width;
        for (lo, width) in rest {
            if width == 0 {
                break;
            }
            value |= (word >> lo & ((1 << width) - 1)) << at;
            at += width;
        }
        value as u32
    }

    /// Writes the number into `word`; bits of `value` above [`Self::max`] are the caller's mistake and are dropped.
    #[inline(always)]
    pub(super) fn put(self, word: &mut u64, value: u32) {
        let mut value = u64::from(value);
        for (lo, width) in self.runs {
            if width == 0 {
                break;
            }
            let mask = (1 << width) - 1;
            *word = *word & !(mask << lo) | (value & mask) << lo;
            value >>= width;
        }
    }
}
