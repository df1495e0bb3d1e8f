//! What Linux 6.18 says of slots that are no instructions.

use super::decode::{DecodeError, DecodeReason};
use super::legality::Field;

/// Bits of an opcode that tell its class.
const CLASS: u8 = 7;
const LDX: u8 = 1;
const ST: u8 = 2;
const STX: u8 = 3;
const JMP: u8 = 5;
const JMP32: u8 = 6;
/// Loads and stores: bits that tell how memory is accessed, and those of plain and of sign-extending loads, and of atomics.
const MODE: u8 = 0xe0;
const MEM: u8 = 0x60;
const MEMSX: u8 = 0x80;
const ATOMIC: u8 = 0xc0;
/// The others: bits that tell the operation.
const OPERATION: u8 = 0xf0;

impl DecodeError {
    /// The line in which Linux says it, if the program had nothing worse before.
    pub fn linux(&self) -> String {
        let opcode = self.opcode;
        let class = opcode & CLASS;
        match self.reason {
            DecodeReason::UnknownOpcode if class == LDX && !matches!(opcode & MODE, MEM | MEMSX) => reserved("LDX"),
            DecodeReason::UnknownOpcode | DecodeReason::StrayPad | DecodeReason::Unsupported(_) => {
                format!("unknown opcode {opcode:02x}")
            }
            DecodeReason::Register { number, .. } => format!("R{number} is invalid"),
            DecodeReason::BadPad { field: Some(Field::Imm) } => "unrecognized bpf_ld_imm64 insn".to_owned(),
            DecodeReason::BadPad { .. } | DecodeReason::MissingPad => "invalid bpf_ld_imm64 insn".to_owned(),
            DecodeReason::PartialSlot { .. } => String::new(),
            DecodeReason::Reserved { field, value } => match (class, opcode & OPERATION) {
                _ if opcode == 0x18 && field == Field::Src => "unrecognized bpf_ld_imm64 insn".to_owned(),
                _ if opcode == 0x18 => reserved("LD_IMM64"),
                (0, _) => reserved("LD_[ABS|IND]"),
                (LDX, _) => reserved("LDX"),
                (ST, _) => reserved("ST"),
                (STX, _) if opcode & MODE == ATOMIC && field == Field::Imm => {
                    format!("BPF_ATOMIC uses invalid atomic opcode {value:02x}")
                }
                (STX, _) => reserved("STX"),
                (JMP | JMP32, 0x00) => reserved("JA"),
                (JMP, 0x80) => reserved("CALL"),
                (JMP, 0x90) => reserved("EXIT"),
                (JMP, 0xe0) => format!("invalid may_goto imm {value}"),
                (JMP | JMP32, _) => reserved("JMP/JMP32"),
                (_, 0x80) => reserved("NEG"),
                (_, 0xb0) => reserved("MOV"),
                (_, 0xd0) => reserved("END"),
                _ => reserved("ALU"),
            },
        }
    }
}

fn reserved(what: &str) -> String {
    format!("BPF_{what} uses reserved fields")
}
