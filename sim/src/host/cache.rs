//! The processor's data caches, as far as a program's maps and packets need them: which level holds a line.
//!
//! Three set-associative levels with least-recently-used replacement; lines the card writes land in the last level
//! (direct cache access, DDIO). Every access is priced with the latency of the level that holds its line; the fill goes to
//! all levels above.

use nic_model::des::Time;

/// Bytes of a cache line on x86-64.
pub const LINE: u64 = 64;

/// Shape of one level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LevelShape {
    /// Bytes it holds.
    pub bytes: u64,
    /// Lines of a set.
    pub ways: usize,
    /// What a hit costs.
    pub latency: Time,
}

/// Where a line was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// First level.
    L1,
    /// Second level.
    L2,
    /// Last level.
    L3,
    /// Memory.
    Memory,
}

impl Level {
    /// All, nearest first.
    pub const ALL: [Level; 4] = [Level::L1, Level::L2, Level::L3, Level::Memory];
}

#[derive(Debug)]
struct Tags {
    /// Tags by set, the most recently used first; 0 is empty (tags are stored plus one).
    lines: Vec<u64>,
    ways: usize,
    sets: u64,
}

impl Tags {
    fn new(shape: &LevelShape) -> Self {
        let ways = shape.ways.max(1);
        let sets = (shape.bytes / LINE / ways as u64).max(1);
        Self { lines: vec![0; sets as usize * ways], ways, sets }
    }

    fn set(&mut self, line: u64) -> &mut [u64] {
        let first = (line % self.sets) as usize * self.ways;
        &mut self.lines[first..first + self.ways]
    }

    /// Moves the line to the front of its set; whether it was there.
    fn touch(&mut self, line: u64) -> bool {
        let set = self.set(line);
        match set.iter().position(|&tag| tag == line + 1) {
            Some(at) => {
                set[..=at].rotate_right(1);
                true
            }
            None => {
                set.rotate_right(1);
                set[0] = line + 1;
                false
            }
        }
    }

    fn forget(&mut self, line: u64) {
        let set = self.set(line);
        if let Some(at) = set.iter().position(|&tag| tag == line + 1) {
            set[at..].rotate_left(1);
            *set.last_mut().expect("a set has at least one way") = 0;
        }
    }
}

/// The caches one core sees.
#[derive(Debug)]
pub struct Cache {
    levels: [Tags; 3],
    latency: [Time; 4],
    hits: [u64; 4],
}

impl Cache {
    /// Empty caches of the given shapes, nearest first, and what memory behind them costs.
    pub fn new(shapes: &[LevelShape; 3], memory: Time) -> Self {
        Self {
            levels: shapes.each_ref().map(Tags::new),
            latency: [shapes[0].latency, shapes[1].latency, shapes[2].latency, memory],
            hits: [0; 4],
        }
    }

    /// One access to the line that holds byte `address`: where it was, with its cost.
    pub fn access(&mut self, address: u64) -> (Level, Time) {
        let line = address / LINE;
        let mut found = Level::Memory;
        // Every level is touched, so that all of them hold the line afterwards.
        for (tags, level) in self.levels.iter_mut().zip(Level::ALL) {
            if tags.touch(line) && found == Level::Memory {
                found = level;
            }
        }
        self.hits[found as usize] += 1;
        (found, self.latency[found as usize])
    }

    /// A device writes `len` bytes at `address`: the lines end in the last level, and nearer copies are invalid.
    pub fn device_write(&mut self, address: u64, len: u64) {
        for line in address / LINE..(address + len).div_ceil(LINE) {
            let [l1, l2, l3] = &mut self.levels;
            l1.forget(line);
            l2.forget(line);
            l3.touch(line);
        }
    }

    /// Accesses so far by the level that served them, nearest first.
    pub fn hits(&self) -> [u64; 4] {
        self.hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> Cache {
        let shape = |bytes, ways, ns| LevelShape { bytes, ways, latency: Time::from_ns(ns) };
        Cache::new(&[shape(32 << 10, 8, 1), shape(256 << 10, 8, 4), shape(2 << 20, 16, 15)], Time::from_ns(80))
    }

    #[test]
    fn a_working_set_lives_in_the_level_that_holds_it() {
        for (bytes, expected) in
            [(16u64 << 10, Level::L1), (128 << 10, Level::L2), (1 << 20, Level::L3), (16 << 20, Level::Memory)]
        {
            let mut cache = cache();
            for _ in 0..2 {
                for address in (0..bytes).step_by(LINE as usize) {
                    cache.access(address);
                }
            }
            let before = cache.hits();
            for address in (0..bytes).step_by(LINE as usize) {
                assert_eq!(cache.access(address).0, expected, "{bytes} B");
            }
            assert_eq!(cache.hits()[expected as usize] - before[expected as usize], bytes / LINE);
        }
    }

    #[test]
    fn what_the_card_writes_is_found_in_the_last_level() {
        let mut cache = cache();
        cache.access(0x1000);
        assert_eq!(cache.access(0x1000).0, Level::L1);
        cache.device_write(0x1000, 64);
        assert_eq!(cache.access(0x1000), (Level::L3, Time::from_ns(15)));
        assert_eq!(cache.access(0x1000).0, Level::L1);
    }
}
