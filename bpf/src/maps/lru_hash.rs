//! `BPF_MAP_TYPE_LRU_HASH`: a hash table (`hash_table.rs`) that makes room for a new key by dropping one that has not been
//! used for long (`lru.rs`).

use super::hash_table::{self, Found, Held, NewEntry, Shape};
use super::kind::KEYED;
use super::lru::{self, Lru};
use super::table::Table;
use super::{Batch, Holds, Map, MapKind, Side, Tape, UserLookup, hash_key};
use crate::errno::Errno;
use crate::program::MapType;

pub(super) const KIND: MapKind = MapKind {
    ty: MapType::LRU_HASH,
    per_cpu: false,
    holds: Holds::Values,
    helpers: KEYED,
    inner: true,
    user_lookup: UserLookup::Value,
    user_take: true,
    batch: Batch::Buckets(LruHash::shape),
    adds_flags: 0,
    check: |spec| hash_table::check_shape(spec, true, false),
    region_size: |spec, cpus| hash_table::region_size(spec, lru::variant(spec, cpus, false)),
    elements: |spec, cpus| Shape::of(spec, lru::variant(spec, cpus, false)).elements(spec),
    ops: &LruHash,
    queue: None,
};

struct LruHash;

impl Table for LruHash {
    fn shape(map: &Map) -> Shape {
        Lru::of(map, false).shape
    }

    fn used(tape: &mut Tape<'_>, found: &Found) {
        lru::mark(tape, found.entry);
    }

    fn update(map: &Map, tape: &mut Tape<'_>, side: Side, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags > super::BPF_EXIST || side.cpu() >= map.cpus() {
            return Err(Errno::EINVAL);
        }
        let (lru, hash) = (Lru::of(map, false), hash_key(key));
        // As Linux: the entry is taken before the table is asked, so that even a refused update may evict.
        let link = lru.pop(tape, side.cpu(), hash).ok_or(Errno::ENOMEM)?;
        let entry = lru.shape.entry(link).ok_or(Errno::ENOMEM)?;
        let done = hash_table::change(tape, &lru.shape, hash, key, |tape, Held { bucket, head, old }| {
            hash_table::check_presence(old.is_some(), flags)?;
            NewEntry { hash, key, value }.write(tape, entry, &lru.shape, head);
            tape.write_u32(bucket, link, false);
            if let Some(old) = &old {
                lru::mark(tape, entry);
                // The old entry was at the head, or behind the entry it was behind before.
                tape.write_u32(old.before.unwrap_or(entry), old.next, true);
            }
            Ok(old.map(|old| old.link))
        });
        let unused = done.unwrap_or(Some(link));
        if let Some(unused) = unused {
            lru.give(tape, unused);
        }
        done.map(|_| ())
    }

    fn delete(map: &Map, tape: &mut Tape<'_>, key: &[u8]) -> Result<(), Errno> {
        Lru::of(map, false).remove(tape, hash_key(key), key)
    }
}
