//! The maps of a card, in external memory.

use bpf::diag::{At, Diagnostic};
use bpf::errno::Errno;
use bpf::maps::{Access, AccessKind, AccessLog, Map, MapId, MapMemory, References, View};
use bpf::program::MapSpec;

use super::store::Store;

/// What the card's firmware calls a map; programs carry it in place of a map pointer. 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

/// Bytes to a multiple of which every map's region starts, so that no two share a cache line.
const REGION_ALIGN: u64 = 4096;

/// A map and the place of its region in external memory.
///
/// The region's layout is the map's own ([`bpf::maps`]), the same as on the host: a map and an offset name the same byte
/// everywhere. There is one difference in what the bytes mean: words that programs use with atomic commands lie big-endian
/// ([`CardMap::atomic_words`]).
#[derive(Debug, Clone)]
pub struct CardMap {
    map: Map,
    base: u64,
    atomic_words: Vec<u32>,
    /// The host has given it up: its number names nothing.
    freed: bool,
}

impl CardMap {
    /// Definition and operations.
    pub fn map(&self) -> &Map {
        &self.map
    }

    /// First byte of its region in external memory.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Byte offsets in a value of the 32-bit words that programs change by atomic commands, ascending.
    pub fn atomic_words(&self) -> &[u32] {
        &self.atomic_words
    }

    /// Turns a value's atomic words from the card's order to the host's, or back. A value of a per-CPU map is one
    /// processor's.
    fn swap_atomic_words(&self, value: &mut [u8]) {
        let stride = self.map.spec().value_size.next_multiple_of(8) as usize;
        for value in value.chunks_mut(stride) {
            for &at in &self.atomic_words {
                if let Some(word) = value.get_mut(at as usize..at as usize + 4) {
                    word.reverse();
                }
            }
        }
    }
}

/// The maps of one card.
#[derive(Debug, Clone)]
pub struct CardMaps {
    maps: Vec<CardMap>,
    next: u64,
    end: u64,
    cpus: u32,
}

/// A map refers to another by its table id, which is the number that references have.
impl References for CardMaps {
    fn map(&self, id: MapId) -> Option<&Map> {
        self.get(TableId(id.reference())).map(CardMap::map)
    }
}

/// The region of one map.
pub(super) struct Region<'a> {
    pub store: &'a mut Store,
    pub base: u64,
    pub bytes: u32,
}

impl Region<'_> {
    fn holds(&self, off: u32, len: usize) -> bool {
        u64::from(off) + len as u64 <= u64::from(self.bytes)
    }
}

impl MapMemory for Region<'_> {
    fn read(&mut self, off: u32, buf: &mut [u8]) {
        if self.holds(off, buf.len()) {
            self.store.read(self.base + u64::from(off), buf);
        } else {
            buf.fill(0);
        }
    }

    fn write(&mut self, off: u32, bytes: &[u8]) {
        if self.holds(off, bytes.len()) {
            self.store.write(self.base + u64::from(off), bytes);
        }
    }

    fn view(&mut self) -> View<'_> {
        View::Other(self)
    }
}

/// What a core must know of a map to hand its firmware a key and a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MapShape {
    /// Bytes of a key.
    pub key: u32,
    /// Bytes of a value.
    pub value: u32,
    /// First byte of the map's region in external memory.
    pub base: u64,
}

/// An operation of the host's on a card's map, by control message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostOp<'a> {
    /// The value under a key.
    Lookup,
    /// An entry is written, with these flags.
    Update(&'a [u8], u64),
    /// An entry is removed.
    Delete,
    /// The entry behind a key.
    Next,
    /// The first entry.
    First,
}

/// What a map helper does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MapOp {
    /// `bpf_map_lookup_elem`.
    Lookup,
    /// `bpf_map_update_elem`.
    Update,
    /// `bpf_map_delete_elem`.
    Delete,
}

/// A map helper's arguments on their way to the map, and what came of it. A context keeps one and uses it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapCall {
    /// What to do.
    pub op: MapOp,
    /// To which map.
    pub table: TableId,
    /// Slot of the processor, for per-CPU maps.
    pub cpu: u32,
    /// Key.
    pub key: Vec<u8>,
    /// Value of an update.
    pub value: Vec<u8>,
    /// Flags of an update.
    pub flags: u64,
    /// Of a lookup: offset of the value in the region.
    pub found: Option<u32>,
    /// Of an update or delete.
    pub result: Result<(), Errno>,
    /// What the operation accessed, by offset in the region.
    pub log: AccessLog,
}

