//! `BPF_MAP_TYPE_PERCPU_ARRAY`: an array for each processor, one behind the other, so that no two share a cache line of
//! neighbouring indices.

use super::kind::KEYED_PERCPU;
use super::map::round8;
use super::{
    BPF_F_ACCESS_MASK, BPF_F_NUMA_NODE, Batch, CreateCheck, Holds, Map, MapKind, MapOps, Side, Tape, UserLookup, array,
};
use crate::errno::Errno;
use crate::memory::Elements;
use crate::program::{MapSpec, MapType};

pub(super) const KIND: MapKind = MapKind {
    ty: MapType::PERCPU_ARRAY,
    per_cpu: true,
    holds: Holds::Values,
    helpers: KEYED_PERCPU,
    inner: true,
    user_lookup: UserLookup::Value,
    user_take: false,
    batch: Batch::Keys,
    adds_flags: 0,
    check,
    region_size: |spec, cpus| {
        let one = u64::from(round8(spec.value_size)) * u64::from(spec.max_entries);
        one.saturating_mul(u64::from(cpus))
    },
    elements: |spec, cpus| Elements {
        first: 0,
        stride: round8(spec.value_size),
        size: spec.value_size,
        count: spec.max_entries * cpus,
    },
    ops: &PercpuArray,
    queue: None,
};

struct PercpuArray;

fn check(spec: &MapSpec) -> CreateCheck {
    array::check_shape(spec, BPF_F_NUMA_NODE | BPF_F_ACCESS_MASK)?;
    if spec.flags & BPF_F_NUMA_NODE != 0 {
        return Err((Errno::EINVAL, "no NUMA node for per-CPU memory"));
    }
    if spec.value_size > array::PERCPU_MAX_VALUE {
        return Err((Errno::E2BIG, "value_size of at most 32 KiB"));
    }
    Ok(())
}

fn offset(map: &Map, cpu: u32, index: u32) -> Option<u32> {
    (cpu < map.cpus()).then(|| (cpu * map.spec().max_entries + index) * map.elements().stride)
}

impl MapOps for PercpuArray {
    fn lookup(&self, map: &Map, _: &mut Tape<'_>, cpu: u32, key: &[u8]) -> Option<u32> {
        offset(map, cpu, array::index(map, key)?)
    }

    fn update(
        &self,
        map: &Map,
        tape: &mut Tape<'_>,
        side: Side,
        key: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<(), Errno> {
        let index = array::check_update(map, key, flags)?;
        for (cpu, value) in side.values(map, value) {
            tape.write(offset(map, cpu, index).ok_or(Errno::EINVAL)?, value, false);
        }
        Ok(())
    }

    fn delete(&self, _: &Map, _: &mut Tape<'_>, _: u32, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn next_key(&self, map: &Map, _: &mut Tape<'_>, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        array::next_index(map, key, next)
    }
}
