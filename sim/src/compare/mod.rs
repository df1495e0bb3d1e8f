//! Card against interpreter, on every packet, in two ways.
//!
//! [`alone`]: one packet in flight at a time, so both see the same maps. Verdict, bytes and, at the end, maps must be
//! equal.
//!
//! [`together`]: all contexts at work at once. Then a look-up on the card may meet another packet's update where the
//! interpreter's does not, and rightly so. Each packet is interpreted again with its own logged look-ups and loads and must
//! give the same verdict and bytes; the log, applied in its order to fresh maps, must reproduce every result in it and the
//! card's final maps.

mod bench;
mod replay;

use std::collections::{BTreeMap, BTreeSet};

use bpf::env::FixedEnv;
use bpf::interp::{Code, ContextInput, Engine, EngineConfig, NoObserver, Observer, Outcome, RunInput, XdpFields};
use bpf::maps::{AccessLog, Linear, Map, MapId, MapMemory};
use nic_model::des::Time;
use nic_model::device::{Fate, PortId, line_bytes};
use nic_model::memory::{AtomicOp, Event, MapOp, Record, TableId};
use nic_model::profile::CardProfile;
use offload_jit::Mode;

use self::bench::{Bench, End};
use self::replay::Replay;
use crate::card::{self, Offloaded};
use crate::host::FIRST_IFINDEX;
use crate::scenario::LoadedProgram;
use crate::world::CARD_SOURCES;

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compared {
    /// Packets.
    pub packets: u64,
    /// Verdicts: dropped, passed, transmitted, aborted.
    pub verdicts: [u64; 4],
    /// Events of the card's log.
    pub events: u64,
}

/// The first thing that differs, in words.
pub type Difference = String;

/// Keys and values.
type Entries = Vec<(Vec<u8>, Vec<u8>)>;

const PORT: PortId = PortId(0);

/// Packets that may wait for a context.
const WAITING: u64 = 16;

/// A program on a bench and in the interpreter, with the same maps.
struct Pair {
    bench: Bench,
    offloaded: Offloaded,
    engine: Engine,
    code: Code,
    env: FixedEnv,
}

impl Pair {
    fn new(card: &CardProfile, program: &LoadedProgram, mode: Mode) -> Result<Self, Difference> {
        let mut device = card::device(card, 1, 1, CARD_SOURCES).map_err(|d| d.to_string())?;
        let offloaded = card::offload(&mut device, program, mode).map_err(|d| d.to_string())?;
        let offloaded = offloaded.map_err(|refusals| format!("the card refuses the program: {refusals:?}"))?;
        let xlated = program.verified.xlated();
        let cpus = u32::from(*card.cores) * u32::from(*card.contexts);
        let config = EngineConfig { cpus, strict: true, ..EngineConfig::default() };
        let mut engine = Engine::new(config, &xlated.maps).map_err(|d| d.to_string())?;
        for (index, entries) in (0..).zip(&program.preload) {
            let mut map = engine.map(MapId(index)).expect("the engine has the program's maps");
            for (key, value) in entries {
                map.update(key, value, 0).map_err(|errno| errno.to_string())?;
            }
        }
        let code = Code::new(xlated).map_err(|d| d.to_string())?;
        let ports = u16::from(*card.mac.ports);
        Ok(Self { bench: Bench::new(device, ports), offloaded, engine, code, env: FixedEnv::default() })
    }

    fn interpret(&mut self, packet: &[u8], observer: &mut impl Observer) -> Outcome {
        let context = ContextInput::Xdp(XdpFields { ingress_ifindex: FIRST_IFINDEX, ..XdpFields::default() });
        self.engine.run(&self.code, RunInput { context, packet }, &mut self.env, observer)
    }

    /// Holds what the card did with a packet against what the interpreter says.
    fn judge(&self, outcome: &Outcome, end: Option<End>, compared: &mut Compared) -> Result<(), Difference> {
        if let Some(fault) = &outcome.fault {
            return Err(format!("the interpreter faults: {fault}"));
        }
        let bytes = || self.engine.packet().to_vec();
        let (verdict, expected) = match outcome.retval as u32 {
            1 => (0, End::Ended(Fate::Dropped)),
            2 => (1, End::Passed(bytes())),
            3 => (2, End::Transmitted(bytes())),
            _ => (3, End::Ended(Fate::Aborted)),
        };
        compared.packets += 1;
        compared.verdicts[verdict] += 1;
        match end {
            Some(end) if end == expected => Ok(()),
            Some(end) => Err(format!("the card says {}, the interpreter {}", show(&end), show(&expected))),
            None => Err("the card has lost the packet without a word".to_owned()),
        }
    }

