//! Shift control: two bits of direction and five of amount.

use super::bits::{Bits, bits};
use super::error::{DecodeReason, EncodeError};
use super::field::{Field, Span};
use super::listing::{Lister, Text};
use super::operand::Place;
use std::fmt;

/// How a shifter operand is moved.
///
/// In the word a left shift by `n` is the amount `32 - n`; amount 0 with a direction is an indirect shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shift {
    /// `>>rotN`: rotated right by 0 to 31; 0 is no shift.
    Rotate(u8),
    /// `<<N`: left by 1 to 31, zeros enter.
    Left(u8),
    /// `>>N`: right by 1 to 31, zeros enter.
    Right(u8),
    /// `<<indirect`: left by the low five bits of the left operand of the instruction before.
    LeftIndirect,
    /// `>>indirect`: right by the low five bits of the left operand of the instruction before.
    RightIndirect,
}

impl Shift {
    /// No shift.
    pub const NONE: Self = Self::Rotate(0);
}

/// Place of a [`Shift`], or of an [`Amount`] where the format fixes the direction.
#[derive(Clone, Copy)]
pub struct ShiftPlace;

const CONTROL: Bits = bits(8, 2);
const AMOUNT: Bits = bits(28, 5);

impl Span for ShiftPlace {
    fn span(self) -> u64 {
        CONTROL.mask() | AMOUNT.mask()
    }
}

const ROTATE: u32 = 0;
const RIGHT: u32 = 1;
const LEFT: u32 = 2;

fn amount(what: &'static str, n: u8, min: u32) -> Result<u32, EncodeError> {
    let value = u32::from(n);
    if (min..=31).contains(&value) { Ok(value) } else { Err(EncodeError::OutOfRange { what, value, min, max: 31 }) }
}

impl Field for Shift {
    type At = ShiftPlace;
    fn put(&self, _: ShiftPlace, word: &mut u64) -> Result<(), EncodeError> {
        let (control, amount) = match *self {
            Self::Rotate(n) => (ROTATE, amount("rotation", n, 0)?),
            Self::Left(n) => (LEFT, 32 - amount("left shift", n, 1)?),
            Self::Right(n) => (RIGHT, amount("right shift", n, 1)?),
            Self::LeftIndirect => (LEFT, 0),
            Self::RightIndirect => (RIGHT, 0),
        };
        CONTROL.put(word, control);
        AMOUNT.put(word, amount);
        Ok(())
    }
    fn get(_: ShiftPlace, word: u64) -> Result<Self, DecodeReason> {
        let amount = AMOUNT.get(word) as u8;
        Ok(match (CONTROL.get(word), amount) {
            (ROTATE, n) => Self::Rotate(n),
            (RIGHT, 0) => Self::RightIndirect,
            (RIGHT, n) => Self::Right(n),
            (LEFT, 0) => Self::LeftIndirect,
            (LEFT, n) => Self::Left(32 - n),
            (code, _) => return Err(DecodeReason::UnknownCode { what: "shift control", code }),
        })
    }
    fn uses(&self, see: &mut dyn FnMut(Place)) {
        if matches!(self, Self::LeftIndirect | Self::RightIndirect) {
            see(Place::PreviousLeft);
        }
    }
}

impl Text for Shift {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        match self {
            Self::Rotate(n) => out.print(format_args!(">>rot{n}")),
            Self::Left(n) => out.print(format_args!("<<{n}")),
            Self::Right(n) => out.print(format_args!(">>{n}")),
            Self::LeftIndirect => out.write("<<indirect"),
            Self::RightIndirect => out.write(">>indirect"),
        }
    }
}

/// How far a shift goes whose direction the instruction fixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Amount {
    /// By 1 to 31.
    By(u8),
    /// By the low five bits of the left operand of the instruction before.
    Indirect,
}

impl Field for Amount {
    type At = Bits;
    fn put(&self, at: Bits, word: &mut u64) -> Result<(), EncodeError> {
        let amount = match *self {
            Self::By(n) => amount("shift", n, 1)?,
            Self::Indirect => 0,
        };
        at.put(word, amount);
        Ok(())
    }
    fn get(at: Bits, word: u64) -> Result<Self, DecodeReason> {
        Ok(match at.get(word) {
            0 => Self::Indirect,
            n => Self::By(n as u8),
        })
    }
    fn uses(&self, see: &mut dyn FnMut(Place)) {
        if *self == Self::Indirect {
            see(Place::PreviousLeft);
        }
    }
}

impl Text for Amount {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        match self {
            Self::By(n) => out.print(format_args!(">>{n}")),
            Self::Indirect => out.write(">>indirect"),
        }
    }
}
