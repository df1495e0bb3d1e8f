//! Helpers on the card: the bodies of [`bpf::helpers`] over the card's memories.
//!
//! As a map helper, a routine acts as one when its first command reaches its engine. What it accessed then goes on as timed
//! commands ([`Touch`]), each to the memory and bank that holds the bytes.

mod cx;

use bpf::env::Env;
use bpf::helpers::{self, HelperCx, Redirect, SkbState};
use bpf::insn::AtomicOp as BpfAtomicOp;
use bpf::maps::{AccessLog, Holds, Map};
use bpf::memory::{Fault, FaultKind};
use bpf::network::Network;
use bpf::program::ProgType;

use super::maps::{Region, Stores};
use super::record::{Actor, Event, Record};
use super::store::Store;
use super::{AddressMap, CardMaps, Location, MapOp, MapPlace, MemoryKind, TableId, TouchKind};
use crate::packet_pointer::POINTER_VALID;
use crate::packet_vector::{PacketVector, VECTOR_WORDS};

/// Bytes of external memory in front of the maps that the ring of events takes (assumed).
const EVENT_RING: u64 = 64 << 10;
/// Routes, and then neighbours: what a look-up reads of tables in external memory, in bytes from their start (assumed: a
/// table by the upper bits of an address, then its entry, then the neighbour).
const ROUTE_READS: [(u64, u16); 3] = [(128 << 10, 4), (192 << 10, 16), (256 << 10, 16)];

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A helper, by its number in Linux.
    Helper(u32),
    /// An atomic operation on a number in the host's byte order: address in the first argument, operand in the second, the
    /// number expected by `cmpxchg` in the third.
    Atomic {
        /// The change.
        op: BpfAtomicOp,
        /// Eight bytes instead of four.
        wide: bool,
    },
}

/// One access of a routine, which becomes a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touch {
    /// Which memory.
    pub memory: MemoryKind,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub bytes: u32,
    /// What it is priced as.
    pub kind: TouchKind,
    /// Its address is data of an access before.
    pub dependent: bool,
}

/// A call of a helper on its way: what the firmware hands to the routine, and what came of it. A context keeps one and
/// uses it again; what belongs to the packet stays in it from call to call.
#[derive(Debug, Clone)]
pub struct HelperCall {
    /// What to do.
    pub operation: Operation,
    /// R1 to R5 as the card's registers hold them.
    pub args: [u64; 5],
    /// The program's type.
    pub ty: ProgType,
    /// Slot of the processor.
    pub cpu: u32,
    /// Island of the core.
    pub island: u16,
    /// Byte address of the context's share of local memory.
    pub local_base: u32,
    /// Byte in it at which the packet vector stands.
    pub vector_at: u32,
    /// The share's words.
    pub local: Vec<u32>,
    /// What the packet is besides its bytes and fields.
    pub skb: SkbState,
    /// Where the packet is to go if the verdict is a redirect.
    pub redirect: Option<Redirect>,
    /// A routine has worked on the packet, so that what it is has to be forgotten.
    pub skb_used: bool,
    /// Tail calls that the packet has made.
    pub tail_calls: u32,
    /// The program that takes the running one's place.
    pub tail: Option<u32>,
    /// Simulated time, in nanoseconds.
    pub now_ns: u64,
    /// R0, or the guest's fault.
    pub result: Result<u64, FaultKind>,
    /// What it accessed.
    pub touches: Vec<Touch>,
    /// Words of local memory that it moved.
    pub local_words: u32,
}

impl HelperCall {
    /// Another packet.
    pub fn begin(&mut self) {
        if self.tail_calls != 0 || self.redirect.is_some() || self.skb_used {
            self.skb = SkbState::default();
            (self.redirect, self.tail_calls, self.skb_used) = (None, 0, false);
        }
    }
}

