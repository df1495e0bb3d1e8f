//! `BPF_MAP_TYPE_ARRAY`: values side by side, each rounded to 8 bytes. Finding a value touches no memory.

use super::kind::KEYED;
use super::map::round8;
use super::{
    BPF_EXIST, BPF_F_ACCESS_MASK, BPF_F_INNER_MAP, BPF_F_LOCK, BPF_F_MMAPABLE, BPF_F_NUMA_NODE, BPF_NOEXIST, Batch,
    CreateCheck, Holds, Map, MapKind, MapOps, Side, Tape, UserLookup,
};
use crate::errno::Errno;
use crate::memory::Elements;
use crate::program::{MapSpec, MapType};

pub(super) const KIND: MapKind = MapKind {
    ty: MapType::ARRAY,
    per_cpu: false,
    holds: Holds::Values,
    helpers: KEYED,
    inner: true,
    user_lookup: UserLookup::Value,
    user_take: false,
    batch: Batch::Keys,
    adds_flags: 0,
    check,
    region_size: |spec, _| u64::from(round8(spec.value_size)) * u64::from(spec.max_entries),
    elements: |spec, _| Elements {
        first: 0,
        stride: round8(spec.value_size),
        size: spec.value_size,
        count: spec.max_entries,
    },
    ops: &Array,
    queue: None,
};

struct Array;

/// Largest value of a per-CPU map: Linux's least unit of per-CPU memory (include/linux/percpu.h, `PCPU_MIN_UNIT_SIZE`).
pub(super) const PERCPU_MAX_VALUE: u32 = 32 << 10;

/// The shape that all arrays share (kernel/bpf/arraymap.c, `array_map_alloc_check`).
pub(super) fn check_shape(spec: &MapSpec, flags: u32) -> CreateCheck {
    if spec.max_entries == 0 {
        return Err((Errno::EINVAL, "max_entries of at least 1"));
    }
    if spec.key_size != 4 {
        return Err((Errno::EINVAL, "key_size of 4"));
    }
    if spec.value_size == 0 {
        return Err((Errno::EINVAL, "value_size of at least 1"));
    }
    if spec.flags & !flags != 0 {
        return Err((Errno::EINVAL, "no flag that this kind does not have"));
    }
    check_access_flags(spec)
}

/// Read-only and write-only exclude each other, for user space and for programs.
pub(super) fn check_access_flags(spec: &MapSpec) -> CreateCheck {
    use super::{BPF_F_RDONLY, BPF_F_RDONLY_PROG, BPF_F_WRONLY, BPF_F_WRONLY_PROG};
    let both = |mask: u32| spec.flags & mask == mask;
    if both(BPF_F_RDONLY | BPF_F_WRONLY) || both(BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG) {
        return Err((Errno::EINVAL, "read-only or write-only, not both"));
    }
    Ok(())
}

fn check(spec: &MapSpec) -> CreateCheck {
    check_shape(spec, BPF_F_NUMA_NODE | BPF_F_ACCESS_MASK | BPF_F_MMAPABLE | BPF_F_INNER_MAP)?;
    if spec.value_size > i32::MAX as u32 {
        return Err((Errno::E2BIG, "value_size below 2 GiB"));
    }
    Ok(())
}

/// The index in a key, if it is one of the map's.
pub(super) fn index(map: &Map, key: &[u8]) -> Option<u32> {
    let index = map.byte_order().word(key.try_into().ok()?);
    (index < map.spec().max_entries).then_some(index)
}

/// What Linux checks of an update, in its order.
pub(super) fn check_update(map: &Map, key: &[u8], flags: u64) -> Result<u32, Errno> {
    if flags & !BPF_F_LOCK > BPF_EXIST {
        return Err(Errno::EINVAL);
    }
    let index = index(map, key).ok_or(Errno::E2BIG)?;
    if flags & BPF_NOEXIST != 0 {
        return Err(Errno::EEXIST);
    }
    map.check_lock(flags)?;
    Ok(index)
}

/// The key after `key` of an array: indices ascend; an index out of range starts again at 0.
pub(super) fn next_index(map: &Map, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
    let following = match key.and_then(|key| index(map, key)) {
        None => 0,
        Some(last) if last + 1 == map.spec().max_entries => return Err(Errno::ENOENT),
        Some(at) => at + 1,
    };
    next.copy_from_slice(&map.byte_order().bytes(following));
    Ok(())
}

impl MapOps for Array {
    fn lookup(&self, map: &Map, _: &mut Tape<'_>, _: u32, key: &[u8]) -> Option<u32> {
        Some(index(map, key)? * map.elements().stride)
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
        let index = check_update(map, key, flags)?;
        tape.write(index * map.elements().stride, value, false);
        Ok(())
    }

    fn delete(&self, _: &Map, _: &mut Tape<'_>, _: u32, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn next_key(&self, map: &Map, _: &mut Tape<'_>, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        next_index(map, key, next)
    }
}
