//! From instructions to slots: the inverse of [`super::decode()`].

use std::fmt;

use super::raw::{RawInsn, SLOT};
use super::{AluOp, AtomicOp, ByteOrder, Callee, Cond, Insn, Kfunc, Operand, PacketMode, Reg, Size, Wide, Width};
use crate::diag::{At, Diagnostic};

/// Why an instruction has no encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeError {
    /// Its slot, from 0.
    pub slot: usize,
    /// The reason, a sentence without a full stop.
    pub reason: &'static str,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {}: {}", self.slot, self.reason)
    }
}

impl std::error::Error for EncodeError {}

impl From<EncodeError> for Diagnostic {
    fn from(e: EncodeError) -> Self {
        let at = At::Bytes { of: "instructions".to_owned(), offset: (e.slot * SLOT) as u64 };
        Diagnostic::new("insn-no-encoding", e.reason).at(at)
    }
}

/// Encodes a program, one slot for each element; maps are written as pseudo sources 1 and 2 with the index as immediate.
///
/// # Errors
/// The first instruction that has no encoding, or a wide load and its [`Insn::Pad`] that are not together.
pub fn encode(insns: &[Insn]) -> Result<Vec<RawInsn>, EncodeError> {
    let mut slots = Vec::with_capacity(insns.len());
    while let Some(insn) = insns.get(slots.len()) {
        let slot = slots.len();
        let fail = |reason| EncodeError { slot, reason };
        slots.push(first_slot(insn).map_err(fail)?);
        if let Insn::LoadImm64 { value, .. } = insn {
            if insns.get(slot + 1) != Some(&Insn::Pad) {
                return Err(fail("the wide load has no second slot"));
            }
            slots.push(RawInsn { imm: high_half(*value), ..RawInsn::default() });
        }
    }
    Ok(slots)
}

/// Encodes a program into little-endian bytes.
///
/// # Errors
/// As [`encode`].
pub fn encode_bytes(insns: &[Insn]) -> Result<Vec<u8>, EncodeError> {
    Ok(encode(insns)?.into_iter().flat_map(RawInsn::to_le_bytes).collect())
}

const fn high_half(value: Wide) -> i32 {
    match value {
        Wide::Variable { btf, .. } => btf as i32,
        Wide::Value(v) => (v >> 32) as i32,
        Wide::MapValue { off, .. } => off as i32,
        Wide::Map(_) | Wide::Func { .. } => 0,
    }
}

