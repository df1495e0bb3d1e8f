//! A packet interpreted again with what the card logged for it: map look-ups answered, and map values read, as they were
//! when the card did it.

use std::collections::VecDeque;

use bpf::insn::AtomicOp;
use bpf::interp::{HelperCall, MemAccess, Observer};
use bpf::maps::MapId;
use bpf::memory::{Arena, RegionKind};
use nic_model::memory::{Event, MapOp};

/// What stands for a number of the card's helpers.
const LOOKUP: u32 = 1;
const UPDATE: u32 = 2;
const DELETE: u32 = 3;

/// One logged read, with the bytes no load has taken yet.
struct Read {
    map: MapId,
    offset: u32,
    bytes: Vec<u8>,
    taken: Vec<bool>,
}

/// Answers a run out of a packet's log, and notes what the log cannot answer.
pub struct Replay {
    calls: VecDeque<Event>,
    reads: Vec<Read>,
    atomics: VecDeque<(MapId, u32, bool)>,
    /// Address of each map's region in the interpreter's memory.
    bases: Vec<u32>,
    key_sizes: Vec<u32>,
    /// The first thing that does not agree.
    pub disagreement: Option<String>,
}

impl Replay {
    /// For one packet: its events in order, the interpreter's map of each table, the maps' addresses and key sizes.
    pub fn new(events: Vec<Event>, map_of: impl Fn(u32) -> MapId, bases: Vec<u32>, key_sizes: Vec<u32>) -> Self {
        let mut replay = Self {
            calls: VecDeque::new(),
            reads: Vec::new(),
            atomics: VecDeque::new(),
            bases,
            key_sizes,
            disagreement: None,
        };
        for event in events {
            match event {
                Event::Read { table, offset, bytes } => {
                    let taken = vec![false; bytes.len()];
                    replay.reads.push(Read { map: map_of(table.0), offset, bytes, taken });
                }
                Event::Atomic { table, offset, wide, .. } => {
                    replay.atomics.push_back((map_of(table.0), offset, wide));
                }
                Event::Call { .. } => replay.calls.push_back(event),
                Event::Write { .. } => replay.disagree("the card wrote to a map value by a plain store"),
            }
        }
        replay
    }

    /// Whether all that the card did has been done by the interpreter too.
    pub fn finish(mut self) -> Result<(), String> {
        if let Some(call) = self.calls.front() {
            let text = format!("the card made a call that the interpreter did not: {call:?}");
            self.disagree(&text);
        }
        if let Some(atomic) = self.atomics.front() {
            let text = format!("the card made an atomic addition that the interpreter did not: {atomic:?}");
            self.disagree(&text);
        }
        self.disagreement.map_or(Ok(()), Err)
    }

    fn disagree(&mut self, what: &str) {
        self.disagreement.get_or_insert_with(|| what.to_owned());
    }

    fn call(&mut self, call: &HelperCall, memory: &Arena) -> u64 {
        let Some(Event::Call { op, table, key, found, result, .. }) = self.calls.pop_front() else {
            self.disagree(&format!(
                "slot {}: the interpreter calls helper {} and the card did not",
                call.slot, call.id
            ));
            return 0;
        };
        let wanted = match op {
            MapOp::Lookup => LOOKUP,
            MapOp::Update => UPDATE,
            MapOp::Delete => DELETE,
        };
        if wanted != call.id {
            self.disagree(&format!(
                "slot {}: the interpreter calls helper {} and the card {wanted}",
                call.slot, call.id
            ));
        }
        let map = table.0 as usize - 1;
        match memory.slice(call.args[1], self.key_sizes[map]) {
            Ok(bytes) if bytes == key => {}
            Ok(bytes) => {
                let text = format!("slot {}: the interpreter's key is {bytes:02x?}, the card's {key:02x?}", call.slot);
                self.disagree(&text);
            }
            Err(fault) => self.disagree(&format!("slot {}: {fault}", call.slot)),
        }
        match op {
            MapOp::Lookup => found.map_or(0, |offset| u64::from(self.bases[map] + offset)),
            MapOp::Update | MapOp::Delete => result.map_or_else(|errno| errno.as_return(), |()| 0),
        }
    }

    /// The bytes of the first logged read that covers a load and has not been taken.
    fn read(&mut self, map: MapId, access: &MemAccess) -> Option<u64> {
        let len = access.size.bytes() as usize;
        let read = self.reads.iter_mut().find(|read| {
            let Some(from) = access.off.checked_sub(read.offset) else { return false };
            let range = from as usize..from as usize + len;
            read.map == map && read.taken.get(range).is_some_and(|taken| taken.iter().all(|t| !t))
        })?;
        let from = (access.off - read.offset) as usize;
        read.taken[from..from + len].fill(true);
        let mut value = [0; 8];
        value[..len].copy_from_slice(&read.bytes[from..from + len]);
        Some(u64::from_le_bytes(value))
    }
}

impl Observer for Replay {
    const ACCESSES: bool = true;

    fn answer(&mut self, call: &HelperCall, memory: &Arena) -> Option<u64> {
        matches!(call.id, LOOKUP | UPDATE | DELETE).then(|| self.call(call, memory))
    }

    fn loaded(&mut self, access: &MemAccess, atomic: Option<AtomicOp>, value: u64) -> u64 {
        let RegionKind::Map(map) = access.region else { return value };
        if atomic.is_some() {
            let did = (map, access.off, access.size.bytes() == 8);
            match self.atomics.pop_front() {
                Some(card) if card == did => {}
                card => {
                    self.disagree(&format!(
                        "slot {}: the interpreter adds at {did:?}, the card at {card:?}",
                        access.slot
                    ));
                }
            }
            // The interpreter's own maps sum up what all packets added; the card's final maps are held against them.
            return value;
        }
        match self.read(map, access) {
            Some(logged) => logged,
            None => {
                self.disagree(&format!("slot {}: the card has not read {access:?}", access.slot));
                value
            }
        }
    }
}
