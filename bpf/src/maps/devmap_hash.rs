//! `BPF_MAP_TYPE_DEVMAP_HASH`: devices to send to, by any 32-bit number. Values are those of `ports.rs`, in a table
//! (`hash_table.rs`) whose bucket is the number itself, as Linux's.

use super::hash_table::{self, ENTRY_HEAD, HEADER, NewEntry, Shape, Variant, lock, unlock, walk};
use super::{BPF_EXIST, BPF_NOEXIST, Holds, Map, MapKind, MapOps, Side, Tape, ports};
use crate::errno::Errno;
use crate::memory::Elements;
use crate::program::{MapSpec, MapType};

const VARIANT: Variant = Variant { header: HEADER, head: ENTRY_HEAD, extra: 0, cpus: 0 };

pub(super) const KIND: MapKind = MapKind {
    holds: Holds::Devices,
    // map_lookup_elem, redirect_map
    helpers: &[1, 51],
    adds_flags: super::BPF_F_RDONLY_PROG,
    check: |spec| {
        ports::check_values(spec)?;
        if spec.max_entries > 1 << 31 {
            return Err((Errno::EINVAL, "max_entries of at most 2^31"));
        }
        Ok(())
    },
    region_size: |spec, _| hash_table::region_size(&full(spec), VARIANT),
    elements: |spec, _| {
        let shape = Shape::of(&full(spec), VARIANT);
        Elements {
            first: shape.entries + shape.value_off,
            stride: shape.stride,
            size: spec.value_size,
            count: shape.total,
        }
    },
    ops: &DevmapHash,
    ..ports::kind(MapType::DEVMAP_HASH)
};

/// The shape with values in full.
fn full(spec: &MapSpec) -> MapSpec {
    MapSpec { ty: spec.ty, key_size: spec.key_size, value_size: 8, max_entries: spec.max_entries, ..MapSpec::default() }
}

fn shape(map: &Map) -> Shape {
    Shape::of(&full(map.spec()), VARIANT)
}

struct DevmapHash;

fn number(map: &Map, key: &[u8]) -> u32 {
    key.try_into().map_or(0, |key| map.byte_order().word(key))
}

impl MapOps for DevmapHash {
    fn lookup(&self, map: &Map, tape: &mut Tape<'_>, _: u32, key: &[u8]) -> Option<u32> {
        let shape = shape(map);
        hash_table::find(tape, &shape, number(map, key), key).map(|found| found.entry + shape.value_off)
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
        let slot = ports::full(map, value);
        if flags > BPF_EXIST || slot[..4] == [0; 4] {
            return Err(Errno::EINVAL);
        }
        let (shape, hash) = (shape(map), number(map, key));
        let bucket = shape.bucket(hash);
        lock(tape, bucket);
        let head = tape.read_u32(bucket);
        let old = walk(tape, &shape, head, hash, key);
        // Unlike other hashes this one creates an entry under BPF_EXIST too.
        let done = match &old {
            Some(_) if flags & BPF_NOEXIST != 0 => Err(Errno::EEXIST),
            Some(old) => {
                hash_table::unlink(tape, bucket, old);
                hash_table::give(tape, old.entry, old.link);
                Ok(if old.before.is_none() { old.next } else { head })
            }
            None => Ok(head),
        };
        let done = done.and_then(|head| {
            let entry = NewEntry { hash, key, value: &slot };
            hash_table::insert(tape, map, &shape, &entry, bucket, head).map(|_| ())
        });
        unlock(tape, bucket);
        done
    }

    fn delete(&self, map: &Map, tape: &mut Tape<'_>, _: u32, key: &[u8]) -> Result<(), Errno> {
        hash_table::delete(tape, &shape(map), number(map, key), key)
    }

    fn next_key(&self, map: &Map, tape: &mut Tape<'_>, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        hash_table::next_key(tape, &shape(map), key.map(|key| (number(map, key), key)), next)
    }
}