    /// Holds the card's maps against others, as far as there are others.
    fn same_maps(&mut self, mut other: impl FnMut(&mut Engine, usize) -> Option<Entries>) -> Result<(), Difference> {
        for (index, (spec, table)) in self.offloaded.maps.iter().enumerate() {
            let Some(mut expected) = other(&mut self.engine, index) else { continue };
            let mut card = self.bench.device_mut().memories().user_entries(*table);
            card.sort();
            expected.sort();
            if let Some((a, b)) = card.iter().zip(&expected).find(|(a, b)| a != b) {
                return Err(format!("map {}: the card has {a:02x?}, expected is {b:02x?}", spec.name));
            }
            if card.len() != expected.len() {
                return Err(format!(
                    "map {}: {} entries on the card, {} expected",
                    spec.name,
                    card.len(),
                    expected.len()
                ));
            }
        }
        Ok(())
    }
}

/// What the interpreter's map holds.
fn interpreted(engine: &mut Engine, index: usize) -> Entries {
    engine.map(MapId(index as u32)).expect("the engine has the program's maps").entries()
}

/// The map that an event changes otherwise than by an addition.
fn changed(event: &Event) -> Option<usize> {
    match event {
        Event::Call { op: MapOp::Update | MapOp::Delete, table, .. } | Event::Write { table, .. } => {
            Some(table.0 as usize - 1)
        }
        Event::Call { .. } | Event::Read { .. } | Event::Atomic { .. } => None,
    }
}

fn show(end: &End) -> String {
    match end {
        End::Ended(fate) => format!("{fate:?}"),
        End::Passed(bytes) => format!("pass of {} bytes {bytes:02x?}", bytes.len()),
        End::Transmitted(bytes) => format!("transmit of {} bytes {bytes:02x?}", bytes.len()),
    }
}

/// Compares with one packet in flight at a time.
///
/// # Errors
/// The first difference, with the packet's number.
pub fn alone<'a>(
    card: &CardProfile,
    program: &LoadedProgram,
    mode: Mode,
    packets: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Compared, Difference> {
    let mut pair = Pair::new(card, program, mode)?;
    pair.bench.drain();
    let mut compared = Compared::default();
    for (number, packet) in packets.into_iter().enumerate() {
        let at = pair.bench.now() + Time::from_ns(1);
        let id = pair.bench.send(at, PORT, packet.to_vec());
        pair.bench.drain();
        let end = pair.bench.take(id);
        let outcome = pair.interpret(packet, &mut NoObserver);
        pair.judge(&outcome, end, &mut compared).map_err(|d| format!("packet {number}: {d}"))?;
    }
    pair.same_maps(|engine, index| Some(interpreted(engine, index)))?;
    Ok(compared)
}

/// Compares with every context at work: packets arrive at the line's pace as long as there are no more of them on the card
/// than it has contexts, and a few to wait for one.
///
/// # Errors
/// The first difference, with the packet's number.
pub fn together<'a>(
    card: &CardProfile,
    program: &LoadedProgram,
    mode: Mode,
    packets: impl IntoIterator<Item = &'a [u8]> + Clone,
) -> Result<Compared, Difference> {
    let mut pair = Pair::new(card, program, mode)?;
    pair.bench.drain();
    pair.bench.device_mut().memories().start_log();
    let line = *card.mac.rate;
    let limit = u64::from(*card.cores) * u64::from(*card.contexts) + WAITING;
    let mut at = pair.bench.now();
    let mut ids = Vec::new();
    for packet in packets.clone() {
        pair.bench.make_room(limit);
        at = at.max(pair.bench.now()) + line.time_of(line_bytes(packet.len()) * 8);
        ids.push(pair.bench.send(at, PORT, packet.to_vec()));
    }
    pair.bench.drain();
    let log = pair.bench.device_mut().memories().take_log();

    let mut compared = Compared { events: log.len() as u64, ..Compared::default() };
    let mut of_packet: BTreeMap<u64, Vec<Event>> = BTreeMap::new();
    for record in &log {
        of_packet.entry(record.actor.packet.0).or_default().push(record.event.clone());
    }
    let bases: Vec<u32> = pair.regions().map(|(base, _)| base).collect();
    let key_sizes: Vec<u32> = pair.regions().map(|(_, key)| key).collect();
    for (number, (packet, id)) in packets.into_iter().zip(&ids).enumerate() {
        let events = of_packet.remove(&id.0).unwrap_or_default();
        let mut replay = Replay::new(events, |table| MapId(table - 1), bases.clone(), key_sizes.clone());
        let outcome = pair.interpret(packet, &mut replay);
        let end = pair.bench.take(*id);
        let judged = replay.finish().and_then(|()| pair.judge(&outcome, end, &mut compared));
        judged.map_err(|d| format!("packet {number}: {d}"))?;
    }
    // What all packets added, summed by the interpreter, is what the card's maps must hold where nothing else changes them.
    let changed: BTreeSet<usize> = log.iter().filter_map(|record| changed(&record.event)).collect();
    pair.same_maps(|engine, index| (!changed.contains(&index)).then(|| interpreted(engine, index)))?;
    let mut fresh = Fresh::new(&pair, program)?;
    for (number, record) in log.iter().enumerate() {
        fresh.apply(record).map_err(|d| format!("log entry {number}: {d}"))?;
    }
    pair.same_maps(|_, index| Some(fresh.entries(index)))?;
    Ok(compared)
}