impl Default for MapCall {
    fn default() -> Self {
        MapCall {
            op: MapOp::Lookup,
            table: TableId(0),
            cpu: 0,
            key: Vec::new(),
            value: Vec::new(),
            flags: 0,
            found: None,
            result: Ok(()),
            log: AccessLog::new(),
        }
    }
}

impl CardMaps {
    /// No maps yet, room for them from `base` to `end` of external memory; `cpus` contexts have per-CPU slots.
    pub fn new(base: u64, end: u64, cpus: u32) -> Self {
        CardMaps { maps: Vec::new(), next: base.next_multiple_of(REGION_ALIGN), end, cpus }
    }

    /// Room that is left, in bytes.
    pub fn free_bytes(&self) -> u64 {
        self.end.saturating_sub(self.next)
    }

    /// The map of a table id.
    pub fn get(&self, table: TableId) -> Option<&CardMap> {
        self.maps.get((table.0 as usize).checked_sub(1)?).filter(|map| !map.freed)
    }

    /// All maps and their ids, in order of creation.
    pub fn iter(&self) -> impl Iterator<Item = (TableId, &CardMap)> {
        self.maps.iter().zip(1..).map(|(map, id)| (TableId(id), map))
    }

    /// What cores must know of the maps: that of table id `i` stands at `i - 1`.
    pub fn shapes(&self) -> Vec<MapShape> {
        let shape = |map: &CardMap| {
            let spec = map.map.spec();
            MapShape { key: spec.key_size, value: spec.value_size, base: map.base }
        };
        self.maps.iter().map(shape).collect()
    }

    /// The map that a byte of external memory belongs to, and the offset in its region.
    pub fn at(&self, offset: u64) -> Option<(TableId, u32)> {
        let after = self.maps.partition_point(|map| map.base <= offset);
        let map = &self.maps[after.checked_sub(1)?];
        let within = offset - map.base;
        (within < u64::from(map.map.region_size())).then_some((TableId(after as u32), within as u32))
    }

    pub(super) fn create(
        &mut self,
        store: &mut Store,
        spec: MapSpec,
        atomic_words: &[u32],
    ) -> Result<TableId, Diagnostic> {
        let map = Map::new(spec, self.cpus)?;
        let bytes = u64::from(map.region_size());
        if bytes > self.free_bytes() {
            return Err(Diagnostic::new("card-memory-full", "the map does not fit the card's external memory")
                .at(At::Named(map.spec().name.clone()))
                .limit(format!("{} bytes left for maps", self.free_bytes()), format!("{bytes} bytes"))
                .help("lower max_entries or the value size, or use a card with more external memory"));
        }
        let base = self.next;
        self.next = (base + bytes).next_multiple_of(REGION_ALIGN);
        map.initialise(&mut Region { store, base, bytes: map.region_size() });
        let mut atomic_words = atomic_words.to_vec();
        atomic_words.sort_unstable();
        atomic_words.dedup();
        self.maps.push(CardMap { map, base, atomic_words, freed: false });
        Ok(TableId(self.maps.len() as u32))
    }

    /// Carries out a call; `false` where there is no such map.
    pub(super) fn call(&self, store: &mut Store, call: &mut MapCall) -> bool {
        call.log.clear();
        let Some(card_map) = self.get(call.table) else { return false };
        let map = &card_map.map;
        let mut region = Region { store, base: card_map.base, bytes: map.region_size() };
        call.found = None;
        call.result = Ok(());
        let MapCall { op, cpu, key, value, flags, found, result, log, .. } = call;
        match op {
            MapOp::Lookup => *found = map.lookup(&mut region, log, *cpu, key),
            MapOp::Update => *result = map.update(&mut region, log, *cpu, key, value, *flags),
            MapOp::Delete => *result = map.delete(&mut region, log, *cpu, key),
        }
        true
    }

    /// `BPF_MAP_LOOKUP_ELEM` as the host's control plane does it.
    pub(super) fn user_lookup(&self, store: &mut Store, table: TableId, key: &[u8]) -> Result<Vec<u8>, Errno> {
        let card_map = self.get(table).ok_or(Errno::ENOENT)?;
        let mut region = Region { store, base: card_map.base, bytes: card_map.map.region_size() };
        let mut value = card_map.map.user_lookup(&mut region, &mut AccessLog::new(), key, 0)?;
        card_map.swap_atomic_words(&mut value);
        Ok(value)
    }

