//! What the arrays of references share: a word a slot, 0 for an empty one (kernel/bpf/arraymap.c, `fd_array_map_*`).

use super::kind::NO_ELEMENTS;
use super::{
    BPF_ANY, BPF_F_ACCESS_MASK, BPF_F_NUMA_NODE, Batch, CreateCheck, Holds, Map, MapKind, MapOps, Side, Tape,
    UserLookup, array,
};
use crate::errno::Errno;
use crate::program::{MapSpec, MapType};

/// Bytes of a slot: Linux keeps a pointer.
const SLOT: u32 = 8;

struct Slots;

/// A row, but for what the kinds differ in.
pub(super) const fn kind(ty: MapType, user_lookup: UserLookup, check: fn(&MapSpec) -> CreateCheck) -> MapKind {
    MapKind {
        ty,
        per_cpu: false,
        holds: Holds::Values,
        helpers: &[],
        inner: false,
        user_lookup,
        user_take: false,
        batch: Batch::None,
        adds_flags: 0,
        check,
        region_size: |spec, _| u64::from(SLOT) * u64::from(spec.max_entries),
        elements: |_, _| NO_ELEMENTS,
        ops: &Slots,
        queue: None,
    }
}

/// What Linux checks of all arrays of references (`fd_array_map_alloc_check`): 4-byte values, and no flags for programs'
/// access, which they do not have.
pub(super) fn check(spec: &MapSpec, flags: u32) -> CreateCheck {
    if spec.value_size != 4 {
        return Err((Errno::EINVAL, "value_size of 4"));
    }
    if spec.flags & (super::BPF_F_RDONLY_PROG | super::BPF_F_WRONLY_PROG) != 0 {
        return Err((Errno::EINVAL, "no restriction of programs' access"));
    }
    array::check_shape(spec, BPF_F_NUMA_NODE | BPF_F_ACCESS_MASK | flags)
}

impl MapOps for Slots {
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
        if flags != BPF_ANY {
            return Err(Errno::EINVAL);
        }
        let index = array::index(map, key).ok_or(Errno::E2BIG)?;
        tape.write(index * SLOT, value, false);
        Ok(())
    }

    fn delete(&self, map: &Map, tape: &mut Tape<'_>, _: u32, key: &[u8]) -> Result<(), Errno> {
        let index = array::index(map, key).ok_or(Errno::E2BIG)?;
        let [was] = tape.atomic::<1>(index * SLOT, false, |_| [0]);
        if was == 0 { Err(Errno::ENOENT) } else { Ok(()) }
    }

    fn next_key(&self, map: &Map, _: &mut Tape<'_>, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        array::next_index(map, key, next)
    }
}