impl Pair {
    /// Address and key size of each map in the interpreter.
    fn regions(&self) -> impl Iterator<Item = (u32, u32)> {
        self.engine.maps().iter().map(|(id, map)| {
            let region = self.engine.map_region(id).expect("every map has a region");
            (self.engine.arena().region(region).base, map.spec().key_size)
        })
    }
}

/// Maps of their own to apply a log to, in the card's byte order.
struct Fresh {
    maps: Vec<(Map, Vec<u8>)>,
    atomic_words: Vec<Vec<u32>>,
    log: AccessLog,
}

impl Fresh {
    fn new(pair: &Pair, program: &LoadedProgram) -> Result<Self, Difference> {
        let cpus = pair.engine.config().cpus;
        let mut fresh = Self { maps: Vec::new(), atomic_words: Vec::new(), log: AccessLog::new() };
        for ((spec, _), entries) in pair.offloaded.maps.iter().zip(&program.preload) {
            let map = Map::new(spec.clone(), cpus).map_err(|e| e.diagnostic.to_string())?;
            let mut region = vec![0; map.region_size() as usize];
            map.initialise(&mut Linear(&mut region));
            for (key, value) in entries {
                // Words that are added to atomically begin as zero, so their byte order does not matter here.
                map.user_update(&mut Linear(&mut region), &mut fresh.log, pair.engine.maps(), key, value, 0)
                    .map_err(|errno| errno.to_string())?;
            }
            fresh.maps.push((map, region));
        }
        fresh.atomic_words = pair.offloaded.atomic_words.clone();
        Ok(fresh)
    }

    fn map(&mut self, table: TableId) -> (&Map, &mut Vec<u8>, &mut AccessLog) {
        let (map, region) = &mut self.maps[table.0 as usize - 1];
        (map, region, &mut self.log)
    }

    fn apply(&mut self, record: &Record) -> Result<(), Difference> {
        match &record.event {
            Event::Read { table, offset, bytes } => {
                let (_, region, _) = self.map(*table);
                let mut now = vec![0; bytes.len()];
                Linear(region).read(*offset, &mut now);
                same("read", &now, bytes)
            }
            Event::Write { table, offset, bytes } => {
                let (_, region, _) = self.map(*table);
                Linear(region).write(*offset, bytes);
                Ok(())
            }
            Event::Atomic { table, offset, op, wide, operand, before } => {
                let (_, region, _) = self.map(*table);
                let was = number(region, *offset, *wide);
                same("number before", &was, before)?;
                let AtomicOp::Add = op else { return Err(format!("{op:?} is no operation a program has")) };
                put(region, *offset, *wide, was.wrapping_add(*operand));
                Ok(())
            }
            Event::Call { op, table, cpu, key, value, flags, found, result } => {
                let (map, region, log) = self.map(*table);
                match op {
                    MapOp::Lookup => same("look-up", &map.lookup(&mut Linear(region), log, *cpu, key), found),
                    MapOp::Update => {
                        same("update", &map.update(&mut Linear(region), log, *cpu, key, value, *flags), result)
                    }
                    MapOp::Delete => same("deletion", &map.delete(&mut Linear(region), log, *cpu, key), result),
                }
            }
        }
    }

    /// Entries in the host's byte order.
    fn entries(&mut self, index: usize) -> Entries {
        let (map, region) = &mut self.maps[index];
        let mut entries = map.user_entries(&mut Linear(region));
        for (_, value) in &mut entries {
            for &word in &self.atomic_words[index] {
                if let Some(bytes) = value.get_mut(word as usize..word as usize + 4) {
                    bytes.reverse();
                }
            }
        }
        entries
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, fresh: &T, logged: &T) -> Result<(), Difference> {
    if fresh == logged {
        Ok(())
    } else {
        Err(format!("{what}: the log has {logged:02x?}, fresh maps give {fresh:02x?}"))
    }
}

/// A number as atomic commands keep it: big-endian words, the low one first.
fn number(region: &[u8], offset: u32, wide: bool) -> u64 {
    let word = |at: usize| u64::from(u32::from_be_bytes(region[at..at + 4].try_into().expect("four bytes")));
    let at = offset as usize;
    if wide { word(at) | word(at + 4) << 32 } else { word(at) }
}

fn put(region: &mut [u8], offset: u32, wide: bool, number: u64) {
    let at = offset as usize;
    region[at..at + 4].copy_from_slice(&(number as u32).to_be_bytes());
    if wide {
        region[at + 4..at + 8].copy_from_slice(&((number >> 32) as u32).to_be_bytes());
    }
}
