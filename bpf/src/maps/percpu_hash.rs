//! `BPF_MAP_TYPE_PERCPU_HASH` (`hash_table.rs`): a key's value is one for each processor, and an update changes it in place.

use super::hash_table::{self, ENTRY_HEAD, HEADER, NewEntry, Shape, Variant, lock, unlock, walk};
use super::kind::KEYED_PERCPU;
use super::{Batch, Holds, Map, MapKind, MapOps, Side, Tape, UserLookup, hash_key};
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
    batch: Batch::Buckets(shape),
    adds_flags: 0,
    check: |spec| hash_table::check_shape(spec, false, true),
    region_size: |spec, cpus| hash_table::region_size(spec, variant(cpus)),
    elements: |spec, cpus| Shape::of(spec, variant(cpus)).cpu_elements(spec, cpus),
    ops: &PercpuHash,
    queue: None,
};

struct PercpuHash;

fn shape(map: &Map) -> Shape {
    Shape::of(map.spec(), variant(map.cpus()))
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

impl MapOps for PercpuHash {
    fn lookup(&self, map: &Map, tape: &mut Tape<'_>, cpu: u32, key: &[u8]) -> Option<u32> {
        let shape = shape(map);
        let found = hash_table::find(tape, &shape, hash_key(key), key)?;
        (cpu < map.cpus()).then(|| shape.cpu_value(found.link, cpu))
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
        if flags > super::BPF_EXIST || side.cpu() >= map.cpus() {
            return Err(Errno::EINVAL);
        }
        let (shape, hash) = (shape(map), hash_key(key));
        let bucket = shape.bucket(hash);
        lock(tape, bucket);
        let head = tape.read_u32(bucket);
        let old = walk(tape, &shape, head, hash, key).map(|found| found.link);
        let done = hash_table::check_presence(old.is_some(), flags).and_then(|()| {
            let link = match old {
                Some(link) => link,
                None => hash_table::insert(tape, map, &shape, &NewEntry { hash, key, value: &[] }, bucket, head)?,
            };
            write_values(tape, map, &shape, link, side, value, old.is_none());
            Ok(())
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
