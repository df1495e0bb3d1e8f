//! The event queue: a heap on one 128-bit key.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

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

/// The queue. Key: time 64 bits, priority 8, source 16, the source's own sequence 40.
#[derive(Debug)]
pub struct EventQueue<E> {
    heap: BinaryHeap<Reverse<(u128, u32)>>,
    /// Events by the slot the heap names; the heap moves 32 bytes however large an event is.
    events: Vec<Option<E>>,
    free: Vec<u32>,
    sequences: Vec<u64>,
    now: Time,
    popped: u64,
}

impl<E> Default for EventQueue<E> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
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
        let key = u128::from(at.ps()) << 64
            | u128::from(priority as u8) << 56
            | u128::from(source.0) << 40
            | u128::from(sequence & ((1 << 40) - 1));
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
        self.heap.push(Reverse((key, slot)));
    }

    /// Takes the first event, and moves the present to its time.
    pub fn pop(&mut self) -> Option<(Time, E)> {
        let Reverse((key, slot)) = self.heap.pop()?;
        self.now = Time::from_ps((key >> 64) as u64);
        self.popped += 1;
        self.free.push(slot);
        let event = self.events[slot as usize].take().expect("a queued slot holds its event");
        Some((self.now, event))
    }

    /// Time of the first event.
    pub fn next_time(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((key, _))| Time::from_ps((key >> 64) as u64))
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
