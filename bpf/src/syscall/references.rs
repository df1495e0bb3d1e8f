//! Counting references, and what goes with the last one.

use super::objects::{MapObject, Object, Owner};
use super::system::System;
use crate::errno::Errno;
use crate::maps::{AccessLog, Holds, Linear, Map, MapId, References};
use crate::program::{Attach, ProgType};

/// What the numbers in maps stand for.
pub(super) struct Numbers<'a> {
    pub system: &'a System,
    /// The kind of programs that the map at hand belongs to.
    pub owner: Option<Owner>,
}

impl References for Numbers<'_> {
    fn map(&self, id: MapId) -> Option<&Map> {
        Some(&self.system.maps.get(id.reference())?.map)
    }

    fn program(&self, map: &Map, number: u32) -> Result<(), Errno> {
        let program = self.system.progs.get(number).ok_or(Errno::EBADF)?;
        // Nobody knows where a program runs that stands in a map (`bpf_prog_map_compatible`).
        if program.bound.is_some() {
            return Err(Errno::EINVAL);
        }
        let kind = Owner::of(program.verified.program());
        let fits = match map.kind().holds {
            Holds::Programs => true,
            Holds::Devices => kind.ty == ProgType::Xdp && kind.attach == Attach::XdpDevmap,
            Holds::Cpus => kind.ty == ProgType::Xdp && kind.attach == Attach::XdpCpumap,
            _ => false,
        };
        if fits && self.owner.is_none_or(|owner| owner.takes(map, kind)) { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn device(&self, ifindex: u32) -> bool {
        self.system.config.devices.contains(&ifindex)
    }

    fn object(&self, map: &Map, _number: u32) -> Result<(), Errno> {
        // No descriptor here is a socket, an event or a control group.
        Err(if map.kind().holds == Holds::Sockets { Errno::ENOTSOCK } else { Errno::EBADF })
    }
}

/// The objects that the slot under a key holds.
pub(super) fn held_at(object: &MapObject, memory: &mut [u8], key: &[u8]) -> Option<Object> {
    let (map, mut memory) = (&object.map, Linear(memory));
    let holds = map.kind().holds;
    if !matches!(holds, Holds::Programs | Holds::Maps | Holds::Devices | Holds::Cpus) {
        return None;
    }
    let off = map.lookup(&mut memory, &mut AccessLog::new(), 0, key)?;
    // Behind a device or a processor stands the program that runs there.
    let off = if matches!(holds, Holds::Devices | Holds::Cpus) { off.checked_add(4)? } else { off };
    match map.reference_at(&mut memory, off) {
        0 => None,
        number if holds == Holds::Maps => Some(Object::Map(number)),
        number => Some(Object::Prog(number)),
    }
}

/// All objects that the slots of a map hold.
pub(super) fn held(object: &MapObject, memory: &mut [u8]) -> Vec<Object> {
    if matches!(object.map.kind().holds, Holds::Values | Holds::Sockets | Holds::Events | Holds::Cgroups) {
        return Vec::new();
    }
    keys(object, memory).iter().filter_map(|key| held_at(object, memory, key)).collect()
}

/// All keys of a map, no more than it can hold.
pub(super) fn keys(object: &MapObject, memory: &mut [u8]) -> Vec<Vec<u8>> {
    let (map, mut memory, mut log) = (&object.map, Linear(memory), AccessLog::new());
    let (mut keys, mut key) = (Vec::new(), vec![0; map.spec().key_size as usize]);
    if key.is_empty() {
        return keys;
    }
    let mut next = map.next_key(&mut memory, &mut log, None, &mut key);
    for _ in 0..map.spec().max_entries {
        if next.is_err() {
            break;
        }
        keys.push(key.clone());
        let at = key.clone();
        next = map.next_key(&mut memory, &mut log, Some(&at), &mut key);
    }
    keys
}

impl System {
    /// One more reference of user space: a descriptor or a pin.
    pub(super) fn get_user(&mut self, object: Object) {
        self.get(object);
        if let Object::Map(id) = object
            && let Some(map) = self.maps.get_mut(id)
        {
            map.user_refs += 1;
        }
    }

    /// One more reference.
    pub(super) fn get(&mut self, object: Object) {
        let refs = match object {
            Object::Map(id) => self.maps.get_mut(id).map(|map| &mut map.refs),
            Object::Prog(id) => self.progs.get_mut(id).map(|prog| &mut prog.refs),
            Object::Link(id) => self.links.get_mut(id).map(|link| &mut link.refs),
            Object::Btf(id) => self.btfs.get_mut(id).map(|btf| &mut btf.refs),
        };
        *refs.expect("what is referred to is there") += 1;
    }

    /// Gives back a reference of user space. A program array without any is emptied.
    pub(super) fn put_user(&mut self, object: Object) {
        if let Object::Map(id) = object {
            let map = self.maps.get_mut(id).expect("what is referred to is there");
            map.user_refs -= 1;
            if map.user_refs == 0 && map.map.kind().holds == Holds::Programs {
                let mut memory = std::mem::take(&mut map.memory);
                let programs = held(map, &mut memory);
                memory.fill(0);
                map.memory = memory;
                programs.into_iter().for_each(|program| self.put(program));
            }
        }
        self.put(object);
    }

    /// Gives back a reference. With the last one the object goes, and what it held is given back in turn.
    pub(super) fn put(&mut self, object: Object) {
        let mut open = vec![object];
        while let Some(object) = open.pop() {
            match object {
                Object::Map(id) => {
                    let map = self.maps.get_mut(id).expect("what is referred to is there");
                    map.refs -= 1;
                    if map.refs == 0
                        && let Some(mut map) = self.maps.remove(id)
                    {
                        let mut memory = std::mem::take(&mut map.memory);
                        open.extend(held(&map, &mut memory));
                        open.extend(map.types.map(|types| Object::Btf(types.btf)));
                    }
                }
                Object::Prog(id) => {
                    let program = self.progs.get_mut(id).expect("what is referred to is there");
                    program.refs -= 1;
                    if program.refs == 0
                        && let Some(program) = self.progs.remove(id)
                    {
                        open.extend(program.maps.into_iter().map(Object::Map));
                        open.extend(program.btf.map(Object::Btf));
                    }
                }
                Object::Link(id) => {
                    let link = self.links.get_mut(id).expect("what is referred to is there");
                    link.refs -= 1;
                    if link.refs == 0 {
                        self.unseat(id);
                        let link = self.links.remove(id).expect("it was there");
                        open.push(Object::Prog(link.program));
                    }
                }
                Object::Btf(id) => {
                    let btf = self.btfs.get_mut(id).expect("what is referred to is there");
                    btf.refs -= 1;
                    if btf.refs == 0 {
                        self.btfs.remove(id);
                    }
                }
            }
        }
    }
}
