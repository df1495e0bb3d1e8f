//! `BPF_MAP_TYPE_SOCKHASH`: sockets, by key, in a table (`hash_table.rs`). Values are those of `sockets.rs`.

use super::hash_table::{self, ENTRY_HEAD, HEADER, NewEntry, Shape, Variant};
use super::table::Table;
use super::{BPF_EXIST, Holds, Map, MapKind, Side, Tape, hash_key, slots, sockets};
use crate::errno::Errno;
use crate::program::MapType;

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
    region_size: |spec, _| hash_table::region_size(&slots::spacious(spec), VARIANT),
    ops: &Sockhash,
    ..sockets::kind(MapType::SOCKHASH)
};

struct Sockhash;

impl Table for Sockhash {
    fn shape(map: &Map) -> Shape {
        Shape::of(&slots::spacious(map.spec()), VARIANT)
    }

    fn update(map: &Map, tape: &mut Tape<'_>, _: Side, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        let slot = slots::padded(value);
        let entry = NewEntry { hash: hash_key(key), key, value: &slot };
        hash_table::put(tape, map, &Self::shape(map), &entry, flags)
    }
}
