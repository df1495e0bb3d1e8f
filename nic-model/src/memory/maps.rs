//! The maps of a card, in internal and external memory.

use std::collections::BTreeMap;

use bpf::diag::{At, Diagnostic};
use bpf::errno::Errno;
use bpf::maps::{Access, AccessKind, AccessLog, Map, MapId, MapMemory, References, View};
use bpf::program::MapSpec;

use super::store::Store;
use super::{AddressMap, MemoriesConfig, MemoryKind};

/// What the card's firmware calls a map; programs carry it in place of a map pointer. 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

/// Bytes to a multiple of which every map's region starts, so that no two share a cache line.
pub const REGION_ALIGN: u64 = 4096;

/// Where a map's region begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapPlace {
    /// Internal or external memory.
    pub memory: MemoryKind,
    /// First byte there.
    pub base: u64,
}

impl Default for MapPlace {
    fn default() -> Self {
        MapPlace { memory: MemoryKind::Emem, base: 0 }
    }
}

impl MapPlace {
    /// The address of a byte of the region as programs hold it.
    pub const fn pointer(self, offset: u32) -> u64 {
        AddressMap::register_pair(AddressMap::shared_address(self.memory, self.base + offset as u64))
    }
}

/// A map and the place of its region.
///
/// The region's layout is the map's own ([`bpf::maps`]), the same as on the host: a map and an offset name the same byte
/// everywhere. There is one difference in what the bytes mean: words that programs use with atomic commands lie big-endian
/// ([`CardMap::atomic_words`]).
#[derive(Debug, Clone)]
pub struct CardMap {
    map: Map,
    place: MapPlace,
    atomic_words: Vec<u32>,
    /// The host has given it up: its number names nothing.
    freed: bool,
}

impl CardMap {
    /// Definition and operations.
    pub fn map(&self) -> &Map {
        &self.map
    }

    /// Where its region begins.
    pub fn place(&self) -> MapPlace {
        self.place
    }

    /// The address of its first value as programs hold it, for maps that are one region of values.
    pub fn first_value(&self) -> u64 {
        self.place.pointer(self.map.elements().first)
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
    places: BTreeMap<MapPlace, TableId>,
    imem: Room,
    emem: Room,
    cpus: u32,
}

/// What of a memory is left for maps.
#[derive(Debug, Clone, Copy)]
struct Room {
    next: u64,
    end: u64,
}

impl Room {
    const fn new(base: u64, end: u64) -> Self {
        Room { next: base.next_multiple_of(REGION_ALIGN), end }
    }

    const fn free(self) -> u64 {
        self.end.saturating_sub(self.next)
    }
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

/// The contents of the memories that hold maps.
pub(super) struct Stores<'a> {
    pub stores: &'a mut [Store],
    pub addresses: AddressMap,
}

impl<'a> Stores<'a> {
    /// The same for a shorter time.
    fn lend(&mut self) -> Stores<'_> {
        Stores { stores: &mut *self.stores, addresses: self.addresses }
    }

