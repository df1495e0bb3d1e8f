//! What is told of objects: numbers, and what bpftool shows.

use super::links::Hook;
use super::objects::{Object, Owner};
use super::offload::DeviceInfo;
use super::system::{ActorId, Fd, Mode, System};
use crate::btf::TypeId;
use crate::errno::Errno;
use crate::maps::{BPF_F_RDONLY, BPF_F_WRONLY};
use crate::program::{MapType, ProgType};

/// A class of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Maps.
    Map,
    /// Programs.
    Prog,
    /// Links.
    Link,
    /// Types.
    Btf,
}

/// A map, as `struct bpf_map_info` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapInfo {
    /// Number.
    pub id: u32,
    /// Name; empty if it has none.
    pub name: String,
    /// Kind.
    pub ty: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most entries.
    pub max_entries: u32,
    /// `map_flags`, without those that restrict descriptors only.
    pub flags: u32,
    /// `map_extra`.
    pub extra: u64,
    /// Types of keys and values: number of the types, key, value.
    pub types: Option<(u32, Option<TypeId>, Option<TypeId>)>,
    /// Whether user space may write no more.
    pub frozen: bool,
    /// Bytes of its memory here; Linux's differ, as its structures do.
    pub memory: u64,
    /// Of a map that holds programs: their kind, once it is decided.
    pub owner: Option<Owner>,
    /// The device whose card holds it.
    pub device: Option<DeviceInfo>,
}

/// A program, as `struct bpf_prog_info` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgInfo {
    /// Number.
    pub id: u32,
    /// Name.
    pub name: String,
    /// Type.
    pub ty: ProgType,
    /// Digest of the instructions as they were loaded.
    pub tag: [u8; 8],
    /// Whether its licence is compatible with the GPL.
    pub gpl_compatible: bool,
    /// Nanoseconds since boot when it was loaded.
    pub loaded_at: u64,
    /// Bytes of the instructions as they run: dead code is gone, but nothing is written out in place as Linux does.
    pub xlated: u32,
    /// Maps that its instructions name, in the order in which they do first.
    pub maps: Vec<u32>,
    /// Number of its types.
    pub btf: Option<u32>,
    /// The device whose card it is for.
    pub device: Option<DeviceInfo>,
    /// Bytes of its instructions for that card.
    pub jited: u32,
}

/// A link, as `struct bpf_link_info` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkInfo {
    /// Number.
    pub id: u32,
    /// Its program.
    pub program: u32,
    /// The device, 0 once it is detached, as in Linux.
    pub ifindex: u32,
    /// The hook it was made for.
    pub hook: Hook,
}

/// Types, as `struct bpf_btf_info` has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BtfInfo {
    /// Number.
    pub id: u32,
    /// Bytes.
    pub size: u32,
}

/// Licences that Linux takes for compatible with the GPL (`license_is_gpl_compatible`).
const GPL_COMPATIBLE: [&str; 6] =
    ["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"];

impl System {
    /// `BPF_…_GET_NEXT_ID`: the first number after `id`, 0 to begin.
    ///
    /// # Errors
    /// `ENOENT` at the end; `EINVAL` for a number beyond all.
    pub fn next_id(&self, class: Class, id: u32) -> Result<u32, Errno> {
        if id >= i32::MAX as u32 {
            return Err(Errno::EINVAL);
        }
        let next = |id| match class {
            Class::Map => self.maps.next(id).map(|id| (id, Object::Map(id))),
            Class::Prog => self.progs.next(id).map(|id| (id, Object::Prog(id))),
            Class::Link => self.links.next(id).map(|id| (id, Object::Link(id))),
            Class::Btf => self.btfs.next(id).map(|id| (id, Object::Btf(id))),
        };
        let mut found = next(id);
        while let Some((id, object)) = found {
            if !self.is_orphan(object) {
                return Ok(id);
            }
            found = next(id);
        }
        Err(Errno::ENOENT)
    }

    /// All numbers of a class, ascending.
    pub fn ids(&self, class: Class) -> Vec<u32> {
        std::iter::successors(self.next_id(class, 0).ok(), |id| self.next_id(class, *id).ok()).collect()
    }

