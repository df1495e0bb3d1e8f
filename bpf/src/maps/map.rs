//! A map of one device: definition, kind and size; its contents lie in a region that the device owns.

use std::borrow::Cow;

use super::{
    AccessLog, BPF_F_LOCK, BPF_F_RDONLY, BPF_F_RDONLY_PROG, BPF_F_WRONLY, BPF_F_WRONLY_PROG, CreateCheck, Holds, KINDS,
    MapKind, MapMemory, Side, Tape, lru,
};
use crate::diag::{At, Diagnostic};
use crate::errno::Errno;
use crate::memory::{Elements, MapId};
use crate::program::{Endian, MapSpec, MapType};

/// Why a map cannot be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateError {
    /// The number Linux's `BPF_MAP_CREATE` returns; `None` where the refusal is this project's (a kind that is not there
    /// yet, a region too large for the address space).
    pub errno: Option<Errno>,
    /// The refusal in full.
    pub diagnostic: Box<Diagnostic>,
}

impl From<CreateError> for Diagnostic {
    fn from(error: CreateError) -> Diagnostic {
        *error.diagnostic
    }
}

/// A map without its memory.
#[derive(Debug, Clone)]
pub struct Map {
    spec: MapSpec,
    kind: &'static MapKind,
    cpus: u32,
    byte_order: Endian,
    region_size: u32,
    elements: Elements,
    frozen: bool,
}

/// What Linux checks of every map (`map_create`).
fn check_all(spec: &MapSpec) -> CreateCheck {
    if spec.extra != 0 && spec.ty != MapType::BLOOM_FILTER {
        return Err((Errno::EINVAL, "map_extra of 0"));
    }
    if spec.flags & (BPF_F_RDONLY | BPF_F_WRONLY) == BPF_F_RDONLY | BPF_F_WRONLY {
        return Err((Errno::EINVAL, "read-only or write-only, not both"));
    }
    Ok(())
}

/// What Linux checks of locks and timers in values (`map_check_btf`).
fn check_fields(spec: &MapSpec) -> CreateCheck {
    const TIMED: [MapType; 3] = [MapType::HASH, MapType::LRU_HASH, MapType::ARRAY];
    if spec.fields.any() && spec.flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG) != 0 {
        return Err((Errno::EACCES, "programs may read and write where values hold locks or timers"));
    }
    if spec.fields.lock.is_some() && !matches!(spec.ty, MapType::HASH | MapType::ARRAY) {
        return Err((Errno::EOPNOTSUPP, "spin locks in values of hash and array only"));
    }
    if spec.fields.timer.is_some() && !TIMED.contains(&spec.ty) {
        return Err((Errno::EOPNOTSUPP, "timers in values of hash, lru_hash and array only"));
    }
    Ok(())
}

/// Bytes that a value takes inside the kernel and here: rounded up to 8.
pub(super) const fn round8(bytes: u32) -> u32 {
    bytes.next_multiple_of(8)
}

impl Map {
    /// A map of that definition for a device with `cpus` processors (contexts, on a card).
    ///
    /// # Errors
    /// `map-kind-unsupported`, `map-create-refused` (Linux refuses it too), `map-too-large`.
    pub fn new(spec: MapSpec, cpus: u32) -> Result<Map, CreateError> {
        let refused = |errno, diagnostic: Diagnostic| CreateError {
            errno,
            diagnostic: Box::new(diagnostic.at(At::Named(spec.name.clone()))),
        };
        let Some(kind) = Map::kind_of(spec.ty) else {
            let (errno, help) = match spec.ty {
                MapType(0) => (Some(Errno::EINVAL), "name a map type in the definition".to_owned()),
                _ => (None, format!("use one of: {}", KINDS.map(|kind| kind.ty.to_string()).join(", "))),
            };
            let reason = format!("maps of type {} are not there yet", spec.ty);
            return Err(refused(errno, Diagnostic::new("map-kind-unsupported", reason).help(help)));
        };
        if let Err((errno, rule)) =
            check_all(&spec).and_then(|()| (kind.check)(&spec)).and_then(|()| check_fields(&spec))
        {
            let actual = format!(
                "key_size {}, value_size {}, max_entries {}, map_flags {:#x}",
                spec.key_size, spec.value_size, spec.max_entries, spec.flags
            );
            let reason = format!("{errno}: {} map cannot be created as defined", spec.ty);
            return Err(refused(Some(errno), Diagnostic::new("map-create-refused", reason).limit(rule, actual)));
        }
        let (flags, max_entries) = match spec.ty {
            MapType::LRU_HASH | MapType::LRU_PERCPU_HASH => (spec.flags, lru::rounded_entries(&spec, cpus)),
            _ => (spec.flags | kind.adds_flags, spec.max_entries),
        };
        let made = MapSpec { flags, max_entries, ..spec.clone() };
        if made.max_entries == 0 {
            let diagnostic = Diagnostic::new("map-create-refused", "no processor gets an entry of its own");
            return Err(refused(Some(Errno::E2BIG), diagnostic.limit("an entry a processor", "none")));
        }
        let size = (kind.region_size)(&made, cpus);
        let Ok(region_size) = u32::try_from(size) else {
            let diagnostic = Diagnostic::new("map-too-large", "the map does not fit the guest's address space")
                .limit("4 GiB a device", format!("{size} bytes"))
                .help("lower max_entries or the value size");
            return Err(refused(None, diagnostic));
        };
        let elements = (kind.elements)(&made, cpus);
        Ok(Map { spec: made, kind, cpus, byte_order: Endian::Little, region_size, elements, frozen: false })
    }

