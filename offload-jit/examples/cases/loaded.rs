//! A case's programs on a core: translated, linked, their maps made and filled.

use std::collections::{BTreeMap, BTreeSet};

use bpf::diag::Diagnostic;
use bpf::engines::{Entry, Link, ProgramSet};
use bpf::facts::Facts;
use bpf::program::MapType;
use bpf::verifier::{self, Options, Verdict, VerifiedProgram};
use nic_model::firmware;
use nic_model::memory::{MemoryKind, TableId};
use nic_model::profile::{Capabilities, CardProfile};
use offload_jit::{Firmware, Image, Mode, Refusal, compile_for_tables, compile_unoptimised};

use super::bench::Bench;

/// A verified program of a case, and what holds of it.
pub struct Member {
    pub verified: VerifiedProgram,
    pub facts: Facts,
}

/// A case's program and those it may tail-call.
pub struct Group {
    pub members: Vec<Member>,
    entries: Vec<Entry>,
    links: Vec<Link>,
}

/// How a program is translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Translation {
    As(Mode),
    /// Mode best's lowering without its passes.
    Plain,
}

impl Group {
    /// The verified main program with the others of its set.
    ///
    /// # Errors
    /// Another program that Linux would not take.
    pub fn new(main: VerifiedProgram, set: ProgramSet, options: &Options) -> Result<Group, String> {
        let mut members = vec![Member { facts: Facts::of(&main), verified: main }];
        for part in set.parts {
            let verified = match verifier::verify(part, options) {
                Verdict::Accepted(verified) => verified,
                Verdict::Rejected(rejection) => return Err(rejection.diagnostic.headline()),
                Verdict::Unsupported(diagnostic) => return Err(diagnostic.headline()),
            };
            members.push(Member { facts: Facts::of(&verified), verified });
        }
        Ok(Group { members, entries: set.entries, links: set.links })
    }

    /// Translates them all. `tables` are the card's numbers of the maps.
    ///
    /// # Errors
    /// Every reason why the card does not take one of them.
    pub fn translate(
        &self,
        card: &Capabilities,
        translation: Translation,
        tables: &[u32],
    ) -> Result<Vec<Image>, Vec<Refusal>> {
        let one = |member: &Member| match translation {
            Translation::As(mode) => compile_for_tables(&member.verified, &member.facts, card, mode, tables),
            Translation::Plain => compile_unoptimised(&member.verified, &member.facts, card, tables),
        };
        self.members.iter().map(one).collect()
    }

    /// The card's numbers of the maps: those that live there first, as the card makes them.
    pub fn tables(&self, images: &[Image]) -> Vec<u32> {
        let maps = self.members[0].verified.program().maps.len();
        let placed = || images.iter().flat_map(Image::maps);
        let on_card: BTreeSet<usize> = placed().filter(|p| p.on_card).map(|p| p.map.0 as usize).collect();
        let mut tables = vec![0; maps];
        let others = (0..maps).filter(|map| !on_card.contains(map));
        for (number, map) in (1..).zip(on_card.iter().copied().chain(others)) {
            tables[map] = number;
        }
        tables
    }
}

/// A core with a case's programs.
pub struct Loaded {
    pub bench: Bench,
    /// The card's map of each of the program's, where it has one.
    pub tables: Vec<Option<TableId>>,
}

impl Loaded {
    /// Puts translated programs, whose maps have these numbers, on a core of the card.
    ///
    /// # Errors
    /// What the card has no room for, and an entry that a map does not take.
    pub fn new(card: &CardProfile, group: &Group, images: &[Image], numbers: &[u32]) -> Result<Loaded, String> {
        let headline = |d: Diagnostic| d.headline();
        let length: usize = images.iter().map(|image| image.words().len()).sum();
        let room = (*card.capabilities.max_instructions as usize).max(length);
        let mut bench = Bench::new(card, room.min(usize::from(u16::MAX)) as u16).map_err(headline)?;
        let specs = &group.members[0].verified.program().maps;
        let mut order: Vec<usize> = (0..specs.len()).collect();
        order.sort_by_key(|map| numbers[*map]);
        let mut tables = vec![None; specs.len()];
        for map in order {
            let placed = || images.iter().flat_map(Image::maps).filter(|placed| placed.map.0 as usize == map);
            if !placed().any(|placed| placed.on_card) {
                continue;
            }
            let words: BTreeSet<u32> = placed().flat_map(|placed| placed.atomic_words.iter().map(|w| w * 4)).collect();
            let words: Vec<u32> = words.into_iter().collect();
            let memory = placed().find(|placed| placed.on_card).map_or(MemoryKind::Emem, |placed| placed.memory);
            let table = bench.memories.create_map_in(memory, specs[map].clone(), &words).map_err(headline)?;
            tables[map] = Some(table);
        }
        let mut write = |map: usize, key: &[u8], value: &[u8]| {
            let Some(table) = tables.get(map).copied().flatten() else { return Ok(()) };
            let updated = bench.memories.user_update(table, key, value, 0);
            updated.map_err(|errno| format!("map {} does not take an entry: {errno}", specs[map].name))
        };
        for entry in &group.entries {
            write(entry.map, &entry.key, &entry.value)?;
        }
        for link in &group.links {
            // Programs are numbered in their order, the main one first.
            let number = link.part.map_or(1, |part| part as u32 + 2);
            write(link.map, &link.slot.to_le_bytes(), &number.to_le_bytes())?;
        }
        let (mut words, mut starts) = (Vec::new(), BTreeMap::new());
        for (number, image) in (1..).zip(images) {
            let mut doors = doors(&bench, &tables);
            doors.start = doors.start.saturating_add(words.len() as u16);
            starts.insert(number, doors.start);
            words.extend(image.link(&doors).map_err(headline)?);
        }
        bench.load(&words, starts).map_err(headline)?;
        Ok(Loaded { bench, tables })
    }
}

/// The addresses of the firmware on a bench.
fn doors(bench: &Bench, tables: &[Option<TableId>]) -> Firmware {
    let layout = bench.layout();
    let helper = |id: u32| Some((id, layout.address(firmware::Entry::of_helper(id)?)?));
    let routine = |id: u32| Some((id, layout.address(firmware::Entry::Helper(id))?));
    let ids = || bpf::helpers::HELPERS.iter().map(|row| row.id);
    let first = |table: &TableId| {
        let map = bench.memories.maps().get(*table)?;
        Some((table.0, map.first_value()))
    };
    Firmware {
        start: layout.start,
        done: layout.address(firmware::Entry::Done).expect("every firmware has an end of programs"),
        helpers: ids().filter_map(helper).collect(),
        routines: ids().filter_map(routine).collect(),
        atomic: layout.address(firmware::Entry::Atomic),
        values: tables.iter().flatten().filter_map(first).collect(),
    }
}

/// Whether user space reads values out of maps of this type.
pub fn holds_values(ty: MapType) -> bool {
    bpf::maps::KINDS.iter().any(|kind| kind.ty == ty && kind.holds == bpf::maps::Holds::Values)
}
