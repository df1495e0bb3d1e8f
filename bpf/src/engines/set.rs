//! Programs that belong together.

use crate::program::{MapSpec, Program};

/// A program, those it may tail-call, and the maps they share.
#[derive(Debug, Clone)]
pub struct ProgramSet {
    /// The one that runs. Its maps are the set's.
    pub main: Program,
    /// Others; their maps are the same, in the same order.
    pub parts: Vec<Program>,
    /// What maps hold at the start, besides what their definitions say.
    pub entries: Vec<Entry>,
    /// Which program is in which slot.
    pub links: Vec<Link>,
}

/// An entry of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The map, by index.
    pub map: usize,
    /// Key.
    pub key: Vec<u8>,
    /// Value; of a per-CPU map the one that every processor gets.
    pub value: Vec<u8>,
}

/// A program in a slot of a program array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The map, by index.
    pub map: usize,
    /// Slot.
    pub slot: u32,
    /// Index into [`ProgramSet::parts`]; `None` for the main program.
    pub part: Option<usize>,
}

impl ProgramSet {
    /// A set of one program whose maps start empty.
    pub fn of(main: Program) -> ProgramSet {
        ProgramSet { main, parts: Vec::new(), entries: Vec::new(), links: Vec::new() }
    }

    /// The set's maps.
    pub fn maps(&self) -> &[MapSpec] {
        &self.main.maps
    }

    /// The program of a link.
    pub fn linked(&self, link: &Link) -> Option<&Program> {
        link.part.map_or(Some(&self.main), |at| self.parts.get(at))
    }
}
