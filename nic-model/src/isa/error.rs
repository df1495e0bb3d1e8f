//! Why an instruction cannot be encoded or a word cannot be decoded.

use super::csr::Csr;
use super::operand::{Bank, Reg};
use super::wait::AddressMode;
use std::fmt;

/// Why an instruction has no encoding. Every variant names the rule of the instruction set it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// A number does not fit its field.
    OutOfRange {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: u32,
        /// The least value allowed.
        min: u32,
        /// The largest value allowed.
        max: u32,
    },
    /// Both sources come from one bank: the core has one read port to each.
    SameBank {
        /// The bank.
        bank: Bank,
    },
    /// Both sources are of one kind that has a single read port (two constants, two transfer registers, two local
    /// memory words, two neighbour registers).
    SameKind {
        /// The kind.
        kind: &'static str,
    },
    /// A general purpose register stands at the other bank's port: the swap bit or port disagrees with the bank.
    WrongPort {
        /// The register.
        reg: Reg,
        /// The port at which it stands.
        port: Bank,
    },
    /// A register cannot be named by a restricted (eight-bit) operand.
    NotRestricted {
        /// The register.
        reg: Reg,
    },
    /// A constant is too large for the operand.
    ConstantTooLarge {
        /// The constant.
        value: u8,
        /// The largest constant this instruction takes.
        max: u8,
    },
    /// Local memory pointer 2 or 3 in an instruction without the pointer extension bit (commands).
    NoPointerExtension {
        /// The pointer.
        pointer: u8,
    },
    /// `gpr_wrboth` with a destination that is in no bank.
    WriteBothWithoutBank,
    /// An `immed` of 0 without destination, which every listing shows as `nop`: use that.
    ReadsAsNop,
    /// Instructions cannot reach this local CSR.
    NoSuchCsr {
        /// The CSR.
        csr: Csr,
    },
    /// The command form has no such address mode.
    NoSuchAddressMode {
        /// The mode.
        mode: AddressMode,
    },
    /// No command of that target has this action, token and length.
    UnknownCommand {
        /// Target and action as in the word.
        target_action: u8,
        /// Token.
        token: u8,
        /// Length field, one less than the count.
        length: u8,
    },
    /// General purpose register 0 latched as a left operand: its bits are those of [`super::Idle::Zero`], say that.
    RegisterZeroIsIdle,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::OutOfRange { what, value, min, max } => write!(f, "{what} is {value}, allowed are {min} to {max}"),
            Self::SameBank { bank } => {
                write!(f, "both sources are in bank {bank:?}, which has one read port: move one to the other bank")
            }
            Self::SameKind { kind } => write!(f, "both sources are a {kind}, and one instruction can read only one"),
            Self::WrongPort { reg, port } => {
                write!(f, "{reg:?} stands at port {port:?}, which reads the other bank: the swap bit or port is wrong")
            }
            Self::NotRestricted { reg } => write!(f, "{reg:?} cannot be named by an eight-bit operand"),
            Self::ConstantTooLarge { value, max } => write!(f, "constant {value} is above {max}, the largest here"),
            Self::NoPointerExtension { pointer } => {
                write!(
                    f,
                    "local memory pointer {pointer} needs the pointer extension bit, which this instruction lacks"
                )
            }
            Self::WriteBothWithoutBank => write!(f, "gpr_wrboth needs a general purpose register as destination"),
            Self::ReadsAsNop => write!(f, "an immed of 0 without destination is listed as nop: use nop"),
            Self::NoSuchCsr { csr } => write!(f, "local CSR {:#x} is out of the reach of instructions", csr.address()),
            Self::NoSuchAddressMode { mode } => write!(f, "this form of command has no address mode {mode:?}"),
            Self::UnknownCommand { target_action, token, length } => {
                write!(f, "no command has target and action {target_action:#x}, token {token}, length {length}")
            }
            Self::RegisterZeroIsIdle => write!(f, "register 0 as a latched left operand is written as an idle zero"),
        }
    }
}

impl std::error::Error for EncodeError {}

/// What is wrong with a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeReason {
    /// Bits above the 45 of an instruction are set: strip the parity with [`super::check_ecc`] first.
    BitsAbovePayload,
    /// No row of the table has this format.
    UnknownFormat,
    /// A field holds a code that no row or list gives a meaning.
    UnknownCode {
        /// Which list.
        what: &'static str,
        /// The code.
        code: u32,
    },
    /// A number is outside its range.
    OutOfRange {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: u32,
    },
    /// A ten-bit or eight-bit operand with no meaning.
    UnknownOperand {
        /// The operand's bits.
        bits: u32,
    },
    /// The operand must be a register here.
    RegisterNeeded {
        /// The operand's bits.
        bits: u32,
    },
    /// No command has this target, action, token and length.
    UnknownCommand {
        /// Target and action as in the word.
        target_action: u8,
        /// Token.
        token: u8,
        /// Length field, one less than the count.
        length: u8,
    },
    /// Bits that the instruction does not use are set, or used bits contradict each other.
    StrayBits {
        /// The bits in which the word differs from the encoding of what it seems to say.
        bits: u64,
    },
    /// What the word says breaks a rule of the encoder.
    Rule(EncodeError),
}

impl fmt::Display for DecodeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BitsAbovePayload => write!(f, "bits above the 45 of an instruction are set"),
            Self::UnknownFormat => write!(f, "no instruction has this format"),
            Self::UnknownCode { what, code } => write!(f, "{what} has no code {code:#x}"),
            Self::OutOfRange { what, value } => write!(f, "{what} cannot be {value}"),
            Self::UnknownOperand { bits } => write!(f, "operand {bits:#x} means nothing"),
            Self::RegisterNeeded { bits } => write!(f, "operand {bits:#x} is not a register"),
            Self::UnknownCommand { target_action, token, length } => {
                write!(f, "no command has target and action {target_action:#x}, token {token}, length {length}")
            }
            Self::StrayBits { bits } => write!(f, "bits {bits:#x} do not belong to it"),
            Self::Rule(rule) => write!(f, "{rule}"),
        }
    }
}

/// A word that is not an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The word.
    pub word: u64,
    /// The type of the row whose format it has, if it has one.
    pub row: Option<&'static str>,
    /// What is wrong.
    pub reason: DecodeReason,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "undecodable word {:#x}", self.word)?;
        if let Some(row) = self.row {
            write!(f, " (looks like {row})")?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl std::error::Error for DecodeError {}
