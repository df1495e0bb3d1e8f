//! What the hash kinds share: chained buckets over preallocated entries, as Linux's (kernel/bpf/hashtab.c) behave.
//!
//! ```text
//! region  header                               free list, entries ever taken, and what else a kind keeps
//!         bucket[n]    head, lock      8 bytes each; n = max_entries rounded up to a power of two
//!         entry[i]     next, hash, ... key, value    key and value rounded to 8
//!         value[cpu][i]                              per-CPU kinds: the values, instead of those in the entries
//! ```
//!
//! Links hold an entry's index plus one, 0 for none, so a region of zeros is an empty map. Writers take the bucket's lock;
//! readers take none.

use super::map::round8;
use super::{
    BPF_EXIST, BPF_F_ACCESS_MASK, BPF_F_LOCK, BPF_F_NO_COMMON_LRU, BPF_F_NO_PREALLOC, BPF_F_NUMA_NODE, BPF_F_ZERO_SEED,
    BPF_NOEXIST, CreateCheck, Map, Tape, array,
};
use crate::errno::Errno;
use crate::memory::Elements;
use crate::program::MapSpec;

/// Largest key and value together, exclusive: what one kernel allocation holds (4 MiB) less the kernel's entry header (48).
const MAX_ENTRY: u64 = (4 << 20) - 48;
/// Most buckets, a power of two (kernel: `roundup_pow_of_two` must not exceed 32 bits).
const MAX_ENTRIES: u32 = 1 << 31;

const FREE: u32 = 0;
/// Bytes of the part of the header that all kinds have.
pub(super) const HEADER: u32 = 16;
const BUCKET: u32 = 8;
const LOCK: u32 = 4;
/// Bytes of an entry's link and hash.
pub(super) const ENTRY_HEAD: u32 = 8;

/// What the kinds differ in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variant {
    /// Bytes of the header.
    pub header: u32,
    /// Bytes of an entry before its key.
    pub head: u32,
    /// Entries beyond `max_entries`.
    pub extra: u32,
    /// Processors with values of their own; 0 where the value lies in the entry.
    pub cpus: u32,
}

/// What Linux checks of all hash kinds (`htab_map_alloc_check`), but for what only LRU kinds may.
pub(super) fn check_shape(spec: &MapSpec, lru: bool, per_cpu: bool) -> CreateCheck {
    let flags = BPF_F_NO_PREALLOC | BPF_F_NO_COMMON_LRU | BPF_F_NUMA_NODE | BPF_F_ACCESS_MASK | BPF_F_ZERO_SEED;
    if spec.flags & !flags != 0 {
        return Err((Errno::EINVAL, "no flag that this kind does not have"));
    }
    array::check_access_flags(spec)?;
    if !lru && spec.flags & BPF_F_NO_COMMON_LRU != 0 {
        return Err((Errno::EINVAL, "BPF_F_NO_COMMON_LRU on LRU maps only"));
    }
    if lru && spec.flags & BPF_F_NO_PREALLOC != 0 {
        return Err((Errno::ENOTSUPP, "LRU maps are preallocated"));
    }
    if spec.flags & BPF_F_NUMA_NODE != 0 && (per_cpu || spec.flags & BPF_F_NO_COMMON_LRU != 0) {
        return Err((Errno::EINVAL, "no NUMA node for per-CPU memory"));
    }
    if spec.max_entries == 0 || spec.key_size == 0 || spec.value_size == 0 {
        return Err((Errno::EINVAL, "key_size, value_size and max_entries of at least 1"));
    }
    if u64::from(spec.key_size) + u64::from(spec.value_size) >= MAX_ENTRY {
        return Err((Errno::E2BIG, "key and value together below 4 MiB - 48"));
    }
    if per_cpu && spec.value_size > array::PERCPU_MAX_VALUE {
        return Err((Errno::E2BIG, "value_size of at most 32 KiB"));
    }
    if spec.max_entries > MAX_ENTRIES {
        return Err((Errno::E2BIG, "max_entries of at most 2^31"));
    }
    Ok(())
}

