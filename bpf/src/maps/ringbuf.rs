//! `BPF_MAP_TYPE_RINGBUF`: records of any size from programs to one reader (kernel/bpf/ringbuf.c).
//!
//! ```text
//! region  consumer, producer, pending position, lock    32 bytes; positions are 64 bits and only grow
//!         data                                          max_entries bytes
//!         data again                                    the same bytes, so that a record that goes over the end is one piece
//! record  length, with BUSY and DISCARD; pages to the ring's start; bytes, rounded to 8
//! ```
//!
//! Linux maps the data's pages twice; here the second copy of what a record covers is brought up to date when the record is
//! reserved and when it is committed, and those copies are no accesses.

use super::kind::Keyless;
use super::{AccessLog, BPF_F_NUMA_NODE, Batch, CreateCheck, Holds, Map, MapKind, MapMemory, Tape, UserLookup};
use crate::errno::Errno;
use crate::memory::Elements;
use crate::program::{MapSpec, MapType};

pub(super) const CONSUMER: u32 = 0;
pub(super) const PRODUCER: u32 = 8;
const PENDING: u32 = 16;
pub(super) const LOCK: u32 = 24;
pub(super) const DATA: u32 = 32;
/// Bytes before a record's own.
pub(super) const HEAD: u32 = 8;
/// Set while the program that reserved the record fills it.
pub(super) const BUSY: u32 = 1 << 31;
/// Set if the reader is to skip the record.
pub(super) const DISCARD: u32 = 1 << 30;
/// Longest record (kernel: `RINGBUF_MAX_RECORD_SZ`).
const MAX_RECORD: u64 = (u32::MAX / 4) as u64;
const PAGE: u32 = 4096;
/// Pages of the kernel's before the data: bookkeeping, consumer and producer position.
const PAGES_BEFORE: u32 = 3;

/// `flags` of submitting: do not wake the reader.
pub const BPF_RB_NO_WAKEUP: u64 = 1;
/// `flags` of submitting: wake the reader whatever it has read.
pub const BPF_RB_FORCE_WAKEUP: u64 = 2;

// ringbuf_output, ringbuf_reserve, ringbuf_query, ringbuf_reserve_dynptr, _submit_dynptr, _discard_dynptr
pub(super) const KIND: MapKind = kind(MapType::RINGBUF, &[130, 131, 134, 198, 199, 200]);

/// The row of a ring, whoever writes it.
pub(super) const fn kind(ty: MapType, helpers: &'static [u32]) -> MapKind {
    MapKind {
        ty,
        per_cpu: false,
        holds: Holds::Values,
        helpers,
        inner: true,
        user_lookup: UserLookup::Refused(Errno::ENOTSUPP),
        user_take: false,
        batch: Batch::None,
        adds_flags: 0,
        check,
        region_size: |spec, _| u64::from(DATA) + 2 * u64::from(spec.max_entries),
        elements: |spec, _| {
            let size = 2 * spec.max_entries;
            Elements { first: DATA, stride: size, size, count: 1 }
        },
        ops: &Keyless { update: Errno::ENOTSUPP, delete: Errno::ENOTSUPP, next_key: Errno::ENOTSUPP },
        queue: None,
    }
}

fn check(spec: &MapSpec) -> CreateCheck {
    if spec.flags & !BPF_F_NUMA_NODE != 0 {
        return Err((Errno::EINVAL, "no flag that this kind does not have"));
    }
    if spec.key_size != 0 || spec.value_size != 0 {
        return Err((Errno::EINVAL, "key_size and value_size of 0"));
    }
    if !spec.max_entries.is_power_of_two() || !spec.max_entries.is_multiple_of(PAGE) {
        return Err((Errno::EINVAL, "max_entries of bytes, a power of two of whole pages"));
    }
    Ok(())
}

/// What `bpf_ringbuf_query` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingState {
    /// Bytes of data area.
    pub size: u32,
    /// Bytes read so far.
    pub consumer: u64,
    /// Bytes reserved so far.
    pub producer: u64,
}

impl RingState {
    /// Bytes reserved and not read.
    pub const fn available(&self) -> u64 {
        self.producer.wrapping_sub(self.consumer)
    }
}

pub(super) fn position(tape: &mut Tape<'_>, off: u32) -> u64 {
    let mut word = [0; 8];
    tape.read(off, &mut word);
    u64::from_le_bytes(word)
}

/// Bytes a record takes, its head included.
pub(super) fn whole(len: u32) -> u64 {
    (u64::from(len) + u64::from(HEAD)).next_multiple_of(8)
}

/// Copies what a record at `at` has beyond the data's end between its two places.
pub(super) fn alias(map: &Map, tape: &mut Tape<'_>, at: u32, len: u64, to_start: bool) {
    let size = map.spec().max_entries;
    let over = (u64::from(at) + len).saturating_sub(u64::from(size)).min(u64::from(size)) as u32;
    let (start, end) = (DATA, DATA + size);
    match to_start {
        true => tape.alias(end, start, over),
        false => tape.alias(start, end, over),
    }
}

