//! What the arrays of things that are referred to share: a slot an index, whose first word is 0 where it is empty.
//!
//! Kinds differ in what they write into a slot, and in what they make of flags and of slots that are empty already.

use super::kind::NO_ELEMENTS;
use super::{
    BPF_ANY, BPF_F_ACCESS_MASK, BPF_F_NUMA_NODE, BPF_F_RDONLY, BPF_F_WRONLY, Batch, CreateCheck, Holds, Map, MapKind,
    MapOps, Side, Tape, UserLookup, array,
};
use crate::errno::Errno;
use crate::program::{MapSpec, MapType};

/// Bytes of a slot: Linux keeps a pointer.
pub(super) const SLOT: u32 = 8;

/// Writes the value of an update, with its flags, into the slot of an index.
pub(super) type Put = fn(&Map, &mut Tape<'_>, index: u32, value: &[u8], flags: u64) -> Result<(), Errno>;

/// What kinds of such arrays differ in.
pub(super) struct Slots {
    /// Largest flags of an update; what they say of this slot is `put`'s business.
    pub most_flags: u64,
    /// Writes a value into a slot.
    pub put: Put,
    /// What deleting beyond the end gets.
    pub beyond: Errno,
    /// Empties the slot at an offset.
    pub take: fn(&Map, &mut Tape<'_>, off: u32) -> Result<(), Errno>,
}

/// Arrays of files (kernel/bpf/arraymap.c, `fd_array_map_*`).
const FILES: Slots = Slots {
    most_flags: BPF_ANY,
    put: |_, tape, index, value, _| {
        tape.write(index * SLOT, value, false);
        Ok(())
    },
    beyond: Errno::E2BIG,
    take: |_, tape, off| {
        let [was] = tape.atomic::<1>(off, false, |_| [0]);
        if was == 0 { Err(Errno::ENOENT) } else { Ok(()) }
    },
};

/// A row of an array of files, but for what the kinds differ in.
pub(super) const fn kind(ty: MapType, user_lookup: UserLookup, check: fn(&MapSpec) -> CreateCheck) -> MapKind {
    MapKind { inner: false, user_lookup, ..row(ty, Holds::Values, check, &FILES) }
}

/// A row of an array of slots, but for what the kinds differ in.
pub(super) const fn row(
    ty: MapType,
    holds: Holds,
    check: fn(&MapSpec) -> CreateCheck,
    ops: &'static dyn MapOps,
) -> MapKind {
    MapKind {
        ty,
        per_cpu: false,
        holds,
        helpers: &[],
        inner: true,
        user_lookup: UserLookup::Value,
        user_take: false,
        batch: Batch::None,
        adds_flags: 0,
        check,
        region_size: |spec, _| u64::from(SLOT) * u64::from(spec.max_entries),
        elements: |_, _| NO_ELEMENTS,
        ops,
        queue: None,
    }
}

/// What Linux checks of all arrays of files (`fd_array_map_alloc_check`): 4-byte values, and no flags for programs'
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

/// What Linux checks of the entries and keys of arrays that are not of files.
pub(super) fn check_keys(spec: &MapSpec) -> CreateCheck {
    if spec.max_entries == 0 {
        return Err((Errno::EINVAL, "max_entries of at least 1"));
    }
    if spec.key_size != 4 {
        return Err((Errno::EINVAL, "key_size of 4"));
    }
    Ok(())
}

/// What it checks of values of one or two words, and of flags; `sizes` says what they may be.
pub(super) fn check_values(spec: &MapSpec, sizes: &'static str) -> CreateCheck {
    if spec.value_size != 4 && spec.value_size != 8 {
        return Err((Errno::EINVAL, sizes));
    }
    if spec.flags & !(BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY) != 0 {
        return Err((Errno::EINVAL, "no flag that this kind does not have"));
    }
    array::check_access_flags(spec)
}

/// A value as a slot keeps it.
pub(super) fn padded(value: &[u8]) -> [u8; SLOT as usize] {
    let mut slot = [0; SLOT as usize];
    let len = value.len().min(slot.len());
    slot[..len].copy_from_slice(&value[..len]);
    slot
}

/// The definition with room for whole slots, for a table of them.
pub(super) fn spacious(spec: &MapSpec) -> MapSpec {
    let MapSpec { ty, key_size, max_entries, .. } = *spec;
    MapSpec { ty, key_size, value_size: SLOT, max_entries, ..MapSpec::default() }
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
        if flags > self.most_flags {
            return Err(Errno::EINVAL);
        }
        let index = array::index(map, key).ok_or(Errno::E2BIG)?;
        (self.put)(map, tape, index, value, flags)
    }

    fn delete(&self, map: &Map, tape: &mut Tape<'_>, _: u32, key: &[u8]) -> Result<(), Errno> {
        let index = array::index(map, key).ok_or(self.beyond)?;
        (self.take)(map, tape, index * SLOT)
    }

    fn next_key(&self, map: &Map, _: &mut Tape<'_>, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        array::next_index(map, key, next)
    }
}