    /// `BPF_MAP_UPDATE_ELEM` as the host's control plane does it.
    pub(super) fn user_update(
        &self,
        store: &mut Store,
        table: TableId,
        key: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<(), Errno> {
        let card_map = self.get(table).ok_or(Errno::ENOENT)?;
        let mut region = Region { store, base: card_map.base, bytes: card_map.map.region_size() };
        let mut value = value.to_vec();
        card_map.swap_atomic_words(&mut value);
        card_map.map.user_update(&mut region, &mut AccessLog::new(), self, key, &value, flags)
    }

    /// `BPF_MAP_DELETE_ELEM` as the host's control plane does it.
    pub(super) fn user_delete(&self, store: &mut Store, table: TableId, key: &[u8]) -> Result<(), Errno> {
        let card_map = self.get(table).ok_or(Errno::ENOENT)?;
        let mut region = Region { store, base: card_map.base, bytes: card_map.map.region_size() };
        card_map.map.user_delete(&mut region, &mut AccessLog::new(), key)
    }

    /// What a control message asks for; bytes are those of the card's memory, in the card's order. Gives the entry, and
    /// adds what was accessed to `accesses`.
    pub(super) fn host_operation(
        &self,
        store: &mut Store,
        table: TableId,
        op: HostOp<'_>,
        key: &[u8],
        accesses: &mut Vec<Access>,
    ) -> Result<(Vec<u8>, Vec<u8>), Errno> {
        let card_map = self.get(table).ok_or(Errno::EBADFD)?;
        let map = &card_map.map;
        let mut region = Region { store, base: card_map.base, bytes: map.region_size() };
        let (mut log, mut found) = (AccessLog::new(), key.to_vec());
        let done = match op {
            HostOp::Lookup => Ok(None),
            HostOp::Update(value, flags) => {
                map.user_update(&mut region, &mut log, self, key, value, flags).map(|()| Some(value.to_vec()))
            }
            HostOp::Delete => map.user_delete(&mut region, &mut log, key).map(|()| Some(Vec::new())),
            HostOp::Next | HostOp::First => {
                let after = if op == HostOp::Next { Some(key) } else { None };
                found.resize(map.spec().key_size as usize, 0);
                map.user_next_key(&mut region, &mut log, after, &mut found).map(|()| None)
            }
        };
        accesses.extend(log.accesses());
        if let Some(value) = done? {
            return Ok((found, value));
        }
        log.clear();
        let value = map.user_lookup(&mut region, &mut log, &found, 0);
        accesses.extend(log.accesses());
        let value = value?;
        // The value lies behind what the look-up read last.
        let off = log.accesses().last().map_or(map.elements().first, |last| last.off + last.len);
        accesses.push(Access { kind: AccessKind::Read, off, len: value.len() as u32, dependent: true });
        Ok((found, value))
    }

    /// Gives up a map, and the number of entries that went with it. Its memory is used again where it was the last.
    pub(super) fn free(&mut self, store: &mut Store, table: TableId) -> Result<u32, Errno> {
        let entries = self.get(table).map(|_| self.user_entries(store, table).len()).ok_or(Errno::EBADFD)?;
        let card_map = self.maps.get_mut((table.0 - 1) as usize).ok_or(Errno::EBADFD)?;
        card_map.freed = true;
        let (base, bytes) = (card_map.base, u64::from(card_map.map.region_size()));
        if self.next == (base + bytes).next_multiple_of(REGION_ALIGN) {
            self.next = base;
        }
        // Nobody may find the old entries in a map that lies here next.
        store.clear(base, bytes);
        Ok(entries as u32)
    }

    /// All entries in the map's order, values in the host's byte order.
    pub(super) fn user_entries(&self, store: &mut Store, table: TableId) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Some(card_map) = self.get(table) else { return Vec::new() };
        let mut region = Region { store, base: card_map.base, bytes: card_map.map.region_size() };
        let mut entries = card_map.map.user_entries(&mut region);
        for (_, value) in &mut entries {
            card_map.swap_atomic_words(value);
        }
        entries
    }
}
