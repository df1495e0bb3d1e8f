//! What `crc` and `cam_lookup` keep in the source field they do not read from.

use super::bits::{Bits, bits};
use super::error::DecodeReason;
use super::field::Field;
use super::kinds::{CrcBytes, CrcKind};
use super::operand::Place;
use super::ports::Companion;

/// Which checksum `crc` computes, over which bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CrcMode {
    /// The polynomial.
    pub kind: CrcKind,
    /// The bytes taken in.
    pub bytes: CrcBytes,
    /// `crc_le`: least significant byte first.
    pub little: bool,
    /// `bit_swap`: the bits of each byte are reversed.
    pub bit_swap: bool,
}

impl CrcMode {
    const BASE: u64 = 0x300;
    const KIND: Bits = bits(5, 3);
    const BIT_SWAP: Bits = bits(4, 1);
    const LITTLE: Bits = bits(3, 1);
    const BYTES: Bits = bits(0, 3);
}

impl Companion for CrcMode {
    fn code(self, _wide: bool) -> u32 {
        let mut code = Self::BASE;
        Self::KIND.put(&mut code, self.kind.code());
        Self::BIT_SWAP.put(&mut code, self.bit_swap.into());
        Self::LITTLE.put(&mut code, self.little.into());
        Self::BYTES.put(&mut code, self.bytes.code());
        code as u32
    }
    fn from_code(code: u32, _wide: bool) -> Result<Self, DecodeReason> {
        let word = u64::from(code);
        if word & Self::BASE != Self::BASE {
            return Err(DecodeReason::UnknownOperand { bits: code });
        }
        Ok(Self {
            kind: CrcKind::get(Self::KIND, word)?,
            bytes: CrcBytes::get(Self::BYTES, word)?,
            little: Self::LITTLE.get(word) != 0,
            bit_swap: Self::BIT_SWAP.get(word) != 0,
        })
    }
}

/// `lm_addrP[i]`: `cam_lookup` also loads a local memory pointer from the entry it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LookupPointer {
    /// The pointer, 0 to 3.
    pub pointer: u8,
    /// The number in brackets, 0 to 3.
    pub index: u8,
}

/// What a `cam_lookup` does besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lookup(pub Option<LookupPointer>);

impl Companion for Lookup {
    fn code(self, _wide: bool) -> u32 {
        self.0.map_or(0, |p| {
            let which = if p.pointer & 1 == 0 { 1 } else { 2 };
            which | u32::from(p.index & 3) << 2 | u32::from(p.pointer >> 1 & 1) << 4
        })
    }
    fn from_code(code: u32, _wide: bool) -> Result<Self, DecodeReason> {
        let low = match code & 3 {
            0 if code == 0 => return Ok(Self(None)),
            1 => 0,
            2 => 1,
            _ => return Err(DecodeReason::UnknownOperand { bits: code }),
        };
        Ok(Self(Some(LookupPointer { pointer: low | ((code >> 4 & 1) as u8) << 1, index: (code >> 2 & 3) as u8 })))
    }
    fn defs(self, see: &mut dyn FnMut(Place)) {
        if let Some(p) = self.0 {
            see(Place::LocalPointer(p.pointer & 3));
        }
    }
}
