//! Helpers that call a function of the program, again and again: what each call gets, and when it was the last.

use super::machine::Machine;
use crate::errno::Errno;
use crate::helpers::dynptr_bytes;
use crate::maps::MapId;
use crate::memory::{Fault, FaultKind};
use crate::program::MapType;

/// Most records of one drain, those passed over among them (kernel: `BPF_MAX_USER_RINGBUF_SAMPLES`).
const MAX_RECORDS: u64 = 128 << 10;

/// What is left of the calls of one helper.
#[derive(Debug, Clone)]
pub(super) struct Rounds {
    /// Operation that the function begins at.
    target: usize,
    /// What every call gets as it was given.
    context: u64,
    over: Over,
    /// Calls made.
    made: u64,
    /// The last answer asked for no more.
    stopped: bool,
}

#[derive(Debug, Clone)]
enum Over {
    /// Numbers below this one (`bpf_loop`).
    Numbers(u64),
    /// The elements of a map (`bpf_for_each_map_elem`).
    Elements { map: MapId, handle: u64, keys: Keys, next: u32, level: usize },
    /// The records of a ring (`bpf_user_ringbuf_drain`): how many were passed over, the one that the function sees.
    Records { map: MapId, passed: u64, shown: Option<u32>, level: usize },
}

/// The keys of a walk over a map. Those of a hash are taken down at its start, so that what the callback removes or adds
/// moves nothing: what is gone by its turn is passed over, what is new is not visited.
#[derive(Debug, Clone)]
enum Keys {
    /// Indices below this one.
    Indices(u32),
    /// One after the other.
    Listed(Vec<u8>),
}

/// What comes next.
pub(super) enum Round {
    /// A call of the function at an operation, with R1 to R5.
    Call(usize, [u64; 5]),
    /// The helper's answer.
    Done(u64),
}

impl Rounds {
    /// `times` calls with the numbers from 0 on.
    pub fn numbers(target: usize, context: u64, times: u64) -> Rounds {
        Rounds { target, context, over: Over::Numbers(times), made: 0, stopped: false }
    }

    /// A call for each element of a map; `None` if this kind of map has no such walk.
    ///
    /// # Errors
    /// The guest's fault: walks inside walks, deeper than there can be frames.
    pub fn elements(
        target: usize,
        context: u64,
        map: MapId,
        handle: u64,
        machine: &mut Machine,
    ) -> Result<Option<Rounds>, Fault> {
        let spec = machine.maps[map].spec();
        let keys = match spec.ty {
            MapType::ARRAY | MapType::PERCPU_ARRAY => Keys::Indices(spec.max_entries),
            ty if HASHES.contains(&ty) => Keys::Listed(machine.keys(map)),
            _ => return Ok(None),
        };
        let level = machine.begin_walk().ok_or(Fault::of(FaultKind::CallDepth))?;
        let over = Over::Elements { map, handle, keys, next: 0, level };
        Ok(Some(Rounds { target, context, over, made: 0, stopped: false }))
    }

    /// A call for each record of a ring that user space writes.
    ///
    /// # Errors
    /// The guest's fault, as above. The inner error is the map's.
    pub fn records(
        target: usize,
        context: u64,
        handle: u64,
        machine: &mut Machine,
    ) -> Result<Result<Rounds, Errno>, Fault> {
        let map = match machine.drain_begin(handle)? {
            Ok(map) => map,
            Err(errno) => return Ok(Err(errno)),
        };
        let level = machine.begin_walk().ok_or(Fault::of(FaultKind::CallDepth))?;
        let over = Over::Records { map, passed: 0, shown: None, level };
        Ok(Ok(Rounds { target, context, over, made: 0, stopped: false }))
    }

    /// The function has returned: anything but 0 ends the calls.
    pub fn answered(&mut self, r0: u64) {
        self.stopped |= r0 != 0;
    }

    /// The next call, or the end.
    pub fn next(&mut self, machine: &mut Machine, cpu: u32) -> Round {
        let (target, context) = (self.target, self.context);
        match &mut self.over {
            Over::Numbers(times) => {
                if self.stopped || self.made == *times {
                    return Round::Done(self.made);
                }
                self.made += 1;
                Round::Call(target, [self.made - 1, context, 0, 0, 0])
            }
            Over::Elements { map, handle, keys, next, level } => {
                while !self.stopped {
                    let Some((key, value)) = element(machine, cpu, *map, keys, *next, *level) else { break };
                    *next += 1;
                    if let Some(value) = value {
                        self.made += 1;
                        return Round::Call(target, [*handle, key, value, context, 0]);
                    }
                }
                machine.end_walk();
                Round::Done(self.made)
            }
            Over::Records { map, passed, shown, level } => {
                let most = if self.stopped { 0 } else { MAX_RECORDS - self.made - *passed };
                let (more, next) = machine.drain_next(*map, shown.take(), most);
                *passed += more;
                match next {
                    Ok(Some((address, len))) => {
                        self.made += 1;
                        *shown = Some(len);
                        let pointer = machine.show_key(*level, &dynptr_bytes(machine.byte_order, address, len));
                        Round::Call(target, [pointer, context, 0, 0, 0])
                    }
                    ended => {
                        machine.end_walk();
                        Round::Done(ended.map_or_else(Errno::as_return, |_| self.made))
                    }
                }
            }
        }
    }
}

/// Kinds that are walked by their keys: the hashes, those of each processor and those that forget.
const HASHES: [MapType; 4] = [MapType::HASH, MapType::PERCPU_HASH, MapType(9), MapType(10)];

/// The addresses of key `at` and of its value, if it still has one; `None` behind the last.
fn element(
    machine: &mut Machine,
    cpu: u32,
    map: MapId,
    keys: &Keys,
    at: u32,
    level: usize,
) -> Option<(u64, Option<u64>)> {
    let index;
    let key = match keys {
        Keys::Indices(count) => {
            index = machine.byte_order.bytes(at);
            (at < *count).then_some(&index[..])?
        }
        Keys::Listed(keys) => keys.chunks(machine.maps[map].spec().key_size.max(1) as usize).nth(at as usize)?,
    };
    let address = machine.show_key(level, key);
    Some((address, machine.element(cpu, map, key)))
}
