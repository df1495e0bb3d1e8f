//! What the driver keeps of a map: the last answer that walked it.
//!
//! A process that reads a whole map asks for the key after a key and then for its value, entry by entry. One answer of the
//! card serves several of these requests. Writes stop the cache: as long as one is under way nothing is kept and walks ask for
//! one entry, and an answer to a request that began before a write ended is not kept either.

use nic_model::control::{EntryAnswer, EntryOp, Slots};
use nic_model::des::Time;

/// What to do about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// It is served: the key of [`EntryOp::Next`], the value of [`EntryOp::Lookup`].
    Served(Vec<u8>),
    /// Ask the card.
    Card {
        /// For so many entries.
        entries: u32,
        /// What [`Cache::put`] must be told.
        generation: u32,
    },
}

/// The cache of one map.
#[derive(Debug, Clone, Default)]
pub struct Cache {
    kept: Option<(EntryAnswer, Time)>,
    /// Writes under way.
    blockers: u32,
    /// Writes ended.
    generation: u32,
}

impl Cache {
    /// A request begins. `most` is how many entries an answer may hold.
    pub fn ask(&mut self, now: Time, op: EntryOp, key: &[u8], slots: Slots, value_size: u32, most: u32) -> Ask {
        let entries = if op.walks() && self.blockers == 0 { most } else { 1 };
        let ask = Ask::Card { entries, generation: self.generation };
        if op.writes() {
            self.blockers += 1;
            self.kept = None;
            return ask;
        }
        if !matches!(op, EntryOp::Lookup | EntryOp::Next) {
            return ask;
        }
        let Some((answer, until)) = &self.kept else { return ask };
        if *until < now {
            self.kept = None;
            return ask;
        }
        let keys = (0..answer.count).map_while(|n| answer.entry(slots, n));
        let Some(at) = keys.into_iter().position(|(slot, _)| slot.starts_with(key)) else { return ask };
        let found = match op {
            EntryOp::Lookup => answer.entry(slots, at as u32).map(|(_, value)| &value[..value_size as usize]),
            // What follows the last is the card's to say.
            _ if at as u32 + 1 == answer.count => None,
            _ => answer.entry(slots, at as u32 + 1).map(|(next, _)| &next[..key.len()]),
        };
        found.map_or(ask, |bytes| Ask::Served(bytes.to_vec()))
    }

    /// A request that the card was asked has ended, with an answer if it was good; it is kept for `life`.
    pub fn put(&mut self, now: Time, op: EntryOp, answer: Option<EntryAnswer>, generation: u32, life: Time) {
        if op.writes() {
            self.blockers = self.blockers.saturating_sub(1);
            self.generation = self.generation.wrapping_add(1);
        }
        if op.walks() && self.blockers == 0 && self.generation == generation {
            self.kept = answer.map(|answer| (answer, now + life));
        }
    }
}