fn first_slot(insn: &Insn) -> Result<RawInsn, &'static str> {
    let num = |r: Reg| r.index() as u8;
    let raw = |opcode, dst, off, imm| RawInsn { opcode, dst, src: 0, off, imm };
    let with = |mut raw: RawInsn, operand: Operand| {
        match operand {
            Operand::Reg(r) => {
                raw.opcode |= 8;
                raw.src = num(r);
            }
            Operand::Imm(imm) => raw.imm = imm,
        }
        raw
    };
    Ok(match *insn {
        Insn::Alu { width, op, dst, src } => {
            let (code, off) = alu(op);
            with(raw(code << 4 | alu_class(width), num(dst), off, 0), src)
        }
        Insn::Mov { width, dst, src, sext } => {
            let off = match (sext, src, width) {
                (None, ..) => 0,
                (Some(bits @ (8 | 16)), Operand::Reg(_), _) => i16::from(bits),
                (Some(32), Operand::Reg(_), Width::W64) => 32,
                _ => return Err("only a register can be sign-extended, from 8, 16 or, to 64 bits, from 32"),
            };
            with(raw(0xb0 | alu_class(width), num(dst), off, 0), src)
        }
        Insn::Neg { width, dst } => raw(0x80 | alu_class(width), num(dst), 0, 0),
        Insn::End { order, dst, bits: bits @ (16 | 32 | 64) } => {
            let opcode = match order {
                ByteOrder::Le => 0xd4,
                ByteOrder::Be => 0xdc,
                ByteOrder::Swap => 0xd7,
            };
            raw(opcode, num(dst), 0, i32::from(bits))
        }
        Insn::End { .. } => return Err("byte order can be set for 16, 32 and 64 bits"),
        Insn::LoadImm64 { dst, value } => {
            let (src, imm) = match value {
                Wide::Value(v) => (0, v as i32),
                Wide::Map(map) => (1, map.0 as i32),
                Wide::MapValue { map, .. } => (2, map.0 as i32),
                Wide::Variable { id, .. } => (3, id as i32),
                Wide::Func { off } => (4, off),
            };
            RawInsn { opcode: 0x18, dst: num(dst), src, off: 0, imm }
        }
        Insn::Pad => return Err("second slot of a wide load without the first"),
        Insn::Load { size: Size::D, sext: true, .. } => return Err("an 8-byte load has nothing to sign-extend to"),
        Insn::Load { size: s, sext, dst, base, off } => {
            let mode = if sext { 0x80 } else { 0x60 };
            RawInsn { opcode: mode | size(s) | 1, dst: num(dst), src: num(base), off, imm: 0 }
        }
        // The class alone, not the source bit, tells a stored register from an immediate.
        Insn::Store { size: s, base, off, src } => match src {
            Operand::Imm(imm) => raw(0x62 | size(s), num(base), off, imm),
            Operand::Reg(r) => RawInsn { opcode: 0x63 | size(s), dst: num(base), src: num(r), off, imm: 0 },
        },
        Insn::LoadPacket { size: Size::D, .. } => return Err("the packet can be read by 1, 2 and 4 bytes"),
        Insn::LoadPacket { size: s, mode: PacketMode::Abs, imm } => raw(0x20 | size(s), 0, 0, imm),
        Insn::LoadPacket { size: s, mode: PacketMode::Ind(r), imm } => {
            RawInsn { src: num(r), ..raw(0x40 | size(s), 0, 0, imm) }
        }
        Insn::Atomic { size: Size::B | Size::H, .. } => return Err("an atomic operation has 4 or 8 bytes"),
        Insn::Atomic { op: AtomicOp::Xchg | AtomicOp::Cmpxchg, fetch: false, .. } => {
            return Err("an exchange always fetches");
        }
        Insn::Atomic { op, fetch, size: s, base, off, src } => {
            let opcode = 0xc3 | size(s);
            RawInsn { opcode, dst: num(base), src: num(src), off, imm: atomic(op) | i32::from(fetch) }
        }
        Insn::Jump { off, long: true } => raw(0x06, 0, 0, off),
        Insn::Jump { off, long: false } => {
            let off = i16::try_from(off).map_err(|_| "a short jump reaches 32767 slots")?;
            raw(0x05, 0, off, 0)
        }
        Insn::Branch { width, cond: c, dst, src, off } => {
            let class = if width == Width::W64 { 5 } else { 6 };
            with(raw(cond(c) << 4 | class, num(dst), off, 0), src)
        }
        Insn::LoadAcquire { size: s, dst, base, off } => {
            RawInsn { opcode: 0xc3 | size(s), dst: num(dst), src: num(base), off, imm: 0x100 }
        }
        Insn::StoreRelease { size: s, base, off, src } => {
            RawInsn { opcode: 0xc3 | size(s), dst: num(base), src: num(src), off, imm: 0x110 }
        }
        Insn::AddrSpaceCast { dst, src, to, from } => {
            let imm = (u32::from(to) << 16 | u32::from(from)) as i32;
            RawInsn { opcode: 0xbf, dst: num(dst), src: num(src), off: 1, imm }
        }
        Insn::MayGoto { off } => raw(0xe5, 0, off, 0),
        Insn::Call { callee } => match callee {
            Callee::Helper(id) => raw(0x85, 0, 0, id as i32),
            Callee::Local(off) => RawInsn { src: 1, ..raw(0x85, 0, 0, off) },
            Callee::Kfunc(Kfunc { id, module }) => RawInsn { src: 2, ..raw(0x85, 0, module, id) },
            Callee::Reg(r) => raw(0x8d, num(r), 0, 0),
        },
        Insn::Exit => raw(0x95, 0, 0, 0),
    })
}

const fn alu_class(width: Width) -> u8 {
    match width {
        Width::W32 => 4,
        Width::W64 => 7,
    }
}

const fn size(size: Size) -> u8 {
    match size {
        Size::W => 0x00,
        Size::H => 0x08,
        Size::B => 0x10,
        Size::D => 0x18,
    }
}

/// Operation and offset.
const fn alu(op: AluOp) -> (u8, i16) {
    match op {
        AluOp::Add => (0x0, 0),
        AluOp::Sub => (0x1, 0),
        AluOp::Mul => (0x2, 0),
        AluOp::Div => (0x3, 0),
        AluOp::Sdiv => (0x3, 1),
        AluOp::Or => (0x4, 0),
        AluOp::And => (0x5, 0),
        AluOp::Lsh => (0x6, 0),
        AluOp::Rsh => (0x7, 0),
        AluOp::Mod => (0x9, 0),
        AluOp::Smod => (0x9, 1),
        AluOp::Xor => (0xa, 0),
        AluOp::Arsh => (0xc, 0),
    }
}

const fn cond(cond: Cond) -> u8 {
    match cond {
        Cond::Eq => 0x1,
        Cond::Gt => 0x2,
        Cond::Ge => 0x3,
        Cond::Set => 0x4,
        Cond::Ne => 0x5,
        Cond::Sgt => 0x6,
        Cond::Sge => 0x7,
        Cond::Lt => 0xa,
        Cond::Le => 0xb,
        Cond::Slt => 0xc,
        Cond::Sle => 0xd,
    }
}

const fn atomic(op: AtomicOp) -> i32 {
    match op {
        AtomicOp::Add => 0x00,
        AtomicOp::Or => 0x40,
        AtomicOp::And => 0x50,
        AtomicOp::Xor => 0xa0,
        AtomicOp::Xchg => 0xe0,
        AtomicOp::Cmpxchg => 0xf0,
    }
}
