//! What device maps and processor maps share: arrays of what `bpf_redirect_map` sends to.
//!
//! A slot (`slots.rs`) is what Linux hands out as `struct bpf_devmap_val` or `struct bpf_cpumap_val`: a word (ifindex, or
//! length of the queue), 0 for an empty slot, and the number of the program that runs there, or 0. User space may use
//! values of the first word alone.

use super::slots::{self, SLOT, Slots};
use super::{BPF_EXIST, BPF_F_NUMA_NODE, BPF_NOEXIST, CreateCheck, Holds, Map, MapKind};
use crate::errno::Errno;
use crate::memory::Elements;
use crate::program::{MapSpec, MapType};

/// Most processors of a map: what the running kernel is built for (`NR_CPUS`).
const NR_CPUS: u32 = 256;
/// Longest queue of a processor map (kernel/bpf/cpumap.c).
const MAX_QUEUE: u32 = 16384;

/// A row, but for what the kinds differ in.
pub(super) const fn kind(ty: MapType) -> MapKind {
    MapKind {
        elements: |spec, _| Elements { first: 0, stride: SLOT, size: spec.value_size, count: spec.max_entries },
        ..slots::row(ty, Holds::Values, check_devices, &PORTS)
    }
}

/// What Linux checks of device maps (`dev_map_init_map`).
pub(super) fn check_devices(spec: &MapSpec) -> CreateCheck {
    slots::check_keys(spec)?;
    slots::check_values(spec, "value_size of 4, or of 8 with a program")
}

pub(super) fn check_cpus(spec: &MapSpec) -> CreateCheck {
    if spec.flags & !BPF_F_NUMA_NODE != 0 {
        return Err((Errno::EINVAL, "no flag that this kind does not have"));
    }
    check_devices(spec)?;
    if spec.max_entries > NR_CPUS {
        return Err((Errno::E2BIG, "max_entries of at most 256 processors"));
    }
    Ok(())
}

/// A value in full: its word and its program. A negative number of a program is none, and an empty slot has none.
pub(super) fn full(map: &Map, value: &[u8]) -> [u8; SLOT as usize] {
    let mut slot = slots::padded(value);
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

const PORTS: Slots = Slots {
    most_flags: BPF_EXIST,
    put: |map, tape, index, value, flags| {
        if flags == BPF_NOEXIST {
            return Err(Errno::EEXIST);
        }
        let slot = full(map, value);
        if map.kind().holds == Holds::Cpus {
            check_cpu(map, index, value)?;
        }
        tape.write(index * SLOT, &slot, false);
        Ok(())
    },
    beyond: Errno::EINVAL,
    take: |_, tape, off| {
        tape.atomic::<2>(off, false, |_| [0, 0]);
        Ok(())
    },
};
