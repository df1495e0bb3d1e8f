//! Registers and constants as the ten-bit (unrestricted) and eight-bit (restricted) codes of source and destination
//! fields.
//!
//! | bits 9..0 | unrestricted | | bits 7..0 | restricted |
//! |---|---|---|---|---|
//! | `00_000r_rrrr` | general purpose register | | `000r_rrrr` | general purpose register |
//! | `00_1rrr_rrrr` | the same, absolute | | | |
//! | `01_0000_0ss0` | `*$index`, step `s` | | `0100_0ss0` | `*$index`, step `s` |
//! | `01_1h0r_rrrr` | transfer register `32h + r` | | `1h0r_rrrr` | transfer register `32h + r` |
//! | `10_00p0_oooo` | local memory, pointer `p`, offset `o` | | `0101_pooo` | local memory, pointer `p`, offset `o` |
//! | `10_00p1_000d` | local memory, then pointer up, or down with `d` | | | |
//! | `10_0100_00i1` | `*n$index`, then up with `i` | | `0100_00i1` | `*n$index`, then up with `i` |
//! | `10_100r_rrrr` | next-neighbour register | | | |
//! | `11_iiii_iiii` | constant | | `ii1i_iiii` | constant, low seven bits |
//!
//! A step is 0 for hold, 1 for up, 2 for down. The second bit of a local memory pointer's number and the eighth bit of
//! a restricted constant are flags of the instruction. The bank of a general purpose register is that of its port.

use super::error::{DecodeReason, EncodeError};
use super::operand::{Bank, Reg, Source, Step};

/// Code of the constant 0 in an unrestricted field; as a destination it is `--`.
pub(super) const WIDE_CONSTANT: u32 = 0x300;
/// Code of the constant 0 in a restricted field; as a destination it is `--`.
pub(super) const NARROW_CONSTANT: u32 = 0x20;

const WIDE_ABSOLUTE: u32 = 0x080;
const WIDE_XFER_INDEX: u32 = 0x100;
const WIDE_XFER: u32 = 0x180;
const WIDE_LOCAL: u32 = 0x200;
const WIDE_LOCAL_STEP: u32 = 0x210;
const WIDE_NEIGHBOUR_INDEX: u32 = 0x241;
const WIDE_NEIGHBOUR: u32 = 0x280;
const NARROW_INDEX: u32 = 0x40;
const NARROW_LOCAL: u32 = 0x50;
const NARROW_XFER: u32 = 0x80;

fn within(what: &'static str, value: u8, max: u8) -> Result<u32, EncodeError> {
    if value > max {
        return Err(EncodeError::OutOfRange { what, value: value.into(), min: 0, max: max.into() });
    }
    Ok(value.into())
}

fn pointer_bit(pointer: u8, at: u8) -> Result<u32, EncodeError> {
    Ok((within("local memory pointer", pointer, 3)? & 1) << at)
}

fn step_code(step: Step) -> u32 {
    match step {
        Step::Hold => 0,
        Step::Increment => 2,
        Step::Decrement => 4,
    }
}

fn step_of(code: u32) -> Option<Step> {
    [Step::Hold, Step::Increment, Step::Decrement].into_iter().find(|&step| step_code(step) == code)
}

fn transfer(base: u32, n: u8, high: u8) -> Result<u32, EncodeError> {
    let n = within("transfer register", n, 63)?;
    Ok(base | (n & 31) | ((n >> 5) << high))
}

/// The unrestricted code of a register, without the pointer extension.
pub(super) fn wide_reg(reg: Reg) -> Result<u32, EncodeError> {
    Ok(match reg {
        Reg::Gpr(_, n) => within("general purpose register", n, 31)?,
        Reg::Absolute(_, n) => WIDE_ABSOLUTE | within("absolute register", n, 127)?,
        Reg::Xfer(n) => transfer(WIDE_XFER, n, 6)?,
        Reg::XferIndex(step) => WIDE_XFER_INDEX | step_code(step),
        Reg::Neighbour(n) => WIDE_NEIGHBOUR | within("neighbour register", n, 31)?,
        Reg::NeighbourIndex(up) => WIDE_NEIGHBOUR_INDEX | u32::from(up) << 1,
        Reg::Local { pointer, offset } => {
            WIDE_LOCAL | pointer_bit(pointer, 5)? | within("local memory offset", offset, 15)?
        }
        Reg::LocalIncrement { pointer } => WIDE_LOCAL_STEP | pointer_bit(pointer, 5)?,
        Reg::LocalDecrement { pointer } => WIDE_LOCAL_STEP | pointer_bit(pointer, 5)? | 1,
    })
}

