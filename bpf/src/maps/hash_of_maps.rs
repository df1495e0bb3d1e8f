//! `BPF_MAP_TYPE_HASH_OF_MAPS`: maps of one shape, by key. A value is a map's number.

use super::hash_table::{self, ENTRY_HEAD, HEADER, NewEntry, Shape, Variant, lock, unlock, walk};
use super::kind::NO_ELEMENTS;
use super::reference::check_inner;
use super::{Batch, Holds, Map, MapKind, MapOps, Side, Tape, UserLookup, hash_key};
use crate::errno::Errno;
use crate::program::MapType;

/// No spare entries: a reference is replaced in place.
const VARIANT: Variant = Variant { header: HEADER, head: ENTRY_HEAD, extra: 0, cpus: 0 };

pub(super) const KIND: MapKind = MapKind {
    ty: MapType::HASH_OF_MAPS,
    per_cpu: false,
    holds: Holds::Maps,
    // map_lookup_elem
    helpers: &[1],
    inner: false,
    user_lookup: UserLookup::Value,
    user_take: false,
    batch: Batch::Buckets(shape),
    adds_flags: 0,
    check: |spec| {
        if spec.value_size != 4 {
            return Err((Errno::EINVAL, "value_size of 4"));
        }
        hash_table::check_shape(spec, false, false)?;
        check_inner(spec)
    },
    region_size: |spec, _| hash_table::region_size(spec, VARIANT),
    elements: |_, _| NO_ELEMENTS,
    ops: &HashOfMaps,
    queue: None,
};

struct HashOfMaps;

fn shape(map: &Map) -> Shape {
    Shape::of(map.spec(), VARIANT)
}

impl MapOps for HashOfMaps {
    fn lookup(&self, map: &Map, tape: &mut Tape<'_>, _: u32, key: &[u8]) -> Option<u32> {
        let shape = shape(map);
        hash_table::find(tape, &shape, hash_key(key), key).map(|found| found.entry + shape.value_off)
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
        hash_table::check_flags(flags)?;
        let (shape, hash) = (shape(map), hash_key(key));
        let bucket = shape.bucket(hash);
        lock(tape, bucket);
        let head = tape.read_u32(bucket);
        let old = walk(tape, &shape, head, hash, key);
        let done = hash_table::check_presence(old.is_some(), flags).and_then(|()| match old {
            Some(old) => {
                tape.write(old.entry + shape.value_off, value, true);
                Ok(())
            }
            None => hash_table::insert(tape, map, &shape, &NewEntry { hash, key, value }, bucket, head).map(|_| ()),
        });
        unlock(tape, bucket);
        done
    }

    fn delete(&self, map: &Map, tape: &mut Tape<'_>, _: u32, key: &[u8]) -> Result<(), Errno> {
        hash_table::delete(tape, &shape(map), hash_key(key), key)
    }

    fn next_key(&self, map: &Map, tape: &mut Tape<'_>, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        hash_table::next_key(tape, &shape(map), key.map(|key| (hash_key(key), key)), next)
    }
}
