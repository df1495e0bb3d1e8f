//! From slots to instructions.

use std::fmt;

use super::legality::{self, Field, Illegal};
use super::raw::{RawInsn, SLOT};
use super::{AluOp, AtomicOp, ByteOrder, Callee, Cond, Insn, Kfunc, Operand, PacketMode, Reg, Size, Wide, Width};
use crate::diag::{At, Diagnostic};
use crate::insn::MapIndex;

/// Why a slot is no instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError {
    /// The slot, from 0.
    pub slot: usize,
    /// Its opcode.
    pub opcode: u8,
    /// The reason.
    pub reason: DecodeReason,
}

/// What is wrong with a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeReason {
    /// No instruction has the opcode.
    UnknownOpcode,
    /// The encoding means something, but only inside a kernel or to kernels after Linux 6.18.
    Unsupported(&'static str),
    /// A register above R10.
    Register {
        /// Which operand.
        field: Field,
        /// Its number.
        number: u8,
    },
    /// A field holds a value the instruction does not allow; most often it must be 0.
    Reserved {
        /// Which field.
        field: Field,
        /// Its value.
        value: i32,
    },
    /// The program ends after the first half of a wide load.
    MissingPad,
    /// The second half of a wide load must hold an immediate and nothing else; for maps and functions not even that.
    BadPad {
        /// The field that is not 0; `None` for the opcode.
        field: Option<Field>,
    },
    /// A second half without a first.
    StrayPad,
    /// The bytes end inside a slot.
    PartialSlot {
        /// Bytes there are of it, 1 to 7.
        bytes: usize,
    },
}

impl fmt::Display for DecodeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            DecodeReason::UnknownOpcode => f.write_str("no instruction has this opcode"),
            DecodeReason::Unsupported(what) => write!(f, "{what} is not supported"),
            DecodeReason::Register { field, number } => write!(f, "{} names register {number}", field.name()),
            DecodeReason::Reserved { field, value } => {
                write!(f, "{} holds {value}, which this instruction does not allow", field.name())
            }
            DecodeReason::MissingPad => f.write_str("the wide load has no second slot"),
            DecodeReason::BadPad { field: None } => f.write_str("the wide load's second slot has an opcode"),
            DecodeReason::BadPad { field: Some(field) } => {
                write!(f, "the wide load's second slot has a {} that is not 0", field.name())
            }
            DecodeReason::StrayPad => f.write_str("second slot of a wide load without the first"),
            DecodeReason::PartialSlot { bytes } => write!(f, "the program ends {bytes} bytes into a slot"),
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {}, opcode {:#04x}: {}", self.slot, self.opcode, self.reason)
    }
}

impl std::error::Error for DecodeError {}

impl DecodeError {
    /// Stable code of the reason, for [`Diagnostic::code`].
    pub const fn code(&self) -> &'static str {
        match self.reason {
            DecodeReason::UnknownOpcode => "insn-opcode",
            DecodeReason::Unsupported(_) => "insn-unsupported",
            DecodeReason::Register { .. } => "insn-register",
            DecodeReason::Reserved { .. } => "insn-reserved",
            DecodeReason::MissingPad | DecodeReason::BadPad { .. } | DecodeReason::StrayPad => "insn-wide-load",
            DecodeReason::PartialSlot { .. } => "insn-partial",
        }
    }
}

impl From<DecodeError> for Diagnostic {
    fn from(e: DecodeError) -> Self {
        let at = At::Bytes { of: "instructions".to_owned(), offset: (e.slot * SLOT) as u64 };
        let d = Diagnostic::new(e.code(), e.to_string()).at(at);
        match e.reason {
            DecodeReason::Register { number, .. } => d.limit("register 10", format!("register {number}")),
            DecodeReason::Reserved { value, .. } => d.limit("a value RFC 9669 allows there", value),
            DecodeReason::PartialSlot { bytes } => d.limit("slots of 8 bytes", format!("{bytes} bytes")),
            _ => d,
        }
    }
}

/// Decodes a program.
///
/// A wide load that names a map holds, in its immediate, what the loader put there: an index into the program's list of
/// maps. Both ways to name one, by descriptor (pseudo sources 1 and 2) and by index (5 and 6), give the same
/// [`Wide::Map`] and [`Wide::MapValue`]; [`super::encode()`] writes the first. Whether the index exists is not looked at.
/// So it is with the two ways to write [`Callee::Reg`], and with the offset of [`Insn::Exit`].
///
/// # Errors
/// The first slot that is no instruction.
pub fn decode(slots: &[RawInsn]) -> Result<Vec<Insn>, DecodeError> {
    let mut insns = Vec::with_capacity(slots.len());
    while let Some(&raw) = slots.get(insns.len()) {
        let slot = insns.len();
        let fail = |reason| DecodeError { slot, opcode: raw.opcode, reason };
        let insn = decode_slot(raw, slots.get(slot + 1).copied()).map_err(fail)?;
        insns.push(insn);
        if matches!(insn, Insn::LoadImm64 { .. }) {
            insns.push(Insn::Pad);
        }
    }
    Ok(insns)
}

