//! What device maps and processor maps share: arrays of what `bpf_redirect_map` sends to.
//!
//! A slot is what Linux hands out as `struct bpf_devmap_val` or `struct bpf_cpumap_val`: a word (ifindex, or length of the
//! queue), 0 for an empty slot, and the number of the program that runs there, or 0. User space may use values of the first
//! word alone.

use super::{
    BPF_EXIST, BPF_F_NUMA_NODE, BPF_F_RDONLY, BPF_F_WRONLY, BPF_NOEXIST, Batch, CreateCheck, Holds, Map, MapKind,
    MapOps, Side, Tape, UserLookup, array,
};
use crate::errno::Errno;
use crate::memory::Elements;
use crate::program::{MapSpec, MapType};

/// Bytes of a slot.
const SLOT: u32 = 8;
/// Most processors of a map: what the running kernel is built for (`NR_CPUS`).
const NR_CPUS: u32 = 256;
/// Longest queue of a processor map (kernel/bpf/cpumap.c).
const MAX_QUEUE: u32 = 16384;

/// A row, but for what the kinds differ in.
pub(super) const fn kind(ty: MapType) -> MapKind {
    MapKind {
        ty,
        per_cpu: false,
        holds: Holds::Values,
        helpers: &[],
        inner: true,
        user_lookup: UserLookup::Value,
        user_take: false,
        batch: Batch::None,
        adds_flags: 0,
        check: check_devices,
        region_size: |spec, _| u64::from(SLOT) * u64::from(spec.max_entries),
        elements: |spec, _| Elements { first: 0, stride: SLOT, size: spec.value_size, count: spec.max_entries },
        ops: &Ports,
        queue: None,
    }
}

/// What Linux checks of device maps (`dev_map_init_map`), but for the key.
pub(super) fn check_values(spec: &MapSpec) -> CreateCheck {
    if spec.max_entries == 0 {
        return Err((Errno::EINVAL, "max_entries of at least 1"));
    }
    if spec.key_size != 4 {
        return Err((Errno::EINVAL, "key_size of 4"));
    }
    if spec.value_size != 4 && spec.value_size != 8 {
        return Err((Errno::EINVAL, "value_size of 4, or of 8 with a program"));
    }
    if spec.flags & !(BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY) != 0 {
        return Err((Errno::EINVAL, "no flag that this kind does not have"));
    }
    array::check_access_flags(spec)
}

pub(super) fn check_devices(spec: &MapSpec) -> CreateCheck {
    check_values(spec)
}

pub(super) fn check_cpus(spec: &MapSpec) -> CreateCheck {
    if spec.flags & !BPF_F_NUMA_NODE != 0 {
        return Err((Errno::EINVAL, "no flag that this kind does not have"));
    }
    check_values(spec)?;
    if spec.max_entries > NR_CPUS {
        return Err((Errno::E2BIG, "max_entries of at most 256 processors"));
    }
    Ok(())
}

/// A value in full: its word and its program. A negative number of a program is none, and an empty slot has none.
pub(super) fn full(map: &Map, value: &[u8]) -> [u8; SLOT as usize] {
    let mut slot = [0; SLOT as usize];
    let len = value.len().min(slot.len());
    slot[..len].copy_from_slice(&value[..len]);
    if slot[..4] == [0; 4] || (map.byte_order().word([slot[4], slot[5], slot[6], slot[7]]) as i32) < 0 {
        slot[4..].fill(0);
    }
    slot
}

/// What Linux checks of a processor and its queue, before it looks at the program.
pub(super) fn check_cpu(map: &Map, index: u32, value: &[u8]) -> Result<(), Errno> {
    let queue = value.first_chunk().map_or(0, |word| map.byte_order().word(*word));
    match queue {
        _ if queue > MAX_QUEUE => Err(Errno::EOVERFLOW),
        _ if index >= map.cpus() => Err(Errno::ENODEV),
        _ => Ok(()),
    }
}

struct Ports;

impl MapOps for Ports {
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
        let index = array::index(map, key).ok_or(Errno::E2BIG)?;
        if flags == BPF_NOEXIST {
            return Err(Errno::EEXIST);
        }
        let slot = full(map, value);
        if map.kind().holds == Holds::Cpus {
            check_cpu(map, index, value)?;
        }
        tape.write(index * SLOT, &slot, false);
        Ok(())
    }

    fn delete(&self, map: &Map, tape: &mut Tape<'_>, _: u32, key: &[u8]) -> Result<(), Errno> {
        let index = array::index(map, key).ok_or(Errno::EINVAL)?;
        tape.atomic::<2>(index * SLOT, false, |_| [0, 0]);
        Ok(())
    }

    fn next_key(&self, map: &Map, _: &mut Tape<'_>, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        array::next_index(map, key, next)
    }
}
