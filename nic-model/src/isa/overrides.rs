//! Overrides of commands: what the previous result means to a command with `indirect_ref`.
//!
//! ```text
//!   31         16 15 14  13  12   8 7   6    5    3 2      1 0
//!   data          0  ctx num length use mask data-is master  signal master
//! ```
//!
//! Layout of the vendor's library for this core; the driver uses the length and the immediate data. What an enabled
//! field replaces is then taken from here, or, for those marked so, from the CSR `CmdIndirectRef0`.

use super::bits::{Bits, bits};

/// What the 16 bits of data replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataOverride {
    /// The whole data reference: where the transfer registers are.
    Reference = 1,
    /// Immediate data of 16 bits (driver: the addend of `add_imm`).
    Immediate = 2,
    /// The context of the data reference.
    Context = 3,
    /// The contexts of data reference and signal.
    Contexts = 4,
    /// The offset of the data reference within the context.
    Offset = 5,
    /// The byte mask.
    ByteMask = 6,
}

impl DataOverride {
    /// Every member, in the order of the codes.
    pub const ALL: [Self; 6] =
        [Self::Reference, Self::Immediate, Self::Context, Self::Contexts, Self::Offset, Self::ByteMask];
}

/// The previous result as a command with `indirect_ref` sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Override {
    /// The length field, 0 to 31: one less than the count. The driver's `add_imm` has 8, and 12 for 64 bits.
    pub length: Option<u8>,
    /// The 16 bits of data and what they replace.
    pub data: Option<(DataOverride, u16)>,
    /// The byte mask comes from the CSR.
    pub byte_mask: bool,
    /// The signal's number comes from the CSR.
    pub signal: bool,
    /// The signal's context comes from the CSR.
    pub signal_context: bool,
    /// Which masters come from the CSR: 0 none, 1 island and data master, 2 these and the signal master, 3 the island.
    pub master: u8,
    /// The signal master comes from the CSR.
    pub signal_master: bool,
}

const SIGNAL_MASTER: Bits = bits(0, 1);
const MASTER: Bits = bits(1, 2);
const DATA_KIND: Bits = bits(3, 3);
const BYTE_MASK: Bits = bits(6, 1);
const USE_LENGTH: Bits = bits(7, 1);
const LENGTH: Bits = bits(8, 5);
const SIGNAL: Bits = bits(13, 1);
const SIGNAL_CONTEXT: Bits = bits(14, 1);
const DATA: Bits = bits(16, 16);

impl Override {
    /// Reads a previous result; `None` for a kind of data that is not known. Fields that are not enabled are ignored.
    pub fn from_word(word: u32) -> Option<Self> {
        let word = u64::from(word);
        let flag = |bit: Bits| bit.get(word) != 0;
        let data = match DATA_KIND.get(word) {
            0 => None,
            code => {
                let kind = DataOverride::ALL.into_iter().find(|kind| *kind as u32 == code)?;
                Some((kind, DATA.get(word) as u16))
            }
        };
        Some(Self {
            length: flag(USE_LENGTH).then(|| LENGTH.get(word) as u8),
            data,
            byte_mask: flag(BYTE_MASK),
            signal: flag(SIGNAL),
            signal_context: flag(SIGNAL_CONTEXT),
            master: MASTER.get(word) as u8,
            signal_master: flag(SIGNAL_MASTER),
        })
    }

    /// The previous result that means this. Numbers above their range lose their upper bits.
    pub fn word(self) -> u32 {
        let mut word = 0;
        SIGNAL_MASTER.put(&mut word, self.signal_master.into());
        MASTER.put(&mut word, self.master.into());
        BYTE_MASK.put(&mut word, self.byte_mask.into());
        SIGNAL.put(&mut word, self.signal.into());
        SIGNAL_CONTEXT.put(&mut word, self.signal_context.into());
        if let Some(length) = self.length {
            USE_LENGTH.put(&mut word, 1);
            LENGTH.put(&mut word, length.into());
        }
        if let Some((kind, data)) = self.data {
            DATA_KIND.put(&mut word, kind as u32);
            DATA.put(&mut word, data.into());
        }
        word as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_driver_read_as_it_means_them() {
        let length = |length| Override { length: Some(length), ..Override::default() };
        assert_eq!(Override::from_word(1 << 7 | 15 << 8), Some(length(15)));
        let add = |n, addend| Override { data: Some((DataOverride::Immediate, addend)), ..length(n) };
        assert_eq!(Override::from_word(0x1234_0890), Some(add(8, 0x1234)));
        assert_eq!(add(12, 5).word(), 0x0005_0c90);
        assert_eq!(Override::from_word(7 << 3), None);
    }
}
