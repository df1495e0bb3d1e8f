//! Discrete events: time, the component contract, and the one queue.
//!
//! Two rules give every run one order:
//! 1. An event fires at its [`Time`]; among events of one time the [`Priority`] decides, then the [`Source`] that
//!    scheduled it, then how many events that source had scheduled before. Nothing else does: in particular not the
//!    moment at which the event was entered into the queue.
//! 2. A component sees the events of one time in that order, and what it schedules for the present fires in the present,
//!    after what has already fired.

mod component;
mod queue;
mod server;
mod time;

pub use component::{Component, Kept, Outbox, Wake};
pub use queue::{EventQueue, Priority, Source};
pub(crate) use server::Server;
pub use time::{Frequency, Time};
