//! Commands on maps.

use super::objects::{MapObject, MapTypes, Object, Owner};
use super::references::{Numbers, held, held_at};
use super::system::{ActorId, Fd, Mode, Refusal, System};
use crate::btf::{SpecialFields, TypeId};
use crate::diag::Diagnostic;
use crate::errno::Errno;
use crate::maps::{AccessLog, BPF_EXIST, BPF_F_LOCK, BPF_F_RDONLY, BPF_F_WRONLY, BatchAnswer, Holds, Linear, Map};
use crate::program::MapSpec;

/// What a map is created from.
#[derive(Debug, Clone, Default)]
pub struct NewMap {
    /// Its definition. The name is cut to what Linux takes by whoever asks; an initial value is written at once.
    pub spec: MapSpec,
    /// Of a map of maps: a map like those it will hold.
    pub inner: Option<Fd>,
    /// Types of keys and values: their descriptor, and the numbers of the two.
    pub types: Option<(Fd, Option<TypeId>, Option<TypeId>)>,
    /// The network device whose card holds it (`map_ifindex`), 0 for none.
    pub ifindex: u32,
}

/// Bytes of an object's name (`BPF_OBJ_NAME_LEN` less the zero).
pub(super) const NAME_LEN: usize = 15;

/// What Linux takes for a name (`bpf_obj_name_cpy`).
pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    let good = name.len() <= NAME_LEN && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
    if good { Ok(()) } else { Err(Refusal::new(Errno::EINVAL, "a name is up to 15 letters, digits, _ and .")) }
}

/// Why an update failed, where it may be that a descriptor in the value is none of what the map takes.
fn reason(errno: Errno, stopped: Option<Errno>) -> Errno {
    if errno == Errno::EBADF { stopped.unwrap_or(errno) } else { errno }
}

/// Flags that only restrict the descriptor that a map is made with.
const OF_DESCRIPTOR: u32 = BPF_F_RDONLY | BPF_F_WRONLY;

impl System {
    /// `BPF_MAP_CREATE`.
    ///
    /// # Errors
    /// Linux's number and rule; a kind or size that is not there.
    pub fn map_create(&mut self, actor: ActorId, new: &NewMap) -> Result<Fd, Refusal> {
        let mode = Mode::of(new.spec.flags)?;
        let mut spec = new.spec.clone();
        let of_maps = Map::kind_of(spec.ty).is_some_and(|kind| kind.holds == Holds::Maps);
        if of_maps && let Some(inner) = new.inner {
            let (inner, _) = self.map_fd(actor, inner)?;
            let template = self.maps.get(inner).map(|inner| inner.spec.clone());
            spec.inner = template.map(|inner| Box::new(MapSpec { initial: None, ..inner }));
        }
        // A descriptor that is none of types is refused once the rest is good.
        let types = new.types.and_then(|(btf, _, value)| Some((self.object(actor, btf).ok()?, value)));
        spec.fields = match types {
            Some((Object::Btf(btf), value)) => self.fields_of(btf, value),
            _ => SpecialFields::default(),
        };
        let mut object = self.new_map(spec)?;
        object.bound = self.bind_map(&object.spec, new.ifindex).map_err(|refusal| refusal.at(&object.spec.name))?;
        check_name(&object.spec.name).map_err(|refusal| refusal.at(&object.spec.name))?;
        if let Some((btf, key, value)) = new.types {
            let Object::Btf(btf) = self.object(actor, btf)? else { return Err(Errno::EINVAL.into()) };
            if object.bound.is_some() {
                return Err(Refusal::new(Errno::ENOTSUPP, "a map on a card has no types").at(&object.spec.name));
            }
            self.check_types(btf, &object.spec, key, value)?;
            object.types = Some(MapTypes { btf, key, value });
        }
        let types = object.types;
        let id = self.maps.add(object)?;
        if let Some(types) = types {
            self.get(Object::Btf(types.btf));
        }
        Ok(self.open_new(actor, Object::Map(id), mode)?)
    }

    /// Locks and timers in values of a type.
    pub(super) fn fields_of(&self, btf: u32, value: Option<TypeId>) -> SpecialFields {
        let types = self.btfs.get(btf).map(|object| &object.btf).zip(value);
        let known = types.filter(|(btf, ty)| btf.iter().any(|(id, _)| id == *ty));
        known.map_or_else(SpecialFields::default, |(btf, ty)| SpecialFields::of(btf, ty))
    }

