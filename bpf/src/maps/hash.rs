//! `BPF_MAP_TYPE_HASH` (`hash_table.rs`), with a spare entry for each processor in its header.
//!
//! As in Linux an update of a key that is there does not change the value in place: it fills the processor's spare entry
//! and makes the old one the new spare, so a pointer got before still reads the old value. With `BPF_F_LOCK` it changes it in
//! place, but for locks and timers.

use super::hash_table::{self, ENTRY_HEAD, HEADER, Held, NewEntry, Shape, Variant};
use super::kind::KEYED;
use super::table::Table;
use super::{BPF_F_LOCK, Batch, Holds, Map, MapKind, Side, Tape, UserLookup, hash_key};
use crate::errno::Errno;
use crate::program::MapType;

pub(super) const KIND: MapKind = MapKind {
    ty: MapType::HASH,
    per_cpu: false,
    holds: Holds::Values,
    helpers: KEYED,
    inner: true,
    user_lookup: UserLookup::Value,
    user_take: true,
    batch: Batch::Buckets(Hash::shape),
    adds_flags: 0,
    check: |spec| hash_table::check_shape(spec, false, false),
    region_size: |spec, cpus| hash_table::region_size(spec, variant(cpus)),
    elements: |spec, cpus| Shape::of(spec, variant(cpus)).elements(spec),
    ops: &Hash,
    queue: None,
};

struct Hash;

/// The kind's variant of the table. With more processors than that the spares alone are too large for any region.
fn variant(cpus: u32) -> Variant {
    Variant { header: HEADER + (cpus.min(1 << 29) * 4).next_multiple_of(8), head: ENTRY_HEAD, extra: cpus, cpus: 0 }
}

/// Links of the first `cpus` spares; 0 stands for the one it was born with.
fn spare(tape: &mut Tape<'_>, map: &Map, cpu: u32) -> (u32, u32) {
    let off = HEADER + 4 * cpu;
    match tape.read_u32(off) {
        0 => (off, map.spec().max_entries + cpu + 1),
        link => (off, link),
    }
}

impl Table for Hash {
    fn shape(map: &Map) -> Shape {
        Shape::of(map.spec(), variant(map.cpus()))
    }

    fn update(map: &Map, tape: &mut Tape<'_>, side: Side, key: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        hash_table::check_flags(map, flags)?;
        let cpu = side.cpu();
        if cpu >= map.cpus() {
            return Err(Errno::EINVAL);
        }
        let shape = Self::shape(map);
        let entry = NewEntry { hash: hash_key(key), key, value };
        hash_table::change(tape, &shape, entry.hash, key, |tape, Held { bucket, head, old }| {
            hash_table::check_presence(old.is_some(), flags)?;
            let Some(old) = old else {
                return hash_table::insert(tape, map, &shape, &entry, bucket, head).map(|_| ());
            };
            if flags & BPF_F_LOCK != 0 {
                // Under the value's own lock it is changed where it is.
                tape.write_parts(old.entry + shape.value_off, &map.spec().fields.around(value));
                return Ok(());
            }
            let (spare_off, link) = spare(tape, map, cpu);
            let off = shape.entry(link).ok_or(Errno::E2BIG)?;
            entry.write(tape, off, &shape, if old.before.is_none() { old.next } else { head });
            tape.write_u32(bucket, link, false);
            if let Some(before) = old.before {
                tape.write_u32(before, old.next, true);
            }
            hash_table::free_timer(tape, map, &shape, old.entry);
            tape.write_u32(spare_off, old.link, false);
            Ok(())
        })
    }
}
