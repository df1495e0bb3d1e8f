//! An engine: takes commands in the order they arrive, each bank one at a time.

use super::cache::Cache;
use super::{Answer, MemoryConfig, TouchKind};
use crate::des::Time;

/// When an engine is free, and what it did so far.
#[derive(Debug, Clone)]
pub struct Engine {
    banks: Vec<Time>,
    interleave_shift: u32,
    beat: Time,
    kinds: [Kind; 3],
    cache: Option<Cache>,
    bytes: u64,
    busy: Time,
    wait: Time,
    longest_wait: Time,
    config: MemoryConfig,
}

/// What a kind of access costs, in the order of [`TouchKind`].
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// From the moment it is taken until its answer is back.
    answer: Time,
    /// How long it occupies its bank.
    service: Time,
    /// How many were taken.
    taken: u64,
}

/// What an engine did, for reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineCounters {
    /// Reads taken.
    pub reads: u64,
    /// Writes taken.
    pub writes: u64,
    /// Atomics taken.
    pub atomics: u64,
    /// Bytes moved.
    pub bytes: u64,
    /// Time its banks were busy, summed over banks.
    pub busy: Time,
    /// Time commands waited for their bank, summed.
    pub wait: Time,
    /// Longest such wait.
    pub longest_wait: Time,
    /// Cache lines found, if it has a cache.
    pub hits: u64,
    /// Cache lines fetched.
    pub misses: u64,
    /// Cache lines written back.
    pub write_backs: u64,
}

impl EngineCounters {
    /// Commands taken.
    pub const fn commands(&self) -> u64 {
        self.reads + self.writes + self.atomics
    }
}

impl Engine {
    /// An idle engine.
    pub fn new(config: MemoryConfig) -> Self {
        let timing = &config.timing;
        let kind = |access, service| Kind { answer: access + timing.response, service, taken: 0 };
        Engine {
            banks: vec![Time::ZERO; config.banks.max(1) as usize],
            interleave_shift: config.interleave.max(1).next_power_of_two().trailing_zeros(),
            beat: timing.beat,
            kinds: [
                kind(timing.read, timing.service),
                kind(timing.write, timing.service),
                kind(timing.atomic, timing.atomic_service),
            ],
            cache: config.cache.map(Cache::new),
            bytes: 0,
            busy: Time::ZERO,
            wait: Time::ZERO,
            longest_wait: Time::ZERO,
            config,
        }
    }

    /// Its memory.
    pub fn config(&self) -> &MemoryConfig {
        &self.config
    }

    /// What it did.
    pub fn counters(&self) -> EngineCounters {
        let (hits, misses, write_backs) = self.cache.as_ref().map_or((0, 0, 0), Cache::counters);
        let [reads, writes, atomics] = self.kinds.map(|kind| kind.taken);
        let Engine { bytes, busy, wait, longest_wait, .. } = *self;
        EngineCounters { reads, writes, atomics, bytes, busy, wait, longest_wait, hits, misses, write_backs }
    }

    /// Takes a command that arrives now; the bank of its first byte serves it whole.
    // Inlined: it has one caller, which knows the kind of most commands.
    #[inline(always)]
    pub fn take(&mut self, now: Time, kind: TouchKind, offset: u64, bytes: u32) -> Answer {
        let beats = u64::from(bytes.div_ceil(8).saturating_sub(1));
        let transfer = Time::from_ps(self.beat.ps().saturating_mul(beats));
        let costs = &mut self.kinds[kind as usize];
        costs.taken += 1;
        let (answer, occupied) = (costs.answer, costs.service + transfer);
        let banks = self.banks.len() as u64;
        let block = offset >> self.interleave_shift;
        let bank =
            &mut self.banks[(if banks.is_power_of_two() { block & (banks - 1) } else { block % banks }) as usize];
        let start = now.max(*bank);
        *bank = start + occupied;
        let later =
            self.cache.as_mut().map_or(Time::ZERO, |cache| cache.access(start, offset, bytes, kind != TouchKind::Read));
        let wait = start.since(now);
        self.bytes += u64::from(bytes);
        self.busy += occupied;
        self.wait += wait;
        self.longest_wait = self.longest_wait.max(wait);
        Answer { taken: start, back: start + answer + later + transfer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::EngineTiming;

    fn engine(banks: u32) -> Engine {
        let ns = Time::from_ns;
        Engine::new(MemoryConfig {
            bytes: 1 << 20,
            banks,
            interleave: 64,
            timing: EngineTiming {
                request: ns(1),
                read: ns(50),
                write: ns(40),
                atomic: ns(60),
                response: ns(5),
                service: ns(4),
                atomic_service: ns(8),
                beat: ns(2),
            },
            cache: None,
        })
    }

    #[test]
    fn an_unloaded_engine_answers_after_access_transfer_and_response() {
        let ns = Time::from_ns;
        let at = |kind, bytes| engine(1).take(ns(100), kind, 0, bytes);
        assert_eq!(at(TouchKind::Read, 4), Answer { taken: ns(100), back: ns(155) });
        assert_eq!(at(TouchKind::Read, 32), Answer { taken: ns(100), back: ns(161) });
        assert_eq!(at(TouchKind::Write, 8), Answer { taken: ns(100), back: ns(145) });
        assert_eq!(at(TouchKind::Atomic, 4), Answer { taken: ns(100), back: ns(165) });
    }

    #[test]
    fn commands_of_one_bank_wait_for_each_other() {
        let ns = Time::from_ns;
        let mut engine = engine(2);
        assert_eq!(engine.take(ns(10), TouchKind::Atomic, 0, 8).taken, ns(10));
        assert_eq!(engine.take(ns(11), TouchKind::Read, 64, 16).taken, ns(11), "the other bank");
        assert_eq!(engine.take(ns(12), TouchKind::Read, 128, 4).taken, ns(18), "after the atomic");
        assert_eq!(engine.take(ns(12), TouchKind::Read, 192, 4).taken, ns(17), "after the read of two beats");
        let counters = engine.counters();
        assert_eq!((counters.reads, counters.atomics, counters.bytes), (3, 1, 32));
        assert_eq!((counters.busy, counters.wait, counters.longest_wait), (ns(22), ns(11), ns(6)));
    }
}
