//! Events the card schedules for itself.

use crate::dispatch::Worker;
use crate::ids::{CoreId, FlightId};

/// One of them, in eight bytes: what is larger waits in the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inner {
    /// Frames may enter packet memory again, or reads of host frames may go on: something they wait for has become free.
    Look,
    /// A packet is in its buffer.
    Ready(Slot),
    /// A core goes on ([`crate::core::Resume`]).
    Resume(CoreId),
    /// A command reaches its memory engine.
    Memory(CoreId, FlightId),
    /// A context is done with its packet. How it ended is kept with the context.
    Finished(Worker),
    /// A message of the host's has crossed the link; its place among those on their way.
    Crossed(u32),
    /// A control message's part has crossed the link; its place among those on their way.
    ControlCrossed(u32),
    /// The core for control messages goes on.
    Control,
    /// A core has read the program that replaces the one it ran.
    Reloaded,
}

const _: () = assert!(size_of::<Inner>() == 8);

/// A packet's place in the card's table of packets in work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);
