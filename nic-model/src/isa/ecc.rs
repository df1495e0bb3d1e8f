//! Parity of the code store: seven bits above the 45 of an instruction.

use std::fmt;

/// The bits of an instruction.
pub const PAYLOAD: u64 = (1 << 45) - 1;

/// Which payload bits each parity bit covers, from bit 45 upwards (Linux `nfp_asm.c`; checked against the vendor's
/// firmware in the binutils test suite).
const COVER: [u64; 7] = [
    0x0ff8_0000_7fff,
    0x11f8_01ff_801f,
    0x1e38_7e07_81e1,
    0x17cb_8e38_8e22,
    0x1af5_b2c9_3244,
    0x1f56_d552_5488,
    0x0daf_69a4_6910,
];

/// A code-store word with wrong parity, or with bits above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EccError {
    /// The word.
    pub word: u64,
    /// What it should be, given its payload.
    pub expected: u64,
}

impl fmt::Display for EccError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "code word {:#x} has wrong parity, expected {:#x}", self.word, self.expected)
    }
}

impl std::error::Error for EccError {}

/// The code-store word of a payload: parity in bits 45 to 51. Bits above the payload are dropped.
pub fn with_ecc(payload: u64) -> u64 {
    let payload = payload & PAYLOAD;
    COVER.iter().zip(45..).fold(payload, |word, (cover, at)| word | u64::from((payload & cover).count_ones() & 1) << at)
}

/// The payload of a code-store word.
pub fn check_ecc(word: u64) -> Result<u64, EccError> {
    let expected = with_ecc(word);
    if word == expected { Ok(word & PAYLOAD) } else { Err(EccError { word, expected }) }
}
