//! What queue and stack share (kernel/bpf/queue_stack_maps.c): a ring of values and two indices.
//!
//! ```text
//! region  head, tail, lock, -    16 bytes; values lie from tail to before head
//!         value[max_entries + 1], side by side: one stays free, so that full and empty differ
//! ```

use super::kind::{Keyless, NO_ELEMENTS, QueueOps};
use super::{
    BPF_EXIST, BPF_F_ACCESS_MASK, BPF_F_NUMA_NODE, BPF_NOEXIST, Batch, CreateCheck, Holds, Map, MapKind, Tape,
    UserLookup, array,
};
use crate::errno::Errno;
use crate::program::{MapSpec, MapType};

const LOCK: u32 = 8;
const VALUES: u32 = 16;
/// Largest value: what one kernel allocation holds.
const MAX_VALUE: u32 = 4 << 20;

/// The row of queue or stack.
pub(super) const fn kind(ty: MapType, queue: &'static dyn QueueOps) -> MapKind {
    MapKind {
        ty,
        per_cpu: false,
        holds: Holds::Values,
        // map_push_elem, map_pop_elem, map_peek_elem
        helpers: &[87, 88, 89],
        inner: true,
        user_lookup: UserLookup::Peek,
        user_take: true,
        batch: Batch::None,
        adds_flags: 0,
        check,
        region_size: |spec, _| u64::from(VALUES) + (u64::from(spec.max_entries) + 1) * u64::from(spec.value_size),
        elements: |_, _| NO_ELEMENTS,
        ops: &Keyless { update: Errno::EINVAL, delete: Errno::EINVAL, next_key: Errno::EINVAL },
        queue: Some(queue),
    }
}

fn check(spec: &MapSpec) -> CreateCheck {
    if spec.max_entries == 0 || spec.value_size == 0 {
        return Err((Errno::EINVAL, "value_size and max_entries of at least 1"));
    }
    if spec.key_size != 0 {
        return Err((Errno::EINVAL, "key_size of 0"));
    }
    if spec.flags & !(BPF_F_NUMA_NODE | BPF_F_ACCESS_MASK) != 0 {
        return Err((Errno::EINVAL, "no flag that this kind does not have"));
    }
    array::check_access_flags(spec)?;
    if spec.value_size > MAX_VALUE {
        return Err((Errno::E2BIG, "value_size of at most 4 MiB"));
    }
    Ok(())
}

/// From which end values are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The oldest.
    Tail,
    /// The newest.
    Head,
}

/// A queue (taken from the tail) or a stack (from the head).
pub(super) struct Ring(pub End);

fn locked<T>(tape: &mut Tape<'_>, work: impl FnOnce(&mut Tape<'_>) -> T) -> T {
    tape.atomic::<1>(LOCK, false, |_| [1]);
    let done = work(tape);
    tape.write_u32(LOCK, 0, false);
    done
}

/// Head and tail; what no map would write counts as 0.
fn ends(tape: &mut Tape<'_>, map: &Map) -> (u32, u32) {
    let mut words = [0; 8];
    tape.read(0, &mut words);
    let word = |at: usize| {
        let index = u32::from_le_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]);
        if index > map.spec().max_entries { 0 } else { index }
    };
    (word(0), word(4))
}

fn following(map: &Map, index: u32) -> u32 {
    if index >= map.spec().max_entries { 0 } else { index + 1 }
}

impl Ring {
    /// Reads the value that is next, and takes it out.
    fn take(&self, map: &Map, tape: &mut Tape<'_>, value: &mut [u8], remove: bool) -> Result<(), Errno> {
        locked(tape, |tape| {
            let (head, tail) = ends(tape, map);
            if head == tail {
                value.fill(0);
                return Err(Errno::ENOENT);
            }
            let at = match self.0 {
                End::Tail => tail,
                End::Head => head.checked_sub(1).unwrap_or(map.spec().max_entries),
            };
            tape.follow(VALUES + at * map.spec().value_size, value);
            match (remove, self.0) {
                (false, _) => {}
                (true, End::Tail) => tape.write_u32(4, following(map, tail), false),
                (true, End::Head) => tape.write_u32(0, at, false),
            }
            Ok(())
        })
    }
}

impl QueueOps for Ring {
    fn push(&self, map: &Map, tape: &mut Tape<'_>, value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags & BPF_NOEXIST != 0 || flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        locked(tape, |tape| {
            let (head, tail) = ends(tape, map);
            if following(map, head) == tail {
                // A full ring loses its oldest value, of a stack too, if the caller says so.
                if flags & BPF_EXIST == 0 {
                    return Err(Errno::E2BIG);
                }
                tape.write_u32(4, following(map, tail), false);
            }
            tape.write(VALUES + head * map.spec().value_size, value, true);
            tape.write_u32(0, following(map, head), false);
            Ok(())
        })
    }

    fn pop(&self, map: &Map, tape: &mut Tape<'_>, value: &mut [u8]) -> Result<(), Errno> {
        self.take(map, tape, value, true)
    }

    fn peek(&self, map: &Map, tape: &mut Tape<'_>, value: &mut [u8]) -> Result<(), Errno> {
        self.take(map, tape, value, false)
    }
}
