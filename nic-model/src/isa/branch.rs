//! Operands of branches that look at a register.

use super::bits::{Bits, bits};
use super::error::{DecodeReason, EncodeError};
use super::field::{Field, Span};
use super::listing::{Lister, Text};
use super::operand::{Place, Port, Reg};
use super::ports::{Beside, Ports};
use std::fmt;

/// A bit of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BitTest {
    /// The register.
    pub reg: Reg,
    /// The port at which it stands.
    pub port: Port,
    /// The rotation to the right that brings the bit to the top: 1 to 31 for bits 0 to 30; for bit 31 the Linux driver
    /// writes 32, the vendor's assembler 0.
    pub rotation: u8,
}

impl BitTest {
    /// Bit 0 to 31 of a register, as the Linux driver encodes it.
    pub fn new(reg: Reg, bit: u8) -> Self {
        let Beside { reg, port, constant } = Beside::new(reg, bit + 1);
        Self { reg, port, rotation: constant }
    }

    /// The bit's number.
    pub const fn bit(self) -> u8 {
        self.rotation.wrapping_sub(1) & 31
    }
}

impl Field for BitTest {
    type At = Ports;
    fn put(&self, at: Ports, word: &mut u64) -> Result<(), EncodeError> {
        if self.rotation > 32 {
            return Err(EncodeError::OutOfRange { what: "bit rotation", value: self.rotation.into(), min: 0, max: 32 });
        }
        Beside { reg: self.reg, port: self.port, constant: self.rotation }.put(at, word)
    }
    fn get(at: Ports, word: u64) -> Result<Self, DecodeReason> {
        match Beside::get(at, word)? {
            Beside { constant: value @ 33.., .. } => {
                Err(DecodeReason::OutOfRange { what: "bit rotation", value: value.into() })
            }
            Beside { reg, port, constant } => Ok(Self { reg, port, rotation: constant }),
        }
    }
    fn uses(&self, see: &mut dyn FnMut(Place)) {
        Beside { reg: self.reg, port: self.port, constant: 0 }.uses(see);
    }
    fn always(&self, uses: &mut dyn FnMut(Place), defs: &mut dyn FnMut(Place)) {
        Beside { reg: self.reg, port: self.port, constant: 0 }.always(uses, defs);
    }
}

/// A register plus a constant, as a code-store address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JumpTo {
    /// The register.
    pub base: Reg,
    /// The port at which it stands.
    pub port: Port,
    /// The constant, 0 to 131071; 0 is listed as `rtn`.
    pub offset: u32,
}

impl JumpTo {
    /// The address `base + offset`.
    pub fn new(base: Reg, offset: u32) -> Self {
        let Beside { reg, port, .. } = Beside::new(base, 0);
        Self { base: reg, port, offset }
    }
}

/// Place of a [`JumpTo`].
#[derive(Clone, Copy)]
pub struct JumpPlace;

const OFFSET_HIGH: Bits = bits(22, 9);

impl Span for JumpPlace {
    fn span(self) -> u64 {
        Ports::WIDE.span() | OFFSET_HIGH.mask()
    }
}

impl Field for JumpTo {
    type At = JumpPlace;
    fn put(&self, _: JumpPlace, word: &mut u64) -> Result<(), EncodeError> {
        let max = (OFFSET_HIGH.max() << 8) | 0xff;
        if self.offset > max {
            return Err(EncodeError::OutOfRange { what: "jump offset", value: self.offset, min: 0, max });
        }
        OFFSET_HIGH.put(word, self.offset >> 8);
        Beside { reg: self.base, port: self.port, constant: (self.offset & 0xff) as u8 }.put(Ports::WIDE, word)
    }
    fn get(_: JumpPlace, word: u64) -> Result<Self, DecodeReason> {
        let Beside { reg, port, constant } = Beside::get(Ports::WIDE, word)?;
        Ok(Self { base: reg, port, offset: OFFSET_HIGH.get(word) << 8 | u32::from(constant) })
    }
    fn uses(&self, see: &mut dyn FnMut(Place)) {
        Beside { reg: self.base, port: self.port, constant: 0 }.uses(see);
    }
    fn always(&self, uses: &mut dyn FnMut(Place), defs: &mut dyn FnMut(Place)) {
        Beside { reg: self.base, port: self.port, constant: 0 }.always(uses, defs);
    }
}

impl Text for JumpTo {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        out.write(if self.offset == 0 { "rtn[" } else { "jump[" })?;
        self.base.text(out)?;
        if self.offset != 0 {
            out.print(format_args!(", .{}", self.offset))?;
        }
        out.write("]")
    }
}
