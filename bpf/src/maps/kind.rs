//! The table of map kinds.

use super::{Map, Tape, array, hash, percpu_array};
use crate::errno::Errno;
use crate::memory::Elements;
use crate::program::{MapSpec, MapType};

/// Why a definition is refused at creation: the error number Linux returns, and the rule in words.
pub type CreateCheck = Result<(), (Errno, &'static str)>;

/// One kind of map: a row of [`KINDS`].
#[derive(Clone, Copy)]
pub struct MapKind {
    /// Number and name.
    pub ty: MapType,
    /// Whether every processor has its own values.
    pub per_cpu: bool,
    /// What Linux checks when such a map is created.
    pub check: fn(&MapSpec) -> CreateCheck,
    /// Bytes of the region for a definition that passed `check`, and how many processors there are. It may exceed 32
    /// bits; [`Map::new`] refuses that.
    pub region_size: fn(&MapSpec, cpus: u32) -> u64,
    /// Where the values lie in a region whose size fits 32 bits.
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
pub static KINDS: [MapKind; 3] = [hash::KIND, array::KIND, percpu_array::KIND];

/// The operations of a kind.
///
/// Callers hand in keys of exactly `key_size` bytes and values of exactly `value_size` bytes ([`Map`]'s methods see to
/// that). A fresh region is all zero bytes, and that is a valid empty map.
pub trait MapOps: Sync {
    /// Offset of the value that belongs to `key` on processor `cpu`.
    fn lookup(&self, map: &Map, tape: &mut Tape<'_>, cpu: u32, key: &[u8]) -> Option<u32>;

    /// Creates or replaces a value (`bpf_map_update_elem`).
    ///
    /// # Errors
    /// Linux's number.
    fn update(
        &self,
        map: &Map,
        tape: &mut Tape<'_>,
        cpu: u32,
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
