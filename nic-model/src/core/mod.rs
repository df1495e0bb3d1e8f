//! The flow processing core: contexts that take turns, memory commands, traps.
//!
//! A context keeps the core until it waits, so the unit of work is a *burst*, the instructions between two waits: executed
//! at once, charged its cycles.
//!
//! ```text
//!              Begin ──┐                                   ┌──▶ Command {arrives}     to a memory engine
//!  Answer {taken, back}┼─▶ Core: whose turn, and when ─────┤
//!             Resume ──┘     │ burst                        └──▶ Finished {at, outcome}
//!                            ├─ program    Op::visit(Machine)     exec, csr, issue
//!                            └─ firmware   steps, map helpers     routine
//! ```
//!
//! # Why bursts are exact
//! What happens inside a burst is ahead of the present. It is the same as if each instruction waited for its own cycle,
//! because an instruction that could see something outside is looked at more closely:
//! - A command needs a slot of the core's command queue. An engine says when it takes a command out ([`crate::memory::Answer`]);
//!   as long as the core cannot know that there is room, the burst ends before the command and is continued at its cycle.
//! - A transfer register, a signal: while a command under way may still change it and has not reached its engine, the burst
//!   ends likewise. Once it has, the core knows when data and signal come and acts by that.
//! - Write data is pulled out of transfer registers a fixed number of cycles after issue. The core keeps the data of a
//!   register that is overwritten later than that.
//! - Which context is next is decided by an event at the burst's end, when everything that has arrived by then is known.
//!
//! A core that executes one instruction each cycle stands in the tests and must agree in times and state.
//!
//! # Assumed
//! No source tells these; a better one would change the code, not a profile.
//! - Condition codes and the previous result belong to a context and survive its waits.
//! - Pointer CSRs other than local memory pointers act after as many instructions as those (three). Slots that a taken
//!   branch leaves empty count as instructions.
//! - Sources move their pointers before the destination's address is formed.
//! - The shifter sees five bits of an indirect amount, double shifts included.
//! - A wait for any of several signals consumes those that are there when it ends.
//! - Multiplication steps add up as their widths say, whatever the order; flags and previous result are those of 0 until
//!   the product is read.
//! - Random numbers come from a generator that moves on with each read.

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
mod helper;
mod issue;
mod machine;
mod micro;
mod port;
mod registers;
mod routine;
mod trap;
mod units;

pub use self::core::Core;
pub use crate::ids::{ContextId, CoreId, FlightId, PacketId};
pub use code::CodeStore;
pub use costs::CoreCosts;
pub use port::{CoreConfig, CoreCounters, CoreIn, CoreOut, Fate, Outcome, Resume, Task, TaskKind};
pub use trap::{Trap, TrapKind};
