//! Helpers: one table of prototypes that verifier, engines and JITs read, and one body each.
//!
//! A row of [`HELPERS`] says what the verifier demands of the arguments, what comes back, which program types may call it,
//! and holds the body. A body sees the machine through [`HelperCx`] alone, so interpreter, host JIT and card share it.
//! Semantics are Linux 6.18's: flags, limits, error numbers.

mod bodies;
mod calls;
mod checksum;
mod cx;
mod maps;
mod names;
mod proto;
pub mod signature;
mod table;

pub use cx::{CURRENT_CPU, HelperCx, Redirect, Room};
pub use names::{call_text, name, number};
pub use proto::{ArgKind, CostClass, HelperBody, HelperOutcome, HelperProto, ProgTypes, ReturnKind};
pub use table::{HELPERS, proto};
