//! One 8-byte slot, field by field (RFC 9669 §3).

/// Bytes of a slot.
pub const SLOT: usize = 8;

/// In which byte order a program was compiled: that of its instructions' bytes and of its loads and stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Endian {
    /// `bpfel`.
    #[default]
    Little,
    /// `bpfeb`.
    Big,
}

impl Endian {
    /// The bytes of a word.
    pub const fn bytes(self, word: u32) -> [u8; 4] {
        match self {
            Endian::Little => word.to_le_bytes(),
            Endian::Big => word.to_be_bytes(),
        }
    }

    /// The word that bytes hold.
    pub const fn word(self, bytes: [u8; 4]) -> u32 {
        match self {
            Endian::Little => u32::from_le_bytes(bytes),
            Endian::Big => u32::from_be_bytes(bytes),
        }
    }

    /// The bytes of half a word.
    pub const fn half_bytes(self, half: u16) -> [u8; 2] {
        match self {
            Endian::Little => half.to_le_bytes(),
            Endian::Big => half.to_be_bytes(),
        }
    }

    /// The half word that bytes hold.
    pub const fn half(self, bytes: [u8; 2]) -> u16 {
        match self {
            Endian::Little => u16::from_le_bytes(bytes),
            Endian::Big => u16::from_be_bytes(bytes),
        }
    }
}

/// A slot as it is encoded: opcode, two 4-bit registers, a 16-bit offset and a 32-bit immediate.
///
/// Any value of any field can be represented; whether it means something is the business of [`super::legality`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RawInsn {
    /// Operation, class in the low three bits.
    pub opcode: u8,
    /// Destination register, 0 to 15.
    pub dst: u8,
    /// Source register or pseudo source, 0 to 15.
    pub src: u8,
    /// Offset.
    pub off: i16,
    /// Immediate.
    pub imm: i32,
}

impl RawInsn {
    /// Reads a slot of a little-endian program.
    pub const fn from_le_bytes(bytes: [u8; SLOT]) -> Self {
        let [opcode, regs, o0, o1, i0, i1, i2, i3] = bytes;
        Self {
            opcode,
            dst: regs & 15,
            src: regs >> 4,
            off: i16::from_le_bytes([o0, o1]),
            imm: i32::from_le_bytes([i0, i1, i2, i3]),
        }
    }

    /// Writes a slot of a little-endian program.
    pub const fn to_le_bytes(self) -> [u8; SLOT] {
        let [o0, o1] = self.off.to_le_bytes();
        let [i0, i1, i2, i3] = self.imm.to_le_bytes();
        [self.opcode, (self.src & 15) << 4 | self.dst & 15, o0, o1, i0, i1, i2, i3]
    }

    /// Reads a slot of a big-endian program: the registers change places, offset and immediate are big-endian.
    pub const fn from_be_bytes(bytes: [u8; SLOT]) -> Self {
        let [opcode, regs, o0, o1, i0, i1, i2, i3] = bytes;
        Self {
            opcode,
            dst: regs >> 4,
            src: regs & 15,
            off: i16::from_be_bytes([o0, o1]),
            imm: i32::from_be_bytes([i0, i1, i2, i3]),
        }
    }

    /// Writes a slot of a big-endian program.
    pub const fn to_be_bytes(self) -> [u8; SLOT] {
        let [o0, o1] = self.off.to_be_bytes();
        let [i0, i1, i2, i3] = self.imm.to_be_bytes();
        [self.opcode, (self.dst & 15) << 4 | self.src & 15, o0, o1, i0, i1, i2, i3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9669 §3.1 shows this instruction, `r1 += 0x11223344`, in both byte orders.
    #[test]
    fn both_byte_orders() {
        let insn = RawInsn { opcode: 0x07, dst: 1, src: 0, off: 0, imm: 0x1122_3344 };
        assert_eq!(insn.to_le_bytes(), [0x07, 0x01, 0, 0, 0x44, 0x33, 0x22, 0x11]);
        assert_eq!(insn.to_be_bytes(), [0x07, 0x10, 0, 0, 0x11, 0x22, 0x33, 0x44]);
    }

    #[test]
    fn every_field_keeps_its_place() {
        let insn = RawInsn { opcode: 0xff, dst: 3, src: 12, off: -2, imm: i32::MIN + 5 };
        assert_eq!(RawInsn::from_le_bytes(insn.to_le_bytes()), insn);
        assert_eq!(RawInsn::from_be_bytes(insn.to_be_bytes()), insn);
    }
}
