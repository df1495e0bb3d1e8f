//! `BPF_MAP_TYPE_USER_RINGBUF`: records of any size from one writer in user space to programs, which drain them
//! (kernel/bpf/ringbuf.c). Region and records are those of a ring buffer; the lock is taken by who drains.

use super::ringbuf::{BUSY, CONSUMER, DATA, DISCARD, HEAD, LOCK, PRODUCER, alias, kind, position, whole};
use super::{AccessLog, Map, MapKind, MapMemory, Tape};
use crate::errno::Errno;
use crate::program::MapType;

// user_ringbuf_drain
pub(super) const KIND: MapKind = kind(MapType::USER_RINGBUF, &[209]);

/// Longest record that a program can be shown: what a dynamic pointer leads to (kernel: `DYNPTR_MAX_SIZE`).
const MAX_SHOWN: u32 = (1 << 24) - 1;

/// How far a program that drains a ring has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Records that their writer took back and that were passed over.
    pub passed: u64,
    /// The record it comes to: the offset of its bytes in the region, and how many they are. `None` at the end, and at one that
    /// is still being written. Errors: `EINVAL` where the writer's position is none, or before the record's end; `E2BIG` for
    /// a record longer than the ring or than a dynamic pointer leads to.
    pub next: Result<Option<(u32, u32)>, Errno>,
}

/// What stands at a position.
enum Next {
    Record { off: u32, len: u32 },
    Discarded,
    None,
}

impl Map {
    /// Bytes of data, of a ring that user space writes.
    fn user_ring(&self) -> Option<u32> {
        (self.spec().ty == MapType::USER_RINGBUF).then_some(self.spec().max_entries)
    }

    /// Where in the data a position is.
    fn user_ring_place(&self, position: u64) -> u32 {
        (position & u64::from(self.spec().max_entries.saturating_sub(1))) as u32 & !7
    }

    /// User space's record for programs, with `discard` one that they pass over.
    ///
    /// # Errors
    /// `E2BIG` for one longer than the ring, `ENOSPC` where there is no room now, as libbpf answers; `EINVAL` for a map of
    /// another kind.
    pub fn user_ring_write(
        &self,
        mem: &mut dyn MapMemory,
        log: &mut AccessLog,
        record: &[u8],
        discard: bool,
    ) -> Result<(), Errno> {
        let size = self.user_ring().ok_or(Errno::EINVAL)?;
        let tape = &mut Tape::new(mem, log);
        let len = u32::try_from(record.len()).ok().filter(|len| whole(*len) <= size.into()).ok_or(Errno::E2BIG)?;
        let (consumer, producer) = (position(tape, CONSUMER), position(tape, PRODUCER));
        let next = producer.wrapping_add(whole(len));
        if next.wrapping_sub(consumer) > size.into() {
            return Err(Errno::ENOSPC);
        }
        let at = self.user_ring_place(producer);
        let mut bytes = vec![0; HEAD as usize];
        bytes[..4].copy_from_slice(&(len | if discard { DISCARD } else { 0 }).to_le_bytes());
        bytes.extend_from_slice(record);
        tape.write(DATA + at, &bytes, true);
        alias(self, tape, at, whole(len), true);
        tape.write(PRODUCER, &next.to_le_bytes(), false);
        Ok(())
    }

    /// Takes the ring for a program that drains it.
    ///
    /// # Errors
    /// `EBUSY` for one that is being drained; `EINVAL` for a map of another kind.
    pub fn drain_begin(&self, mem: &mut dyn MapMemory, log: &mut AccessLog) -> Result<(), Errno> {
        self.user_ring().ok_or(Errno::EINVAL)?;
        let [was] = Tape::new(mem, log).atomic::<1>(LOCK, false, |_| [1]);
        if was == 0 { Ok(()) } else { Err(Errno::EBUSY) }
    }

    /// Gives the room of the record before (`seen`, its length) back to the writer and goes on to the next, past those that
    /// were taken back. Looks at no more than `most`; where there is no next one, the ring is left.
    pub fn drain_next(&self, mem: &mut dyn MapMemory, log: &mut AccessLog, seen: Option<u32>, most: u64) -> Drained {
        let tape = &mut Tape::new(mem, log);
        if let Some(len) = seen {
            let consumer = position(tape, CONSUMER);
            alias(self, tape, self.user_ring_place(consumer), whole(len), true);
            tape.write(CONSUMER, &consumer.wrapping_add(whole(len)).to_le_bytes(), false);
        }
        let mut passed = 0;
        let next = loop {
            if passed == most {
                break Ok(None);
            }
            match self.user_ring_next(tape) {
                Ok(Next::Discarded) => passed += 1,
                Ok(Next::Record { off, len }) => break Ok(Some((off, len))),
                Ok(Next::None) => break Ok(None),
                Err(errno) => break Err(errno),
            }
        };
        if !matches!(next, Ok(Some(_))) {
            tape.write_u32(LOCK, 0, false);
        }
        Drained { passed, next }
    }

    /// What stands where programs have read to (kernel: `__bpf_user_ringbuf_peek`).
    fn user_ring_next(&self, tape: &mut Tape<'_>) -> Result<Next, Errno> {
        let size = self.user_ring().ok_or(Errno::EINVAL)?;
        let producer = position(tape, PRODUCER);
        if !producer.is_multiple_of(8) {
            return Err(Errno::EINVAL);
        }
        let consumer = position(tape, CONSUMER);
        if consumer >= producer {
            return Ok(Next::None);
        }
        let at = self.user_ring_place(consumer);
        let head = tape.follow_u32(DATA + at);
        let len = head & !(BUSY | DISCARD);
        if whole(len) > producer - consumer {
            return Err(Errno::EINVAL);
        }
        if whole(len) > size.into() || len > MAX_SHOWN {
            return Err(Errno::E2BIG);
        }
        if head & DISCARD != 0 {
            tape.write(CONSUMER, &consumer.wrapping_add(whole(len)).to_le_bytes(), false);
            return Ok(Next::Discarded);
        }
        if head & BUSY != 0 {
            return Ok(Next::None);
        }
        alias(self, tape, at, whole(len), false);
        Ok(Next::Record { off: DATA + at + HEAD, len })
    }
}
