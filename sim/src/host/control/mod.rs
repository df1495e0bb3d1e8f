//! The host's side of maps on a card: what the driver does for bpf(2), and the processes that call it.
//!
//! ```text
//!  process ─▶ system call ─▶ checks ─▶ cache ─▶ tag ─▶ message, doorbell ─▶ card
//!          ◀── return ◀── cache ◀── judge ◀── poll, sleep ◀── interrupt, tasklet ◀──┘
//! ```
//!
//! It does what the Linux nfp driver does (`cmsg.c`, `ccm.c`): tags of which at most 16,384 are out; an answer is looked
//! for fifty times, four microseconds apart, then the process sleeps, five seconds at most; answers that walk a map are
//! kept for 250 us and serve what comes next.

mod cache;
mod plane;
mod process;
mod table;
mod tags;

#[cfg(test)]
mod tests;

pub use cache::{Ask, Cache};
pub use plane::{ControlCosts, ControlPlane, In, Inner, Out};
pub use process::{Entries, Failure, Operation, Outcome, Verb};
pub use table::CardTable;
pub use tags::{SPAN, Tags};
