//! The flow processing core: contexts that take turns, memory commands, traps.
//!
//! A context keeps the core until it waits, so the unit of work is a *burst*, the instructions between two waits.

mod costs;
mod ids;
mod port;
mod trap;

pub use costs::CoreCosts;
pub use ids::{ContextId, CoreId, FlightId, PacketId};
pub use port::{CoreConfig, CoreCounters, CoreIn, CoreOut, Fate, Outcome, Task, TaskKind};
pub use trap::{Trap, TrapKind};
