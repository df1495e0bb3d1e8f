//! The event queue: near events in a ring of buckets, far ones in a heap, both by one 128-bit key.
//!
//! A card's next event is nearly always some nanoseconds away. The ring has a bucket for every 2 ns of the next 8 us, each a
//! chain of events in the order of their keys, which seldom has more than one; two levels of bits tell the first bucket that
//! has any. What is further away, a timer of the host's or a trace with gaps, waits in a heap, and leaves it when its turn
//! has come without passing through the ring.

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

/// Buckets of the ring, and bits of simulated picoseconds that one spans. A bucket is 2.048 ns: a busy card of the
/// profiles has about one event a nanosecond.
const BUCKETS: u64 = 4096;
const SHIFT: u32 = 11;
const WORDS: usize = (BUCKETS / 64) as usize;
/// End of a chain.
const NONE: u32 = u32::MAX;

/// A pending event, or a free place.
#[derive(Debug, Clone)]
struct Slot<E> {
    time: u64,
    /// Priority 8 bits, source 16, the source's own sequence 40.
    order: u64,
    /// The next of its bucket, or the next free place.
    next: u32,
    event: Option<E>,
}

impl<E> Slot<E> {
    #[inline]
    fn key(&self) -> u128 {
        u128::from(self.time) << 64 | u128::from(self.order)
    }
}

/// The queue. Key: time 64 bits, priority 8, source 16, the source's own sequence 40.
#[derive(Debug)]
pub struct EventQueue<E> {
    slots: Vec<Slot<E>>,
    free: u32,
    /// First of each bucket's chain. Bucket `time >> SHIFT` modulo their number; all that are pending lie within one turn
    /// of the ring from the present.
    heads: Box<[u32; BUCKETS as usize]>,
    /// For each bucket whether it has events, and the same for each word of those bits.
    filled: Box<[u64; WORDS]>,
    words: u64,
    /// Key and slot of what was further away than a turn when it was entered.
    far: BinaryHeap<Reverse<(u128, u32)>>,
    /// Time of the first of those, or the end of time.
    far_time: u64,
    /// Events entered so far. Each source's own are in order among them, and only those are ever compared by it.
    entered: u64,
    now: Time,
    popped: u64,
}

impl<E> Default for EventQueue<E> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: NONE,
            heads: Box::new([NONE; BUCKETS as usize]),
            filled: Box::new([0; WORDS]),
            words: 0,
            far: BinaryHeap::new(),
            far_time: u64::MAX,
            entered: 0,
            now: Time::ZERO,
            popped: 0,
        }
    }
}

impl<E> EventQueue<E> {
    /// Enters an event. A time before the present is a mistake of the caller's.
    // Inlined, so that an event is made in its slot and not copied there from memory it has just been written to.
    #[inline(always)]
    pub fn push(&mut self, at: Time, priority: Priority, source: Source, event: E) {
        debug_assert!(at >= self.now, "event at {at} scheduled at {}", self.now);
        let order = u64::from(priority as u8) << 56 | u64::from(source.0) << 40 | self.entered & ((1 << 40) - 1);
        self.entered += 1;
        if self.free == NONE {
            self.grow();
        }
        let number = self.free;
        let slot = &mut self.slots[number as usize];
        self.free = slot.next;
        (slot.time, slot.order, slot.next) = (at.ps(), order, NONE);
        slot.event = Some(event);
        let bucket = at.ps() >> SHIFT;
        if bucket - (self.now.ps() >> SHIFT) >= BUCKETS {
            return self.push_far(number);
        }
        let bucket = (bucket % BUCKETS) as usize;
        let head = &mut self.heads[bucket];
        if *head != NONE {
            return self.chain(bucket, number);
        }
        *head = number;
        self.filled[bucket / 64] |= 1 << (bucket % 64);
        self.words |= 1 << (bucket / 64);
    }

    /// One more free slot.
    #[cold]
    fn grow(&mut self) {
        self.free = u32::try_from(self.slots.len()).expect("fewer than 2^32 events are pending");
        self.slots.push(Slot { time: 0, order: 0, next: NONE, event: None });
    }

    /// Enters what is further away than the ring reaches.
    #[cold]
    fn push_far(&mut self, number: u32) {
        let slot = &self.slots[number as usize];
        self.far.push(Reverse((slot.key(), number)));
        self.far_time = self.far_time.min(slot.time);
    }

