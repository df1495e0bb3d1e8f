//! The flow processing core: contexts that take turns, memory commands, traps.
//!
//! A context keeps the core until it waits, so the unit of work is a *burst*, the instructions between two waits.

mod alu;
mod burst;
mod clock;
mod code;
mod context;
#[expect(clippy::module_inception, reason = "the component is the room's name")]
mod core;
mod costs;
mod csr;
mod exec;
mod flight;
mod ids;
mod issue;
mod machine;
mod port;
mod routine;
mod trap;
mod units;

pub use self::core::Core;
pub use code::CodeStore;
pub use costs::CoreCosts;
pub use ids::{ContextId, CoreId, FlightId, PacketId};
pub use port::{CoreConfig, CoreCounters, CoreIn, CoreOut, Fate, Outcome, Task, TaskKind};
pub use trap::{Trap, TrapKind};