/// Decodes a little-endian program.
///
/// # Errors
/// As [`decode`]; also where the length is no multiple of 8.
pub fn decode_bytes(bytes: &[u8]) -> Result<Vec<Insn>, DecodeError> {
    let (slots, rest) = bytes.as_chunks::<SLOT>();
    let slots: Vec<RawInsn> = slots.iter().map(|&b| RawInsn::from_le_bytes(b)).collect();
    match rest.first() {
        Some(&opcode) => {
            let reason = DecodeReason::PartialSlot { bytes: rest.len() };
            Err(DecodeError { slot: slots.len(), opcode, reason })
        }
        None => decode(&slots),
    }
}

/// Names what is no instruction of a program that Linux 6.18 would take, but means something elsewhere.
fn known_elsewhere(raw: RawInsn) -> Option<&'static str> {
    match raw.opcode {
        0x0d => Some("gotox (a jump to the address in a register, Linux 6.19 and later)"),
        0xc2 => Some("nospec (a speculation barrier, which the kernel itself puts into a program)"),
        0xf5 => Some("tail_call (which the kernel itself puts in place of the helper's call)"),
        0x21 | 0x29 | 0x31 | 0x39 | 0x41 | 0x49 | 0x51 => {
            Some("probe_mem (a load that may fault, which the kernel itself puts in place of a load)")
        }
        _ => None,
    }
}

fn decode_slot(raw: RawInsn, next: Option<RawInsn>) -> Result<Insn, DecodeReason> {
    legality::form(raw).map_err(|why| {
        let value = |field| match field {
            Field::Dst => i32::from(raw.dst),
            Field::Src => i32::from(raw.src),
            Field::Off => i32::from(raw.off),
            Field::Imm => raw.imm,
        };
        match (known_elsewhere(raw), why) {
            (Some(what), _) => DecodeReason::Unsupported(what),
            (None, Illegal::Opcode) => DecodeReason::UnknownOpcode,
            (None, Illegal::Register(field)) => {
                let number = if field == Field::Dst { raw.dst } else { raw.src };
                DecodeReason::Register { field, number }
            }
            (None, Illegal::Reserved(field)) => DecodeReason::Reserved { field, value: value(field) },
        }
    })?;
    let reg = |number: u8, field| Reg::new(number).ok_or(DecodeReason::Register { field, number });
    let dst = || reg(raw.dst, Field::Dst);
    let src = || reg(raw.src, Field::Src);
    let operand = || if raw.opcode & 8 == 0 { Ok(Operand::Imm(raw.imm)) } else { src().map(Operand::Reg) };

    // The class is in the low three bits, the operation of ALU and JMP in the high four (RFC 9669 §3.2, §4).
    Ok(match raw.opcode {
        0x00 => return Err(DecodeReason::StrayPad),
        0x18 => Insn::LoadImm64 { dst: dst()?, value: wide(raw, next)? },
        0x20 | 0x28 | 0x30 => Insn::LoadPacket { size: size(raw.opcode), mode: PacketMode::Abs, imm: raw.imm },
        0x40 | 0x48 | 0x50 => Insn::LoadPacket { size: size(raw.opcode), mode: PacketMode::Ind(src()?), imm: raw.imm },
        0x05 => Insn::Jump { off: i32::from(raw.off), long: false },
        0x06 => Insn::Jump { off: raw.imm, long: true },
        0x85 => Insn::Call {
            callee: match raw.src {
                0 => Callee::Helper(raw.imm as u32),
                1 => Callee::Local(raw.imm),
                _ => Callee::Kfunc(Kfunc { id: raw.imm, module: raw.off }),
            },
        },
        // The register is in one of two fields; the other is 0.
        0x8d => Insn::Call { callee: Callee::Reg(reg(raw.dst | raw.imm as u8, Field::Dst)?) },
        0xe5 => Insn::MayGoto { off: raw.off },
        0xbf if raw.off == 1 => {
            let (to, from) = ((raw.imm as u32 >> 16) as u16, raw.imm as u16);
            Insn::AddrSpaceCast { dst: dst()?, src: src()?, to, from }
        }
        0xc3 | 0xcb | 0xd3 | 0xdb if raw.imm == 0x100 => {
            Insn::LoadAcquire { size: size(raw.opcode), dst: dst()?, base: src()?, off: raw.off }
        }
        0xc3 | 0xcb | 0xd3 | 0xdb if raw.imm == 0x110 => {
            Insn::StoreRelease { size: size(raw.opcode), base: dst()?, off: raw.off, src: src()? }
        }
        0x95 => Insn::Exit,
        0xc3 | 0xdb => {
            let (op, fetch) = atomic(raw.imm)?;
            Insn::Atomic { op, fetch, size: size(raw.opcode), base: dst()?, off: raw.off, src: src()? }
        }
        0x84 => Insn::Neg { width: Width::W32, dst: dst()? },
        0x87 => Insn::Neg { width: Width::W64, dst: dst()? },
        0xd4 | 0xdc | 0xd7 => {
            let order = match raw.opcode {
                0xd4 => ByteOrder::Le,
                0xdc => ByteOrder::Be,
                _ => ByteOrder::Swap,
            };
            Insn::End { order, dst: dst()?, bits: raw.imm as u8 }
        }
        opcode => match opcode & 7 {
            1 => {
                Insn::Load { size: size(opcode), sext: opcode & 0xe0 == 0x80, dst: dst()?, base: src()?, off: raw.off }
            }
            2 => Insn::Store { size: size(opcode), base: dst()?, off: raw.off, src: Operand::Imm(raw.imm) },
            3 => Insn::Store { size: size(opcode), base: dst()?, off: raw.off, src: Operand::Reg(src()?) },
            class @ (5 | 6) => {
                let width = if class == 5 { Width::W64 } else { Width::W32 };
                Insn::Branch { width, cond: cond(opcode)?, dst: dst()?, src: operand()?, off: raw.off }
            }
            class => {
                let width = if class == 7 { Width::W64 } else { Width::W32 };
                match alu(opcode, raw.off) {
                    Some(op) => Insn::Alu { width, op, dst: dst()?, src: operand()? },
                    None => {
                        let sext = (raw.off != 0).then_some(raw.off as u8);
                        Insn::Mov { width, dst: dst()?, src: operand()?, sext }
                    }
                }
            }
        },
    })
}

