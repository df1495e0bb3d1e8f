//! Objects and who holds them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::btf::{Btf, TypeId};
use crate::errno::Errno;
use crate::maps::{Holds, Map};
use crate::program::{Attach, MapSpec, MapType, ProgType, Program};
use crate::verifier::{Options, VerifiedProgram};

use super::links::Seat;
use super::offload::Bound;

/// An object by its class and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Object {
    /// A map.
    Map(u32),
    /// A program.
    Prog(u32),
    /// A link.
    Link(u32),
    /// Types.
    Btf(u32),
}

/// The objects of one class. Numbers go up and are not used twice.
#[derive(Debug, Clone)]
pub(super) struct Table<T> {
    entries: BTreeMap<u32, T>,
    /// The number that was given last.
    pub last: u32,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { entries: BTreeMap::new(), last: 0 }
    }
}

/// Most objects of a class: so that no input can make more than memory takes.
const MOST: usize = 1 << 20;

impl<T> Table<T> {
    /// Adds an object.
    ///
    /// # Errors
    /// `ENOSPC` when there are no more numbers, `ENOMEM` when there are too many objects.
    pub fn add(&mut self, object: T) -> Result<u32, Errno> {
        if self.last >= i32::MAX as u32 - 1 {
            return Err(Errno::ENOSPC);
        }
        if self.entries.len() >= MOST {
            return Err(Errno::ENOMEM);
        }
        self.last += 1;
        self.entries.insert(self.last, object);
        Ok(self.last)
    }

    /// Puts an object back under the number it had; `false` if there is one or the number was never given.
    pub fn put_back(&mut self, id: u32, object: T) -> bool {
        let free = id > 0 && id <= self.last && !self.entries.contains_key(&id) && self.entries.len() < MOST;
        if free {
            self.entries.insert(id, object);
        }
        free
    }

    pub fn get(&self, id: u32) -> Option<&T> {
        self.entries.get(&id)
    }

    pub fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.entries.get_mut(&id)
    }

    pub fn remove(&mut self, id: u32) -> Option<T> {
        self.entries.remove(&id)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        self.entries.iter_mut().map(|(id, object)| (*id, object))
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.entries.iter().map(|(id, object)| (*id, object))
    }

    /// The first number after `id`.
    pub fn next(&self, id: u32) -> Option<u32> {
        self.entries.range(id.checked_add(1)?..).next().map(|(id, _)| *id)
    }
}

/// A map, with all that it holds.
#[derive(Debug, Clone)]
pub(super) struct MapObject {
    /// As it was asked for, but for flags that only restrict the descriptor it was made with: Linux keeps none of those.
    pub spec: MapSpec,
    pub map: Map,
    pub memory: Vec<u8>,
    pub refs: u32,
    /// References that user space has: descriptors and pins.
    pub user_refs: u32,
    pub types: Option<MapTypes>,
    /// What kind of program its programs are, once it has taken one or one that uses it was loaded.
    pub owner: Option<Owner>,
    /// The card that holds it.
    pub bound: Option<Bound>,
}

/// The kind of programs that share a map that holds programs (`struct bpf_map_owner`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Their type.
    pub ty: ProgType,
    /// What they are for.
    pub attach: Attach,
    /// Whether they take packets in fragments.
    pub frags: bool,
}

impl Owner {
    pub(super) fn of(program: &Program) -> Owner {
        Owner { ty: program.ty, attach: program.attach, frags: program.frags }
    }

    /// Whether a map of this owner's takes or serves a program of that kind (`__bpf_prog_map_compatible`). Only arrays of
    /// programs look at what they are for.
    pub(super) fn takes(self, map: &Map, other: Owner) -> bool {
        let same = (self.ty, self.frags) == (other.ty, other.frags);
        same && (map.kind().holds != Holds::Programs || self.attach == other.attach)
    }
}

/// Whether a map has a kind of programs.
pub(super) fn contains_programs(map: &Map) -> bool {
    matches!(map.kind().holds, Holds::Programs | Holds::Devices | Holds::Cpus)
}

/// Whether all programs that name the map must be of its kind (`map_type_contains_progs`, which leaves one out).
pub(super) fn shared_by_kind(map: &Map) -> bool {
    contains_programs(map) && map.spec().ty != MapType::DEVMAP_HASH
}

/// Types of a map's keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MapTypes {
    pub btf: u32,
    pub key: Option<TypeId>,
    pub value: Option<TypeId>,
}

/// A program.
#[derive(Debug, Clone)]
pub(super) struct ProgObject {
    pub verified: Arc<VerifiedProgram>,
    pub name: String,
    pub tag: [u8; 8],
    /// Nanoseconds since boot when it was loaded.
    pub loaded_at: u64,
    pub refs: u32,
    /// Its maps, by the index its instructions name them with.
    pub maps: Vec<u32>,
    pub btf: Option<u32>,
    /// What it was verified for.
    pub options: Options,
    /// The card that it is for.
    pub bound: Option<Bound>,
    /// Its instructions for that card.
    pub image: Arc<[u8]>,
}

/// A link.
#[derive(Debug, Clone)]
pub(super) struct LinkObject {
    pub refs: u32,
    pub program: u32,
    /// Where it is attached, until it is detached.
    pub seat: Option<Seat>,
    /// Where it was made to be.
    pub made_for: Seat,
}

/// Types.
#[derive(Debug, Clone)]
pub(super) struct BtfObject {
    pub btf: Arc<Btf>,
    pub bytes: Arc<[u8]>,
    pub refs: u32,
}