/// The restricted code of a register, without the pointer extension.
pub(super) fn narrow_reg(reg: Reg) -> Result<u32, EncodeError> {
    Ok(match reg {
        Reg::Gpr(_, n) => within("general purpose register", n, 31)?,
        Reg::Xfer(n) => transfer(NARROW_XFER, n, 6)?,
        Reg::XferIndex(step) => NARROW_INDEX | step_code(step),
        Reg::NeighbourIndex(up) => NARROW_INDEX | 1 | u32::from(up) << 1,
        Reg::Local { pointer, offset } => {
            NARROW_LOCAL | pointer_bit(pointer, 3)? | within("restricted local memory offset", offset, 7)?
        }
        Reg::Absolute(..) | Reg::Neighbour(_) | Reg::LocalIncrement { .. } | Reg::LocalDecrement { .. } => {
            return Err(EncodeError::NotRestricted { reg });
        }
    })
}

/// The restricted code of the low seven bits of a constant.
pub(super) fn narrow_constant(value: u8) -> u32 {
    let value = u32::from(value & 0x7f);
    NARROW_CONSTANT | (value & 0x1f) | (value >> 5) << 6
}

/// Reads an unrestricted code; `high` is the instruction's pointer extension.
pub(super) fn wide_source(bits: u32, port: Bank, high: bool) -> Result<Source, DecodeReason> {
    let pointer = (bits >> 5 & 1) as u8 | u8::from(high) << 1;
    let low = (bits & 31) as u8;
    Ok(Source::Reg(match bits {
        0x000..=0x01f => Reg::Gpr(port, low),
        0x080..=0x0ff => Reg::Absolute(port, (bits & 0x7f) as u8),
        0x100..=0x107 => match step_of(bits & 7) {
            Some(step) => Reg::XferIndex(step),
            None => return Err(DecodeReason::UnknownOperand { bits }),
        },
        0x180..=0x19f | 0x1c0..=0x1df => Reg::Xfer(low | ((bits >> 6 & 1) as u8) << 5),
        0x200..=0x20f | 0x220..=0x22f => Reg::Local { pointer, offset: (bits & 15) as u8 },
        0x210 | 0x230 => Reg::LocalIncrement { pointer },
        0x211 | 0x231 => Reg::LocalDecrement { pointer },
        0x241 => Reg::NeighbourIndex(false),
        0x243 => Reg::NeighbourIndex(true),
        0x280..=0x29f => Reg::Neighbour(low),
        0x300..=0x3ff => return Ok(Source::Imm((bits & 0xff) as u8)),
        _ => return Err(DecodeReason::UnknownOperand { bits }),
    }))
}

/// Reads a restricted code; `high` is the instruction's pointer extension, `eighth` the top bit of a constant.
pub(super) fn narrow_source(bits: u32, port: Bank, high: bool, eighth: bool) -> Result<Source, DecodeReason> {
    let low = (bits & 31) as u8;
    if bits & NARROW_CONSTANT != 0 {
        return Ok(Source::Imm(low | ((bits >> 6) as u8) << 5 | u8::from(eighth) << 7));
    }
    Ok(Source::Reg(match bits {
        0x00..=0x1f => Reg::Gpr(port, low),
        0x40 | 0x42 | 0x44 => match step_of(bits & 7) {
            Some(step) => Reg::XferIndex(step),
            None => return Err(DecodeReason::UnknownOperand { bits }),
        },
        0x41 => Reg::NeighbourIndex(false),
        0x43 => Reg::NeighbourIndex(true),
        0x50..=0x5f => Reg::Local { pointer: (bits >> 3 & 1) as u8 | u8::from(high) << 1, offset: (bits & 7) as u8 },
        0x80..=0x9f | 0xc0..=0xdf => Reg::Xfer(low | ((bits >> 6 & 1) as u8) << 5),
        _ => return Err(DecodeReason::UnknownOperand { bits }),
    }))
}
