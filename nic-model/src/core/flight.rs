//! A core's outstanding memory commands.

use super::{ContextId, CoreId, FlightId, PacketId};
use crate::des::Time;
use crate::memory::{Action, EngineId, MAX_WORDS, MemCommand};

/// The signal of firmware commands. Programs cannot name it: theirs are 1 to 15.
pub(super) const FIRMWARE_SIGNAL: u16 = 1;

/// Most commands of a core under way, more than any core keeps its engines busy with: at 800 MHz, one in every cycle for
/// 5 us. What a profile with slower memories leaves outstanding must not grow with them.
const MOST: u16 = 4_096;

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
/// It does not hold its words ([`Flights::words`]): a flight is small, one line of a cache, and made anew for every
/// command.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Flight {
    pub command: MemCommand,
    /// Signals it raises, one bit each; 0 for a posted command.
    pub signal: u16,
    /// Transfer registers that its words go to.
    pub push: Span,
    /// Transfer registers that its words come from, until they have been pulled.
    pub pull: Span,
    /// Cycle at which they are pulled.
    pub pull_cycle: u64,
    /// When data and signal are back; never, until it has reached an engine.
    pub back: Time,
    /// Whether data or a signal comes back; without, nothing more comes of it once an engine has it.
    pub pending: bool,
    /// The packet it was issued for is done: its data and signal go nowhere.
    pub orphan: bool,
    /// How many were issued before.
    pub number: u64,
}

const _: () = assert!(size_of::<Flight>() == 64);

impl Flight {
    /// In a place that has not been used yet.
    const NONE: Flight = Flight {
        command: MemCommand {
            core: CoreId(0),
            context: ContextId(0),
            packet: PacketId(0),
            flight: FlightId(0),
            engine: EngineId(0),
            offset: 0,
            bytes: 0,
            action: Action::Map,
        },
        signal: 0,
        push: Span { first: 0, count: 0 },
        pull: Span { first: 0, count: 0 },
        pull_cycle: 0,
        back: Time::NEVER,
        pending: false,
        orphan: false,
        number: 0,
    };

    /// For which context.
    #[inline]
    pub(super) fn context(&self) -> usize {
        usize::from(self.command.context.0 & 7)
    }
}

/// The outstanding commands.
#[derive(Debug, Clone, Default)]
pub(super) struct Flights {
    slots: Vec<Flight>,
    words: Vec<[u32; MAX_WORDS]>,
    free: Vec<u16>,
    /// Which they are, in order of issue.
    order: Vec<Issued>,
    /// Those whose data or signal is on its way, by the time they come, the last to come first; those of one time in order
    /// of issue from the end.
    due: Vec<Due>,
    issued: u64,
}

/// One of them, and for which context it is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Issued {
    id: u16,
    context: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    back: Time,
    number: u64,
    id: u16,
    context: u8,
}

/// What comes to a core next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coming {
    pub back: Time,
    pub id: FlightId,
    /// For which context.
    pub context: usize,
}

