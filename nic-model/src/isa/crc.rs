//! What `crc` and `cam_lookup` keep in the source field they do not read from.

use super::bits::{Bits, bits};
use super::error::{DecodeReason, EncodeError};
use super::field::Field;
use super::kinds::{CrcBytes, CrcKind};
use super::lone::Companion;
use super::operand::{Place, Port, Source};
use super::ports::Ports;

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
    fn put_beside(self, ports: Ports, port: Port, _: Source, word: &mut u64) -> Result<(), EncodeError> {
        let mut code = Self::BASE;
        Self::KIND.put(&mut code, self.kind.code());
        Self::BIT_SWAP.put(&mut code, self.bit_swap.into());
        Self::LITTLE.put(&mut code, self.little.into());
        Self::BYTES.put(&mut code, self.bytes.code());
        ports.field(port).put(word, code as u32);
        Ok(())
    }
    fn get_beside(ports: Ports, port: Port, word: u64) -> Result<Self, DecodeReason> {
        let code = ports.field(port).get(word);
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
    fn put_beside(self, ports: Ports, port: Port, _: Source, word: &mut u64) -> Result<(), EncodeError> {
        let mut code = 0;
        if let Some(LookupPointer { pointer, index }) = self.0 {
            for (what, n) in [("local memory pointer", pointer), ("lookup index", index)] {
                if n > 3 {
                    return Err(EncodeError::OutOfRange { what, value: n.into(), min: 0, max: 3 });
                }
            }
            let which = if pointer & 1 == 0 { 1 } else { 2 };
            code = which | u32::from(index) << 2 | u32::from(pointer >> 1) << 4;
        }
        ports.field(port).put(word, code);
        Ok(())
    }
    fn get_beside(ports: Ports, port: Port, word: u64) -> Result<Self, DecodeReason> {
        let code = ports.field(port).get(word);
        let low = match code & 3 {
            0 if code == 0 => return Ok(Self(None)),
            1 => 0,
            2 => 1,
            _ => return Err(DecodeReason::UnknownOperand { bits: code }),
        };
        let pointer = low | ((code >> 4 & 1) as u8) << 1;
        Ok(Self(Some(LookupPointer { pointer, index: (code >> 2 & 3) as u8 })))
    }
    fn also(self, _: &mut dyn FnMut(Place), defs: &mut dyn FnMut(Place)) {
        if let Some(p) = self.0 {
            defs(Place::LocalPointer(p.pointer));
        }
    }
}
