//! What a guest did that its machine does not allow.

use std::fmt;

use super::RegionKind;

/// Why a run ended before its exit. Data about the guest, never an `Err` of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fault {
    /// What was done.
    pub kind: FaultKind,
    /// Slot of the instruction that did it.
    pub slot: usize,
    /// Address accessed; 0 where the kind is not about memory.
    pub address: u64,
    /// Bytes accessed; 0 where the kind is not about memory.
    pub size: u32,
    /// The region that the address points into or just beside, if any.
    pub region: Option<RegionKind>,
}

/// Kinds of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// Address 0, or within the first granule.
    NullPointer,
    /// No region is near the address, or the address is wider than 32 bits.
    Unmapped,
    /// The region is known, but the bytes are not all inside its live window.
    OutOfBounds,
    /// A store to a region that may only be read.
    ReadOnly,
    /// The bytes are inside a map but not inside one value (strict arenas only).
    AcrossElements,
    /// A jump or a call to a slot that does not exist or is the second half of a wide load.
    BadJump,
    /// Execution ran past the last instruction.
    FellOff,
    /// More nested calls in one program than [`crate::interp::MAX_FRAMES`] allow.
    CallDepth,
    /// The budget of retired instructions is spent.
    Budget,
    /// A helper that does not exist, or has no body here; its number.
    UnknownHelper(u32),
    /// An argument that must be a map is none.
    BadMap,
    /// A helper that this kind of context does not have; its number.
    WrongContext(u32),
    /// An argument that must be the address of a function of the running program is none.
    BadCallback,
    /// A load from the packet (RFC 9669 §5.5) where the context is no skb.
    NoSkb,
    /// The program was compiled for the other byte order than the machine's.
    ByteOrder,
    /// The packet handed to the machine is longer than its buffer takes.
    PacketTooLong,
}

impl Fault {
    /// A fault that is about memory. The engine fills in the slot.
    pub const fn access(kind: FaultKind, address: u64, size: u32, region: Option<RegionKind>) -> Self {
        Self { kind, slot: 0, address, size, region }
    }

    /// A fault that is not about memory. The engine fills in the slot.
    pub const fn of(kind: FaultKind) -> Self {
        Self { kind, slot: 0, address: 0, size: 0, region: None }
    }

    /// The same fault at a slot.
    pub const fn at(mut self, slot: usize) -> Self {
        self.slot = slot;
        self
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultKind::NullPointer => f.write_str("null pointer"),
            FaultKind::Unmapped => f.write_str("unmapped address"),
            FaultKind::OutOfBounds => f.write_str("out of bounds"),
            FaultKind::ReadOnly => f.write_str("store to read-only memory"),
            FaultKind::AcrossElements => f.write_str("access across map values"),
            FaultKind::BadJump => f.write_str("jump to no instruction"),
            FaultKind::FellOff => f.write_str("execution past the last instruction"),
            FaultKind::CallDepth => f.write_str("too many nested calls"),
            FaultKind::Budget => f.write_str("instruction budget spent"),
            FaultKind::UnknownHelper(id) => write!(f, "unknown helper {id}"),
            FaultKind::BadMap => f.write_str("argument is not a map"),
            FaultKind::BadCallback => f.write_str("argument is not a function"),
            FaultKind::NoSkb => f.write_str("packet load without an skb"),
            FaultKind::ByteOrder => f.write_str("program of the other byte order"),
            FaultKind::PacketTooLong => f.write_str("packet longer than the machine's buffer"),
            FaultKind::WrongContext(id) => write!(f, "helper {id} does not fit the context"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at slot {}", self.kind, self.slot)?;
        if self.size > 0 {
            write!(f, ", address {:#x} size {}", self.address, self.size)?;
        }
        if let Some(region) = self.region {
            write!(f, ", {region}")?;
        }
        Ok(())
    }
}
