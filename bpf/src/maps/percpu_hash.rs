//! `BPF_MAP_TYPE_PERCPU_HASH` (`hash_table.rs`): a key's value is one for each processor, and an update changes it in place.

use super::hash_table::{self, ENTRY_HEAD, Found, HEADER, Held, NewEntry, Shape, Variant};
use super::kind::KEYED_PERCPU;
use super::table::Table;
use super::{Batch, Holds, Map, MapKind, Side, Tape, UserLookup, hash_key};
use crate::errno::Errno;
use crate::program::MapType;

const fn variant(cpus: u32) -> Variant {
    Variant { header: HEADER, head: ENTRY_HEAD, extra: 0, cpus }
}

pub(super) const KIND: MapKind = MapKind {
    ty: MapType::PERCPU_HASH,
    per_cpu: true,
    holds: Holds::Values,
    helpers: KEYED_PERCPU,
    inner: true,
    user_lookup: UserLookup::Value,
    user_take: true,
    batch: Batch::Buckets(PercpuHash::shape),
    adds_flags: 0,
    check: |spec| hash_table::check_shape(spec, false, true),
    region_size: |spec, cpus| hash_table::region_size(spec, variant(cpus)),
    elements: |spec, cpus| Shape::of(spec, variant(cpus)).cpu_elements(spec, cpus),
    ops: &PercpuHash,
    queue: None,
};

struct PercpuHash;

/// Where a processor's value of an entry lies.
pub(super) fn own_value(map: &Map, shape: &Shape, found: &Found, cpu: u32) -> Option<u32> {
    (cpu < map.cpus()).then(|| shape.cpu_value(found.link, cpu))
}

/// Writes the values of an entry: those given, and for a new entry zeros on all other processors.
pub(super) fn write_values(
    tape: &mut Tape<'_>,
    map: &Map,
    shape: &Shape,
    link: u32,
    side: Side,
    value: &[u8],
    new: bool,
) {
    if let (true, Side::Program(own)) = (new, side) {
        let zeros = vec![0; map.spec().value_size as usize];
        for cpu in (0..map.cpus()).filter(|cpu| *cpu != own) {
            tape.write(shape.cpu_value(link, cpu), &zeros, true);
        }
    }
    for (cpu, value) in side.values(map, value).take_while(|(cpu, _)| *cpu < map.cpus()) {
        tape.write(shape.cpu_value(link, cpu), value, true);
    }
}

impl Table for PercpuHash {
    fn shape(map: &Map) -> Shape {
        Shape::of(map.spec(), variant(map.cpus()))
    }

    fn value(map: &Map, shape: &Shape, found: &Found, cpu: u32) -> Option<u32> {
        own_value(map, shape, found, cpu)
    }

    fn update(map: &Map, tape: &mut Tape<'_>, side: Side, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags > super::BPF_EXIST || side.cpu() >= map.cpus() {
            return Err(Errno::EINVAL);
        }
        let (shape, hash) = (Self::shape(map), hash_key(key));
        hash_table::change(tape, &shape, hash, key, |tape, Held { bucket, head, old }| {
            hash_table::check_presence(old.is_some(), flags)?;
            let link = match &old {
                Some(old) => old.link,
                None => hash_table::insert(tape, map, &shape, &NewEntry { hash, key, value: &[] }, bucket, head)?,
            };
            write_values(tape, map, &shape, link, side, value, old.is_none());
            Ok(())
        })
    }
}
