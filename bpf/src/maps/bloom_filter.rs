//! `BPF_MAP_TYPE_BLOOM_FILTER`: a set that may say yes to what it does not hold (kernel/bpf/bloom_filter.c). The region is
//! its bits. Which strangers it takes for members depends on the hash, which is this project's own.

use super::hashing::hash_seeded;
use super::kind::{Keyless, NO_ELEMENTS, QueueOps};
use super::{
    BPF_ANY, BPF_F_ACCESS_MASK, BPF_F_NUMA_NODE, BPF_F_ZERO_SEED, Batch, CreateCheck, Holds, Map, MapKind, Tape,
    UserLookup, array,
};
use crate::errno::Errno;
use crate::program::{MapSpec, MapType};

/// Hash functions where `map_extra` names no number.
const DEFAULT_HASHES: u32 = 5;

pub(super) const KIND: MapKind = MapKind {
    ty: MapType::BLOOM_FILTER,
    per_cpu: false,
    holds: Holds::Values,
    // map_push_elem, map_peek_elem
    helpers: &[87, 89],
    inner: true,
    user_lookup: UserLookup::Peek,
    user_take: false,
    batch: Batch::None,
    adds_flags: 0,
    check,
    region_size: |spec, _| (u64::from(mask(spec)) + 1) / 8,
    elements: |_, _| NO_ELEMENTS,
    ops: &Keyless { update: Errno::EINVAL, delete: Errno::EOPNOTSUPP, next_key: Errno::EOPNOTSUPP },
    queue: Some(&Bloom),
};

/// Largest value: what one kernel allocation holds.
const MAX_VALUE: u32 = 4 << 20;

fn check(spec: &MapSpec) -> CreateCheck {
    if spec.value_size > MAX_VALUE {
        return Err((Errno::E2BIG, "value_size of at most 4 MiB"));
    }
    if spec.key_size != 0 || spec.value_size == 0 || spec.max_entries == 0 {
        return Err((Errno::EINVAL, "key_size of 0, value_size and max_entries of at least 1"));
    }
    if spec.flags & !(BPF_F_NUMA_NODE | BPF_F_ZERO_SEED | BPF_F_ACCESS_MASK) != 0 {
        return Err((Errno::EINVAL, "no flag that this kind does not have"));
    }
    array::check_access_flags(spec)?;
    if spec.extra & !0xf != 0 {
        return Err((Errno::EINVAL, "map_extra names at most 15 hash functions"));
    }
    Ok(())
}

fn hashes(spec: &MapSpec) -> u32 {
    match spec.extra as u32 & 0xf {
        0 => DEFAULT_HASHES,
        n => n,
    }
}

/// Bits less one, a power of two less one: entries times hash functions over ln 2 (as 7/5), rounded up.
fn mask(spec: &MapSpec) -> u32 {
    let bits = spec.max_entries.checked_mul(hashes(spec)).and_then(|bits| (bits / 5).checked_mul(7));
    match bits {
        Some(bits) if bits <= 1 << 31 => bits.max(64).next_power_of_two() - 1,
        _ => u32::MAX,
    }
}

struct Bloom;

/// The word of each bit of a value, and the bit in it.
fn bits(map: &Map, value: &[u8]) -> impl Iterator<Item = (u32, u32)> + use<> {
    let mask = mask(map.spec());
    let base = hash_seeded(0, value);
    let step = hash_seeded(1, value);
    (0..hashes(map.spec())).map(move |i| {
        let bit = base.wrapping_add(step.wrapping_mul(i)).wrapping_add(i.wrapping_mul(i)) & mask;
        (bit / 32 * 4, 1 << (bit % 32))
    })
}

impl QueueOps for Bloom {
    fn push(&self, map: &Map, tape: &mut Tape<'_>, value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags != BPF_ANY {
            return Err(Errno::EINVAL);
        }
        for (word, bit) in bits(map, value) {
            tape.atomic::<1>(word, false, |[was]| [was | bit]);
        }
        Ok(())
    }

    fn pop(&self, _: &Map, _: &mut Tape<'_>, _: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn peek(&self, map: &Map, tape: &mut Tape<'_>, value: &mut [u8]) -> Result<(), Errno> {
        let there = bits(map, value).all(|(word, bit)| tape.read_u32(word) & bit != 0);
        if there { Ok(()) } else { Err(Errno::ENOENT) }
    }
}
