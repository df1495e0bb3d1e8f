//! The program's maps against what the card holds, and what the words of their values are used for.
//!
//! The card's atomic engine keeps counters big endian, all else is little endian. So the driver knows for each word of a
//! value whether it is read or added to, lets it be one only, and insists that a counter starts at 0, which is the same
//! in both orders.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bpf::insn::{Insn, Wide};
use bpf::maps::{Holds, Map};
use bpf::program::{MapIndex, MapSpec, MapType, Program};
use nic_model::profile::{MapSize, Oversize};

use super::Visit;
use crate::refusal::{Refusal, Rule};

/// Map types that stay on the host while programs on the card name them.
const NEUTRAL: &[MapType] = &[MapType(4)];

/// A map a program names, and how it uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MapUse {
    /// Which of the program's maps.
    pub map: MapIndex,
    /// It lives on the card; other maps stay on the host and are only named.
    pub on_card: bool,
    /// Words (4 bytes each) of a value that the program adds to: the card keeps them big endian.
    pub atomic_words: Vec<u32>,
}

/// What a word of a value is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    /// Loads.
    Read,
    /// Atomic additions.
    Atomic,
    /// An update that may put something other than 0 there.
    NonZero,
}

/// Uses of one word, with the first slot of each.
#[derive(Debug, Clone, Copy, Default)]
struct Word {
    read: Option<usize>,
    atomic: Option<usize>,
    nonzero: Option<usize>,
}

/// Uses of all words of all values.
#[derive(Debug)]
pub(super) struct WordUses {
    words: BTreeMap<(MapIndex, u32), Word>,
    /// Uses of many words at once that have been noted: the first slot is what counts.
    noted: BTreeSet<(MapIndex, u32, u32, Use)>,
    /// Maps that instructions name, dead ones included: the kernel holds them all.
    named: Vec<MapIndex>,
}

impl WordUses {
    pub(super) fn new(program: &Program) -> Self {
        let mut named: Vec<MapIndex> = program
            .insns
            .iter()
            .filter_map(|insn| match insn {
                Insn::LoadImm64 { value: Wide::Map(map) | Wide::MapValue { map, .. }, .. } => Some(*map),
                _ => None,
            })
            .collect();
        named.sort_unstable();
        named.dedup();
        Self { words: BTreeMap::new(), noted: BTreeSet::new(), named }
    }

    /// Whether a word is used in ways that the card's atomic engine does not go together with.
    pub(super) fn conflict(&self) -> bool {
        self.words.values().any(|word| word.atomic.is_some() && (word.read.is_some() || word.nonzero.is_some()))
    }

    /// Forgets what is added to atomically.
    pub(super) fn forget_atomics(&mut self) {
        self.words.values_mut().for_each(|word| word.atomic = None);
        self.noted.retain(|(_, _, _, what)| *what != Use::Atomic);
    }

    /// Notes a use of the words that the bytes lie in.
    pub(super) fn note(&mut self, map: MapIndex, slot: usize, bytes: Range<u32>, what: Use) {
        let many = bytes.len() > 64;
        if many && !self.noted.insert((map, bytes.start, bytes.end, what)) {
            return;
        }
        for index in bytes.start / 4..bytes.end.div_ceil(4) {
            let word = self.words.entry((map, index)).or_default();
            let place = match what {
                Use::Read => &mut word.read,
                Use::Atomic => &mut word.atomic,
                Use::NonZero => &mut word.nonzero,
            };
            place.get_or_insert(slot);
        }
    }
}