impl Map {
    fn ring(&self) -> Option<u32> {
        (self.spec().ty == MapType::RINGBUF).then_some(self.spec().max_entries - 1)
    }

    /// Reserves a record of `len` bytes and returns the offset of its bytes in the region; `None` where there is no room,
    /// or the map is no ring buffer.
    pub fn ring_reserve(&self, mem: &mut dyn MapMemory, log: &mut AccessLog, len: u64) -> Option<u32> {
        let mask = u64::from(self.ring()?);
        let tape = &mut Tape::new(mem, log);
        if len > MAX_RECORD || whole(len as u32) > mask + 1 {
            return None;
        }
        let (len, taken) = (len as u32, whole(len as u32));
        let consumer = position(tape, CONSUMER);
        tape.atomic::<1>(LOCK, false, |_| [1]);
        let mut pending = position(tape, PENDING);
        let producer = position(tape, PRODUCER);
        // Records that have been committed since, up to the oldest that has not. Positions of rubbish begin no walk.
        while pending < producer && producer - pending <= mask + 1 {
            let head = tape.follow_u32(DATA + (pending & mask) as u32);
            if head & BUSY != 0 {
                break;
            }
            pending += whole(head & !DISCARD);
        }
        tape.write(PENDING, &pending.to_le_bytes(), false);
        let next = producer.wrapping_add(taken);
        let fits = next.wrapping_sub(consumer) <= mask && next.wrapping_sub(pending) <= mask;
        let at = (producer & mask) as u32;
        if fits {
            alias(self, tape, at, taken, false);
            let mut head = [0; HEAD as usize];
            head[..4].copy_from_slice(&(len | BUSY).to_le_bytes());
            head[4..].copy_from_slice(&(at / PAGE + PAGES_BEFORE).to_le_bytes());
            tape.write(DATA + at, &head, true);
            tape.write(PRODUCER, &next.to_le_bytes(), false);
        }
        tape.write_u32(LOCK, 0, false);
        fits.then_some(DATA + at + HEAD)
    }

    /// Hands a reserved record, named by the offset of its bytes, to the reader, or takes it back. Returns whether the
    /// reader is woken; `false` too where there is no such record.
    pub fn ring_commit(
        &self,
        mem: &mut dyn MapMemory,
        log: &mut AccessLog,
        record: u32,
        flags: u64,
        discard: bool,
    ) -> bool {
        let Some(mask) = self.ring() else { return false };
        let tape = &mut Tape::new(mem, log);
        let Some(at) = record.checked_sub(DATA + HEAD).filter(|at| at % 8 == 0 && *at <= mask) else { return false };
        let len = tape.follow_u32(DATA + at) & !(BUSY | DISCARD);
        tape.atomic::<1>(DATA + at, true, |_| [len | if discard { DISCARD } else { 0 }]);
        alias(self, tape, at, whole(len), true);
        let consumer = position(tape, CONSUMER);
        let caught_up = consumer & u64::from(mask) == u64::from(at);
        flags & BPF_RB_FORCE_WAKEUP != 0 || caught_up && flags & BPF_RB_NO_WAKEUP == 0
    }

    /// Where reader and programs stand; `None` for a map that is no ring buffer.
    pub fn ring_state(&self, mem: &mut dyn MapMemory, log: &mut AccessLog) -> Option<RingState> {
        let size = self.ring()? + 1;
        let tape = &mut Tape::new(mem, log);
        Some(RingState { size, consumer: position(tape, CONSUMER), producer: position(tape, PRODUCER) })
    }

    /// The reader's next record, in order; `None` at the first that is still being filled, or at the end. Discarded ones
    /// are passed over.
    pub fn ring_read(&self, mem: &mut dyn MapMemory, log: &mut AccessLog) -> Option<Vec<u8>> {
        let mask = u64::from(self.ring()?);
        let tape = &mut Tape::new(mem, log);
        let (mut consumer, producer) = (position(tape, CONSUMER), position(tape, PRODUCER));
        let mut found = None;
        while consumer < producer && producer - consumer <= mask + 1 && found.is_none() {
            let at = DATA + (consumer & mask) as u32;
            let head = tape.follow_u32(at);
            let len = head & !DISCARD;
            if head & BUSY != 0 || u64::from(len) > mask {
                break;
            }
            if head & DISCARD == 0 {
                let mut bytes = vec![0; len as usize];
                tape.follow(at + HEAD, &mut bytes);
                found = Some(bytes);
            }
            consumer += whole(len);
        }
        tape.write(CONSUMER, &consumer.to_le_bytes(), false);
        found
    }
}