fn stride(spec: &MapSpec, variant: Variant) -> u32 {
    let value = if variant.cpus == 0 { round8(spec.value_size) } else { 0 };
    variant.head + round8(spec.key_size) + value
}

/// Bytes of a map's region.
pub(super) fn region_size(spec: &MapSpec, variant: Variant) -> u64 {
    let entries = u64::from(spec.max_entries) + u64::from(variant.extra);
    let own = u64::from(round8(spec.value_size)).saturating_mul(u64::from(variant.cpus));
    u64::from(variant.header)
        + u64::from(spec.max_entries).next_power_of_two() * u64::from(BUCKET)
        + entries.saturating_mul(u64::from(stride(spec, variant)).saturating_add(own))
}

/// Offsets of the parts, and how many entries and buckets there are.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    first_bucket: u32,
    bucket_mask: u32,
    /// Offset of the first entry.
    pub(super) entries: u32,
    /// Bytes from one entry to the next.
    pub(super) stride: u32,
    /// Entries.
    pub(super) total: u32,
    /// Bytes of an entry before its key.
    pub(super) head: u32,
    /// Offset in an entry of what lies behind the key.
    pub(super) value_off: u32,
    /// Offset of the first per-CPU value.
    pub(super) values: u32,
    value_stride: u32,
}

impl Shape {
    pub(super) fn of(spec: &MapSpec, variant: Variant) -> Shape {
        let n = spec.max_entries.next_power_of_two();
        let (total, stride) = (spec.max_entries + variant.extra, stride(spec, variant));
        let entries = variant.header + n * BUCKET;
        Shape {
            first_bucket: variant.header,
            bucket_mask: n - 1,
            entries,
            stride,
            total,
            head: variant.head,
            value_off: variant.head + round8(spec.key_size),
            // Behind the last entry; a region without per-CPU values may end at 4 GiB.
            values: if variant.cpus == 0 { 0 } else { entries + total * stride },
            value_stride: round8(spec.value_size),
        }
    }

    /// Offset of the bucket of a hash.
    pub(super) fn bucket(&self, hash: u32) -> u32 {
        self.first_bucket + (hash & self.bucket_mask) * BUCKET
    }

    /// The entry a link names. A link that no map would write names none.
    pub(super) fn entry(&self, link: u32) -> Option<u32> {
        (1..=self.total).contains(&link).then(|| self.entries + (link - 1) * self.stride)
    }

    /// How many buckets there are.
    pub(super) fn buckets(&self) -> u32 {
        self.bucket_mask + 1
    }

    /// The keys of a bucket, from its head on.
    pub(super) fn keys_of(&self, tape: &mut Tape<'_>, index: u32, key_size: u32) -> Vec<Vec<u8>> {
        let (mut keys, mut link) = (Vec::new(), tape.read_u32(self.bucket(index)));
        while let Some(entry) = self.entry(link).filter(|_| keys.len() < self.total as usize) {
            let mut key = vec![0; key_size as usize];
            tape.follow(entry + self.head, &mut key);
            keys.push(key);
            link = tape.follow_u32(entry);
        }
        keys
    }

    /// Where the values in entries lie, of the size that user space knows.
    pub(super) fn elements(&self, spec: &MapSpec) -> Elements {
        let first = self.entries + self.value_off;
        Elements { first, stride: self.stride, size: spec.value_size, count: self.total }
    }

    /// Where per-CPU values lie.
    pub(super) fn cpu_elements(&self, spec: &MapSpec, cpus: u32) -> Elements {
        Elements { first: self.values, stride: self.value_stride, size: spec.value_size, count: self.total * cpus }
    }

    /// The value of an entry on one processor.
    pub(super) fn cpu_value(&self, link: u32, cpu: u32) -> u32 {
        self.values + (cpu * self.total + link - 1) * self.value_stride
    }
}

/// An entry found in its bucket.
pub(super) struct Found {
    /// Its link.
    pub link: u32,
    /// Its offset.
    pub entry: u32,
    /// The link behind it.
    pub next: u32,
    /// Offset of the entry before it; `None` at the head.
    pub before: Option<u32>,
}