    /// `map_check_btf`: both types are there and as large as keys and values.
    pub(super) fn check_types(
        &self,
        btf: u32,
        spec: &MapSpec,
        key: Option<TypeId>,
        value: Option<TypeId>,
    ) -> Result<(), Refusal> {
        let btf = &self.btfs.get(btf).ok_or(Errno::EBADF)?.btf;
        let sized = |ty: Option<TypeId>, size: u32, what: &str| {
            let known = |ty: TypeId| btf.iter().any(|(id, _)| id == ty).then(|| btf.size_of(ty)).flatten();
            match ty {
                None => Ok(()),
                Some(ty) if known(ty) == Some(size) => Ok(()),
                Some(ty) => Err(Refusal::new(Errno::EINVAL, format!("type {} is no {what} of {size} bytes", ty.0))),
            }
        };
        sized(key, spec.key_size, "key")?;
        sized(value, spec.value_size, "value")
    }

    /// A map with its memory, which nobody refers to yet.
    pub(super) fn new_map(&self, spec: MapSpec) -> Result<MapObject, Refusal> {
        let refused = |error: crate::maps::CreateError| Refusal { errno: error.errno, diagnostic: error.diagnostic };
        // Linux looks at all flags, and then keeps those of the map itself.
        Map::new(spec.clone(), self.config.cpus).map_err(refused)?;
        let flags = spec.flags & !OF_DESCRIPTOR;
        let spec = MapSpec { flags, ..spec };
        let map = Map::new(spec.clone(), self.config.cpus).map_err(refused)?;
        let map = map.in_byte_order(self.config.byte_order);
        let taken: u64 = self.maps.iter().map(|(_, other)| u64::from(other.map.region_size())).sum();
        let total = taken + u64::from(map.region_size());
        if total > self.config.memory {
            let diagnostic = Diagnostic::new("map-memory", "ENOMEM: the maps take more memory than there is")
                .limit(format!("{} bytes", self.config.memory), format!("{total} bytes"))
                .help("lower max_entries or the value size");
            return Err(Refusal { errno: Some(Errno::ENOMEM), diagnostic: Box::new(diagnostic) });
        }
        let mut memory = vec![0; map.region_size() as usize];
        map.initialise(&mut Linear(&mut memory));
        Ok(MapObject { spec, map, memory, refs: 0, user_refs: 0, types: None, owner: None, bound: None })
    }

    /// Whether a map is on a card.
    ///
    /// # Errors
    /// `ENODEV` where the card has gone.
    fn on_card(&self, id: u32) -> Result<bool, Errno> {
        match self.maps.get(id).and_then(|map| map.bound.as_ref()) {
            None => Ok(false),
            Some(bound) if bound.ifindex.is_some() => Ok(true),
            Some(_) => Err(Errno::ENODEV),
        }
    }

    /// Commands that no map on a card has.
    fn off_card(&self, id: u32) -> Result<(), Errno> {
        match self.maps.get(id).is_some_and(|map| map.bound.is_some()) {
            true => Err(Errno::ENOTSUPP),
            false => Ok(()),
        }
    }

    /// Something done to a map's contents.
    fn on_map<R>(&mut self, id: u32, act: impl FnOnce(&Map, &mut Linear<'_>, &mut AccessLog, &Numbers<'_>) -> R) -> R {
        let mut memory = std::mem::take(&mut self.map_object_mut(id).memory);
        let object = self.maps.get(id).expect("a descriptor's object is there");
        let numbers = Numbers { system: self, owner: object.owner };
        let result = act(&object.map, &mut Linear(&mut memory), &mut AccessLog::new(), &numbers);
        self.map_object_mut(id).memory = memory;
        result
    }

    fn map_object_mut(&mut self, id: u32) -> &mut MapObject {
        self.maps.get_mut(id).expect("a descriptor's object is there")
    }

    /// What lies under a key, or under all keys, and counts as a reference.
    fn references_of(&mut self, id: u32, key: Option<&[u8]>) -> Vec<Object> {
        let mut memory = std::mem::take(&mut self.map_object_mut(id).memory);
        let object = self.maps.get(id).expect("a descriptor's object is there");
        let found = match key {
            Some(key) => held_at(object, &mut memory, key).into_iter().collect(),
            None => held(object, &mut memory),
        };
        self.map_object_mut(id).memory = memory;
        found
    }

    /// Something done to a map that may hold references, under one key or many: what is held after it counts, what is
    /// held no more is given back.
    fn changing<R>(&mut self, id: u32, key: Option<&[u8]>, act: impl FnOnce(&mut System) -> R) -> R {
        let before = self.references_of(id, key);
        let result = act(self);
        let after = self.references_of(id, key);
        after.iter().for_each(|object| self.get(*object));
        before.into_iter().for_each(|object| self.put(object));
        if let Some(Object::Prog(program)) = after.first() {
            let kind = self.progs.get(*program).map(|program| Owner::of(program.verified.program()));
            let map = self.map_object_mut(id);
            map.owner = map.owner.or(kind);
        }
        result
    }

