//! The log of everything that packets did to maps, in the order in which it happened.
//!
//! It serves one comparison: each packet, interpreted again with its own loads and helper results out of the log, must
//! give the same verdict and bytes; and the log, applied in its order to fresh maps, must reproduce every result in it and
//! the final maps.

use bpf::errno::Errno;

use super::{AtomicOp, MapOp, TableId};
use crate::ids::{ContextId, CoreId, PacketId};

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Actor {
    /// For which packet.
    pub packet: PacketId,
    /// On which core.
    pub core: CoreId,
    /// In which context.
    pub context: ContextId,
}

/// One thing a packet did to a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Who.
    pub actor: Actor,
    /// What.
    pub event: Event,
}

/// What a packet did to a map. Offsets are bytes from the start of the map's region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Read these bytes.
    Read {
        /// Map.
        table: TableId,
        /// First byte.
        offset: u32,
        /// What was there.
        bytes: Vec<u8>,
    },
    /// Wrote these bytes.
    Write {
        /// Map.
        table: TableId,
        /// First byte.
        offset: u32,
        /// What is there now.
        bytes: Vec<u8>,
    },
    /// Changed a number, which lies as [`super::Action::Atomic`] says.
    Atomic {
        /// Map.
        table: TableId,
        /// First byte.
        offset: u32,
        /// Change.
        op: AtomicOp,
        /// 64 bits instead of 32.
        wide: bool,
        /// Operand.
        operand: u64,
        /// The number before.
        before: u64,
    },
    /// Called a map helper.
    Call {
        /// Which.
        op: MapOp,
        /// Map.
        table: TableId,
        /// Processor slot, for per-CPU maps.
        cpu: u32,
        /// Key.
        key: Vec<u8>,
        /// Value of an update, else empty.
        value: Vec<u8>,
        /// Flags of an update, else 0.
        flags: u64,
        /// Of a lookup: the value's offset, if there is one.
        found: Option<u32>,
        /// Of an update or delete.
        result: Result<(), Errno>,
    },
}