impl Visit<'_> {
    /// Checks every map the program names, then all of them together; says how many entries they have.
    pub(super) fn check_maps(&mut self) -> (Vec<MapUse>, u64) {
        self.check_words();
        let program = self.program;
        let mut uses = Vec::new();
        let (mut count, mut entries) = (0u32, 0u64);
        for map in self.words.named.clone() {
            let Some(spec) = program.maps.get(map.0 as usize) else { continue };
            let on_card = !NEUTRAL.contains(&spec.ty);
            if on_card {
                self.check_map(spec);
                count += 1;
                entries += u64::from(spec.max_entries);
            }
            let words = self.words.words.iter().filter(|((of, _), word)| *of == map && word.atomic.is_some());
            uses.push(MapUse { map, on_card, atomic_words: words.map(|((_, index), _)| *index).collect() });
        }
        let (max_maps, max_entries) = (*self.card.max_maps, *self.card.max_elements);
        if count > max_maps {
            self.refusals.push(
                Refusal::new(Rule::MapCount, "the card does not hold that many maps")
                    .named(&program.name)
                    .limit(max_maps, count)
                    .help("merge maps"),
            );
        }
        if entries > max_entries {
            self.refusals.push(
                Refusal::new(Rule::MapEntries, "the card does not hold that many entries")
                    .named(&program.name)
                    .limit(max_entries, entries)
                    .help("lower max_entries"),
            );
        }
        (uses, entries)
    }

    fn check_map(&mut self, spec: &MapSpec) {
        let (card, best) = (self.card, self.best);
        let mut refuse = |rule, reason: &str, limit: String, actual: String, help: &str| {
            self.refusals.push(Refusal::new(rule, reason).named(&spec.name).limit(limit, actual).help(help));
        };
        if !card.takes_map(spec.ty) {
            let help = "use a hash or an array, or a card whose firmware has this type";
            refuse(
                Rule::MapType,
                "the card has no maps of this type",
                card.map_types.join(", "),
                spec.ty.to_string(),
                help,
            );
        }
        let holds = Map::kind_of(spec.ty).map(|kind| kind.holds);
        let follows = best && matches!(holds, Some(Holds::Programs | Holds::Maps | Holds::Devices | Holds::Cpus));
        if holds.is_some_and(|holds| holds != Holds::Values) && !follows {
            refuse(
                Rule::MapType,
                "the translation does not follow references to programs and maps",
                "maps of values".to_owned(),
                spec.ty.to_string(),
                "keep what the inner maps hold in one map with a longer key",
            );
        }
        if card.map_flags_refused(spec) != 0 {
            let limit = format!("{:#x}", *card.map_flags);
            refuse(
                Rule::MapFlags,
                "the card's maps take no such flags",
                limit,
                format!("{:#x}", spec.flags),
                "drop the flags",
            );
        }
        let sizes = [
            (MapSize::Key, Rule::MapKey, "keys are too large for the card"),
            (MapSize::Value, Rule::MapValue, "values are too large for the card"),
            (
                MapSize::Element,
                Rule::MapElement,
                "key and value together, each rounded up to 8 bytes, are too large for the card",
            ),
        ];
        for (size, rule, reason) in sizes {
            if let Some(Oversize { actual, limit }) = card.map_oversize(spec, size) {
                refuse(rule, reason, format!("{limit} B"), format!("{actual} B"), "split the map in two");
            }
        }
    }

    fn check_words(&mut self) {
        let words: Vec<_> = self.words.words.iter().map(|(at, word)| (*at, *word)).collect();
        for ((map, index), word) in words {
            let Some(atomic) = word.atomic else { continue };
            let bytes = format!("bytes {} to {}", index * 4, index * 4 + 3);
            let name = self.program.maps.get(map.0 as usize).map_or("", |spec| spec.name.as_str());
            if let Some(read) = word.read {
                let refusal = Refusal::new(Rule::MapWordUse, "a word of a value is both read and added to atomically")
                    .limit(format!("one use of {bytes} of {name}"), format!("added to at {atomic}, read at {read}"))
                    .help("read counters from user space only, or keep a second copy for the program");
                self.refuse(atomic.max(read), refusal);
            }
            if let Some(update) = word.nonzero {
                let refusal =
                    Refusal::new(Rule::AtomicInitial, "an atomic counter may start at something other than 0")
                        .limit(format!("0 in {bytes} of {name}"), format!("updated at {update}, added to at {atomic}"))
                        .help("update with a value whose counters are constant zeros");
                self.refuse(update, refusal);
            }
        }
    }
}
