//! `BPF_MAP_TYPE_LRU_PERCPU_HASH`: as `lru_hash.rs`, with a value for each processor, changed in place.

use super::hash_table::{self, Found, Held, NewEntry, Shape};
use super::kind::KEYED_PERCPU;
use super::lru::{self, Lru};
use super::percpu_hash::{own_value, write_values};
use super::table::Table;
use super::{BPF_EXIST, Batch, Holds, Map, MapKind, Side, Tape, UserLookup, hash_key};
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
    batch: Batch::Buckets(LruPercpuHash::shape),
    adds_flags: 0,
    check: |spec| hash_table::check_shape(spec, true, true),
    region_size: |spec, cpus| hash_table::region_size(spec, lru::variant(spec, cpus, true)),
    elements: |spec, cpus| Shape::of(spec, lru::variant(spec, cpus, true)).cpu_elements(spec, cpus),
    ops: &LruPercpuHash,
    queue: None,
};

struct LruPercpuHash;

impl Table for LruPercpuHash {
    fn shape(map: &Map) -> Shape {
        Lru::of(map, true).shape
    }

    fn value(map: &Map, shape: &Shape, found: &Found, cpu: u32) -> Option<u32> {
        own_value(map, shape, found, cpu)
    }

    fn used(tape: &mut Tape<'_>, found: &Found) {
        lru::mark(tape, found.entry);
    }

    fn update(map: &Map, tape: &mut Tape<'_>, side: Side, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags > BPF_EXIST || side.cpu() >= map.cpus() {
            return Err(Errno::EINVAL);
        }
        let (lru, hash) = (Lru::of(map, true), hash_key(key));
        // As Linux: unless the key must be there, an entry is taken before the table is asked, and may evict.
        let new = match flags {
            BPF_EXIST => None,
            _ => Some(lru.pop(tape, side.cpu(), hash).ok_or(Errno::ENOMEM)?),
        };
        let mut unused = new;
        let done = hash_table::change(tape, &lru.shape, hash, key, |tape, Held { bucket, head, old }| {
            hash_table::check_presence(old.is_some(), flags)?;
            match (&old, new.and_then(|link| Some((link, lru.shape.entry(link)?)))) {
                (Some(old), _) => {
                    lru::mark(tape, old.entry);
                    write_values(tape, map, &lru.shape, old.link, side, value, false);
                }
                (None, Some((link, entry))) => {
                    NewEntry { hash, key, value: &[] }.write(tape, entry, &lru.shape, head);
                    tape.write_u32(bucket, link, false);
                    write_values(tape, map, &lru.shape, link, side, value, true);
                    unused = None;
                }
                (None, None) => {}
            }
            Ok(())
        });
        if let Some(link) = unused {
            lru.give(tape, link);
        }
        done
    }

    fn delete(map: &Map, tape: &mut Tape<'_>, key: &[u8]) -> Result<(), Errno> {
        Lru::of(map, true).remove(tape, hash_key(key), key)
    }
}
