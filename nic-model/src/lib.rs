//! The card, in simulated time.
//!
//! Components get the time and an outbox, and nothing else: no queue, no clock, no pointer to each other ([`des`]).
//! [`isa`] is the core's instruction set.

pub mod des;
