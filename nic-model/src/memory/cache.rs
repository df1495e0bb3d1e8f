//! The cache in front of external memory: which lines are in it, not what they hold.

use super::CacheConfig;
use crate::des::Time;

/// Tags of a write-back cache with least-recently-used replacement.
#[derive(Debug, Clone)]
pub struct Cache {
    config: CacheConfig,
    line_shift: u32,
    sets: u64,
    ways: usize,
    /// For each set its lines, latest used first: line number + 1, shifted left by one, with the dirty bit; 0 is none.
    lines: Vec<u64>,
    dram_busy: Time,
    hits: u64,
    misses: u64,
    write_backs: u64,
}

impl Cache {
    /// An empty cache.
    pub fn new(config: CacheConfig) -> Self {
        let line = config.line.max(1).next_power_of_two();
        let ways = config.ways.max(1) as usize;
        let sets = (config.bytes / (u64::from(line) * ways as u64)).max(1);
        let lines = usize::try_from(sets).expect("a cache's sets can be counted") * ways;
        Cache {
            config,
            line_shift: line.trailing_zeros(),
            sets,
            ways,
            lines: vec![0; lines],
            dram_busy: Time::ZERO,
            hits: 0,
            misses: 0,
            write_backs: 0,
        }
    }

    /// Takes an access that starts at `start`; answers by how much it is later than one that finds everything.
    // Not inlined: what it needs of registers, engines without a cache would save and restore as well.
    #[inline(never)]
    pub fn access(&mut self, start: Time, offset: u64, bytes: u32, write: bool) -> Time {
        let first = offset >> self.line_shift;
        let last = (offset + u64::from(bytes.max(1)) - 1) >> self.line_shift;
        let mut later = Time::ZERO;
        for line in first..=last {
            later = later.max(self.touch(start, line, write));
        }
        later
    }

    fn touch(&mut self, start: Time, line: u64, write: bool) -> Time {
        let set = if self.sets.is_power_of_two() { line & (self.sets - 1) } else { line % self.sets };
        let set = set as usize * self.ways;
        let set = &mut self.lines[set..set + self.ways];
        let tag = (line + 1) << 1;
        if let Some(way) = set.iter().position(|&entry| entry & !1 == tag) {
            self.hits += 1;
            let entry = set[way] | u64::from(write);
            if way != 0 {
                set.copy_within(0..way, 1);
            }
            set[0] = entry;
            return Time::ZERO;
        }
        self.misses += 1;
        let victim = set[self.ways - 1];
        set.copy_within(0..self.ways - 1, 1);
        set[0] = tag | u64::from(write);
        let free = self.dram_busy.max(start);
        self.dram_busy = free + self.config.line_service;
        if victim & 1 != 0 {
            self.write_backs += 1;
            self.dram_busy += self.config.line_service;
        }
        free.since(start) + self.config.miss
    }

    /// Accesses that found their line, accesses that did not, lines written back.
    pub fn counters(&self) -> (u64, u64, u64) {
        (self.hits, self.misses, self.write_backs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: CacheConfig =
        CacheConfig { bytes: 2 * 2 * 64, line: 64, ways: 2, miss: Time::from_ns(100), line_service: Time::from_ns(10) };

    #[test]
    fn replaces_the_line_used_longest_ago() {
        let mut cache = Cache::new(CONFIG);
        let miss = Time::from_ns(100);
        // Lines 0, 2 and 4 share a set of two ways.
        let mut at = |us, line: u64, write| cache.access(Time::from_us(us), line * 64, 4, write);
        assert_eq!(at(1, 0, true), miss);
        assert_eq!(at(2, 2, false), miss);
        assert_eq!(at(3, 0, false), Time::ZERO);
        assert_eq!(at(4, 4, false), miss, "takes the place of line 2");
        assert_eq!(at(5, 0, false), Time::ZERO);
        assert_eq!(at(6, 2, false), miss);
        assert_eq!(at(7, 4, false), miss, "writes back line 0, which is dirty");
        assert_eq!(at(7, 1, false), Time::from_ns(120), "DRAM is busy with the line before and its victim");
        assert_eq!(cache.counters(), (2, 6, 1));
    }

    #[test]
    fn an_access_over_two_lines_waits_for_both() {
        let mut cache = Cache::new(CONFIG);
        assert_eq!(cache.access(Time::ZERO, 60, 8, false), Time::from_ns(110));
        assert_eq!(cache.access(Time::ZERO, 60, 8, false), Time::ZERO);
    }
}