impl Default for HelperCall {
    fn default() -> Self {
        HelperCall {
            operation: Operation::Helper(0),
            args: [0; 5],
            ty: ProgType::Xdp,
            cpu: 0,
            island: 0,
            local_base: 0,
            vector_at: 0,
            local: Vec::new(),
            skb: SkbState::default(),
            redirect: None,
            skb_used: false,
            tail_calls: 0,
            tail: None,
            now_ns: 0,
            result: Ok(0),
            touches: Vec::new(),
            local_words: 0,
        }
    }
}

/// An event for the host's user space, or a line of `bpf_trace_printk`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardEvent {
    /// The card's number of the event array; 0 for a line of text.
    pub table: u32,
    /// The slot that the program named; [`helpers::CURRENT_CPU`] is the processor at work.
    pub index: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The memories as routines see them.
pub(super) struct World<'a> {
    pub stores: &'a mut [Store],
    pub maps: &'a CardMaps,
    pub addresses: AddressMap,
    pub network: &'a Network,
    /// Events that have been sent to the host; kept if anyone asks for them.
    pub events: Option<&'a mut Vec<CardEvent>>,
    pub event_count: &'a mut u64,
    pub log: Option<&'a mut Vec<Record>>,
    pub actor: Actor,
}

/// Whether a routine needs no memory but the core's own.
pub fn is_local(operation: Operation) -> bool {
    matches!(operation, Operation::Helper(5 | 8 | 42 | 118 | 125 | 160 | 208))
}

/// Carries out a call that needs no memory.
pub fn call_locally(call: &mut HelperCall) {
    run(call, None);
}

pub(super) fn run(call: &mut HelperCall, world: Option<World<'_>>) {
    call.skb_used = true;
    call.touches.clear();
    call.local_words = 0;
    call.tail = None;
    let nowhere = &Network::EMPTY;
    let network = world.as_ref().map_or(nowhere, |world| world.network);
    let env = CardEnv { now_ns: call.now_ns, cpu: call.cpu, network, printed: Vec::new() };
    let (operation, args) = (call.operation, call.args);
    let mut cx = CardCx { call, world, env };
    let result = match operation {
        Operation::Helper(id) => match helpers::proto(id) {
            Some(proto) => (proto.body)(&mut cx, args),
            None => Err(Fault::of(FaultKind::UnknownHelper(id))),
        },
        Operation::Atomic { op, wide } => cx.atomic(op, wide, args),
    };
    let printed = std::mem::take(&mut cx.env.printed);
    for line in printed {
        cx.send_event(0, 0, line);
    }
    if let Operation::Helper(69 | 84 | 85 | 99 | 152 | 163) = operation {
        cx.look_up_route();
    }
    call.result = result.map_err(|fault| fault.kind);
}

/// What the outside is to a routine.
struct CardEnv<'a> {
    now_ns: u64,
    cpu: u32,
    network: &'a Network,
    printed: Vec<Vec<u8>>,
}

impl Env for CardEnv<'_> {
    fn now_ns(&mut self, _: u64) -> u64 {
        self.now_ns
    }

    /// Programs read random numbers from the core's own register; no routine asks for one.
    fn random_u32(&mut self) -> u32 {
        self.now_ns as u32
    }

    fn cpu(&self) -> u32 {
        self.cpu
    }

    fn network(&self) -> &Network {
        self.network
    }

    fn print(&mut self, line: &[u8]) {
        self.printed.push(line.to_vec());
    }
}

/// Where bytes are that an address names.
enum Where {
    /// In the context's share of local memory.
    Local(usize),
    /// Behind an engine.
    Memory(MemoryKind, Location),
}

struct CardCx<'a> {
    call: &'a mut HelperCall,
    world: Option<World<'a>>,
    env: CardEnv<'a>,
}

impl<'a> CardCx<'a> {
    fn vector(&self) -> PacketVector {
        let at = (self.call.vector_at / 4) as usize;
        let mut vector = PacketVector::default();
        if let Some(words) = self.call.local.get(at..at + VECTOR_WORDS) {
            vector.words.copy_from_slice(words);
        }
        vector
    }

