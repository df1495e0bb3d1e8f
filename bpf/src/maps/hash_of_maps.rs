//! `BPF_MAP_TYPE_HASH_OF_MAPS`: maps of one shape, by key. A value is a map's number.

use super::hash_table::{self, ENTRY_HEAD, HEADER, NewEntry, Shape, Variant};
use super::kind::NO_ELEMENTS;
use super::reference::check_inner;
use super::table::Table;
use super::{Batch, Holds, Map, MapKind, Side, Tape, UserLookup, hash_key};
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
    batch: Batch::Buckets(HashOfMaps::shape),
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

impl Table for HashOfMaps {
    fn shape(map: &Map) -> Shape {
        Shape::of(map.spec(), VARIANT)
    }

    fn update(map: &Map, tape: &mut Tape<'_>, _: Side, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        hash_table::check_flags(map, flags)?;
        let entry = NewEntry { hash: hash_key(key), key, value };
        hash_table::put(tape, map, &Self::shape(map), &entry, flags)
    }
}
