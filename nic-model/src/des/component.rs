//! The component contract: state, what comes from outside, what it scheduled for itself, an outbox.

use super::{Priority, Source, Time};

/// A part of the simulated world.
///
/// A component owns its state and nothing of anybody else's. It is told the time, never asks for it. What it wants done
/// goes into the outbox; whoever owns the components turns outputs into the next component's inputs.
pub trait Component {
    /// What can reach it from outside: a closed enum, printable and comparable.
    type In;
    /// What it schedules for itself; small, since it waits in the queue.
    type Wake;
    /// What it tells the outside.
    type Out;

    /// Takes what reaches it at `now`.
    fn handle(&mut self, now: Time, event: Self::In, outbox: &mut impl Outbox<Self::Wake, Self::Out>);

    /// Takes what it scheduled for `now`.
    fn wake(&mut self, now: Time, event: Self::Wake, outbox: &mut impl Outbox<Self::Wake, Self::Out>);
}

/// Where a component puts what it wants done while it takes an event. The owner decides what becomes of it, at once or
/// later: an event in its queue, an input of another component.
pub trait Outbox<E, Out> {
    /// Tells the outside, now; `source` is the part it comes from. What delay follows is the owner's link.
    fn send(&mut self, source: Source, out: Out);

    /// Schedules an event for the component itself, at `at`, which is never before the present. There is no cancelling: an
    /// event that may turn out stale carries what lets its receiver see that.
    fn wake(&mut self, at: Time, priority: Priority, source: Source, event: E);
}

/// An event a component schedules for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wake<E> {
    /// When.
    pub at: Time,
    /// Place among the events of that time.
    pub priority: Priority,
    /// Which part of the component scheduled it.
    pub source: Source,
    /// What comes back.
    pub event: E,
}

/// An outbox that keeps what is put into it.
#[derive(Debug)]
pub struct Kept<E, Out> {
    /// Outputs, in order, each with the part it comes from.
    pub sends: Vec<(Source, Out)>,
    /// Events the component scheduled for itself, in order.
    pub wakes: Vec<Wake<E>>,
}

impl<E, Out> Default for Kept<E, Out> {
    fn default() -> Self {
        Self { sends: Vec::new(), wakes: Vec::new() }
    }
}

impl<E, Out> Outbox<E, Out> for Kept<E, Out> {
    fn send(&mut self, source: Source, out: Out) {
        self.sends.push((source, out));
    }

    fn wake(&mut self, at: Time, priority: Priority, source: Source, event: E) {
        self.wakes.push(Wake { at, priority, source, event });
    }
}

impl<E, Out> Kept<E, Out> {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.sends.is_empty() && self.wakes.is_empty()
    }
}