/// Walks a bucket from its head to the key. A chain that a guest has bent into a ring ends after `total` steps.
pub(super) fn walk(tape: &mut Tape<'_>, shape: &Shape, head: u32, hash: u32, key: &[u8]) -> Option<Found> {
    let (mut link, mut before) = (head, None);
    for _ in 0..shape.total {
        let entry = shape.entry(link)?;
        let (next, equal) = tape.follow_entry(entry, shape.head, key, hash);
        if equal {
            return Some(Found { link, entry, next, before });
        }
        (link, before) = (next, Some(entry));
    }
    None
}

/// The entry of a link in its bucket; `None` if it is not there.
pub(super) fn walk_to(tape: &mut Tape<'_>, shape: &Shape, bucket: u32, wanted: u32) -> Option<Found> {
    let (mut link, mut before) = (tape.read_u32(bucket), None);
    for _ in 0..shape.total {
        let entry = shape.entry(link)?;
        let next = tape.follow_u32(entry);
        if link == wanted {
            return Some(Found { link, entry, next, before });
        }
        (link, before) = (next, Some(entry));
    }
    None
}

pub(super) fn lock(tape: &mut Tape<'_>, bucket: u32) {
    tape.atomic::<1>(bucket + LOCK, false, |_| [1]);
}

pub(super) fn unlock(tape: &mut Tape<'_>, bucket: u32) {
    tape.write_u32(bucket + LOCK, 0, false);
}

/// Takes a free entry's link: the last one freed, else the next never used.
pub(super) fn take(tape: &mut Tape<'_>, map: &Map, shape: &Shape) -> Option<u32> {
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
pub(super) fn give(tape: &mut Tape<'_>, entry: u32, link: u32) {
    let [was] = tape.atomic::<1>(FREE, false, |_| [link]);
    tape.write_u32(entry, was, true);
}

/// What Linux checks of an update's flags first.
pub(super) fn check_flags(map: &Map, flags: u64) -> Result<(), Errno> {
    if flags & !BPF_F_LOCK > BPF_EXIST { Err(Errno::EINVAL) } else { map.check_lock(flags) }
}

/// What an update's flags say about a key that is there, or is not.
pub(super) fn check_presence(there: bool, flags: u64) -> Result<(), Errno> {
    match there {
        true if flags & BPF_NOEXIST != 0 => Err(Errno::EEXIST),
        false if flags & BPF_EXIST != 0 => Err(Errno::ENOENT),
        _ => Ok(()),
    }
}

/// What an update writes.
pub(super) struct NewEntry<'a> {
    pub hash: u32,
    pub key: &'a [u8],
    /// What lies in the entry behind the key; nothing for per-CPU kinds.
    pub value: &'a [u8],
}

impl NewEntry<'_> {
    /// Fills an entry.
    pub fn write(&self, tape: &mut Tape<'_>, off: u32, shape: &Shape, next: u32) {
        let head = (u64::from(self.hash) << 32 | u64::from(next)).to_le_bytes();
        tape.write_parts(off, &[(0, &head), (shape.head, self.key), (shape.value_off, self.value)]);
    }
}

/// Puts a new entry at the head of its bucket and returns its link.
pub(super) fn insert(
    tape: &mut Tape<'_>,
    map: &Map,
    shape: &Shape,
    entry: &NewEntry<'_>,
    bucket: u32,
    head: u32,
) -> Result<u32, Errno> {
    let link = take(tape, map, shape).ok_or(Errno::E2BIG)?;
    entry.write(tape, shape.entry(link).ok_or(Errno::E2BIG)?, shape, head);
    tape.write_u32(bucket, link, false);
    Ok(link)
}

/// Takes a found entry out of its bucket.
pub(super) fn unlink(tape: &mut Tape<'_>, bucket: u32, found: &Found) {
    match found.before {
        None => tape.write_u32(bucket, found.next, false),
        Some(before) => tape.write_u32(before, found.next, true),
    }
}

