//! Sizes and times of the card's memories. A profile fills these in and says where each value comes from.

use crate::des::Time;

/// Times of one memory's engines, unloaded. What a command takes is
///
/// `request + wait + access + response`, with `wait` the time until the bank it goes to is free. The bank is busy for
/// `service + beats * beat` and takes commands in the order they arrive; accesses overlap beyond that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineTiming {
    /// From the core's command queue to the engine. Never nothing on a card: a command that arrived in the instant of its
    /// issue would race with what other cores issue then.
    pub request: Time,
    /// From the engine's start on a read to its data.
    pub read: Time,
    /// The same of a write to its acknowledgement.
    pub write: Time,
    /// The same of an atomic.
    pub atomic: Time,
    /// From the engine back to the core.
    pub response: Time,
    /// Bank occupied by a read or write, whatever its size.
    pub service: Time,
    /// Bank occupied by an atomic.
    pub atomic_service: Time,
    /// Bank occupied, and answer delayed, for each 8 bytes moved after the first 8.
    pub beat: Time,
}

impl EngineTiming {
    /// No time at all: for tests that are about meaning.
    pub const NONE: EngineTiming = EngineTiming {
        request: Time::ZERO,
        read: Time::ZERO,
        write: Time::ZERO,
        atomic: Time::ZERO,
        response: Time::ZERO,
        service: Time::ZERO,
        atomic_service: Time::ZERO,
        beat: Time::ZERO,
    };
}

/// One memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryConfig {
    /// Bytes; of each island's where the memory is per island.
    pub bytes: u64,
    /// Banks that serve commands side by side.
    pub banks: u32,
    /// Consecutive bytes that belong to one bank; a power of two.
    pub interleave: u32,
    /// Times.
    pub timing: EngineTiming,
    /// The cache in front of it, if it is DRAM.
    pub cache: Option<CacheConfig>,
}

/// A write-back cache with least-recently-used replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheConfig {
    /// Bytes; a multiple of `line * ways`.
    pub bytes: u64,
    /// Bytes of a line; a power of two.
    pub line: u32,
    /// Lines a set holds.
    pub ways: u32,
    /// Added to an access that misses.
    pub miss: Time,
    /// DRAM occupied by a line that is fetched or written back.
    pub line_service: Time,
}

/// All memories of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoriesConfig {
    /// Islands that have cores, CLS and CTM.
    pub islands: u16,
    /// Cluster local scratch.
    pub cls: MemoryConfig,
    /// Cluster target memory.
    pub ctm: MemoryConfig,
    /// Bytes of CTM that packets are kept in, from its start.
    pub ctm_packet_bytes: u64,
    /// Bytes of CTM for each packet number; a power of two.
    pub packet_granule: u32,
    /// Internal memory.
    pub imem: MemoryConfig,
    /// External memory.
    pub emem: MemoryConfig,
    /// First byte of IMEM in which maps may be kept; what lies before is the firmware's.
    pub imem_map_base: u64,
    /// First byte of EMEM in which maps are kept; what lies before is the firmware's.
    pub map_base: u64,
}
