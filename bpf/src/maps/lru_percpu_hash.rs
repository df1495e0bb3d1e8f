//! `BPF_MAP_TYPE_LRU_PERCPU_HASH`: as `lru_hash.rs`, with a value for each processor, changed in place.

use super::hash_table::{self, NewEntry, Shape, lock, unlock, walk};
use super::kind::KEYED_PERCPU;
use super::lru::{self, Lru};
use super::percpu_hash::write_values;
use super::{BPF_EXIST, Batch, Holds, Map, MapKind, MapOps, Side, Tape, UserLookup, hash_key};
use crate::errno::Errno;
use crate::program::MapType;

pub(super) const KIND: MapKind = MapKind {
    ty: MapType::LRU_PERCPU_HASH,
    per_cpu: true,
    holds: Holds::Values,
    helpers: KEYED_PERCPU,
    inner: true,
    user_lookup: UserLookup::Value,
    user_take: true,
    batch: Batch::Buckets(shape),
    adds_flags: 0,
    check: |spec| hash_table::check_shape(spec, true, true),
    region_size: |spec, cpus| hash_table::region_size(spec, lru::variant(spec, cpus, true)),
    elements: |spec, cpus| Shape::of(spec, lru::variant(spec, cpus, true)).cpu_elements(spec, cpus),
    ops: &LruPercpuHash,
    queue: None,
};

struct LruPercpuHash;

fn shape(map: &Map) -> Shape {
    Lru::of(map, true).shape
}

impl MapOps for LruPercpuHash {
    fn lookup(&self, map: &Map, tape: &mut Tape<'_>, cpu: u32, key: &[u8]) -> Option<u32> {
        let lru = Lru::of(map, true);
        let found = hash_table::find(tape, &lru.shape, hash_key(key), key)?;
        lru.mark(tape, found.entry);
        (cpu < map.cpus()).then(|| lru.shape.cpu_value(found.link, cpu))
    }

    fn find(&self, map: &Map, tape: &mut Tape<'_>, cpu: u32, key: &[u8]) -> Option<u32> {
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
        if flags > BPF_EXIST || side.cpu() >= map.cpus() {
            return Err(Errno::EINVAL);
        }
        let (lru, hash) = (Lru::of(map, true), hash_key(key));
        // As Linux: unless the key must be there, an entry is taken before the table is asked, and may evict.
        let new = match flags {
            BPF_EXIST => None,
            _ => Some(lru.pop(tape, side.cpu(), hash).ok_or(Errno::ENOMEM)?),
        };
        let bucket = lru.shape.bucket(hash);
        lock(tape, bucket);
        let head = tape.read_u32(bucket);
        let old = walk(tape, &lru.shape, head, hash, key);
        let done = hash_table::check_presence(old.is_some(), flags);
        let mut unused = new;
        match (&done, &old, new.and_then(|link| Some((link, lru.shape.entry(link)?)))) {
            (Ok(()), Some(old), _) => {
                lru.mark(tape, old.entry);
                write_values(tape, map, &lru.shape, old.link, side, value, false);
            }
            (Ok(()), None, Some((link, entry))) => {
                NewEntry { hash, key, value: &[] }.write(tape, entry, &lru.shape, head);
                tape.write_u32(bucket, link, false);
                write_values(tape, map, &lru.shape, link, side, value, true);
                unused = None;
            }
            _ => {}
        }
        unlock(tape, bucket);
        if let Some(link) = unused {
            lru.give(tape, link);
        }
        done
    }

    fn delete(&self, map: &Map, tape: &mut Tape<'_>, _: u32, key: &[u8]) -> Result<(), Errno> {
        if Lru::of(map, true).remove(tape, hash_key(key), key) { Ok(()) } else { Err(Errno::ENOENT) }
    }

    fn next_key(&self, map: &Map, tape: &mut Tape<'_>, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        hash_table::next_key(tape, &shape(map), key.map(|key| (hash_key(key), key)), next)
    }
}