/// A key's bucket while a writer has its lock.
pub(super) struct Held {
    /// Offset of the bucket.
    pub bucket: u32,
    /// Link of its first entry.
    pub head: u32,
    /// The key's entry.
    pub old: Option<Found>,
}

/// Changes the bucket of a key under its lock.
pub(super) fn change<T>(
    tape: &mut Tape<'_>,
    shape: &Shape,
    hash: u32,
    key: &[u8],
    work: impl FnOnce(&mut Tape<'_>, Held) -> T,
) -> T {
    let bucket = shape.bucket(hash);
    lock(tape, bucket);
    let head = tape.read_u32(bucket);
    let old = walk(tape, shape, head, hash, key);
    let done = work(tape, Held { bucket, head, old });
    unlock(tape, bucket);
    done
}

/// Writes a key's value in place, or makes an entry for it.
pub(super) fn put(
    tape: &mut Tape<'_>,
    map: &Map,
    shape: &Shape,
    entry: &NewEntry<'_>,
    flags: u64,
) -> Result<(), Errno> {
    change(tape, shape, entry.hash, entry.key, |tape, held| {
        check_presence(held.old.is_some(), flags)?;
        match held.old {
            Some(old) => tape.write(old.entry + shape.value_off, entry.value, true),
            None => insert(tape, map, shape, entry, held.bucket, held.head).map(|_| ())?,
        }
        Ok(())
    })
}

/// An entry has left the table: a timer in its value is gone.
pub(super) fn free_timer(tape: &mut Tape<'_>, map: &Map, shape: &Shape, entry: u32) {
    if let Some(at) = map.spec().fields.timer {
        tape.write(entry + shape.value_off + at, &[0; 16], true);
    }
}

/// Removes a key and puts its entry on the free list.
pub(super) fn delete(tape: &mut Tape<'_>, map: &Map, shape: &Shape, hash: u32, key: &[u8]) -> Result<(), Errno> {
    change(tape, shape, hash, key, |tape, held| {
        let found = held.old.ok_or(Errno::ENOENT)?;
        unlink(tape, held.bucket, &found);
        free_timer(tape, map, shape, found.entry);
        give(tape, found.entry, found.link);
        Ok(())
    })
}

/// The entry of a key.
pub(super) fn find(tape: &mut Tape<'_>, shape: &Shape, hash: u32, key: &[u8]) -> Option<Found> {
    let head = tape.read_u32(shape.bucket(hash));
    walk(tape, shape, head, hash, key)
}

/// `BPF_MAP_GET_NEXT_KEY`: bucket by bucket, from each head on; a key, with its hash, that is not there starts again.
pub(super) fn next_key(
    tape: &mut Tape<'_>,
    shape: &Shape,
    key: Option<(u32, &[u8])>,
    next: &mut [u8],
) -> Result<(), Errno> {
    let mut from = 0;
    if let Some((hash, key)) = key {
        let head = tape.read_u32(shape.bucket(hash));
        if let Some(found) = walk(tape, shape, head, hash, key) {
            if let Some(entry) = shape.entry(found.next) {
                tape.follow(entry + shape.head, next);
                return Ok(());
            }
            from = (hash & shape.bucket_mask) + 1;
        }
    }
    let entry = first_from(tape, shape, from).ok_or(Errno::ENOENT)?;
    tape.follow(entry + shape.head, next);
    Ok(())
}

/// The first entry of the first bucket in use from index `from` on. Bucket heads are read a cache line at a time.
fn first_from(tape: &mut Tape<'_>, shape: &Shape, from: u32) -> Option<u32> {
    const AT_ONCE: u32 = 8;
    let mut line = [0; (AT_ONCE * BUCKET) as usize];
    let mut at = from;
    while at <= shape.bucket_mask {
        let n = AT_ONCE.min(shape.bucket_mask - at + 1);
        let heads = &mut line[..(n * BUCKET) as usize];
        tape.read(shape.first_bucket + at * BUCKET, heads);
        let mut links = heads.chunks_exact(BUCKET as usize).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        if let Some(entry) = links.find_map(|link| shape.entry(link)) {
            return Some(entry);
        }
        at += n;
    }
    None
}
