//! Which memory an address of a command means.
//!
//! | form | bits | meaning |
//! |---|---|---|
//! | 32 bits | 31 set | packet: number in bits 16 to 25, offset in bits 0 to 12, in the own island's CTM |
//! | 32 bits | 31 clear | byte of the own island's CTM |
//! | 40 bits | 32 to 37 | island: 24 EMEM, 28 IMEM, 32 and up the CTM of a core island; bits 0 to 31 byte |
//!
//! Island numbers are those of the NFP-6000 (Linux driver, `nfp_cppcore`); that bits 38 and 39 (locality) choose nothing
//! here is assumed.

use super::{EngineId, MemoriesConfig, MemoryKind};
use crate::packet_pointer::{NUMBERS, POINTER_VALID};

/// Island number of EMEM in 40-bit addresses.
pub const EMEM_ISLAND: u64 = 24;
/// Island number of IMEM.
pub const IMEM_ISLAND: u64 = 28;
/// Island number of the first core island.
pub const FIRST_CORE_ISLAND: u64 = 32;

/// A byte in the memory behind an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// Engine.
    pub engine: EngineId,
    /// Byte.
    pub offset: u64,
}

/// The card's addresses, as every core knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressMap {
    islands: u16,
    cls_bytes: u64,
    ctm_bytes: u64,
    packet_bytes: u64,
    granule: u64,
    imem_bytes: u64,
    emem_bytes: u64,
}

impl AddressMap {
    /// Of a card with these memories.
    pub const fn new(config: &MemoriesConfig) -> Self {
        AddressMap {
            islands: config.islands,
            cls_bytes: config.cls.bytes,
            ctm_bytes: config.ctm.bytes,
            packet_bytes: config.ctm_packet_bytes,
            granule: config.packet_granule as u64,
            imem_bytes: config.imem.bytes,
            emem_bytes: config.emem.bytes,
        }
    }

    /// The engine of a memory; `island` counts core islands from 0 and matters where each has its own.
    pub const fn engine(&self, memory: MemoryKind, island: u16) -> EngineId {
        match memory {
            MemoryKind::Cls => EngineId(island),
            MemoryKind::Ctm => EngineId(self.islands + island),
            MemoryKind::Imem => EngineId(2 * self.islands),
            MemoryKind::Emem => EngineId(2 * self.islands + 1),
        }
    }

    /// How many engines there are.
    pub const fn engines(&self) -> u16 {
        2 * self.islands + 2
    }

    /// Which memory an engine serves, and the island where each has its own.
    pub const fn memory(&self, engine: EngineId) -> (MemoryKind, u16) {
        match engine.0 {
            n if n < self.islands => (MemoryKind::Cls, n),
            n if n < 2 * self.islands => (MemoryKind::Ctm, n - self.islands),
            n if n == 2 * self.islands => (MemoryKind::Imem, 0),
            _ => (MemoryKind::Emem, 0),
        }
    }

    /// Bytes of a memory.
    pub const fn bytes(&self, memory: MemoryKind) -> u64 {
        match memory {
            MemoryKind::Cls => self.cls_bytes,
            MemoryKind::Ctm => self.ctm_bytes,
            MemoryKind::Imem => self.imem_bytes,
            MemoryKind::Emem => self.emem_bytes,
        }
    }

    /// The byte of CTM at which a packet number's buffer starts.
    pub const fn packet_base(&self, number: u32) -> u64 {
        (number & (NUMBERS - 1)) as u64 * self.granule
    }

    /// What a 32-bit address means to a core of `island`, for an access of `bytes`; `None` where there is no such memory.
    pub const fn resolve32(&self, island: u16, address: u32, bytes: u32) -> Option<Location> {
        let engine = self.engine(MemoryKind::Ctm, island);
        let (offset, limit) = if address & POINTER_VALID != 0 {
            (self.packet_base(address >> 16) + (address & 0xffff) as u64, self.packet_bytes)
        } else {
            (address as u64, self.ctm_bytes)
        };
        if offset + bytes as u64 <= limit { Some(Location { engine, offset }) } else { None }
    }

    /// What a 40-bit address means, for an access of `bytes`.
    pub const fn resolve40(&self, address: u64, bytes: u32) -> Option<Location> {
        let offset = address & 0xffff_ffff;
        let (memory, island) = match address >> 32 & 0x3f {
            EMEM_ISLAND => (MemoryKind::Emem, 0),
            IMEM_ISLAND => (MemoryKind::Imem, 0),
            n if n >= FIRST_CORE_ISLAND && n < FIRST_CORE_ISLAND + self.islands as u64 => {
                (MemoryKind::Ctm, (n - FIRST_CORE_ISLAND) as u16)
            }
            _ => return None,
        };
        if offset + bytes as u64 <= self.bytes(memory) {
            Some(Location { engine: self.engine(memory, island), offset })
        } else {
            None
        }
    }

    /// A 40-bit address as the two registers of a command hold it, and so as a program holds a pointer into memory: the low
    /// 32 bits in the low register, the island in the high byte of the high one, which commands shift left by eight.
    pub const fn register_pair(address: u64) -> u64 {
        (address >> 32 & 0xff) << 56 | address & 0xffff_ffff
    }

    /// The 40-bit address of a byte of a memory that all islands share: IMEM, or else EMEM.
    pub const fn shared_address(memory: MemoryKind, offset: u64) -> u64 {
        let island = match memory {
            MemoryKind::Imem => IMEM_ISLAND,
            _ => EMEM_ISLAND,
        };
        island << 32 | offset & 0xffff_ffff
    }
}