    /// Puts an event into its place of a bucket that has others.
    #[inline(never)]
    fn chain(&mut self, bucket: usize, slot: u32) {
        let first = self.heads[bucket];
        if self.slots[slot as usize].key() < self.slots[first as usize].key() {
            self.slots[slot as usize].next = first;
            self.heads[bucket] = slot;
        } else {
            self.chain_behind(first, slot);
        }
    }

    /// The same where another of the bucket comes first.
    fn chain_behind(&mut self, first: u32, slot: u32) {
        let key = self.slots[slot as usize].key();
        let mut before = first;
        loop {
            let next = self.slots[before as usize].next;
            if next == NONE || key < self.slots[next as usize].key() {
                self.slots[slot as usize].next = next;
                self.slots[before as usize].next = slot;
                return;
            }
            before = next;
        }
    }

    /// The first bucket that has events, from the present's on.
    #[inline]
    fn first_bucket(&self) -> Option<usize> {
        let start = ((self.now.ps() >> SHIFT) % BUCKETS) as usize;
        let here = self.filled[start / 64] >> (start % 64);
        if here != 0 {
            return Some(start + here.trailing_zeros() as usize);
        }
        if self.words == 0 {
            return None;
        }
        // The words behind this one, then those before it; it comes last, with the bits below the present's.
        let turn = (start / 64 + 1) as u32 % WORDS as u32;
        let word = ((self.words.rotate_right(turn).trailing_zeros() + turn) as usize) % WORDS;
        Some(word * 64 + self.filled[word].trailing_zeros() as usize)
    }

    /// Slot of the first event, and its bucket if it is in the ring.
    #[inline]
    fn first(&self) -> Option<(u32, Option<usize>)> {
        let near = self.first_bucket();
        let Some(bucket) = near else { return self.far.peek().map(|Reverse((_, far))| (*far, None)) };
        let slot = self.heads[bucket];
        let before = |far: &Reverse<(u128, u32)>| far.0.0 < self.slots[slot as usize].key();
        // Seldom: what is far away is so mostly by more than one turn.
        if self.far_time <= self.slots[slot as usize].time
            && let Some(far) = self.far.peek()
            && before(far)
        {
            return Some((far.0.1, None));
        }
        Some((slot, near))
    }

    /// Takes the first event, and moves the present to its time.
    #[inline]
    pub fn pop(&mut self) -> Option<(Time, E)> {
        let (number, bucket) = self.first()?;
        let slot = &mut self.slots[number as usize];
        let next = std::mem::replace(&mut slot.next, self.free);
        self.free = number;
        self.now = Time::from_ps(slot.time);
        let event = slot.event.take().expect("a queued slot holds its event");
        match bucket {
            Some(bucket) => {
                self.heads[bucket] = next;
                if next == NONE {
                    let word = &mut self.filled[bucket / 64];
                    *word &= !(1 << (bucket % 64));
                    if *word == 0 {
                        self.words &= !(1 << (bucket / 64));
                    }
                }
            }
            None => self.drop_far(),
        }
        self.popped += 1;
        Some((self.now, event))
    }

    /// The first of those that were far away has been taken.
    #[cold]
    fn drop_far(&mut self) {
        self.far.pop();
        self.far_time = self.far.peek().map_or(u64::MAX, |Reverse((key, _))| (key >> 64) as u64);
    }

    /// Time of the first event.
    pub fn next_time(&self) -> Option<Time> {
        self.first().map(|(slot, _)| Time::from_ps(self.slots[slot as usize].time))
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
        (self.entered - self.popped) as usize
    }

    /// Whether none is waiting.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
        fn it_is_a_priority_queue(steps in proptest::collection::vec((0u64..50, 0usize..3, 0usize..6, 0u16..4, 0usize..3), 1..400)) {
            const PRIORITIES: [Priority; 6] = [
                Priority::Pull, Priority::Memory, Priority::Signal, Priority::Arrival, Priority::Timer, Priority::Core,
            ];
            let mut queue = EventQueue::default();
            let mut pending = std::collections::BTreeSet::new();
            for (pushed, (delay, scale, priority, source, pops)) in steps.into_iter().enumerate() {
                // Within a bucket, within a turn of the ring, and beyond it.
                let delay = delay * [1, 200_000, 1_000_000][scale];
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
