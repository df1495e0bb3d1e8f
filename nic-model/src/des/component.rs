//! The component contract: state, one `handle`, an outbox.

use super::{Priority, Source, Time};

/// A part of the simulated world.
///
/// A component owns its state and nothing of anybody else's. It is told the time, never asks for it. What it wants done
/// goes into the outbox; whoever owns the components turns outputs into the next component's inputs.
pub trait Component {
    /// What can happen to it: a closed enum, printable and comparable.
    type In;
    /// What it tells the outside.
    type Out;

    /// Takes one event at `now`.
    fn handle(&mut self, now: Time, event: Self::In, outbox: &mut Outbox<Self::In, Self::Out>);
}

/// An event a component schedules for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wake<In> {
    /// When; never before the present.
    pub at: Time,
    /// Place among the events of that time.
    pub priority: Priority,
    /// Which part of the component scheduled it.
    pub source: Source,
    /// What comes back.
    pub event: In,
}

/// What a component did while handling one event. The owner empties it after each call; its buffers are reused.
#[derive(Debug)]
pub struct Outbox<In, Out> {
    /// Outputs, in order, each with the part it comes from.
    pub sends: Vec<(Source, Out)>,
    /// Events the component scheduled for itself, in order.
    pub wakes: Vec<Wake<In>>,
}

impl<In, Out> Default for Outbox<In, Out> {
    fn default() -> Self {
        Self { sends: Vec::new(), wakes: Vec::new() }
    }
}

impl<In, Out> Outbox<In, Out> {
    /// Tells the outside, now. What delay follows is the owner's link.
    pub fn send(&mut self, source: Source, out: Out) {
        self.sends.push((source, out));
    }

    /// Schedules an event for the component itself. There is no cancelling: an event that may turn out stale carries
    /// what lets its receiver see that.
    pub fn wake(&mut self, at: Time, priority: Priority, source: Source, event: In) {
        self.wakes.push(Wake { at, priority, source, event });
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.sends.is_empty() && self.wakes.is_empty()
    }
}
