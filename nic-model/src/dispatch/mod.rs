//! From a port to a core and back into order.
//!
//! ```text
//! FIFO ─▶ packet buffer in an island's CTM ─▶ free context of that island ─▶ … ─▶ reorder ─▶ out
//! ```
//! A packet's island is chosen with its buffer: the one with the most free packet memory, in turn among equals. Its core
//! is chosen when work begins: the one with the most free contexts. Buffers, contexts and the reorder window are finite,
//! and a packet waits for each in the place before it.

mod buffers;
mod contexts;
mod ingress;
mod reorder;

pub use buffers::{Buffer, Buffers};
pub use contexts::{Contexts, Worker};
pub use ingress::{Entering, Ingress};
pub use reorder::{Reorder, Turn};
