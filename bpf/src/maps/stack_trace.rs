//! `BPF_MAP_TYPE_STACK_TRACE`: call chains, by the number `bpf_get_stackid` gives. No program type here may call that, so
//! such a map stays empty; what user space asks is answered as of an empty one (kernel/bpf/stackmap.c).

use super::kind::NO_ELEMENTS;
use super::{
    BPF_F_NUMA_NODE, BPF_F_RDONLY, BPF_F_STACK_BUILD_ID, BPF_F_WRONLY, Batch, CreateCheck, Holds, Map, MapKind, MapOps,
    Side, Tape, UserLookup, array,
};
use crate::errno::Errno;
use crate::program::{MapSpec, MapType};

/// Deepest chain (`kernel.perf_event_max_stack`).
const MAX_DEPTH: u32 = 127;
/// Bytes of `struct bpf_stack_build_id`.
const BUILD_ID: u32 = 32;

pub(super) const KIND: MapKind = MapKind {
    ty: MapType::STACK_TRACE,
    per_cpu: false,
    holds: Holds::Values,
    // get_stackid
    helpers: &[27],
    inner: true,
    user_lookup: UserLookup::Value,
    user_take: true,
    batch: Batch::None,
    adds_flags: 0,
    check,
    region_size: |spec, _| 8 * u64::from(spec.max_entries).next_power_of_two(),
    elements: |_, _| NO_ELEMENTS,
    ops: &StackTrace,
    queue: None,
};

fn check(spec: &MapSpec) -> CreateCheck {
    if spec.flags & !(BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_STACK_BUILD_ID) != 0 {
        return Err((Errno::EINVAL, "no flag that this kind does not have"));
    }
    array::check_access_flags(spec)?;
    if spec.max_entries == 0 || spec.key_size != 4 {
        return Err((Errno::EINVAL, "key_size of 4, max_entries of at least 1"));
    }
    let frame = if spec.flags & BPF_F_STACK_BUILD_ID != 0 { BUILD_ID } else { 8 };
    if spec.value_size < 8 || !spec.value_size.is_multiple_of(frame) || spec.value_size / frame > MAX_DEPTH {
        return Err((Errno::EINVAL, "value_size of 1 to 127 frames"));
    }
    if spec.max_entries > 1 << 31 {
        return Err((Errno::E2BIG, "max_entries of at most 2^31"));
    }
    Ok(())
}

struct StackTrace;

impl MapOps for StackTrace {
    fn lookup(&self, _: &Map, _: &mut Tape<'_>, _: u32, _: &[u8]) -> Option<u32> {
        None
    }

    fn update(&self, _: &Map, _: &mut Tape<'_>, _: Side, _: &[u8], _: &[u8], _: u64) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn delete(&self, map: &Map, _: &mut Tape<'_>, _: u32, key: &[u8]) -> Result<(), Errno> {
        let id = key.try_into().map_or(u32::MAX, |key| map.byte_order().word(key));
        let buckets = u64::from(map.spec().max_entries).next_power_of_two();
        Err(if u64::from(id) >= buckets { Errno::E2BIG } else { Errno::ENOENT })
    }

    fn next_key(&self, _: &Map, _: &mut Tape<'_>, _: Option<&[u8]>, _: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::ENOENT)
    }
}
