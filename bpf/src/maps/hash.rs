//! `BPF_MAP_TYPE_HASH` (`hash_table.rs`), with a spare entry for each processor in its header.
//!
//! As in Linux an update of a key that is there does not change the value in place: it fills the processor's spare entry
//! and makes the old one the new spare, so a pointer got before still reads the old value.

use super::hash_table::{self, ENTRY_HEAD, HEADER, NewEntry, Shape, Variant, lock, unlock, walk};
use super::kind::KEYED;
use super::{Batch, CreateCheck, Holds, Map, MapKind, MapOps, Side, Tape, UserLookup, hash_key};
use crate::errno::Errno;
use crate::memory::Elements;
use crate::program::{MapSpec, MapType};

pub(super) const KIND: MapKind = MapKind {
    ty: MapType::HASH,
    per_cpu: false,
    holds: Holds::Values,
    helpers: KEYED,
    inner: true,
    user_lookup: UserLookup::Value,
    user_take: true,
    batch: Batch::Buckets(shape),
    adds_flags: 0,
    check: |spec| check(spec),
    region_size: |spec, cpus| hash_table::region_size(spec, variant(cpus)),
    elements: |spec, cpus| {
        let shape = Shape::of(spec, variant(cpus));
        Elements {
            first: shape.entries + shape.value_off,
            stride: shape.stride,
            size: spec.value_size,
            count: shape.total,
        }
    },
    ops: &Hash,
    queue: None,
};

struct Hash;

fn check(spec: &MapSpec) -> CreateCheck {
    hash_table::check_shape(spec, false, false)
}

/// The kind's variant of the table. With more processors than that the spares alone are too large for any region.
pub(super) fn variant(cpus: u32) -> Variant {
    Variant { header: HEADER + (cpus.min(1 << 29) * 4).next_multiple_of(8), head: ENTRY_HEAD, extra: cpus, cpus: 0 }
}

fn shape(map: &Map) -> Shape {
    Shape::of(map.spec(), variant(map.cpus()))
}

/// Links of the first `cpus` spares; 0 stands for the one it was born with.
fn spare(tape: &mut Tape<'_>, map: &Map, cpu: u32) -> (u32, u32) {
    let off = HEADER + 4 * cpu;
    match tape.read_u32(off) {
        0 => (off, map.spec().max_entries + cpu + 1),
        link => (off, link),
    }
}

fn replace_or_insert(
    tape: &mut Tape<'_>,
    map: &Map,
    shape: &Shape,
    cpu: u32,
    entry: &NewEntry<'_>,
    flags: u64,
) -> Result<(), Errno> {
    let bucket = shape.bucket(entry.hash);
    let head = tape.read_u32(bucket);
    let old = walk(tape, shape, head, entry.hash, entry.key);
    hash_table::check_presence(old.is_some(), flags)?;
    let Some(old) = old else {
        return hash_table::insert(tape, map, shape, entry, bucket, head).map(|_| ());
    };
    let (spare_off, link) = spare(tape, map, cpu);
    let off = shape.entry(link).ok_or(Errno::E2BIG)?;
    entry.write(tape, off, shape, if old.before.is_none() { old.next } else { head });
    tape.write_u32(bucket, link, false);
    if let Some(before) = old.before {
        tape.write_u32(before, old.next, true);
    }
    tape.write_u32(spare_off, old.link, false);
    Ok(())
}

/// `htab_map_update_elem`: creates or replaces an entry.
pub(super) fn update(
    map: &Map,
    tape: &mut Tape<'_>,
    cpu: u32,
    key: &[u8],
    value: &[u8],
    flags: u64,
) -> Result<(), Errno> {
    hash_table::check_flags(flags)?;
    if cpu >= map.cpus() {
        return Err(Errno::EINVAL);
    }
    let shape = shape(map);
    let entry = NewEntry { hash: hash_key(key), key, value };
    let bucket = shape.bucket(entry.hash);
    lock(tape, bucket);
    let done = replace_or_insert(tape, map, &shape, cpu, &entry, flags);
    unlock(tape, bucket);
    done
}

impl MapOps for Hash {
    fn lookup(&self, map: &Map, tape: &mut Tape<'_>, _: u32, key: &[u8]) -> Option<u32> {
        let shape = shape(map);
        hash_table::find(tape, &shape, hash_key(key), key).map(|found| found.entry + shape.value_off)
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
        update(map, tape, side.cpu(), key, value, flags)
    }

    fn delete(&self, map: &Map, tape: &mut Tape<'_>, _: u32, key: &[u8]) -> Result<(), Errno> {
        hash_table::delete(tape, &shape(map), hash_key(key), key)
    }

    fn next_key(&self, map: &Map, tape: &mut Tape<'_>, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        hash_table::next_key(tape, &shape(map), key.map(|key| (hash_key(key), key)), next)
    }
}
