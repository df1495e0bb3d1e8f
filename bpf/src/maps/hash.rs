//! `BPF_MAP_TYPE_HASH`: chained buckets over preallocated entries, as Linux's (kernel/bpf/hashtab.c) behaves.
//!
//! ```text
//! region  header                          16 bytes   free list, entries ever taken
//!         spare[cpu]                       4 bytes   each, the whole rounded to 8
//!         bucket[n]    head, lock          8 bytes   each; n = max_entries rounded up to a power of two
//!         entry[i]     next, hash, key, value        max_entries + cpus of them; key and value rounded to 8
//! ```
//!
//! Links hold an entry's index plus one, 0 for none, so a region of zeros is an empty map. As in Linux an update of a key
//! that is there does not change the value in place: it fills the processor's spare entry and makes the old one the new
//! spare, so a pointer got before still reads the old value. Writers take the bucket's lock; readers take none.

use super::map::round8;
use super::{
    BPF_EXIST, BPF_F_ACCESS_MASK, BPF_F_LOCK, BPF_F_NO_COMMON_LRU, BPF_F_NO_PREALLOC, BPF_F_NUMA_NODE, BPF_F_ZERO_SEED,
    BPF_NOEXIST, CreateCheck, Map, MapKind, MapOps, Tape, array, hash_key,
};
use crate::errno::Errno;
use crate::memory::Elements;
use crate::program::{MapSpec, MapType};

/// Largest key and value together, exclusive: what one kernel allocation holds (4 MiB) less the kernel's entry header (48).
const MAX_ENTRY: u64 = (4 << 20) - 48;
/// Most buckets, a power of two (kernel: `roundup_pow_of_two` must not exceed 32 bits).
const MAX_ENTRIES: u32 = 1 << 31;

const FREE: u32 = 0;
const SPARES: u32 = 16;
const BUCKET: u32 = 8;
const LOCK: u32 = 4;
const ENTRY_HEAD: u32 = 8;

pub(super) const KIND: MapKind = MapKind {
    ty: MapType::HASH,
    per_cpu: false,
    check,
    region_size: |spec, cpus| {
        let entries = u64::from(spec.max_entries) + u64::from(cpus);
        u64::from(SPARES)
            + (u64::from(cpus) * 4).next_multiple_of(8)
            + u64::from(spec.max_entries).next_power_of_two() * u64::from(BUCKET)
            + entries * u64::from(stride(spec))
    },
    elements: |spec, cpus| Elements {
        first: Shape::of(spec, cpus).entries + ENTRY_HEAD + round8(spec.key_size),
        stride: stride(spec),
        size: spec.value_size,
        count: spec.max_entries + cpus,
    },
    ops: &Hash,
};

struct Hash;

fn check(spec: &MapSpec) -> CreateCheck {
    let flags = BPF_F_NO_PREALLOC | BPF_F_NO_COMMON_LRU | BPF_F_NUMA_NODE | BPF_F_ACCESS_MASK | BPF_F_ZERO_SEED;
    if spec.flags & !flags != 0 {
        return Err((Errno::EINVAL, "no flag that this kind does not have"));
    }
    array::check_access_flags(spec)?;
    if spec.flags & BPF_F_NO_COMMON_LRU != 0 {
        return Err((Errno::EINVAL, "BPF_F_NO_COMMON_LRU on LRU maps only"));
    }
    if spec.max_entries == 0 || spec.key_size == 0 || spec.value_size == 0 {
        return Err((Errno::EINVAL, "key_size, value_size and max_entries of at least 1"));
    }
    if u64::from(spec.key_size) + u64::from(spec.value_size) >= MAX_ENTRY {
        return Err((Errno::E2BIG, "key and value together below 4 MiB - 48"));
    }
    if spec.max_entries > MAX_ENTRIES {
        return Err((Errno::E2BIG, "max_entries of at most 2^31"));
    }
    Ok(())
}

fn stride(spec: &MapSpec) -> u32 {
    ENTRY_HEAD + round8(spec.key_size) + round8(spec.value_size)
}

/// Offsets of the parts, and how many entries and buckets there are.
#[derive(Clone, Copy)]
struct Shape {
    buckets: u32,
    bucket_mask: u32,
    entries: u32,
    stride: u32,
    total: u32,
    value_off: u32,
}

