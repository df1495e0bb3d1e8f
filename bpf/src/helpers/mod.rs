//! Helpers: one table of signatures that verifier, facts and engines read, and one of bodies.
//!
//! A row of [`signature`] says what the verifier demands of the arguments, what comes back and which program types may
//! call it. A row of [`HELPERS`] says what kind of work it is, and holds the body. A body sees the machine through
//! [`HelperCx`] alone, so interpreter, host JIT and card share it.
//! Semantics are Linux 6.18's: flags, limits, error numbers.

mod bodies;
mod calls;
mod checksum;
mod cx;
mod dynptr;
mod fib;
mod format;
mod maps;
mod names;
mod proto;
pub mod signature;
mod siphash;
mod skb;
mod skb_notes;
mod skb_state;
mod skb_sum;
mod sockets;
mod state;
mod syncookie;
mod table;
mod text;
mod timer;
mod tunnel;
mod xdp;

pub use cx::{CURRENT_CPU, Delivery, HelperCx, Redirect, Room};
pub(crate) use dynptr::dynptr_bytes;
pub use names::{call_text, name, number};
pub use proto::{CostClass, HelperBody, HelperOutcome, HelperProto};
pub use skb_state::{Checked, SkbState, SkbWord, Tunnel};
pub use table::{HELPERS, proto};