    /// `BPF_MAP_LOOKUP_ELEM`. Kinds that hold objects give their numbers.
    ///
    /// # Errors
    /// Linux's number.
    pub fn map_lookup(&mut self, actor: ActorId, fd: Fd, key: &[u8], flags: u64) -> Result<Vec<u8>, Errno> {
        if flags & !BPF_F_LOCK != 0 {
            return Err(Errno::EINVAL);
        }
        let (id, mode) = self.map_fd(actor, fd)?;
        mode.permits(true, false)?;
        self.on_card(id)?;
        self.on_map(id, |map, memory, log, _| map.user_lookup(memory, log, key, flags))
    }

    /// `BPF_MAP_LOOKUP_ELEM` of a map without keys; `value` is what a bloom filter is asked for.
    ///
    /// # Errors
    /// Linux's number.
    pub fn map_peek(&mut self, actor: ActorId, fd: Fd, value: &[u8]) -> Result<Vec<u8>, Errno> {
        let (id, mode) = self.map_fd(actor, fd)?;
        mode.permits(true, false)?;
        self.on_map(id, |map, memory, log, _| map.user_peek(memory, log, value))
    }

    /// `BPF_MAP_UPDATE_ELEM`. Kinds that hold objects take descriptors of them.
    ///
    /// # Errors
    /// Linux's number.
    pub fn map_update(&mut self, actor: ActorId, fd: Fd, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let (id, mode) = self.map_fd(actor, fd)?;
        mode.permits(false, true)?;
        if self.on_card(id)? && flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        let (value, stopped) = self.numbered(actor, id, value);
        let done = self.changing(id, Some(key), |system| {
            system.on_map(id, |map, memory, log, numbers| map.user_update(memory, log, numbers, key, &value, flags))
        });
        // A number that stands for a descriptor of nothing is refused as one, and for the descriptor's reason.
        done.map_err(|errno| reason(errno, stopped))
    }

    /// A value whose descriptors have become numbers of objects, and what is wrong with the descriptor if it is of
    /// something else.
    fn numbered(&self, actor: ActorId, id: u32, value: &[u8]) -> (Vec<u8>, Option<Errno>) {
        /// No object's number.
        const NONE: u32 = i32::MAX as u32;
        let mut value = value.to_vec();
        let object = self.maps.get(id).expect("a descriptor's object is there");
        let (holds, order) = (object.map.kind().holds, object.map.byte_order());
        let at = match holds {
            Holds::Values | Holds::Sockets | Holds::Events | Holds::Cgroups => return (value, None),
            Holds::Programs | Holds::Maps => 0,
            Holds::Devices | Holds::Cpus => 4,
        };
        let Some(word) = value.get_mut(at..at + 4) else { return (value, None) };
        let fd = order.word([word[0], word[1], word[2], word[3]]) as i32;
        // A device or a processor without a program.
        if at == 4 && fd <= 0 {
            return (value, None);
        }
        let number = match holds {
            Holds::Maps => self.map_fd(actor, Fd(fd)).map(|(id, _)| id),
            _ => self.prog_fd(actor, Fd(fd)),
        };
        word.copy_from_slice(&order.bytes(number.unwrap_or(NONE)));
        (value, number.err())
    }

    /// `BPF_MAP_DELETE_ELEM`.
    ///
    /// # Errors
    /// Linux's number.
    pub fn map_delete(&mut self, actor: ActorId, fd: Fd, key: &[u8]) -> Result<(), Errno> {
        let (id, mode) = self.map_fd(actor, fd)?;
        mode.permits(false, true)?;
        self.on_card(id)?;
        self.changing(id, Some(key), |system| {
            system.on_map(id, |map, memory, log, _| map.user_delete(memory, log, key))
        })
    }

    /// `BPF_MAP_LOOKUP_AND_DELETE_ELEM`.
    ///
    /// # Errors
    /// Linux's number.
    pub fn map_take(&mut self, actor: ActorId, fd: Fd, key: &[u8], flags: u64) -> Result<Vec<u8>, Errno> {
        if flags & !BPF_F_LOCK != 0 {
            return Err(Errno::EINVAL);
        }
        let (id, mode) = self.map_fd(actor, fd)?;
        mode.permits(true, true)?;
        self.off_card(id)?;
        self.changing(id, Some(key), |system| {
            system.on_map(id, |map, memory, log, _| map.user_take(memory, log, key, flags))
        })
    }

