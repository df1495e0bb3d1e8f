//! The event queue: a heap on one 128-bit key.
//!
//! Four children a node: half the levels of a binary heap, and the children of a node share two cache lines. The key is
//! kept in two halves, so that an entry takes 24 bytes and not 32.

use super::Time;

/// Place among the events of one instant, first to last.
///
/// Data that arrives is seen before anyone decides on it, and a core that becomes free looks at its contexts last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Priority {
    /// Write data is pulled out of transfer registers, before anyone can overwrite them.
    Pull,
    /// A command reaches a memory engine.
    Memory,
    /// Data and signals reach a core.
    Signal,
    /// Frames and PCIe messages arrive.
    Arrival,
    /// Timers, moderation, polls.
    Timer,
    /// A core or a processor goes on.
    Core,
}

/// Who scheduled an event. The owner of the components hands out ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(pub u16);

/// Children of a node.
const ARITY: usize = 4;

/// An entry of the heap; ordered by its key, which no two share.
#[derive(Debug, Clone, Copy)]
struct Entry {
    time: u64,
    /// Priority 8 bits, source 16, the source's own sequence 40.
    order: u64,
    /// Where the event is.
    slot: u32,
}

impl Entry {
    #[inline]
    fn before(&self, other: &Entry) -> bool {
        // One comparison of 128 bits: no branch to mispredict.
        (u128::from(self.time) << 64 | u128::from(self.order))
            < (u128::from(other.time) << 64 | u128::from(other.order))
    }
}

/// The queue. Key: time 64 bits, priority 8, source 16, the source's own sequence 40.
#[derive(Debug)]
pub struct EventQueue<E> {
    heap: Vec<Entry>,
    /// Events by the slot the heap names; the heap moves 24 bytes however large an event is.
    events: Vec<Option<E>>,
    free: Vec<u32>,
    sequences: Vec<u64>,
    now: Time,
    popped: u64,
}

impl<E> Default for EventQueue<E> {
    fn default() -> Self {
        Self {
            heap: Vec::new(),
            events: Vec::new(),
            free: Vec::new(),
            sequences: Vec::new(),
            now: Time::ZERO,
            popped: 0,
        }
    }
}

impl<E> EventQueue<E> {
    /// Enters an event. A time before the present is a mistake of the caller's.
    pub fn push(&mut self, at: Time, priority: Priority, source: Source, event: E) {
        debug_assert!(at >= self.now, "event at {at} scheduled at {}", self.now);
        let index = usize::from(source.0);
        if self.sequences.len() <= index {
            self.sequences.resize(index + 1, 0);
        }
        let sequence = self.sequences[index];
        self.sequences[index] = sequence + 1;
        let order = u64::from(priority as u8) << 56 | u64::from(source.0) << 40 | sequence & ((1 << 40) - 1);
        let slot = match self.free.pop() {
            Some(slot) => {
                self.events[slot as usize] = Some(event);
                slot
            }
            None => {
                self.events.push(Some(event));
                u32::try_from(self.events.len() - 1).expect("fewer than 2^32 events are pending")
            }
        };
        self.rise(Entry { time: at.ps(), order, slot });
    }

    /// Puts an entry at the end and moves it up to its place.
    fn rise(&mut self, entry: Entry) {
        let mut at = self.heap.len();
        self.heap.push(entry);
        while at > 0 {
            let parent = (at - 1) / ARITY;
            if !entry.before(&self.heap[parent]) {
                break;
            }
            self.heap[at] = self.heap[parent];
            at = parent;
        }
        self.heap[at] = entry;
    }

    /// Takes the first entry out, and lets the last one sink from its place.
    fn take_first(&mut self) -> Option<Entry> {
        let last = self.heap.pop()?;
        let Some(&first) = self.heap.first() else { return Some(last) };
        let mut at = 0;
        loop {
            let child = at * ARITY + 1;
            let Some(children) = self.heap.get(child..self.heap.len().min(child + ARITY)) else { break };
            let Some((offset, least)) = children.iter().enumerate().reduce(|a, b| if b.1.before(a.1) { b } else { a })
            else {
                break;
            };
            if !least.before(&last) {
                break;
            }
            self.heap[at] = *least;
            at = child + offset;
        }
        self.heap[at] = last;
        Some(first)
    }

    /// Takes the first event, and moves the present to its time.
    pub fn pop(&mut self) -> Option<(Time, E)> {
        let Entry { time, slot, .. } = self.take_first()?;
        self.now = Time::from_ps(time);
        self.popped += 1;
        self.free.push(slot);
        let event = self.events[slot as usize].take().expect("a queued slot holds its event");
        Some((self.now, event))
    }

    /// Time of the first event.
    pub fn next_time(&self) -> Option<Time> {
        self.heap.first().map(|entry| Time::from_ps(entry.time))
    }

    /// The present: time of the event taken last.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Events taken so far.
    pub fn popped(&self) -> u64 {
        self.popped
    }

    /// Events waiting.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether none is waiting.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_depend_on_the_moment_of_entry() {
        let events = [
            (5, Priority::Core, 0, "late"),
            (3, Priority::Core, 1, "core"),
            (3, Priority::Memory, 2, "memory of 2"),
            (3, Priority::Memory, 1, "memory of 1"),
        ];
        let expected = ["memory of 1", "memory of 2", "core", "late"];
        for rotation in 0..events.len() {
            let mut queue = EventQueue::default();
            for i in 0..events.len() {
                let (at, priority, source, name) = events[(i + rotation) % events.len()];
                queue.push(Time::from_ns(at), priority, Source(source), name);
            }
            let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, name)| name).collect();
            assert_eq!(order, expected);
        }
    }

    proptest::proptest! {
        /// Pushed and popped in any mixture, events come in the order that sorting the pending ones gives.
        #[test]
        fn it_is_a_priority_queue(steps in proptest::collection::vec((0u64..50, 0usize..6, 0u16..4, 0usize..3), 1..400)) {
            const PRIORITIES: [Priority; 6] = [
                Priority::Pull, Priority::Memory, Priority::Signal, Priority::Arrival, Priority::Timer, Priority::Core,
            ];
            let mut queue = EventQueue::default();
            let mut pending = std::collections::BTreeSet::new();
            for (pushed, (delay, priority, source, pops)) in steps.into_iter().enumerate() {
                let (at, priority) = (queue.now() + Time::from_ps(delay), PRIORITIES[priority]);
                queue.push(at, priority, Source(source), pushed);
                // The number of the push orders one source's events as its own sequence does.
                pending.insert((at, priority, source, pushed));
                for _ in 0..pops {
                    let expected = pending.pop_first().map(|(at, _, _, event)| (at, event));
                    proptest::prop_assert_eq!(queue.pop(), expected);
                }
            }
            while let Some((at, _, _, event)) = pending.pop_first() {
                proptest::prop_assert_eq!(queue.pop(), Some((at, event)));
            }
            proptest::prop_assert!(queue.pop().is_none() && queue.is_empty());
        }
    }

    #[test]
    fn one_source_keeps_its_own_order() {
        let mut queue = EventQueue::default();
        for i in 0..100 {
            queue.push(Time::from_ns(7), Priority::Timer, Source(4), i);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, i)| i).collect();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
        assert_eq!(queue.now(), Time::from_ns(7));
    }
}
