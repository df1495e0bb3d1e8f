//! The memories that cores reach by command: engines with queues and service times over backing stores.
//!
//! ```text
//!  core ──MemCommand──▶ (request time) ──▶ Memories::serve ──Answer──▶ core
//!                                           │ engine: when      take in arrival order, bank by bank; cache of EMEM
//!                                           │ store:  what      bytes read, written, changed at arrival
//!                                           └ maps:   bpf::maps over regions of IMEM and EMEM
//! ```
//!
//! A command acts at the instant it reaches its engine, in the order of arrival, and is answered later. Its words lie with
//! the core that issued it ([`Cargo`]).

mod address;
mod atomic;
mod cache;
mod command;
mod config;
mod engine;
mod helper;
mod maps;
mod memories;
mod record;
mod store;
mod words;

#[cfg(test)]
mod tests;

pub use address::{AddressMap, EMEM_ISLAND, FIRST_CORE_ISLAND, IMEM_ISLAND, Location};
pub use command::{Action, Answer, AtomicOp, ByteOrder, EngineId, MemCommand, MemoryKind, TouchKind};
pub use config::{CacheConfig, EngineTiming, MemoriesConfig, MemoryConfig};
pub use engine::EngineCounters;
pub use helper::{CardEvent, HelperCall, Operation, Touch, call_locally, is_local};
pub use maps::{CardMap, CardMaps, HostOp, MapCall, MapOp, MapPlace, MapShape, REGION_ALIGN, TableId};
pub use memories::{Cargo, Memories, Routine};
pub use record::{Actor, Event, Record};
pub use store::Store;
pub use words::MAX_WORDS;
