//! The table of map kinds.

use super::map::round8;
use super::{
    Map, Tape, array, array_of_maps, bloom_filter, cgroup_array, cpumap, devmap, devmap_hash, hash, hash_of_maps,
    hash_table, lpm_trie, lru_hash, lru_percpu_hash, percpu_array, percpu_hash, perf_event_array, prog_array, queue,
    ringbuf, sockhash, sockmap, stack, stack_trace, user_ringbuf, xskmap,
};
use crate::errno::Errno;
use crate::memory::Elements;
use crate::program::{MapSpec, MapType};

/// Why a definition is refused at creation: the error number Linux returns, and the rule in words.
pub type CreateCheck = Result<(), (Errno, &'static str)>;

/// What lies in a map under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holds {
    /// Values that programs read and write in place, or nothing that anybody refers to.
    Values,
    /// Programs to jump to, by number ([`super::References`]).
    Programs,
    /// Maps, by number. A program's look-up yields a map.
    Maps,
    /// Devices by `ifindex`, each with a program's number or 0.
    Devices,
    /// Queue lengths of processors, each with a program's number or 0.
    Cpus,
    /// Sockets, by number.
    Sockets,
    /// Performance events, by number.
    Events,
    /// Control groups, by number.
    Cgroups,
}

/// What user space gets when it looks something up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UserLookup {
    /// The value, or the number that refers to the object.
    Value,
    /// What a program's peek yields; of a bloom filter, whether the value may be in it.
    Peek,
    /// That number.
    Refused(Errno),
}

/// Which of the commands on many entries a kind takes (`BPF_MAP_LOOKUP_BATCH` and the like).
#[derive(Clone, Copy)]
pub enum Batch {
    /// None.
    None,
    /// Look-up and update, key by key.
    Keys,
    /// Those and deletion, key by key.
    KeysAndDelete,
    /// All of them; look-ups take whole buckets.
    Buckets(fn(&Map) -> hash_table::Shape),
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
    /// Whether it may stand in a map of maps.
    pub inner: bool,
    /// What user space's look-ups get.
    pub user_lookup: UserLookup,
    /// Whether user space may look up and delete in one.
    pub user_take: bool,
    /// Commands on many entries.
    pub batch: Batch,
    /// Flags that Linux sets in every map of the kind.
    pub adds_flags: u32,
    /// What Linux checks when such a map is created.
    pub check: fn(&MapSpec) -> CreateCheck,
    /// Bytes of the region for a definition that passed `check`, and how many processors there are. It may exceed 32
    /// bits; [`Map::new`] refuses that.
    pub region_size: fn(&MapSpec, cpus: u32) -> u64,
    /// Where the values that programs access lie, in a region whose size fits 32 bits.
    pub elements: fn(&MapSpec, cpus: u32) -> Elements,
    /// What it does by key.
    pub ops: &'static dyn MapOps,
    /// What it does without one.
    pub queue: Option<&'static dyn QueueOps>,
}

impl std::fmt::Debug for MapKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MapKind({})", self.ty)
    }
}

/// The kinds that work, by number.
pub static KINDS: [MapKind; 24] = [
    hash::KIND,
    array::KIND,
    prog_array::KIND,
    perf_event_array::KIND,
    percpu_hash::KIND,
    percpu_array::KIND,
    stack_trace::KIND,
    cgroup_array::KIND,
    lru_hash::KIND,
    lru_percpu_hash::KIND,
    lpm_trie::KIND,
    array_of_maps::KIND,
    hash_of_maps::KIND,
    devmap::KIND,
    sockmap::KIND,
    cpumap::KIND,
    xskmap::KIND,
    sockhash::KIND,
    queue::KIND,
    stack::KIND,
    devmap_hash::KIND,
    ringbuf::KIND,
    bloom_filter::KIND,
    user_ringbuf::KIND,
];

/// Helpers that take any map of keys and values: look-up, update, delete.
pub(super) const KEYED: &[u32] = &[1, 2, 3];
/// Those, and the look-up on another processor.
pub(super) const KEYED_PERCPU: &[u32] = &[1, 2, 3, 195];
/// The region of a kind whose memory no program accesses.
pub(super) const NO_ELEMENTS: Elements = Elements { first: 0, stride: 8, size: 0, count: 0 };

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

/// The operations of a kind by key.
///
/// Callers hand in keys of exactly `key_size` bytes and values of exactly `value_size` bytes ([`Map`]'s methods see to
/// that). A fresh region is all zero bytes, and that is a valid empty map.
pub trait MapOps: Sync {
    /// Offset of the value that belongs to `key` on processor `cpu`, as a program looks it up. For kinds that hold
    /// references: of the slot, if it is not empty.
    fn lookup(&self, map: &Map, tape: &mut Tape<'_>, cpu: u32, key: &[u8]) -> Option<u32>;

    /// The same for user space, whose look-ups leave no trace in a map that remembers use.
    fn find(&self, map: &Map, tape: &mut Tape<'_>, cpu: u32, key: &[u8]) -> Option<u32> {
        self.lookup(map, tape, cpu, key)
    }

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

/// The operations of a kind without a key. Values are of exactly `value_size` bytes.
pub trait QueueOps: Sync {
    /// `bpf_map_push_elem`.
    ///
    /// # Errors
    /// Linux's number.
    fn push(&self, map: &Map, tape: &mut Tape<'_>, value: &[u8], flags: u64) -> Result<(), Errno>;

    /// `bpf_map_pop_elem`: takes a value out. Where there is none `value` becomes zero.
    ///
    /// # Errors
    /// Linux's number.
    fn pop(&self, map: &Map, tape: &mut Tape<'_>, value: &mut [u8]) -> Result<(), Errno>;

    /// `bpf_map_peek_elem`: reads the value that would be popped; of a bloom filter asks for `value`.
    ///
    /// # Errors
    /// Linux's number.
    fn peek(&self, map: &Map, tape: &mut Tape<'_>, value: &mut [u8]) -> Result<(), Errno>;
}

/// [`MapOps`] of a kind that has no keys: look-ups find nothing, the rest is refused.
pub(super) struct Keyless {
    /// What an update gets.
    pub update: Errno,
    /// What a deletion gets.
    pub delete: Errno,
    /// What a walk gets.
    pub next_key: Errno,
}

impl MapOps for Keyless {
    fn lookup(&self, _: &Map, _: &mut Tape<'_>, _: u32, _: &[u8]) -> Option<u32> {
        None
    }

    fn update(&self, _: &Map, _: &mut Tape<'_>, _: Side, _: &[u8], _: &[u8], _: u64) -> Result<(), Errno> {
        Err(self.update)
    }

    fn delete(&self, _: &Map, _: &mut Tape<'_>, _: u32, _: &[u8]) -> Result<(), Errno> {
        Err(self.delete)
    }

    fn next_key(&self, _: &Map, _: &mut Tape<'_>, _: Option<&[u8]>, _: &mut [u8]) -> Result<(), Errno> {
        Err(self.next_key)
    }
}
