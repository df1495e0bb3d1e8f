//! Packets leave in the order in which they came.

use std::collections::VecDeque;

/// A place in the order of one stream of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn(u64);

#[derive(Debug, Clone)]
enum Entry<T> {
    /// Still in work.
    Working,
    /// Ended inside the card: its turn passes.
    Gone,
    /// Done, waits for those before it.
    Done(T),
}

/// Restores the order of one stream. `T` is what is to leave.
#[derive(Debug, Clone)]
pub struct Reorder<T> {
    window: usize,
    first: u64,
    entries: VecDeque<Entry<T>>,
    peak: usize,
    waited: u64,
}

impl<T> Reorder<T> {
    /// An empty stream with a window of that many packets.
    pub fn new(window: u32) -> Self {
        Reorder { window: window as usize, first: 0, entries: VecDeque::new(), peak: 0, waited: 0 }
    }

    /// Whether another packet may begin.
    pub fn has_room(&self) -> bool {
        self.has_room_for(0)
    }

    /// Whether another packet may begin after `more` that have been promised a place.
    pub fn has_room_for(&self, more: usize) -> bool {
        self.entries.len() + more < self.window
    }

    /// A packet begins; it has the place after all before it. The caller has seen [`Reorder::has_room`].
    pub fn begin(&mut self) -> Turn {
        self.entries.push_back(Entry::Working);
        self.peak = self.peak.max(self.entries.len());
        Turn(self.first + self.entries.len() as u64 - 1)
    }

    /// A packet is done and will leave in its turn; with `None` it has ended and its turn passes. Then take what
    /// [`Reorder::pop`] gives.
    pub fn end(&mut self, turn: Turn, leaves: Option<T>) {
        let index = (turn.0 - self.first) as usize;
        if index > 0 && leaves.is_some() {
            self.waited += 1;
        }
        self.entries[index] = leaves.map_or(Entry::Gone, Entry::Done);
    }

    /// The next that leaves, if its turn has come.
    pub fn pop(&mut self) -> Option<T> {
        loop {
            match self.entries.front()? {
                Entry::Working => return None,
                Entry::Gone | Entry::Done(_) => {
                    self.first += 1;
                    if let Some(Entry::Done(leaves)) = self.entries.pop_front() {
                        return Some(leaves);
                    }
                }
            }
        }
    }

    /// Packets between the oldest in work and the youngest, now and at most; and how many had to wait for an older one.
    pub fn used(&self) -> (usize, usize, u64) {
        (self.entries.len(), self.peak, self.waited)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn later_packets_wait_for_earlier_ones() {
        let mut order = Reorder::new(3);
        let [a, b, c] = [order.begin(), order.begin(), order.begin()];
        assert!(!order.has_room());
        order.end(c, Some('c'));
        assert_eq!(order.pop(), None);
        order.end(a, None);
        assert_eq!(order.pop(), None);
        assert!(order.has_room());
        order.end(b, Some('b'));
        assert_eq!((order.pop(), order.pop(), order.pop()), (Some('b'), Some('c'), None));
        assert_eq!(order.used(), (0, 3, 1));
    }

    proptest! {
        #[test]
        fn whatever_the_order_of_ends_packets_leave_as_they_came(
            ends in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..200),
            window in 1u32..40,
        ) {
            let mut order = Reorder::new(window);
            let mut working: Vec<(Turn, usize)> = Vec::new();
            let (mut begun, mut left, mut stays) = (0, Vec::new(), Vec::new());
            for (pick, stay) in ends {
                while order.has_room() {
                    working.push((order.begin(), begun));
                    begun += 1;
                }
                let (turn, id) = working.swap_remove(pick.index(working.len()));
                if stay { stays.push(id) }
                order.end(turn, (!stay).then_some(id));
                while let Some(id) = order.pop() {
                    left.push(id);
                }
            }
            for (turn, id) in working {
                order.end(turn, Some(id));
            }
            while let Some(id) = order.pop() {
                left.push(id);
            }
            let expected: Vec<usize> = (0..begun).filter(|id| !stays.contains(id)).collect();
            prop_assert_eq!(left, expected);
        }
    }
}