    /// `BPF_…_GET_FD_BY_ID`; `flags` may restrict a descriptor of a map.
    ///
    /// # Errors
    /// `ENOENT`; `EINVAL` for flags.
    pub fn fd_by_id(&mut self, actor: ActorId, class: Class, id: u32, flags: u32) -> Result<Fd, Errno> {
        let allowed = if class == Class::Map { BPF_F_RDONLY | BPF_F_WRONLY } else { 0 };
        if flags & !allowed != 0 {
            return Err(Errno::EINVAL);
        }
        let mode = Mode::of(flags)?;
        let (object, there) = match class {
            Class::Map => (Object::Map(id), self.maps.get(id).is_some()),
            Class::Prog => (Object::Prog(id), self.progs.get(id).is_some()),
            Class::Link => (Object::Link(id), self.links.get(id).is_some()),
            Class::Btf => (Object::Btf(id), self.btfs.get(id).is_some()),
        };
        if there && !self.is_orphan(object) { self.open(actor, object, mode) } else { Err(Errno::ENOENT) }
    }

    /// `BPF_OBJ_GET_INFO_BY_FD` of a map.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL` of the descriptor; `ENODEV` of an orphan.
    pub fn map_info_by_fd(&self, actor: ActorId, fd: Fd) -> Result<MapInfo, Errno> {
        self.map_info(self.map_fd(actor, fd)?.0).ok_or(Errno::ENODEV)
    }

    /// `BPF_OBJ_GET_INFO_BY_FD` of a program.
    ///
    /// # Errors
    /// As [`System::map_info_by_fd`].
    pub fn prog_info_by_fd(&self, actor: ActorId, fd: Fd) -> Result<ProgInfo, Errno> {
        self.prog_info(self.prog_fd(actor, fd)?).ok_or(Errno::ENODEV)
    }

    /// A program's instructions for its card (`jited_prog_insns`).
    pub fn image(&self, id: u32) -> Option<&[u8]> {
        self.progs.get(id).filter(|object| object.bound.is_some()).map(|object| &*object.image)
    }

    /// What is known of a map; nothing of an orphan.
    pub fn map_info(&self, id: u32) -> Option<MapInfo> {
        let object = self.maps.get(id).filter(|_| !self.is_orphan(Object::Map(id)))?;
        let spec = object.map.spec();
        Some(MapInfo {
            id,
            name: spec.name.clone(),
            ty: spec.ty,
            key_size: spec.key_size,
            value_size: spec.value_size,
            max_entries: spec.max_entries,
            flags: spec.flags,
            extra: spec.extra,
            types: object.types.map(|types| (types.btf, types.key, types.value)),
            frozen: object.map.frozen(),
            memory: u64::from(object.map.region_size()),
            owner: object.owner,
            device: self.device_info(object.bound.as_ref()),
        })
    }

    /// What is known of a program; nothing of an orphan.
    pub fn prog_info(&self, id: u32) -> Option<ProgInfo> {
        let object = self.progs.get(id).filter(|_| !self.is_orphan(Object::Prog(id)))?;
        let program = object.verified.program();
        Some(ProgInfo {
            id,
            name: object.name.clone(),
            ty: program.ty,
            tag: object.tag,
            gpl_compatible: GPL_COMPATIBLE.contains(&program.license.as_str()),
            loaded_at: object.loaded_at,
            xlated: 8 * object.verified.xlated().insns.len() as u32,
            maps: object.maps.clone(),
            btf: object.btf,
            device: self.device_info(object.bound.as_ref()),
            jited: object.image.len() as u32,
        })
    }

    /// What is known of a link.
    pub fn link_info(&self, id: u32) -> Option<LinkInfo> {
        let link = self.links.get(id)?;
        let ifindex = link.seat.map_or(0, |seat| seat.ifindex);
        Some(LinkInfo { id, program: link.program, ifindex, hook: link.made_for.hook })
    }

    /// What is known of types.
    pub fn btf_info(&self, id: u32) -> Option<BtfInfo> {
        let btf = self.btfs.get(id)?;
        Some(BtfInfo { id, size: btf.bytes.len() as u32 })
    }

    /// Paths at which an object is pinned, by mount and name.
    pub fn pins_of(&self, object: Object) -> Vec<String> {
        self.fs.pins().into_iter().filter(|(_, pin)| *pin == object).map(|(path, _)| path).collect()
    }
}