impl Shape {
    fn of(spec: &MapSpec, cpus: u32) -> Shape {
        let buckets = SPARES + (cpus * 4).next_multiple_of(8);
        let n = spec.max_entries.next_power_of_two();
        Shape {
            buckets,
            bucket_mask: n - 1,
            entries: buckets + n * BUCKET,
            stride: stride(spec),
            total: spec.max_entries + cpus,
            value_off: ENTRY_HEAD + round8(spec.key_size),
        }
    }

    fn bucket(&self, hash: u32) -> u32 {
        self.buckets + (hash & self.bucket_mask) * BUCKET
    }

    /// The entry a link names. A link that no map would write names none.
    fn entry(&self, link: u32) -> Option<u32> {
        (1..=self.total).contains(&link).then(|| self.entries + (link - 1) * self.stride)
    }
}

/// An entry found in its bucket.
struct Found {
    /// Its link.
    link: u32,
    /// Its offset.
    entry: u32,
    /// The link behind it.
    next: u32,
    /// Offset of the entry before it; `None` at the head.
    before: Option<u32>,
}

/// Walks a bucket from its head to the key. A chain that a guest has bent into a ring ends after `total` steps.
fn walk(tape: &mut Tape<'_>, shape: &Shape, head: u32, hash: u32, key: &[u8]) -> Option<Found> {
    let (mut link, mut before) = (head, None);
    for _ in 0..shape.total {
        let entry = shape.entry(link)?;
        let ([next, _], equal) = tape.follow_key(entry, key, |[_, stored]| stored == hash);
        if equal {
            return Some(Found { link, entry, next, before });
        }
        (link, before) = (next, Some(entry));
    }
    None
}

fn lock(tape: &mut Tape<'_>, bucket: u32) {
    tape.atomic::<1>(bucket + LOCK, false, |_| [1]);
}

fn unlock(tape: &mut Tape<'_>, bucket: u32) {
    tape.write_u32(bucket + LOCK, 0, false);
}

/// Takes a free entry's link: the last one freed, else the next never used.
fn take(tape: &mut Tape<'_>, map: &Map, shape: &Shape) -> Option<u32> {
    let max = map.spec().max_entries;
    let [free, used] = tape.atomic::<2>(FREE, false, |[free, used]| match free {
        0 if used < max => [0, used + 1],
        _ => [free, used],
    });
    if free == 0 {
        return (used < max).then_some(used + 1);
    }
    let mut next = [0; 4];
    tape.follow(shape.entry(free)?, &mut next);
    tape.write(FREE, &next, false);
    Some(free)
}

/// Puts an entry on the free list.
fn give(tape: &mut Tape<'_>, entry: u32, link: u32) {
    let [was] = tape.atomic::<1>(FREE, false, |_| [link]);
    tape.write_u32(entry, was, true);
}

/// Links of the first `cpus` spares; 0 stands for the one it was born with.
fn spare(tape: &mut Tape<'_>, map: &Map, cpu: u32) -> (u32, u32) {
    let off = SPARES + 4 * cpu;
    match tape.read_u32(off) {
        0 => (off, map.spec().max_entries + cpu + 1),
        link => (off, link),
    }
}

fn replace_or_insert(
    tape: &mut Tape<'_>,
    map: &Map,
    shape: &Shape,
    cpu: u32,
    entry: &NewEntry<'_>,
    flags: u64,
) -> Result<(), Errno> {
    let bucket = shape.bucket(entry.hash);
    let head = tape.read_u32(bucket);
    let old = walk(tape, shape, head, entry.hash, entry.key);
    if old.is_some() && flags & BPF_NOEXIST != 0 {
        return Err(Errno::EEXIST);
    }
    if old.is_none() && flags & BPF_EXIST != 0 {
        return Err(Errno::ENOENT);
    }
    let Some(old) = old else {
        let link = take(tape, map, shape).ok_or(Errno::E2BIG)?;
        entry.write(tape, shape.entry(link).ok_or(Errno::E2BIG)?, shape, head);
        tape.write_u32(bucket, link, false);
        return Ok(());
    };
    let (spare_off, link) = spare(tape, map, cpu);
    let off = shape.entry(link).ok_or(Errno::E2BIG)?;
    entry.write(tape, off, shape, if old.before.is_none() { old.next } else { head });
    tape.write_u32(bucket, link, false);
    if let Some(before) = old.before {
        tape.write_u32(before, old.next, true);
    }
    tape.write_u32(spare_off, old.link, false);
    Ok(())
}