/// RFC 9669 §5.4: the value of a wide load, with its second slot.
fn wide(raw: RawInsn, next: Option<RawInsn>) -> Result<Wide, DecodeReason> {
    let pad = next.ok_or(DecodeReason::MissingPad)?;
    if pad.opcode != 0 {
        return Err(DecodeReason::BadPad { field: None });
    }
    let clear = |field, bad: bool| if bad { Err(DecodeReason::BadPad { field: Some(field) }) } else { Ok(()) };
    clear(Field::Dst, pad.dst != 0)?;
    clear(Field::Src, pad.src != 0)?;
    clear(Field::Off, pad.off != 0)?;
    let has_no_high_half = matches!(raw.src, 1 | 4 | 5);
    clear(Field::Imm, has_no_high_half && pad.imm != 0)?;
    let map = MapIndex(raw.imm as u32);
    Ok(match raw.src {
        0 => Wide::Value(u64::from(pad.imm as u32) << 32 | u64::from(raw.imm as u32)),
        1 | 5 => Wide::Map(map),
        2 | 6 => Wide::MapValue { map, off: pad.imm as u32 },
        3 => Wide::Variable { id: raw.imm as u32, btf: pad.imm as u32 },
        _ => Wide::Func { off: raw.imm },
    })
}

/// RFC 9669 §5, table of sizes: bits 3 and 4.
const fn size(opcode: u8) -> Size {
    match opcode >> 3 & 3 {
        0 => Size::W,
        1 => Size::H,
        2 => Size::B,
        _ => Size::D,
    }
}

/// RFC 9669 §4.1; `None` is the move.
const fn alu(opcode: u8, off: i16) -> Option<AluOp> {
    Some(match opcode >> 4 {
        0x0 => AluOp::Add,
        0x1 => AluOp::Sub,
        0x2 => AluOp::Mul,
        0x3 if off == 1 => AluOp::Sdiv,
        0x3 => AluOp::Div,
        0x4 => AluOp::Or,
        0x5 => AluOp::And,
        0x6 => AluOp::Lsh,
        0x7 => AluOp::Rsh,
        0x9 if off == 1 => AluOp::Smod,
        0x9 => AluOp::Mod,
        0xa => AluOp::Xor,
        0xc => AluOp::Arsh,
        _ => return None,
    })
}

/// RFC 9669 §4.3.
const fn cond(opcode: u8) -> Result<Cond, DecodeReason> {
    Ok(match opcode >> 4 {
        0x1 => Cond::Eq,
        0x2 => Cond::Gt,
        0x3 => Cond::Ge,
        0x4 => Cond::Set,
        0x5 => Cond::Ne,
        0x6 => Cond::Sgt,
        0x7 => Cond::Sge,
        0xa => Cond::Lt,
        0xb => Cond::Le,
        0xc => Cond::Slt,
        0xd => Cond::Sle,
        _ => return Err(DecodeReason::UnknownOpcode),
    })
}

/// RFC 9669 §5.3: the operation is in the immediate; bit 0 says that the old value comes back.
const fn atomic(imm: i32) -> Result<(AtomicOp, bool), DecodeReason> {
    let op = match imm & !1 {
        0x00 => AtomicOp::Add,
        0x40 => AtomicOp::Or,
        0x50 => AtomicOp::And,
        0xa0 => AtomicOp::Xor,
        0xe0 => AtomicOp::Xchg,
        0xf0 => AtomicOp::Cmpxchg,
        _ => return Err(DecodeReason::Reserved { field: Field::Imm, value: imm }),
    };
    Ok((op, imm & 1 != 0))
}
