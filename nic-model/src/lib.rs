//! The card, in simulated time.
//!
//! Components get the time and an outbox, and nothing else: no queue, no clock, no pointer to each other ([`des`]).
//! [`isa`] is the core's instruction set; [`core`] executes it, [`memory`] answers its commands, and [`firmware`] is what
//! runs around a program; they share [`ids`] and the format of the [`packet_pointer`]. What a person writes is read by [`yaml`], with [`quantity`] for whatever has a unit;
//! [`profile`] holds cards as data. [`control`] is how the host works on the card's maps. [`device`] is the whole card as the world sees it.

pub mod control;
pub mod core;
pub mod des;
pub mod device;
pub mod dispatch;
pub mod dma;
mod ethernet;
pub mod firmware;
pub mod ids;
pub mod isa;
pub mod mac;
pub mod memory;
pub mod packet_pointer;
mod packet_vector;
pub mod profile;
pub mod quantity;
pub mod rings;
pub mod yaml;
