//! A core's outstanding memory commands.

use super::{ContextId, FlightId};
use crate::des::Time;
use crate::memory::MAX_WORDS;

/// The signal of firmware commands. Programs cannot name it: theirs are 1 to 15.
pub(super) const FIRMWARE_SIGNAL: u16 = 1;

/// A run of transfer registers of one context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    /// First register.
    pub first: u8,
    /// Registers; 0 for none.
    pub count: u8,
}

impl Span {
    /// One bit for each register.
    pub(super) const fn mask(self) -> u64 {
        if self.count == 0 { 0 } else { (u64::MAX >> (64 - self.count as u32)) << self.first }
    }
}

/// A command from its issue until nothing more comes of it.
///
/// It does not hold its words ([`Flights::words`]): a flight is small and made anew for every command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flight {
    /// For which context.
    pub context: ContextId,
    /// Signals it raises, one bit each; 0 for a posted command.
    pub signal: u16,
    /// Transfer registers that its words go to.
    pub push: Span,
    /// Transfer registers that its words come from, until they have been pulled.
    pub pull: Span,
    /// Cycle at which they are pulled.
    pub pull_cycle: u64,
    /// When an engine takes it out of the command queue; `None` until it has reached one.
    pub taken: Option<Time>,
    /// When data and signal are back; `None` until it has reached an engine.
    pub back: Option<Time>,
    /// Whether it holds a slot of the command queue.
    pub queued: bool,
    /// Whether data and signal are still to come.
    pub pending: bool,
    /// The packet it was issued for is done: its data and signal go nowhere.
    pub orphan: bool,
}

impl Flight {
    /// Whether nothing more comes of it.
    const fn is_over(&self) -> bool {
        self.back.is_some() && !self.queued && !self.pending
    }
}

/// The outstanding commands, in order of issue.
#[derive(Debug, Clone, Default)]
pub(super) struct Flights {
    slots: Vec<Flight>,
    words: Vec<[u32; MAX_WORDS]>,
    free: Vec<u16>,
    order: Vec<u16>,
}

impl Flights {
    /// A new one, last in order. Its words are those of whoever had its place before.
    pub(super) fn add(&mut self, flight: Flight) -> FlightId {
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[usize::from(id)] = flight;
                id
            }
            None => {
                self.slots.push(flight);
                self.words.push([0; MAX_WORDS]);
                u16::try_from(self.slots.len() - 1).expect("commands under way are fewer than the cycles they take")
            }
        };
        self.order.push(id);
        FlightId(id)
    }

    pub(super) fn get(&self, id: FlightId) -> &Flight {
        &self.slots[usize::from(id.0)]
    }

    pub(super) fn get_mut(&mut self, id: FlightId) -> &mut Flight {
        &mut self.slots[usize::from(id.0)]
    }

    /// The words of one.
    pub(super) fn words(&self, id: FlightId) -> &[u32; MAX_WORDS] {
        &self.words[usize::from(id.0)]
    }

    /// The same to change.
    pub(super) fn words_mut(&mut self, id: FlightId) -> &mut [u32; MAX_WORDS] {
        &mut self.words[usize::from(id.0)]
    }

    /// Those under way, in order of issue.
    pub(super) fn iter(&self) -> impl Iterator<Item = (FlightId, &Flight)> {
        self.order.iter().map(|&id| (FlightId(id), &self.slots[usize::from(id)]))
    }

    /// Does something to each, in order of issue.
    pub(super) fn each(&mut self, mut act: impl FnMut(&mut Flight)) {
        for &id in &self.order {
            act(&mut self.slots[usize::from(id)]);
        }
    }

    /// Forgets those of which nothing more comes.
    pub(super) fn retire(&mut self) {
        let Flights { slots, free, order, .. } = self;
        if order.iter().any(|&id| slots[usize::from(id)].is_over()) {
            order.retain(|&id| {
                let over = slots[usize::from(id)].is_over();
                if over {
                    free.push(id);
                }
                !over
            });
        }
    }
}