    fn set_vector(&mut self, vector: &PacketVector) {
        let at = (self.call.vector_at / 4) as usize;
        if let Some(words) = self.call.local.get_mut(at..at + VECTOR_WORDS) {
            words.copy_from_slice(&vector.words);
        }
    }

    fn world(&mut self) -> Result<&mut World<'a>, Fault> {
        self.world.as_mut().ok_or(Fault::of(FaultKind::Unmapped))
    }

    fn locate(&self, address: u64, len: u32) -> Result<Where, Fault> {
        let unmapped = Fault::access(FaultKind::Unmapped, address, len, None);
        let (high, low) = (address >> 32, address as u32);
        if high == 0 && low & POINTER_VALID == 0 {
            let at = low.checked_sub(self.call.local_base).ok_or(unmapped)? as usize;
            return match at + len as usize <= 4 * self.call.local.len() {
                true => Ok(Where::Local(at)),
                false => Err(unmapped),
            };
        }
        let world = self.world.as_ref().ok_or(unmapped)?;
        let located = match high {
            0 => world.addresses.resolve32(self.call.island, low, len),
            _ => world.addresses.resolve40(((high << 8) + u64::from(low)) & 0xff_ffff_ffff, len),
        };
        let at = located.ok_or(unmapped)?;
        Ok(Where::Memory(world.addresses.memory(at.engine).0, at))
    }

    fn touch(&mut self, memory: MemoryKind, offset: u64, bytes: u32, kind: TouchKind, dependent: bool) {
        self.call.touches.push(Touch { memory, offset, bytes, kind, dependent });
    }

    fn local_bytes(&self, at: usize, buf: &mut [u8]) {
        for (n, byte) in buf.iter_mut().enumerate() {
            let word = self.call.local.get((at + n) / 4).copied().unwrap_or(0);
            *byte = word.to_le_bytes()[(at + n) % 4];
        }
    }

    fn set_local_bytes(&mut self, at: usize, bytes: &[u8]) {
        for (n, byte) in bytes.iter().enumerate() {
            if let Some(word) = self.call.local.get_mut((at + n) / 4) {
                let mut parts = word.to_le_bytes();
                parts[(at + n) % 4] = *byte;
                *word = u32::from_le_bytes(parts);
            }
        }
    }

    /// The packet's place in packet memory.
    fn packet_at(&self, off: i64, len: usize) -> Option<u64> {
        let vector = self.vector();
        let world = self.world.as_ref()?;
        let start = i64::from(vector.offset()) + off;
        let end = i64::from(vector.offset()) + i64::from(vector.length());
        let inside = start >= 0 && start + i64::try_from(len).ok()? <= end;
        inside.then(|| world.addresses.packet_base(vector.number()) + start as u64)
    }

    fn packet_bytes(&mut self, at: u64, buf: &mut [u8]) {
        let island = self.call.island;
        if let Some(world) = &mut self.world {
            let engine = world.addresses.engine(MemoryKind::Ctm, island);
            world.stores[usize::from(engine.0)].read(at, buf);
        }
        self.touch(MemoryKind::Ctm, at, buf.len() as u32, TouchKind::Read, true);
    }

    fn set_packet_bytes(&mut self, at: u64, bytes: &[u8]) {
        let island = self.call.island;
        if let Some(world) = &mut self.world {
            let engine = world.addresses.engine(MemoryKind::Ctm, island);
            world.stores[usize::from(engine.0)].write(at, bytes);
        }
        self.touch(MemoryKind::Ctm, at, bytes.len() as u32, TouchKind::Write, false);
    }

    /// Does something to a map; its accesses become the routine's.
    fn with_map<T>(
        &mut self,
        table: u64,
        act: impl FnOnce(&Map, &mut Region<'_>, &mut AccessLog) -> T,
    ) -> Result<(T, MapPlace), Fault> {
        let world = self.world()?;
        let bad = Fault::of(FaultKind::BadMap);
        let card_map = u32::try_from(table).ok().and_then(|n| world.maps.get(TableId(n))).ok_or(bad)?;
        let place = card_map.place();
        let mut log = AccessLog::new();
        let mut region = Stores { stores: &mut *world.stores, addresses: world.addresses }.region(card_map);
        let done = act(card_map.map(), &mut region, &mut log);
        for access in log.accesses() {
            let offset = place.base + u64::from(access.off);
            self.touch(place.memory, offset, access.len, access.kind.into(), access.dependent);
        }
        Ok((done, place))
    }

    /// Bytes of guest memory of the length that a map's key or value has.
    fn operand(&mut self, table: u64, address: u64, value: bool) -> Result<Vec<u8>, Fault> {
        let ((key, size), _) = self.with_map(table, |map, _, _| (map.spec().key_size, map.spec().value_size))?;
        let mut bytes = vec![0; if value { size } else { key } as usize];
        self.read(address, &mut bytes)?;
        Ok(bytes)
    }

    fn note(&mut self, event: Event) {
        if let Some(world) = &mut self.world
            && let Some(log) = &mut world.log
        {
            log.push(Record { actor: world.actor, event });
        }
    }

    /// Looks up; the answer is an address, or in a map of maps the number of the inner map.
    fn look_up(&mut self, table: u64, key: Vec<u8>, cpu: u32) -> Result<u64, Fault> {
        let (found, place) = self.with_map(table, |map, region, log| {
            let found = map.lookup(region, log, cpu, &key);
            let holds = map.kind().holds;
            found.map(|off| if holds == Holds::Maps { Err(map.reference_at(region, off)) } else { Ok(off) })
        })?;
        let (offset, answer) = match found {
            None => (None, 0),
            Some(Ok(off)) => (Some(off), place.pointer(off)),
            Some(Err(reference)) => (None, reference.into()),
        };
        let table = TableId(table as u32);
        let result = Ok(());
        self.note(Event::Call {
            op: MapOp::Lookup,
            table,
            cpu,
            key,
            value: Vec::new(),
            flags: 0,
            found: offset,
            result,
        });
        Ok(answer)
    }

    fn send_event(&mut self, table: u32, index: u32, bytes: Vec<u8>) {
        let len = bytes.len() as u32;
        if let Some(world) = &mut self.world {
            let offset = (*world.event_count * 256) % EVENT_RING;
            *world.event_count += 1;
            if let Some(events) = &mut world.events {
                events.push(CardEvent { table, index, bytes });
            }
            self.touch(MemoryKind::Emem, offset, len.max(4), TouchKind::Write, false);
        }
    }

    fn look_up_route(&mut self) {
        for (offset, bytes) in ROUTE_READS {
            self.touch(MemoryKind::Emem, offset, bytes.into(), TouchKind::Read, true);
        }
    }

    fn atomic(
        &mut self,
        op: BpfAtomicOp,
        wide: bool,
        [address, operand, expected, ..]: [u64; 5],
    ) -> Result<u64, Fault> {
        let (len, mask) = if wide { (8, u64::MAX) } else { (4, u64::from(u32::MAX)) };
        let mut bytes = [0; 8];
        self.read(address, &mut bytes[..len])?;
        let before = u64::from_le_bytes(bytes);
        let after = match op {
            BpfAtomicOp::Add => before.wrapping_add(operand),
            BpfAtomicOp::And => before & operand,
            BpfAtomicOp::Or => before | operand,
            BpfAtomicOp::Xor => before ^ operand,
            BpfAtomicOp::Xchg => operand,
            BpfAtomicOp::Cmpxchg if before == expected & mask => operand,
            BpfAtomicOp::Cmpxchg => before,
        };
        self.write(address, &(after & mask).to_le_bytes()[..len])?;
        // The engine reads, changes and writes in one step.
        if let Some(first) = self.call.touches.first_mut() {
            first.kind = TouchKind::Atomic;
            self.call.touches.truncate(1);
        }
        Ok(before)
    }
}
