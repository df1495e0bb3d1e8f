//! An engine: takes commands in the order they arrive, each bank one at a time.

use super::cache::Cache;
use super::{Answer, MemoryConfig, TouchKind};
use crate::des::Time;

/// When an engine is free, and what it did so far.
#[derive(Debug, Clone)]
pub struct Engine {
    config: MemoryConfig,
    banks: Vec<Time>,
    interleave_shift: u32,
    cache: Option<Cache>,
    counters: EngineCounters,
}

/// What an engine did, for reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
        Engine {
            banks: vec![Time::ZERO; config.banks.max(1) as usize],
            interleave_shift: config.interleave.max(1).next_power_of_two().trailing_zeros(),
            cache: config.cache.map(Cache::new),
            counters: EngineCounters::default(),
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
        EngineCounters { hits, misses, write_backs, ..self.counters }
    }

    /// Takes a command that arrives now; the bank of its first byte serves it whole.
    pub fn take(&mut self, now: Time, kind: TouchKind, offset: u64, bytes: u32) -> Answer {
        let timing = &self.config.timing;
        let beats = u64::from(bytes.div_ceil(8).saturating_sub(1));
        let transfer = Time::from_ps(timing.beat.ps().saturating_mul(beats));
        let (access, service) = match kind {
            TouchKind::Read => (timing.read, timing.service),
            TouchKind::Write => (timing.write, timing.service),
            TouchKind::Atomic => (timing.atomic, timing.atomic_service),
        };
        let banks = self.banks.len() as u64;
        let block = offset >> self.interleave_shift;
        let bank =
            &mut self.banks[(if banks.is_power_of_two() { block & (banks - 1) } else { block % banks }) as usize];
        let start = now.max(*bank);
        let occupied = service + transfer;
        *bank = start + occupied;
        let later =
            self.cache.as_mut().map_or(Time::ZERO, |cache| cache.access(start, offset, bytes, kind != TouchKind::Read));
        let wait = start.since(now);
        let counters = &mut self.counters;
        match kind {
            TouchKind::Read => counters.reads += 1,
            TouchKind::Write => counters.writes += 1,
            TouchKind::Atomic => counters.atomics += 1,
        }
        counters.bytes += u64::from(bytes);
        counters.busy += occupied;
        counters.wait += wait;
        counters.longest_wait = counters.longest_wait.max(wait);
        Answer { taken: start, back: start + access + later + transfer + timing.response }
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
