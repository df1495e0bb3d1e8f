//! What a program did that its core does not allow.

use std::fmt;

use bpf::memory::FaultKind;

use super::{ContextId, CoreId};

/// Why a core gave up on the packet a context was working on. Data about the guest, never an `Err` of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trap {
    /// Where.
    pub core: CoreId,
    /// Which context.
    pub context: ContextId,
    /// Code store address of the instruction.
    pub pc: u16,
    /// What it did.
    pub kind: TrapKind,
}

/// Kinds of trap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrapKind {
    /// The word at the program counter is no instruction.
    Undecodable {
        /// The word.
        word: u64,
    },
    /// The program counter left the code store, or reached a word nobody has loaded.
    OutsideCode,
    /// A local memory pointer outside the 4 KiB of local memory.
    LocalMemory {
        /// Byte address.
        address: u32,
    },
    /// A memory command to an address that no memory answers to, or that runs off the end of one.
    BadAddress {
        /// Address as formed from the operands.
        address: u64,
        /// Bytes.
        bytes: u32,
    },
    /// A command for a unit or of a kind that this card does not model.
    UnknownCommand {
        /// Target and action field of the word.
        target_action: u8,
        /// Token field.
        token: u8,
    },
    /// A command names transfer registers beyond the context's last.
    TransferRegisters {
        /// First register.
        first: u8,
        /// Registers.
        count: u8,
    },
    /// An instruction that is decodable but has no meaning here.
    Unsupported {
        /// What it is.
        what: &'static str,
    },
    /// The context waits for signals that nothing under way will ever send.
    Deadlock {
        /// The signals, one bit each.
        signals: u16,
    },
    /// The packet's budget of instructions is spent.
    Budget {
        /// Instructions.
        limit: u64,
    },
    /// The program handed firmware a map it does not have.
    BadMap {
        /// Table id.
        table: u32,
    },
    /// A helper's routine found an argument that it cannot follow.
    Helper {
        /// What was wrong.
        fault: FaultKind,
    },
    /// The program ended with a result word that names no action.
    NoAction {
        /// The word.
        result: u32,
    },
}

impl fmt::Display for TrapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            TrapKind::Undecodable { word } => write!(f, "undecodable word {word:#x}"),
            TrapKind::OutsideCode => f.write_str("jump outside the code store"),
            TrapKind::LocalMemory { address } => write!(f, "local memory address {address:#x}"),
            TrapKind::BadAddress { address, bytes } => write!(f, "no memory at {address:#x} for {bytes} bytes"),
            TrapKind::UnknownCommand { target_action, token } => {
                write!(f, "unknown command {target_action:#x} token {token}")
            }
            TrapKind::TransferRegisters { first, count } => {
                write!(f, "no {count} transfer registers from {first}")
            }
            TrapKind::Unsupported { what } => write!(f, "{what} is not modelled"),
            TrapKind::Deadlock { signals } => write!(f, "waits for signals {signals:#06x} that nobody will send"),
            TrapKind::Budget { limit } => write!(f, "more than {limit} instructions for one packet"),
            TrapKind::BadMap { table } => write!(f, "no map has table id {table}"),
            TrapKind::Helper { fault } => write!(f, "a helper's routine: {fault}"),
            TrapKind::NoAction { result } => write!(f, "result word {result:#x} names no action"),
        }
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} at {:#06x}: {}", self.core, self.context, self.pc, self.kind)
    }
}
