//! What a core asks of a memory, and what it hears back.

use bpf::maps::AccessKind;
use serde::{Deserialize, Serialize};

use crate::des::Time;
use crate::ids::{ContextId, CoreId, FlightId, PacketId};

/// Index of a memory engine ([`super::AddressMap::engine`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EngineId(pub u16);

/// The memories a core reaches by command; its local memory is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemoryKind {
    /// Cluster local scratch: one an island.
    Cls,
    /// Cluster target memory: one an island; holds packets.
    Ctm,
    /// Internal memory: one SRAM for the card.
    Imem,
    /// External memory: one DRAM for the card, behind a cache.
    Emem,
}

impl MemoryKind {
    /// All kinds, nearest first.
    pub const ALL: [MemoryKind; 4] = [MemoryKind::Cls, MemoryKind::Ctm, MemoryKind::Imem, MemoryKind::Emem];

    /// The name in profiles and reports.
    pub const fn name(self) -> &'static str {
        match self {
            MemoryKind::Cls => "cls",
            MemoryKind::Ctm => "ctm",
            MemoryKind::Imem => "imem",
            MemoryKind::Emem => "emem",
        }
    }

    /// Whether every island has its own.
    pub const fn per_island(self) -> bool {
        matches!(self, MemoryKind::Cls | MemoryKind::Ctm)
    }
}

/// How the bytes of memory become the words of transfer registers.
///
/// Two bits of the command's token: `swap` exchanges the bytes within each 32-bit word, `le` the two words within each
/// aligned pair of transfer registers. Without either, memory is big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ByteOrder {
    /// The byte at the lowest address is the *least* significant of its word.
    pub swap: bool,
    /// The word at the lower address of a pair goes to the second register of the pair.
    pub le: bool,
}

impl ByteOrder {
    /// Plain: the byte at the lowest address is the most significant.
    pub const BIG: ByteOrder = ByteOrder { swap: false, le: false };
    /// `..._swap`: little-endian words in address order, which is the host's order.
    pub const SWAP: ByteOrder = ByteOrder { swap: true, le: false };
}

/// What an atomic command does to its 32- or 64-bit number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AtomicOp {
    /// Adds.
    Add,
    /// Adds, stopping at the largest number.
    AddSaturating,
    /// Subtracts.
    Sub,
    /// Subtracts, stopping at zero.
    SubSaturating,
    /// Sets the bits that are set in the operand.
    Set,
    /// Clears them.
    Clear,
    /// Exclusive or.
    Xor,
    /// Replaces.
    Exchange,
}

/// What a command does when it reaches its engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Memory to transfer registers.
    Read(ByteOrder),
    /// Transfer registers to memory.
    Write(ByteOrder),
    /// Reads a number, changes it and writes it back, in one step; several 32-bit numbers side by side where the
    /// command's bytes hold them.
    ///
    /// The atomic engine is big-endian whatever the token says: a 32-bit number lies in memory most significant byte
    /// first. A 64-bit number is two such words, the *low* word at the lower address; that is how the Linux driver lays
    /// out its counters, which swaps each 32-bit word when the host reads them (`offload.c`).
    Atomic {
        /// The change.
        op: AtomicOp,
        /// 64 bits instead of 32.
        wide: bool,
        /// The number before comes back in the transfer registers (`test_...`).
        fetch: bool,
    },
    /// A step of a fixed routine: takes the time of such a command and moves no data.
    Touch(TouchKind),
    /// The first command of a map helper: the whole operation acts here (over the card's maps), and what it accessed
    /// follows as timed commands of its own. Priced as a read of the map's descriptor.
    Map,
    /// The first command of a helper's routine, in the same manner; priced as that.
    Helper(TouchKind),
}

/// What a [`Action::Touch`] is priced as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TouchKind {
    /// A read.
    Read,
    /// A write.
    Write,
    /// An atomic.
    Atomic,
}

impl From<AccessKind> for TouchKind {
    /// What an access of a map operation is priced as.
    fn from(kind: AccessKind) -> Self {
        match kind {
            AccessKind::Read => TouchKind::Read,
            AccessKind::Write => TouchKind::Write,
            AccessKind::Atomic => TouchKind::Atomic,
        }
    }
}

impl Action {
    /// What it is priced as.
    pub const fn touch(self) -> TouchKind {
        match self {
            Action::Touch(kind) | Action::Helper(kind) => kind,
            Action::Read(_) | Action::Map => TouchKind::Read,
            Action::Write(_) => TouchKind::Write,
            Action::Atomic { .. } => TouchKind::Atomic,
        }
    }
}

/// A command on its way from a core to a memory engine.
///
/// The words it moves do not travel in it: they lie in the core's flight `flight` (filled before the command arrives,
/// read after the answer), so that a command is small and moving it allocates nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemCommand {
    /// Who asks.
    pub core: CoreId,
    /// For which of its contexts.
    pub context: ContextId,
    /// For which packet.
    pub packet: PacketId,
    /// Which of the core's outstanding commands.
    pub flight: FlightId,
    /// Where it goes.
    pub engine: EngineId,
    /// First byte, from the start of the memory that the engine serves.
    pub offset: u64,
    /// Bytes moved.
    pub bytes: u16,
    /// What it does there.
    pub action: Action,
}

/// What an engine says when a command reaches it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// When the engine takes the command from the core's command queue, which gives its slot free.
    pub taken: Time,
    /// When data and signal are back at the core.
    pub back: Time,
}
