//! The table of map kinds.

use super::map::round8;
use super::{Map, Tape, array, array_of_maps, hash, hash_of_maps, percpu_array, percpu_hash, prog_array};
use crate::errno::Errno;
use crate::memory::Elements;
use crate::program::{MapSpec, MapType};

/// Why a definition is refused at creation: the error number Linux returns, and the rule in words.
pub type CreateCheck = Result<(), (Errno, &'static str)>;

/// What lies in a map under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holds {
    /// Values that programs read and write in place.
    Values,
    /// Programs to jump to, by number ([`super::References`]).
    Programs,
    /// Maps, by number. A program's look-up yields a map.
    Maps,
}

/// One kind of map: a row of [`KINDS`]. Every column has to be filled in: there are no defaults.
#[derive(Clone, Copy)]
pub struct MapKind {
    /// Number and name.
    pub ty: MapType,
    /// Whether every processor has its own values.
    pub per_cpu: bool,
    /// What lies under a key.
    pub holds: Holds,
    /// Numbers of the helpers that a program may hand such a map to (kernel: `check_map_func_compatibility`).
    pub helpers: &'static [u32],
    /// What Linux checks when such a map is created.
    pub check: fn(&MapSpec) -> CreateCheck,
    /// Bytes of the region for a definition that passed `check`, and how many processors there are. It may exceed 32
    /// bits; [`Map::new`] refuses that.
    pub region_size: fn(&MapSpec, cpus: u32) -> u64,
    /// Where the values that programs access lie, in a region whose size fits 32 bits.
    pub elements: fn(&MapSpec, cpus: u32) -> Elements,
    /// What it does.
    pub ops: &'static dyn MapOps,
}

impl std::fmt::Debug for MapKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MapKind({})", self.ty)
    }
}

/// The kinds that work, by number.
pub static KINDS: [MapKind; 7] = [
    hash::KIND,
    array::KIND,
    prog_array::KIND,
    percpu_hash::KIND,
    percpu_array::KIND,
    array_of_maps::KIND,
    hash_of_maps::KIND,
];

/// Who updates a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// A program on that processor.
    Program(u32),
    /// User space.
    User,
}

impl Side {
    /// The processor that does the work; user space's is 0.
    pub const fn cpu(self) -> u32 {
        match self {
            Side::Program(cpu) => cpu,
            Side::User => 0,
        }
    }

    /// The processors an update of a per-CPU map writes, each with its value: a program's own, or all of them out of
    /// user space's slots of 8-byte multiples.
    pub fn values<'a>(self, map: &Map, value: &'a [u8]) -> impl Iterator<Item = (u32, &'a [u8])> + use<'a> {
        let (first, size) = (self.cpu(), map.spec().value_size as usize);
        let slot = if self == Side::User { round8(map.spec().value_size) as usize } else { size };
        (first..).zip(value.chunks(slot.max(1)).map(move |one| &one[..size.min(one.len())]))
    }
}

/// Helpers that take any map of keys and values: look-up, update, delete.
pub(super) const KEYED: &[u32] = &[1, 2, 3];
/// The region of a kind whose memory no program accesses.
pub(super) const NO_ELEMENTS: Elements = Elements { first: 0, stride: 8, size: 0, count: 0 };

/// The operations of a kind.
///
/// Callers hand in keys of exactly `key_size` bytes and values of exactly `value_size` bytes ([`Map`]'s methods see to
/// that). A fresh region is all zero bytes, and that is a valid empty map.
pub trait MapOps: Sync {
    /// Offset of the value that belongs to `key` on processor `cpu`, as a program looks it up. For kinds that hold
    /// references: of the slot, if it is not empty.
    fn lookup(&self, map: &Map, tape: &mut Tape<'_>, cpu: u32, key: &[u8]) -> Option<u32>;

    /// Creates or replaces a value (`bpf_map_update_elem`). From user space `value` holds those of all processors for
    /// per-CPU kinds ([`Side::values`]).
    ///
    /// # Errors
    /// Linux's number.
    fn update(
        &self,
        map: &Map,
        tape: &mut Tape<'_>,
        side: Side,
        key: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<(), Errno>;

    /// Removes an entry (`bpf_map_delete_elem`).
    ///
    /// # Errors
    /// Linux's number.
    fn delete(&self, map: &Map, tape: &mut Tape<'_>, cpu: u32, key: &[u8]) -> Result<(), Errno>;

    /// Writes to `next` the key after `key` in the map's order, or the first for `None` or a key that is not there
    /// (`BPF_MAP_GET_NEXT_KEY`).
    ///
    /// # Errors
    /// `ENOENT` at the end.
    fn next_key(&self, map: &Map, tape: &mut Tape<'_>, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno>;
}
