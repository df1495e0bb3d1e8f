//! What user space does to the maps of programs on the host.

use bpf::maps::Map;
use nic_model::des::Time;

/// What is put under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A value. Of a per-CPU map one processor's, which every processor gets.
    Bytes(Vec<u8>),
    /// One of the programs of a hook, by its place.
    Program(usize),
    /// One of their maps, by its place.
    Map(usize),
    /// A device or the length of a processor's queue, and one of the programs that runs behind a redirect to it.
    Behind {
        /// `ifindex`, or length.
        word: u32,
        /// The program's place.
        program: usize,
    },
}

/// An update or a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// One of the maps of a hook, by its place.
    pub map: usize,
    /// Key.
    pub key: Vec<u8>,
    /// What it gets; nothing deletes it.
    pub content: Option<Content>,
}

/// What user space does to a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Writes an entry or removes one.
    Write(Write),
    /// Reads the value under a key of one of the maps of a hook, by its place.
    Lookup(usize, Vec<u8>),
    /// Reads all of it.
    Dump(usize),
}

impl Act {
    /// The map's place.
    pub const fn map(&self) -> usize {
        match self {
            Act::Write(write) => write.map,
            Act::Lookup(map, _) | Act::Dump(map) => *map,
        }
    }

    /// Its name in reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Act::Write(Write { content: Some(_), .. }) => "update",
            Act::Write(_) => "delete",
            Act::Lookup(..) => "lookup",
            Act::Dump(_) => "dump",
        }
    }
}

/// Something done at a time, while packets flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// When.
    pub at: Time,
    /// Which process does it; those of one process follow each other.
    pub process: u16,
    /// What.
    pub act: Act,
}

/// Somebody who reads a ring buffer while packets flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader {
    /// One of the maps of a hook, by its place.
    pub map: usize,
    /// Time between two looks.
    pub every: Time,
}

/// A value as user space hands it over: padded and repeated for the processors of a per-CPU map.
pub fn value_for_user(map: &Map, value: &[u8]) -> Vec<u8> {
    let size = map.user_value_size();
    if size == value.len() {
        return value.to_vec();
    }
    let mut one = value.to_vec();
    one.resize(value.len().next_multiple_of(8), 0);
    one.repeat(size / one.len().max(1))
}