    /// The same map on a machine of that byte order: how numbers in its keys and values are read, where they mean
    /// something to the map. A map begins as little-endian.
    pub fn in_byte_order(self, byte_order: Endian) -> Map {
        Map { byte_order, ..self }
    }

    /// The machine's byte order.
    pub fn byte_order(&self) -> Endian {
        self.byte_order
    }

    /// The row of a map type, if it is there.
    pub fn kind_of(ty: MapType) -> Option<&'static MapKind> {
        KINDS.iter().find(|kind| kind.ty == ty)
    }

    /// Its definition.
    pub fn spec(&self) -> &MapSpec {
        &self.spec
    }

    /// Its row of [`KINDS`].
    pub fn kind(&self) -> &'static MapKind {
        self.kind
    }

    /// Processors that have values of their own, if the kind is per-CPU.
    pub fn cpus(&self) -> u32 {
        self.cpus
    }

    /// Bytes of its region.
    pub fn region_size(&self) -> u32 {
        self.region_size
    }

    /// Where the values lie in the region.
    pub fn elements(&self) -> Elements {
        self.elements
    }

    /// What an update writes of a value: zeros where locks and timers lie, so that a timer that was there is gone.
    pub(super) fn data_of<'v>(&self, value: &'v [u8]) -> Cow<'v, [u8]> {
        if !self.spec.fields.any() {
            return Cow::Borrowed(value);
        }
        let mut data = value.to_vec();
        self.spec.fields.clear(&mut data);
        Cow::Owned(data)
    }

    /// Whether the flags ask for no lock, or for one that values have.
    pub(super) fn check_lock(&self, flags: u64) -> Result<(), Errno> {
        if flags & BPF_F_LOCK != 0 && self.spec.fields.lock.is_none() { Err(Errno::EINVAL) } else { Ok(()) }
    }

    pub(super) fn check_key(&self, key: &[u8]) -> Result<(), Errno> {
        if key.len() == self.spec.key_size as usize { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Brings a fresh (all zero) region to the map's first state: the initial value of global data.
    pub fn initialise(&self, mem: &mut dyn MapMemory) {
        if let Some(initial) = &self.spec.initial {
            let len = initial.len().min(self.spec.value_size as usize);
            mem.write(self.elements.first, &initial[..len]);
        }
    }

    /// `bpf_map_lookup_elem`: the offset of the value in the region. A key of another length finds nothing.
    pub fn lookup(&self, mem: &mut dyn MapMemory, log: &mut AccessLog, cpu: u32, key: &[u8]) -> Option<u32> {
        let mut tape = Tape::new(mem, log);
        self.check_key(key).ok()?;
        self.kind.ops.lookup(self, &mut tape, cpu, key)
    }

    /// `bpf_map_update_elem` as a program on processor `cpu` calls it.
    ///
    /// # Errors
    /// Linux's number; `EINVAL` for a key or value of another length.
    pub fn update(
        &self,
        mem: &mut dyn MapMemory,
        log: &mut AccessLog,
        cpu: u32,
        key: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<(), Errno> {
        let mut tape = Tape::new(mem, log);
        self.check_key(key)?;
        if value.len() != self.spec.value_size as usize {
            return Err(Errno::EINVAL);
        }
        self.kind.ops.update(self, &mut tape, Side::Program(cpu), key, &self.data_of(value), flags)
    }

    /// `bpf_map_delete_elem`.
    ///
    /// # Errors
    /// Linux's number; `EINVAL` for a key of another length.
    pub fn delete(&self, mem: &mut dyn MapMemory, log: &mut AccessLog, cpu: u32, key: &[u8]) -> Result<(), Errno> {
        let mut tape = Tape::new(mem, log);
        self.check_key(key)?;
        self.kind.ops.delete(self, &mut tape, cpu, key)
    }

    /// `BPF_MAP_GET_NEXT_KEY`: the key after `key`, or the first.
    ///
    /// # Errors
    /// `ENOENT` at the end; `EINVAL` for a key or buffer of another length.
    pub fn next_key(
        &self,
        mem: &mut dyn MapMemory,
        log: &mut AccessLog,
        key: Option<&[u8]>,
        next: &mut [u8],
    ) -> Result<(), Errno> {
        let mut tape = Tape::new(mem, log);
        key.map_or(Ok(()), |key| self.check_key(key))?;
        self.check_key(next)?;
        self.kind.ops.next_key(self, &mut tape, key, next)
    }

    /// What the slot at `off` of a map that holds references refers to; 0 for none. [`Map::lookup`] gave the offset.
    pub fn reference_at(&self, mem: &mut dyn MapMemory, off: u32) -> u32 {
        let mut word = [0; 4];
        mem.read(off, &mut word);
        self.byte_order.word(word)
    }

    /// The number of an object that user space hands to a map that holds references; `None` for another length.
    pub fn user_number(&self, value: &[u8]) -> Option<u32> {
        value.try_into().ok().map(|bytes| self.byte_order.word(bytes))
    }

    /// The program in slot `index` of a program array, by number, as `bpf_tail_call` finds it.
    pub fn program(&self, mem: &mut dyn MapMemory, log: &mut AccessLog, index: u32) -> Option<u32> {
        if self.kind.holds != Holds::Programs {
            return None;
        }
        let off = self.lookup(mem, log, 0, &self.byte_order.bytes(index))?;
        Some(self.reference_at(mem, off))
    }

    /// `bpf_map_push_elem`.
    ///
    /// # Errors
    /// Linux's number; `EOPNOTSUPP` for kinds with keys; `EINVAL` for a value of another length.
    pub fn push(&self, mem: &mut dyn MapMemory, log: &mut AccessLog, value: &[u8], flags: u64) -> Result<(), Errno> {
        let (queue, mut tape) = (self.kind.queue.ok_or(Errno::EOPNOTSUPP)?, Tape::new(mem, log));
        if value.len() != self.spec.value_size as usize {
            return Err(Errno::EINVAL);
        }
        queue.push(self, &mut tape, value, flags)
    }

    /// `bpf_map_pop_elem`; with `keep` `bpf_map_peek_elem`. Where there is no value `value` becomes zero.
    ///
    /// # Errors
    /// As [`Map::push`]; `ENOENT` where there is none.
    pub fn pop(&self, mem: &mut dyn MapMemory, log: &mut AccessLog, value: &mut [u8], keep: bool) -> Result<(), Errno> {
        let (queue, mut tape) = (self.kind.queue.ok_or(Errno::EOPNOTSUPP)?, Tape::new(mem, log));
        if value.len() != self.spec.value_size as usize {
            return Err(Errno::EINVAL);
        }
        if keep { queue.peek(self, &mut tape, value) } else { queue.pop(self, &mut tape, value) }
    }

    /// Whether user space has frozen it ([`Map::freeze`]).
    pub fn frozen(&self) -> bool {
        self.frozen
    }

    pub(super) fn set_frozen(&mut self) {
        self.frozen = true;
    }
}

/// The maps of one device, by [`MapId`].
#[derive(Debug, Clone, Default)]
pub struct MapSet {
    maps: Vec<Map>,
}

impl MapSet {
    /// The maps of these definitions, in order: the map of index `i` gets id `i`.
    ///
    /// # Errors
    /// The first that cannot be created.
    pub fn new(specs: &[MapSpec], cpus: u32) -> Result<MapSet, CreateError> {
        let maps = specs.iter().map(|spec| Map::new(spec.clone(), cpus)).collect::<Result<_, _>>()?;
        Ok(MapSet { maps })
    }

    /// The same maps on a machine of that byte order.
    pub fn in_byte_order(self, order: Endian) -> MapSet {
        MapSet { maps: self.maps.into_iter().map(|map| map.in_byte_order(order)).collect() }
    }

    /// The map of an id, to freeze it.
    pub fn get_mut(&mut self, id: MapId) -> Option<&mut Map> {
        self.maps.get_mut(id.0 as usize)
    }

    /// Adds a map.
    pub fn add(&mut self, map: Map) -> MapId {
        self.maps.push(map);
        MapId(self.maps.len() as u32 - 1)
    }

    /// The map of an id.
    pub fn get(&self, id: MapId) -> Option<&Map> {
        self.maps.get(id.0 as usize)
    }

    /// All maps and their ids.
    pub fn iter(&self) -> impl Iterator<Item = (MapId, &Map)> {
        self.maps.iter().enumerate().map(|(i, map)| (MapId(i as u32), map))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.maps.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.maps.is_empty()
    }
}

impl std::ops::Index<MapId> for MapSet {
    type Output = Map;

    /// # Panics
    /// If the id is of another set.
    fn index(&self, id: MapId) -> &Map {
        &self.maps[id.0 as usize]
    }
}
