//! `BPF_MAP_TYPE_SOCKHASH`: sockets, by key, in a table (`hash_table.rs`). Values are those of `sockets.rs`.

use super::hash_table::{self, ENTRY_HEAD, HEADER, NewEntry, Shape, Variant, lock, unlock, walk};
use super::{BPF_EXIST, Holds, Map, MapKind, MapOps, Side, Tape, hash_key, sockets};
use crate::errno::Errno;
use crate::program::{MapSpec, MapType};

const VARIANT: Variant = Variant { header: HEADER, head: ENTRY_HEAD, extra: 0, cpus: 0 };
/// Longest key: what a program's stack holds.
const MAX_KEY: u32 = 512;

pub(super) const KIND: MapKind = MapKind {
    holds: Holds::Sockets,
    // map_lookup_elem, map_delete_elem, sock_hash_update, msg_redirect_hash, sk_redirect_hash, sk_select_reuseport
    helpers: &[1, 3, 70, 71, 72, 82],
    check: |spec| {
        if spec.max_entries == 0 || spec.key_size == 0 {
            return Err((Errno::EINVAL, "key_size and max_entries of at least 1"));
        }
        sockets::check_values(spec)?;
        if spec.key_size > MAX_KEY {
            return Err((Errno::E2BIG, "key_size of at most 512"));
        }
        Ok(())
    },
    region_size: |spec, _| hash_table::region_size(&full(spec), VARIANT),
    ops: &Sockhash,
    ..sockets::kind(MapType::SOCKHASH)
};

/// The shape with values in full.
fn full(spec: &MapSpec) -> MapSpec {
    MapSpec { ty: spec.ty, key_size: spec.key_size, value_size: 8, max_entries: spec.max_entries, ..MapSpec::default() }
}

fn shape(map: &Map) -> Shape {
    Shape::of(&full(map.spec()), VARIANT)
}

struct Sockhash;

impl MapOps for Sockhash {
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
        if flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        let (shape, hash, slot) = (shape(map), hash_key(key), sockets::full(value));
        let bucket = shape.bucket(hash);
        lock(tape, bucket);
        let head = tape.read_u32(bucket);
        let old = walk(tape, &shape, head, hash, key);
        let done = hash_table::check_presence(old.is_some(), flags).and_then(|()| match old {
            Some(old) => {
                tape.write(old.entry + shape.value_off, &slot, true);
                Ok(())
            }
            None => {
                let entry = NewEntry { hash, key, value: &slot };
                hash_table::insert(tape, map, &shape, &entry, bucket, head).map(|_| ())
            }
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
