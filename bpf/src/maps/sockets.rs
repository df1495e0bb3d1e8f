//! What arrays of sockets share (net/core/sock_map.c, net/xdp/xskmap.c): a socket's number a slot, 0 for none.
//!
//! Values of user space have 4 bytes, or 8 to read a socket's cookie, which here is its number.

use super::kind::NO_ELEMENTS;
use super::{
    BPF_EXIST, BPF_F_NUMA_NODE, BPF_F_RDONLY, BPF_F_WRONLY, BPF_NOEXIST, Batch, CreateCheck, Holds, Map, MapKind,
    MapOps, Side, Tape, UserLookup, array,
};
use crate::errno::Errno;
use crate::program::{MapSpec, MapType};

const SLOT: u32 = 8;

/// A row, but for what the kinds differ in.
pub(super) const fn kind(ty: MapType) -> MapKind {
    MapKind {
        ty,
        per_cpu: false,
        holds: Holds::Sockets,
        helpers: &[],
        inner: true,
        user_lookup: UserLookup::Value,
        user_take: false,
        batch: Batch::None,
        adds_flags: 0,
        check,
        region_size: |spec, _| u64::from(SLOT) * u64::from(spec.max_entries),
        elements: |_, _| NO_ELEMENTS,
        ops: &Sockets,
        queue: None,
    }
}

/// What Linux checks of arrays of sockets (`sock_map_alloc`).
pub(super) fn check(spec: &MapSpec) -> CreateCheck {
    if spec.max_entries == 0 {
        return Err((Errno::EINVAL, "max_entries of at least 1"));
    }
    if spec.key_size != 4 {
        return Err((Errno::EINVAL, "key_size of 4"));
    }
    check_values(spec)
}

/// What it checks of values and flags.
pub(super) fn check_values(spec: &MapSpec) -> CreateCheck {
    if spec.value_size != 4 && spec.value_size != 8 {
        return Err((Errno::EINVAL, "value_size of 4, or of 8 to read cookies"));
    }
    if spec.flags & !(BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY) != 0 {
        return Err((Errno::EINVAL, "no flag that this kind does not have"));
    }
    array::check_access_flags(spec)
}

/// A value as a slot keeps it.
pub(super) fn full(value: &[u8]) -> [u8; SLOT as usize] {
    let mut slot = [0; SLOT as usize];
    let len = value.len().min(slot.len());
    slot[..len].copy_from_slice(&value[..len]);
    slot
}

struct Sockets;

impl MapOps for Sockets {
    fn lookup(&self, map: &Map, tape: &mut Tape<'_>, _: u32, key: &[u8]) -> Option<u32> {
        let off = array::index(map, key)? * SLOT;
        (tape.read_u32(off) != 0).then_some(off)
    }

    fn update(
        &self,
        map: &Map,
        tape: &mut Tape<'_>,
        _: Side,
        key: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<(), Errno> {
        if flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        let off = array::index(map, key).ok_or(Errno::E2BIG)? * SLOT;
        match tape.read_u32(off) {
            0 if flags == BPF_EXIST => return Err(Errno::ENOENT),
            1.. if flags == BPF_NOEXIST => return Err(Errno::EEXIST),
            _ => {}
        }
        tape.write(off, &full(value), false);
        Ok(())
    }

    fn delete(&self, map: &Map, tape: &mut Tape<'_>, _: u32, key: &[u8]) -> Result<(), Errno> {
        let off = array::index(map, key).ok_or(Errno::EINVAL)? * SLOT;
        let [was, _] = tape.atomic::<2>(off, false, |_| [0, 0]);
        // An empty slot of AF_XDP sockets may be emptied again.
        if was == 0 && map.spec().ty != MapType::XSKMAP { Err(Errno::EINVAL) } else { Ok(()) }
    }

    fn next_key(&self, map: &Map, _: &mut Tape<'_>, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        array::next_index(map, key, next)
    }
}
