//! Which contexts are free.

use crate::ids::{ContextId, CoreId};
use crate::profile::CardProfile;

/// A context of a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Worker {
    /// The core.
    pub core: CoreId,
    /// Its context.
    pub context: ContextId,
}

/// The free contexts of every island.
#[derive(Debug, Clone)]
pub struct Contexts {
    /// For each core, its free contexts, one bit each.
    free: Vec<u8>,
    /// For each island, its cores.
    islands: Vec<Vec<u16>>,
    /// For each island, where the search begins: after the core that got work last.
    next: Vec<usize>,
    busy: u32,
    peak: u32,
    contexts: u8,
    /// Those of a core that takes no packets.
    held: u8,
}

impl Contexts {
    /// All free.
    pub fn new(card: &CardProfile) -> Self {
        let mut islands = vec![Vec::new(); usize::from(*card.islands)];
        for core in 0..*card.cores {
            islands[usize::from(card.island_of(core))].push(core);
        }
        Contexts {
            free: vec![u8::MAX >> (8 - *card.contexts); usize::from(*card.cores)],
            next: vec![0; islands.len()],
            islands,
            busy: 0,
            peak: 0,
            contexts: *card.contexts,
            held: 0,
        }
    }

    /// Takes a core's free contexts away from packets; whether it has no others any more. One core at a time.
    pub fn hold(&mut self, core: CoreId) -> bool {
        self.held |= std::mem::take(&mut self.free[usize::from(core.0)]);
        self.held == u8::MAX >> (8 - self.contexts)
    }

    /// The core that was held takes packets again.
    pub fn release(&mut self, core: CoreId) {
        self.free[usize::from(core.0)] |= std::mem::take(&mut self.held);
    }

    /// Takes a free context of the island: of the core with the most of them, in turn among equals.
    pub fn take(&mut self, island: u16) -> Option<Worker> {
        let cores = &self.islands[usize::from(island)];
        let next = &mut self.next[usize::from(island)];
        let mut best: Option<(u32, usize)> = None;
        for step in 0..cores.len() {
            let at = if *next + step < cores.len() { *next + step } else { *next + step - cores.len() };
            let free = self.free[usize::from(cores[at])].count_ones();
            if free > best.map_or(0, |(most, _)| most) {
                best = Some((free, at));
                if free == u32::from(self.contexts) {
                    break;
                }
            }
        }
        let (_, at) = best?;
        *next = if at + 1 < cores.len() { at + 1 } else { 0 };
        let core = cores[at];
        let free = &mut self.free[usize::from(core)];
        let context = free.trailing_zeros() as u8;
        *free &= *free - 1;
        self.busy += 1;
        self.peak = self.peak.max(self.busy);
        Some(Worker { core: CoreId(core), context: ContextId(context) })
    }

    /// A context is free again.
    pub fn give_back(&mut self, worker: Worker) {
        self.free[usize::from(worker.core.0)] |= 1 << worker.context.0;
        self.busy -= 1;
    }

    /// Contexts at work, most that were at once, and all there are.
    pub fn used(&self) -> (u32, u32, u32) {
        (self.busy, self.peak, self.free.len() as u32 * u32::from(self.contexts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::builtin;

    #[test]
    fn work_is_spread_over_cores_before_contexts() {
        let mut contexts = Contexts::new(&builtin("agilio-cx-2x40").unwrap());
        let first: Vec<Worker> = (0..10).map(|_| contexts.take(2).unwrap()).collect();
        let cores: Vec<u16> = first.iter().map(|w| w.core.0).collect();
        assert_eq!(cores, [2, 7, 12, 17, 22, 27, 32, 37, 42, 47]);
        assert!(first.iter().all(|w| w.context == ContextId(0)));
        assert_eq!(contexts.take(2).unwrap(), Worker { core: CoreId(2), context: ContextId(1) });
        contexts.give_back(first[4]);
        assert_eq!(contexts.take(2).unwrap(), first[4]);
        let rest = std::iter::from_fn(|| contexts.take(2)).count();
        assert_eq!(rest, 40 - 11);
        assert_eq!(contexts.used(), (40, 40, 200));
        assert!(contexts.take(3).is_some());
    }
}
