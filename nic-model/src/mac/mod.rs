//! Ports: the receive FIFO behind the line, and the transmit queue before it.
//!
//! Nothing holds a sender back. What the FIFO cannot take is lost there.

mod rx;
mod tx;

pub use rx::{Refusal, RxPort};
pub use tx::{Departure, TxPort};