    fn of(self, place: MapPlace) -> &'a mut Store {
        &mut self.stores[usize::from(self.addresses.engine(place.memory, 0).0)]
    }

    /// A map's region.
    pub fn region(self, map: &CardMap) -> Region<'a> {
        Region { store: self.of(map.place), base: map.place.base, bytes: map.map.region_size() }
    }
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
    /// Where the map's region begins.
    pub place: MapPlace,
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
    /// No maps yet, in memories of these sizes; `cpus` contexts have per-CPU slots.
    pub fn new(config: &MemoriesConfig, cpus: u32) -> Self {
        CardMaps {
            maps: Vec::new(),
            places: BTreeMap::new(),
            imem: Room::new(config.imem_map_base, config.imem.bytes),
            // 40-bit addresses have 32 bits of offset.
            emem: Room::new(config.map_base, config.emem.bytes.min(1 << 32)),
            cpus,
        }
    }

    /// Bytes of a memory that are left for maps; none of memories that hold no maps.
    pub fn free_bytes(&self, memory: MemoryKind) -> u64 {
        match memory {
            MemoryKind::Imem => self.imem.free(),
            MemoryKind::Emem => self.emem.free(),
            MemoryKind::Cls | MemoryKind::Ctm => 0,
        }
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
            MapShape { key: spec.key_size, value: spec.value_size, place: map.place }
        };
        self.maps.iter().map(shape).collect()
    }

    /// The map that a byte of a memory belongs to, and the offset in its region.
    pub fn at(&self, memory: MemoryKind, offset: u64) -> Option<(TableId, u32)> {
        let (place, table) = self.places.range(..=MapPlace { memory, base: offset }).next_back()?;
        let within = offset.checked_sub(place.base).filter(|_| place.memory == memory)?;
        (within < u64::from(self.get(*table)?.map.region_size())).then_some((*table, within as u32))
    }

    /// Where a map would lie: in internal memory if that is wanted and has room for it, else in external memory.
    fn find(&self, spec: &MapSpec, bytes: u64, wanted: MemoryKind) -> Result<MapPlace, Diagnostic> {
        if wanted == MemoryKind::Imem && bytes <= self.imem.free() {
            return Ok(MapPlace { memory: MemoryKind::Imem, base: self.imem.next });
        }
        if bytes > self.emem.free() {
            return Err(Diagnostic::new("card-memory-full", "the map does not fit the card's external memory")
                .at(At::Named(spec.name.clone()))
                .limit(format!("{} bytes left for maps", self.emem.free()), format!("{bytes} bytes"))
                .help("lower max_entries or the value size, or use a card with more external memory"));
        }
        Ok(MapPlace { memory: MemoryKind::Emem, base: self.emem.next })
    }

    pub(super) fn create(
        &mut self,
        stores: Stores<'_>,
        spec: MapSpec,
        atomic_words: &[u32],
        wanted: MemoryKind,
    ) -> Result<TableId, Diagnostic> {
        let map = Map::new(spec, self.cpus)?;
        let bytes = u64::from(map.region_size());
        let place = self.find(map.spec(), bytes, wanted)?;
        let room = if place.memory == MemoryKind::Imem { &mut self.imem } else { &mut self.emem };
        room.next = (place.base + bytes).next_multiple_of(REGION_ALIGN);
        map.initialise(&mut Region { store: stores.of(place), base: place.base, bytes: map.region_size() });
        let mut atomic_words = atomic_words.to_vec();
        atomic_words.sort_unstable();
        atomic_words.dedup();
        self.maps.push(CardMap { map, place, atomic_words, freed: false });
        let table = TableId(self.maps.len() as u32);
        self.places.insert(place, table);
        Ok(table)
    }

    /// Carries out a call; `false` where there is no such map.
    pub(super) fn call(&self, stores: Stores<'_>, call: &mut MapCall) -> bool {
        call.log.clear();
        let Some(card_map) = self.get(call.table) else { return false };
        let map = &card_map.map;
        let mut region = stores.region(card_map);
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
    pub(super) fn user_lookup(&self, stores: Stores<'_>, table: TableId, key: &[u8]) -> Result<Vec<u8>, Errno> {
        let card_map = self.get(table).ok_or(Errno::ENOENT)?;
        let mut region = stores.region(card_map);
        let mut value = card_map.map.user_lookup(&mut region, &mut AccessLog::new(), key, 0)?;
        card_map.swap_atomic_words(&mut value);
        Ok(value)
    }

    /// `BPF_MAP_UPDATE_ELEM` as the host's control plane does it.
    pub(super) fn user_update(
        &self,
        stores: Stores<'_>,
        table: TableId,
        key: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<(), Errno> {
        let card_map = self.get(table).ok_or(Errno::ENOENT)?;
        let mut region = stores.region(card_map);
        let mut value = value.to_vec();
        card_map.swap_atomic_words(&mut value);
        card_map.map.user_update(&mut region, &mut AccessLog::new(), self, key, &value, flags)
    }

    /// `BPF_MAP_DELETE_ELEM` as the host's control plane does it.
    pub(super) fn user_delete(&self, stores: Stores<'_>, table: TableId, key: &[u8]) -> Result<(), Errno> {
        let card_map = self.get(table).ok_or(Errno::ENOENT)?;
        let mut region = stores.region(card_map);
        card_map.map.user_delete(&mut region, &mut AccessLog::new(), key)
    }

    /// What a control message asks for; bytes are those of the card's memory, in the card's order. Gives the entry, and
    /// adds what was accessed to `accesses`.
    pub(super) fn host_operation(
        &self,
        stores: Stores<'_>,
        table: TableId,
        op: HostOp<'_>,
        key: &[u8],
        accesses: &mut Vec<Access>,
    ) -> Result<(Vec<u8>, Vec<u8>), Errno> {
        let card_map = self.get(table).ok_or(Errno::EBADFD)?;
        let map = &card_map.map;
        let mut region = stores.region(card_map);
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
    pub(super) fn free(&mut self, mut stores: Stores<'_>, table: TableId) -> Result<u32, Errno> {
        let entries = self.get(table).map(|_| self.user_entries(stores.lend(), table).len()).ok_or(Errno::EBADFD)?;
        let card_map = self.maps.get_mut((table.0 - 1) as usize).ok_or(Errno::EBADFD)?;
        card_map.freed = true;
        let (place, bytes) = (card_map.place, u64::from(card_map.map.region_size()));
        self.places.remove(&place);
        let room = if place.memory == MemoryKind::Imem { &mut self.imem } else { &mut self.emem };
        if room.next == (place.base + bytes).next_multiple_of(REGION_ALIGN) {
            room.next = place.base;
        }
        // Nobody may find the old entries in a map that lies here next.
        stores.of(place).clear(place.base, bytes);
        Ok(entries as u32)
    }

    /// All entries in the map's order, values in the host's byte order.
    pub(super) fn user_entries(&self, stores: Stores<'_>, table: TableId) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Some(card_map) = self.get(table) else { return Vec::new() };
        let mut region = stores.region(card_map);
        let mut entries = card_map.map.user_entries(&mut region);
        for (_, value) in &mut entries {
            card_map.swap_atomic_words(value);
        }
        entries
    }
}
