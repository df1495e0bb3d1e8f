//! The card, in simulated time.
//!
//! Components get the time and an outbox, and nothing else: no queue, no clock, no pointer to each other ([`des`]).
//! [`isa`] is the core's instruction set. What a person writes is read by [`yaml`], with [`quantity`] for whatever has a
//! unit. [`device`] is the whole card as the world sees it.

pub mod des;
pub mod device;
pub mod quantity;
pub mod yaml;
