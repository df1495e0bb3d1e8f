//! `BPF_MAP_TYPE_DEVMAP_HASH`: devices to send to, by any 32-bit number. Values are those of `ports.rs`, in a table
//! (`hash_table.rs`) whose bucket is the number itself, as Linux's.

use super::hash_table::{self, ENTRY_HEAD, HEADER, Held, NewEntry, Shape, Variant};
use super::table::Table;
use super::{BPF_EXIST, BPF_NOEXIST, Holds, Map, MapKind, Side, Tape, ports, slots};
use crate::errno::Errno;
use crate::program::MapType;

const VARIANT: Variant = Variant { header: HEADER, head: ENTRY_HEAD, extra: 0, cpus: 0 };

pub(super) const KIND: MapKind = MapKind {
    holds: Holds::Devices,
    // map_lookup_elem, redirect_map
    helpers: &[1, 51],
    adds_flags: super::BPF_F_RDONLY_PROG,
    check: |spec| {
        ports::check_devices(spec)?;
        if spec.max_entries > 1 << 31 {
            return Err((Errno::EINVAL, "max_entries of at most 2^31"));
        }
        Ok(())
    },
    region_size: |spec, _| hash_table::region_size(&slots::spacious(spec), VARIANT),
    elements: |spec, _| Shape::of(&slots::spacious(spec), VARIANT).elements(spec),
    ops: &DevmapHash,
    ..ports::kind(MapType::DEVMAP_HASH)
};

struct DevmapHash;

impl Table for DevmapHash {
    fn shape(map: &Map) -> Shape {
        Shape::of(&slots::spacious(map.spec()), VARIANT)
    }

    fn hash(map: &Map, key: &[u8]) -> u32 {
        key.try_into().map_or(0, |key| map.byte_order().word(key))
    }

    fn update(map: &Map, tape: &mut Tape<'_>, _: Side, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        let slot = ports::full(map, value);
        if flags > BPF_EXIST || slot[..4] == [0; 4] {
            return Err(Errno::EINVAL);
        }
        let (shape, hash) = (Self::shape(map), Self::hash(map, key));
        hash_table::change(tape, &shape, hash, key, |tape, Held { bucket, head, old }| {
            // Unlike other hashes this one creates an entry under BPF_EXIST too.
            let head = match &old {
                Some(_) if flags & BPF_NOEXIST != 0 => return Err(Errno::EEXIST),
                Some(old) => {
                    hash_table::unlink(tape, bucket, old);
                    hash_table::give(tape, old.entry, old.link);
                    if old.before.is_none() { old.next } else { head }
                }
                None => head,
            };
            let entry = NewEntry { hash, key, value: &slot };
            hash_table::insert(tape, map, &shape, &entry, bucket, head).map(|_| ())
        })
    }
}
