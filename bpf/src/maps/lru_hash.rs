//! `BPF_MAP_TYPE_LRU_HASH`: a hash table (`hash_table.rs`) that makes room for a new key by dropping one that has not been
//! used for long (`lru.rs`).

use super::hash_table::{self, NewEntry, Shape, lock, unlock, walk};
use super::kind::KEYED;
use super::lru::{self, Lru};
use super::{Batch, Holds, Map, MapKind, MapOps, Side, Tape, UserLookup, hash_key};
use crate::errno::Errno;
use crate::memory::Elements;
use crate::program::MapType;

pub(super) const KIND: MapKind = MapKind {
    ty: MapType::LRU_HASH,
    per_cpu: false,
    holds: Holds::Values,
    helpers: KEYED,
    inner: true,
    user_lookup: UserLookup::Value,
    user_take: true,
    batch: Batch::Buckets(shape),
    adds_flags: 0,
    check: |spec| hash_table::check_shape(spec, true, false),
    region_size: |spec, cpus| hash_table::region_size(spec, lru::variant(spec, cpus, false)),
    elements: |spec, cpus| {
        let shape = Shape::of(spec, lru::variant(spec, cpus, false));
        Elements {
            first: shape.entries + shape.value_off,
            stride: shape.stride,
            size: spec.value_size,
            count: shape.total,
        }
    },
    ops: &LruHash,
    queue: None,
};

struct LruHash;

fn shape(map: &Map) -> Shape {
    Lru::of(map, false).shape
}

impl MapOps for LruHash {
    fn lookup(&self, map: &Map, tape: &mut Tape<'_>, _: u32, key: &[u8]) -> Option<u32> {
        let lru = Lru::of(map, false);
        let found = hash_table::find(tape, &lru.shape, hash_key(key), key)?;
        lru.mark(tape, found.entry);
        Some(found.entry + lru.shape.value_off)
    }

    fn find(&self, map: &Map, tape: &mut Tape<'_>, _: u32, key: &[u8]) -> Option<u32> {
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
        if flags > super::BPF_EXIST || side.cpu() >= map.cpus() {
            return Err(Errno::EINVAL);
        }
        let (lru, hash) = (Lru::of(map, false), hash_key(key));
        // As Linux: the entry is taken before the table is asked, so that even a refused update may evict.
        let link = lru.pop(tape, side.cpu(), hash).ok_or(Errno::ENOMEM)?;
        let entry = lru.shape.entry(link).ok_or(Errno::ENOMEM)?;
        let bucket = lru.shape.bucket(hash);
        lock(tape, bucket);
        let head = tape.read_u32(bucket);
        let old = walk(tape, &lru.shape, head, hash, key);
        let done = hash_table::check_presence(old.is_some(), flags);
        if done.is_ok() {
            NewEntry { hash, key, value }.write(tape, entry, &lru.shape, head);
            tape.write_u32(bucket, link, false);
            if let Some(old) = &old {
                lru.mark(tape, entry);
                // The old entry was at the head, or behind the entry it was behind before.
                tape.write_u32(old.before.unwrap_or(entry), old.next, true);
            }
        }
        unlock(tape, bucket);
        match (&done, old) {
            (Err(_), _) => lru.give(tape, link),
            (Ok(()), Some(old)) => lru.give(tape, old.link),
            (Ok(()), None) => {}
        }
        done
    }

    fn delete(&self, map: &Map, tape: &mut Tape<'_>, _: u32, key: &[u8]) -> Result<(), Errno> {
        if Lru::of(map, false).remove(tape, hash_key(key), key) { Ok(()) } else { Err(Errno::ENOENT) }
    }

    fn next_key(&self, map: &Map, tape: &mut Tape<'_>, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        hash_table::next_key(tape, &shape(map), key.map(|key| (hash_key(key), key)), next)
    }
}