    /// `BPF_MAP_GET_NEXT_KEY`: the key after `key`, or the first.
    ///
    /// # Errors
    /// Linux's number; `ENOENT` at the end.
    pub fn map_next_key(&mut self, actor: ActorId, fd: Fd, key: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        let (id, mode) = self.map_fd(actor, fd)?;
        mode.permits(true, false)?;
        self.on_card(id)?;
        self.on_map(id, |map, memory, log, _| {
            let mut next = vec![0; map.spec().key_size as usize];
            map.user_next_key(memory, log, key, &mut next).map(|()| next)
        })
    }

    /// `BPF_MAP_LOOKUP_BATCH`, with `take` `BPF_MAP_LOOKUP_AND_DELETE_BATCH`: see [`Map::user_lookup_batch`].
    ///
    /// # Errors
    /// `EBADF`, `EINVAL`, `EPERM` of the descriptor; the rest is in the answer.
    pub fn map_lookup_batch(
        &mut self,
        actor: ActorId,
        fd: Fd,
        from: Option<&[u8]>,
        count: u32,
        take: bool,
        flags: u64,
    ) -> Result<BatchAnswer, Errno> {
        let (id, mode) = self.map_fd(actor, fd)?;
        mode.permits(true, take)?;
        self.off_card(id)?;
        let count = count.min(self.maps.get(id).map_or(0, |object| object.map.spec().max_entries).saturating_add(1));
        Ok(self.changing(id, None, |system| {
            system.on_map(id, |map, memory, log, _| map.user_lookup_batch(memory, log, from, count, take, flags))
        }))
    }

    /// `BPF_MAP_UPDATE_BATCH`: how many entries were written, and how it ended.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL`, `EPERM` of the descriptor.
    pub fn map_update_batch(
        &mut self,
        actor: ActorId,
        fd: Fd,
        entries: &[(Vec<u8>, Vec<u8>)],
        flags: u64,
    ) -> Result<(usize, Result<(), Errno>), Errno> {
        let (id, mode) = self.map_fd(actor, fd)?;
        mode.permits(false, true)?;
        self.off_card(id)?;
        let mut stopped = Vec::new();
        let mut numbered = |(key, value): &(Vec<u8>, Vec<u8>)| {
            let (value, wrong) = self.numbered(actor, id, value);
            stopped.push(wrong);
            (key.clone(), value)
        };
        let entries: Vec<_> = entries.iter().map(&mut numbered).collect();
        let (done, end) = self.changing(id, None, |system| {
            system.on_map(id, |map, memory, log, numbers| map.user_update_batch(memory, log, numbers, &entries, flags))
        });
        let stopped = stopped.get(done).copied().flatten();
        Ok((done, end.map_err(|errno| reason(errno, stopped))))
    }

    /// `BPF_MAP_DELETE_BATCH`: how many entries were removed, and how it ended.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL`, `EPERM` of the descriptor.
    pub fn map_delete_batch(
        &mut self,
        actor: ActorId,
        fd: Fd,
        keys: &[Vec<u8>],
        flags: u64,
    ) -> Result<(usize, Result<(), Errno>), Errno> {
        let (id, mode) = self.map_fd(actor, fd)?;
        mode.permits(false, true)?;
        self.off_card(id)?;
        Ok(self.changing(id, None, |system| {
            system.on_map(id, |map, memory, log, _| map.user_delete_batch(memory, log, keys, flags))
        }))
    }

    /// `BPF_MAP_FREEZE`: user space may write no more, through whatever descriptor.
    ///
    /// # Errors
    /// Linux's number; `EPERM` also where it is frozen already.
    pub fn map_freeze(&mut self, actor: ActorId, fd: Fd) -> Result<(), Errno> {
        let (id, mode) = self.map_fd(actor, fd)?;
        mode.permits(false, true)?;
        self.map_object_mut(id).map.freeze()
    }

    /// All keys and values of a map in its order, whatever a descriptor may; nothing of maps without keys.
    pub fn map_entries(&mut self, id: u32) -> Vec<(Vec<u8>, Vec<u8>)> {
        match self.maps.get(id) {
            Some(_) => self.on_map(id, |map, memory, _, _| map.user_entries(memory)),
            None => Vec::new(),
        }
    }

    /// A map's definition and kind.
    pub fn map(&self, id: u32) -> Option<&Map> {
        self.maps.get(id).map(|object| &object.map)
    }
}