/// What an update writes.
struct NewEntry<'a> {
    hash: u32,
    key: &'a [u8],
    value: &'a [u8],
}

impl NewEntry<'_> {
    fn write(&self, tape: &mut Tape<'_>, off: u32, shape: &Shape, next: u32) {
        let head = (u64::from(self.hash) << 32 | u64::from(next)).to_le_bytes();
        tape.write_parts(off, &[(0, &head), (ENTRY_HEAD, self.key), (shape.value_off, self.value)]);
    }
}

impl MapOps for Hash {
    fn lookup(&self, map: &Map, tape: &mut Tape<'_>, _: u32, key: &[u8]) -> Option<u32> {
        let shape = Shape::of(map.spec(), map.cpus());
        let hash = hash_key(key);
        let head = tape.read_u32(shape.bucket(hash));
        let found = walk(tape, &shape, head, hash, key)?;
        Some(found.entry + shape.value_off)
    }

    fn update(
        &self,
        map: &Map,
        tape: &mut Tape<'_>,
        cpu: u32,
        key: &[u8],
        value: &[u8],
        flags: u64,
    ) -> Result<(), Errno> {
        // No map here has a spin lock in its value.
        if flags & !BPF_F_LOCK > BPF_EXIST || flags & BPF_F_LOCK != 0 || cpu >= map.cpus() {
            return Err(Errno::EINVAL);
        }
        let shape = Shape::of(map.spec(), map.cpus());
        let entry = NewEntry { hash: hash_key(key), key, value };
        let bucket = shape.bucket(entry.hash);
        lock(tape, bucket);
        let done = replace_or_insert(tape, map, &shape, cpu, &entry, flags);
        unlock(tape, bucket);
        done
    }

    fn delete(&self, map: &Map, tape: &mut Tape<'_>, _: u32, key: &[u8]) -> Result<(), Errno> {
        let shape = Shape::of(map.spec(), map.cpus());
        let hash = hash_key(key);
        let bucket = shape.bucket(hash);
        lock(tape, bucket);
        let head = tape.read_u32(bucket);
        let found = walk(tape, &shape, head, hash, key);
        if let Some(found) = &found {
            match found.before {
                None => tape.write_u32(bucket, found.next, false),
                Some(before) => tape.write_u32(before, found.next, true),
            }
            give(tape, found.entry, found.link);
        }
        unlock(tape, bucket);
        found.map(|_| ()).ok_or(Errno::ENOENT)
    }

    fn next_key(&self, map: &Map, tape: &mut Tape<'_>, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        let shape = Shape::of(map.spec(), map.cpus());
        let mut from = 0;
        if let Some(key) = key {
            let hash = hash_key(key);
            let head = tape.read_u32(shape.bucket(hash));
            if let Some(found) = walk(tape, &shape, head, hash, key) {
                if let Some(entry) = shape.entry(found.next) {
                    tape.follow(entry + ENTRY_HEAD, next);
                    return Ok(());
                }
                from = (hash & shape.bucket_mask) + 1;
            }
        }
        let entry = first_from(tape, &shape, from).ok_or(Errno::ENOENT)?;
        tape.follow(entry + ENTRY_HEAD, next);
        Ok(())
    }
}

/// The first entry of the first bucket in use from index `from` on. Bucket heads are read a cache line at a time.
fn first_from(tape: &mut Tape<'_>, shape: &Shape, from: u32) -> Option<u32> {
    const AT_ONCE: u32 = 8;
    let mut line = [0; (AT_ONCE * BUCKET) as usize];
    let mut at = from;
    while at <= shape.bucket_mask {
        let n = AT_ONCE.min(shape.bucket_mask - at + 1);
        let heads = &mut line[..(n * BUCKET) as usize];
        tape.read(shape.buckets + at * BUCKET, heads);
        let mut links = heads.chunks_exact(BUCKET as usize).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        if let Some(entry) = links.find_map(|link| shape.entry(link)) {
            return Some(entry);
        }
        at += n;
    }
    None
}
