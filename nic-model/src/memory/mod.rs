//! The memories that cores reach by command: engines with queues and service times over backing stores.

mod address;
mod command;
mod config;

pub use address::{AddressMap, EMEM_ISLAND, FIRST_CORE_ISLAND, IMEM_ISLAND, Location};
pub use command::{Action, Answer, AtomicOp, ByteOrder, EngineId, MemCommand, MemoryKind, TouchKind};
pub use config::{CacheConfig, EngineTiming, MemoriesConfig, MemoryConfig};
