//! Packet buffers in the CTM of each island.

use crate::profile::{CardProfile, PacketBuffers};

/// A buffer: a run of granules, a power of two of them and aligned to their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffer {
    /// Island whose CTM it lies in.
    pub island: u16,
    /// First granule: the packet number.
    pub number: u32,
    /// Granules.
    pub granules: u32,
}

/// Free granules of one island, one bit each.
#[derive(Debug, Clone)]
struct Island {
    free: Vec<u64>,
    count: u32,
}

/// Bits at which an aligned run of 1, 2, 4, … 64 granules can begin.
const STARTS: [u64; 7] = [
    u64::MAX,
    0x5555_5555_5555_5555,
    0x1111_1111_1111_1111,
    0x0101_0101_0101_0101,
    0x0001_0001_0001_0001,
    0x0000_0001_0000_0001,
    1,
];

/// Bits of a run of `granules`, at most 64, from bit 0.
const fn run(granules: u32) -> u64 {
    u64::MAX >> (64 - granules)
}

impl Island {
    /// Small runs come from the low end and large ones from the high end, so that neither breaks up the other's room.
    fn take(&mut self, granules: u32, from_top: bool) -> Option<u32> {
        let starts = STARTS[granules.trailing_zeros() as usize];
        let fits = |free: u64| {
            let mut begins = free;
            let mut shift = 1;
            while shift < granules {
                begins &= begins >> shift;
                shift *= 2;
            }
            begins & starts
        };
        let words = 0..self.free.len();
        let word = if from_top {
            words.rev().find(|&w| fits(self.free[w]) != 0)?
        } else {
            words.into_iter().find(|&w| fits(self.free[w]) != 0)?
        };
        let begins = fits(self.free[word]);
        let bit = if from_top { 63 - begins.leading_zeros() } else { begins.trailing_zeros() };
        self.free[word] &= !(run(granules) << bit);
        self.count -= granules;
        Some(word as u32 * 64 + bit)
    }
}

/// The buffers of a card.
#[derive(Debug, Clone)]
pub struct Buffers {
    islands: Vec<Island>,
    granule: u64,
    largest: u64,
    headroom: u64,
    next: usize,
    total: u32,
    free: u32,
    least_free: u32,
}

impl Buffers {
    /// All free. Islands without a core have none.
    pub fn new(card: &CardProfile) -> Self {
        let PacketBuffers { bytes, granule, largest, headroom, .. } = &card.packet_buffers;
        let granules = (bytes.0 / granule.0) as u32;
        let free = (0..granules.div_ceil(64)).map(|word| run((granules - word * 64).min(64))).collect();
        let island = Island { free, count: granules };
        let islands = usize::from((*card.islands).min(*card.cores));
        let total = granules * islands as u32;
        Buffers {
            islands: vec![island; islands],
            granule: granule.0,
            largest: largest.0,
            headroom: headroom.0,
            next: 0,
            total,
            free: total,
            least_free: total,
        }
    }

    /// Bytes of a packet that fit a buffer of the largest size.
    pub fn reach(&self) -> u64 {
        self.largest - self.headroom
    }

    /// Granules of the buffer that a packet of `len` bytes gets.
    fn granules_for(&self, len: usize) -> u32 {
        let bytes = (len as u64 + self.headroom).min(self.largest);
        (bytes.div_ceil(self.granule) as u32).next_power_of_two()
    }

    /// A buffer for a packet of `len` bytes, or none if no island has room.
    pub fn take(&mut self, len: usize) -> Option<Buffer> {
        let granules = self.granules_for(len);
        let from_top = granules > 1;
        let islands = self.islands.len();
        let turn = |step: usize| (self.next + step) % islands;
        let mut best = self.next;
        for island in (1..islands).map(turn) {
            if self.islands[island].count > self.islands[best].count {
                best = island;
            }
        }
        if self.islands[best].count < granules {
            return None;
        }
        // The island with the most room may be too broken up: then another.
        let (island, number) = std::iter::once(best)
            .chain(0..islands)
            .find_map(|island| self.islands[island].take(granules, from_top).map(|number| (island, number)))?;
        self.next = (island + 1) % islands;
        self.free -= granules;
        self.least_free = self.least_free.min(self.free);
        Some(Buffer { island: island as u16, number, granules })
    }

    /// Whether an island has as many free granules as a packet of `len` bytes takes, broken up or not.
    pub fn has_room(&self, len: usize) -> bool {
        let granules = self.granules_for(len);
        self.islands.iter().any(|island| island.count >= granules)
    }

    /// A buffer is free again.
    pub fn give_back(&mut self, buffer: Buffer) {
        let island = &mut self.islands[usize::from(buffer.island)];
        island.free[buffer.number as usize / 64] |= run(buffer.granules) << (buffer.number % 64);
        island.count += buffer.granules;
        self.free += buffer.granules;
    }

    /// Bytes of a buffer.
    pub fn bytes(&self, buffer: Buffer) -> u64 {
        u64::from(buffer.granules) * self.granule
    }

    /// Bytes of packet memory in use, most that were in use at once, and all there are.
    pub fn used(&self) -> (u64, u64, u64) {
        let bytes = |granules: u32| u64::from(granules) * self.granule;
        (bytes(self.total - self.free), bytes(self.total - self.least_free), bytes(self.total))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profile::builtin;

    fn buffers() -> Buffers {
        Buffers::new(&builtin("agilio-cx-2x40").unwrap())
    }

    #[test]
    fn sizes_follow_the_packet() {
        let buffers = buffers();
        for (len, granules) in [(60, 1), (128, 1), (129, 2), (384, 2), (385, 4), (1_514, 8), (1_920, 8), (9_014, 8)] {
            assert_eq!(buffers.granules_for(len), granules, "{len}");
        }
        assert_eq!(buffers.reach(), 1_920);
    }

    #[test]
    fn islands_fill_evenly_and_to_the_end() {
        let mut buffers = buffers();
        let first: Vec<u16> = (0..10).map(|_| buffers.take(60).unwrap().island).collect();
        assert_eq!(first, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
        let more = std::iter::from_fn(|| buffers.take(60)).count();
        assert_eq!(more + 10, 5 * 512);
        assert_eq!(buffers.used(), (5 << 17, 5 << 17, 5 << 17));
    }

    proptest! {
        #[test]
        fn buffers_never_overlap(sizes in prop::collection::vec((1usize..9_300, any::<bool>()), 1..800)) {
            let mut buffers = buffers();
            let mut held: Vec<Buffer> = Vec::new();
            for (len, free_one) in sizes {
                if free_one && !held.is_empty() {
                    buffers.give_back(held.swap_remove(len % held.len()));
                }
                if let Some(new) = buffers.take(len) {
                    prop_assert!(new.number + new.granules <= 512 && new.number % new.granules == 0);
                    prop_assert!(buffers.bytes(new) >= (len as u64 + 128).min(2_048));
                    for old in &held {
                        let apart = new.island != old.island
                            || new.number + new.granules <= old.number
                            || old.number + old.granules <= new.number;
                        prop_assert!(apart, "{:?} {:?}", new, old);
                    }
                    held.push(new);
                }
            }
            for buffer in held {
                buffers.give_back(buffer);
            }
            prop_assert_eq!(buffers.used().0, 0);
        }
    }
}