impl Flights {
    /// Whether there is a place for one more.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        !self.free.is_empty() || self.slots.len() < usize::from(MOST)
    }

    /// A new one, last in order; there must be room. Its words are those of whoever had its place before.
    #[inline]
    pub(super) fn add(&mut self, flight: impl FnOnce(FlightId, u64) -> Flight) -> FlightId {
        let number = self.issued;
        self.issued += 1;
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                let id =
                    u16::try_from(self.slots.len()).expect("there are at most MOST, as Flights::has_room was asked");
                self.slots.push(Flight::NONE);
                self.words.push([0; MAX_WORDS]);
                id
            }
        };
        let slot = &mut self.slots[usize::from(id)];
        *slot = flight(FlightId(id), number);
        self.order.push(Issued { id, context: slot.context() as u8 });
        FlightId(id)
    }

    /// An engine says when data and signal are back.
    #[inline]
    pub(super) fn answered(&mut self, id: FlightId, back: Time) {
        let flight = &mut self.slots[usize::from(id.0)];
        flight.back = back;
        if !flight.pending {
            return self.end(id);
        }
        let due = Due { back, number: flight.number, id: id.0, context: flight.context() as u8 };
        let sooner = self.due.iter().rev().take_while(|other| **other < due).count();
        if sooner == 0 {
            self.due.push(due);
        } else {
            self.due.insert(self.due.len() - sooner, due);
        }
    }

    /// What comes next of those whose data and signal are on their way.
    #[inline]
    pub(super) fn due(&self) -> impl Iterator<Item = Coming> {
        let coming = |due: &Due| Coming { back: due.back, id: FlightId(due.id), context: usize::from(due.context & 7) };
        self.due.iter().rev().map(coming)
    }

    /// The first of them, of one context or of all.
    #[inline]
    pub(super) fn first_due(&self, context: Option<usize>) -> Option<Coming> {
        self.due().find(|coming| context.is_none_or(|context| coming.context == context))
    }

    /// Data and signal of one have come, and nothing more will.
    #[inline]
    pub(super) fn delivered(&mut self, id: FlightId) {
        remove(&mut self.due, |due| due.id == id.0);
        self.end(id);
    }

    #[inline]
    fn end(&mut self, id: FlightId) {
        remove(&mut self.order, |other| other.id == id.0);
        self.free.push(id.0);
    }

    #[inline]
    pub(super) fn get(&self, id: FlightId) -> &Flight {
        &self.slots[usize::from(id.0)]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: FlightId) -> &mut Flight {
        &mut self.slots[usize::from(id.0)]
    }

    /// The words of one.
    #[inline]
    pub(super) fn words(&self, id: FlightId) -> &[u32; MAX_WORDS] {
        &self.words[usize::from(id.0)]
    }

    /// The same to change.
    #[inline]
    pub(super) fn words_mut(&mut self, id: FlightId) -> &mut [u32; MAX_WORDS] {
        &mut self.words[usize::from(id.0)]
    }

    /// Those of one context under way, in order of issue.
    #[inline]
    pub(super) fn of(&self, context: usize) -> impl DoubleEndedIterator<Item = (FlightId, &Flight)> {
        let own = self.order.iter().filter(move |issued| usize::from(issued.context) == context);
        own.map(|&Issued { id, .. }| (FlightId(id), &self.slots[usize::from(id)]))
    }

    /// The packet of a context is done: what comes for it goes nowhere.
    pub(super) fn orphan(&mut self, context: usize) {
        for issued in self.order.iter().filter(|issued| usize::from(issued.context) == context) {
            self.slots[usize::from(issued.id)].orphan = true;
        }
    }
}

/// Takes the last element out for which that holds; it is mostly the last of all.
#[inline]
fn remove<T>(from: &mut Vec<T>, is: impl Fn(&T) -> bool) {
    match from.iter().rposition(is) {
        Some(at) if at + 1 == from.len() => drop(from.pop()),
        Some(at) => drop(from.remove(at)),
        None => {}
    }
}

/// A core's command queue: places of commands that no engine has taken yet.
#[derive(Debug, Clone, Default)]
pub(super) struct CommandQueue {
    /// Commands that have not reached an engine.
    unanswered: u32,
    /// When engines take the others that still hold a place, as far as the core has noticed.
    leaving: Vec<Time>,
}

impl CommandQueue {
    /// A command is put into it.
    pub(super) fn enter(&mut self) {
        self.unanswered += 1;
    }

    /// A command has reached an engine, which takes it then.
    pub(super) fn answered(&mut self, taken: Time) {
        self.unanswered -= 1;
        self.leaving.push(taken);
    }

    /// Whether fewer than `limit` places are taken at `now`, as far as is known.
    pub(super) fn has_room(&mut self, limit: u32, now: impl FnOnce() -> Time) -> bool {
        let room = |queue: &Self| queue.unanswered + (queue.leaving.len() as u32) < limit;
        if !room(self) {
            let now = now();
            self.leaving.retain(|&taken| taken > now);
        }
        room(self)
    }

    /// Whether it is not known of all when they leave.
    pub(super) fn is_unsure(&self) -> bool {
        self.unanswered > 0
    }

    /// When the next place is free, as far as is known.
    pub(super) fn next_free(&self) -> Option<Time> {
        self.leaving.iter().copied().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_until_most_are_under_way() {
        let mut flights = Flights::default();
        let mut last = FlightId(0);
        for _ in 0..MOST {
            assert!(flights.has_room());
            last = flights.add(|_, number| Flight { number, pending: true, ..Flight::NONE });
        }
        assert!(!flights.has_room());
        flights.answered(last, Time::from_ns(1));
        assert!(!flights.has_room(), "its signal is on its way");
        flights.delivered(last);
        assert!(flights.has_room());
    }
}
