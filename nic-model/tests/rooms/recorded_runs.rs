//! All contexts at once: what packets do to maps is recorded, and the record explains everything.
//!
//! Contexts that work side by side see each other's changes, so a run cannot be held against the interpreter packet after
//! packet. Instead each packet, interpreted again with its own loads and helper results out of the record, must come to the
//! same verdict and bytes; and the record, applied in its order to maps as they were, must reproduce every result in it and
//! the maps as they are.

use crate::bench;
use crate::driver_case;

use std::collections::{BTreeMap, VecDeque};

use bench::{Bench, core_config, memories_config};
use bpf::insn::AtomicOp;
use bpf::interp::{Engine, EngineConfig, HelperCall, MemAccess, MemAccessKind, Observer, RunInput};
use bpf::maps::{AccessLog, Linear, Map, MapId};
use bpf::memory::{Arena, RegionKind};
use driver_case::{Case, Out, Replay, action, cases, known, link};
use nic_model::core::{ContextId, CoreConfig, CoreCosts, Fate, Outcome, PacketId, Task, TaskKind};
use nic_model::des::Time;
use nic_model::firmware::{Firmware, Place, Routine, Step};
use nic_model::memory::{EngineTiming, Event, MapOp, Memories, MemoryKind, Record, TableId, TouchKind};

const CORES: u16 = 2;
const CONTEXTS: u16 = 4;
/// Packets each context gets.
const PACKETS: usize = 12;

/// Times of about the Agilio's memories, so that contexts overlap.
const TIMING: EngineTiming = EngineTiming {
    request: Time::from_ns(50),
    read: Time::from_ns(100),
    write: Time::from_ns(110),
    atomic: Time::from_ns(120),
    response: Time::from_ns(50),
    service: Time::from_ns(2),
    atomic_service: Time::from_ns(5),
    beat: Time::from_ns(1),
};

const COSTS: CoreCosts = CoreCosts { branch: 3, branch_bit: 3, jump: 3, wake: 4, pull: 8, ..CoreCosts::UNIT };

fn firmware() -> Firmware {
    let read = |memory, wait| Step::Command {
        memory,
        kind: TouchKind::Read,
        place: Place::Packet { offset: 0 },
        bytes: 32,
        wait,
    };
    let steps = vec![Step::Run { instructions: 7 }, read(MemoryKind::Ctm, true)];
    Firmware { receive: Routine { steps }, ..Firmware::default() }
}

/// A packet of the run: what it was, what became of it.
struct Done {
    input: Vec<u8>,
    output: Vec<u8>,
    outcome: Outcome,
}

/// What a run leaves.
struct Run {
    bench: Bench,
    done: BTreeMap<PacketId, Done>,
    record: Vec<Record>,
    randoms: BTreeMap<PacketId, VecDeque<u32>>,
    /// Regions of the maps before the run.
    before: Vec<Vec<u8>>,
}

fn regions(case: &Case, memories: &Memories) -> Vec<Vec<u8>> {
    let region = |table: &TableId| {
        let map = memories.maps().get(*table).expect("it was created");
        let mut bytes = vec![0; map.map().region_size() as usize];
        memories.store(map.place().memory, 0).read(map.place().base, &mut bytes);
        bytes
    };
    case.tables.iter().map(region).collect()
}

/// The first granule of a context's buffer of 1 KiB.
fn buffer(core: usize, context: usize) -> u32 {
    (core * usize::from(CONTEXTS) + context) as u32 * 4
}

fn run(case: &Case, words: &[u64], packets: &[Vec<u8>], atomics: &BTreeMap<usize, Vec<u32>>) -> Run {
    let mut memories = Memories::new(&memories_config(TIMING), (CORES * CONTEXTS).into());
    case.fill(&mut memories, atomics);
    let before = regions(case, &memories);
    memories.start_log();
    let configs: Vec<CoreConfig> =
        (0..CORES).map(|id| CoreConfig { seed: id.into(), ..core_config(id, COSTS) }).collect();
    let mut bench = Bench::of(memories, &configs, words, &firmware());
    bench.cores.iter_mut().for_each(|core| core.start_random_log());

    let mut waiting: Vec<_> = (0..packets.len()).rev().collect();
    let mut done = BTreeMap::new();
    let mut begin = |bench: &mut Bench, core: usize, context: usize, at: Time| {
        let Some(id) = waiting.pop() else { return };
        let vector = bench.put_packet(buffer(core, context), &packets[id]);
        let task = Task { packet: PacketId(id as u64), kind: TaskKind::Program, vector };
        bench.begin_at(at, core, context as u8, task);
    };
    for core in 0..usize::from(CORES) {
        for context in 0..usize::from(CONTEXTS) {
            begin(&mut bench, core, context, Time::from_ns(13 * (core + 2 * context) as u64));
        }
    }
    while bench.step() {
        for (at, ContextId(context), outcome) in std::mem::take(&mut bench.finished) {
            let number = outcome.vector.number() / 4;
            let (core, own) = (number / u32::from(CONTEXTS), number % u32::from(CONTEXTS));
            assert_eq!(own, u32::from(context), "a context keeps its buffer");
            let input = packets[outcome.packet.0 as usize].clone();
            let output = bench.packet(&outcome.vector);
            done.insert(outcome.packet, Done { input, output, outcome });
            begin(&mut bench, core as usize, context.into(), at);
        }
    }
    let record = bench.memories.take_log();
    let mut randoms: BTreeMap<_, VecDeque<_>> = BTreeMap::new();
    for (packet, value) in bench.cores.iter_mut().flat_map(|core| core.take_random_log()) {
        randoms.entry(packet).or_default().push_back(value);
    }
    Run { bench, done, record, randoms, before }
}

/// Applies the record to the maps as they were.
fn apply(case: &Case, run: &Run) -> Result<(), String> {
    let index = |table: TableId| case.tables.iter().position(|t| *t == table).expect("a map of the program");
    let maps: Vec<Map> = case
        .tables
        .iter()
        .map(|table| run.bench.memories.maps().get(*table).expect("it exists").map().clone())
        .collect();
    let mut regions = run.before.clone();
    for (i, Record { actor, event }) in run.record.iter().enumerate() {
        let same = |what: &str, same: bool| {
            if same { Ok(()) } else { Err(format!("record {i} of {actor:?}: {what} differs from {event:?}")) }
        };
        match event {
            Event::Read { table, offset, bytes } => {
                let there = &regions[index(*table)][*offset as usize..][..bytes.len()];
                same("what is there", there == bytes)?;
            }
            Event::Write { table, offset, bytes } => {
                regions[index(*table)][*offset as usize..][..bytes.len()].copy_from_slice(bytes);
            }
            Event::Atomic { table, offset, op, wide, operand, before } => {
                let words = &mut regions[index(*table)][*offset as usize..][..if *wide { 8 } else { 4 }];
                let word = |bytes: &[u8]| u64::from(u32::from_be_bytes(bytes.try_into().expect("four bytes")));
                let was = word(&words[..4]) | if *wide { word(&words[4..]) << 32 } else { 0 };
                same("the number before", was == *before)?;
                let now = match op {
                    nic_model::memory::AtomicOp::Add => was.wrapping_add(*operand),
                    other => return Err(format!("the driver never emits {other:?}")),
                };
                words[..4].copy_from_slice(&(now as u32).to_be_bytes());
                if *wide {
                    words[4..].copy_from_slice(&((now >> 32) as u32).to_be_bytes());
                }
            }
            Event::Call { op, table, cpu, key, value, flags, found, result } => {
                let map = &maps[index(*table)];
                let mut memory = Linear(&mut regions[index(*table)]);
                let mut log = AccessLog::new();
                match op {
                    MapOp::Lookup => same("the offset", map.lookup(&mut memory, &mut log, *cpu, key) == *found)?,
                    MapOp::Update => {
                        same("the result", map.update(&mut memory, &mut log, *cpu, key, value, *flags) == *result)?;
                    }
                    MapOp::Delete => same("the result", map.delete(&mut memory, &mut log, *cpu, key) == *result)?,
                }
            }
        }
    }
    if regions == self::regions(case, &run.bench.memories) {
        Ok(())
    } else {
        Err("the maps differ in the end".to_owned())
    }
}

/// Gives a packet its own loads and helper results.
struct Own<'a> {
    tables: &'a [TableId],
    /// Address of each map's region in the interpreter's memory.
    bases: &'a [u64],
    loads: VecDeque<(TableId, u32, &'a [u8])>,
    /// Bytes of the first of them that have been used.
    used: u32,
    calls: VecDeque<&'a Event>,
    wrong: Option<String>,
}

impl Observer for Own<'_> {
    const ACCESSES: bool = true;

    fn loaded(&mut self, access: &MemAccess, _: Option<AtomicOp>, value: u64) -> u64 {
        let (MemAccessKind::Load, RegionKind::Map(map)) = (access.kind, access.region) else { return value };
        let table = self.tables[map.0 as usize];
        // One command of the card may serve several loads; each byte of it once.
        while let Some(&(of, offset, bytes)) = self.loads.front() {
            let within = access.off.wrapping_sub(offset);
            let end = u64::from(within) + u64::from(access.size.bytes());
            if of == table && within >= self.used && end <= bytes.len() as u64 {
                self.used = end as u32;
                let mut word = [0; 8];
                word[..access.size.bytes() as usize].copy_from_slice(&bytes[within as usize..end as usize]);
                return u64::from_le_bytes(word);
            }
            self.loads.pop_front();
            self.used = 0;
        }
        self.wrong.get_or_insert_with(|| format!("no record of {access:?}"));
        value
    }

    fn answer(&mut self, call: &HelperCall, arena: &Arena) -> Option<u64> {
        let op = match call.id {
            1 => MapOp::Lookup,
            2 => MapOp::Update,
            3 => MapOp::Delete,
            _ => return None,
        };
        match self.calls.pop_front() {
            Some(Event::Call { op: recorded, table, key, found, result, .. }) if *recorded == op => {
                if arena.slice(call.args[1], key.len() as u32) != Ok(&key[..]) {
                    self.wrong.get_or_insert_with(|| format!("slot {}: the key is not {key:?}", call.slot));
                }
                let base = self.bases[self.tables.iter().position(|t| t == table)?];
                Some(match op {
                    MapOp::Lookup => found.map_or(0, |offset| base + u64::from(offset)),
                    _ => result.map_or_else(bpf::errno::Errno::as_return, |()| 0),
                })
            }
            other => {
                self.wrong.get_or_insert_with(|| format!("slot {} calls {op:?}, the record has {other:?}", call.slot));
                None
            }
        }
    }
}

/// Interprets each packet again with its own record.
fn interpret(case: &Case, run: &Run) -> Result<(), String> {
    let config = EngineConfig { cpus: (CORES * CONTEXTS).into(), ..EngineConfig::default() };
    let mut engine = Engine::new(config, &case.specs).expect("maps that the kernel took");
    let base = |map| u64::from(engine.arena().region(engine.map_region(MapId(map)).expect("it exists")).base);
    let bases: Vec<u64> = (0..case.specs.len() as u32).map(base).collect();
    for (packet, done) in &run.done {
        let own = run.record.iter().filter(|record| record.actor.packet == *packet).map(|record| &record.event);
        let mut observer = Own {
            tables: &case.tables,
            bases: &bases,
            loads: own
                .clone()
                .filter_map(|event| match event {
                    Event::Read { table, offset, bytes } => Some((*table, *offset, &bytes[..])),
                    _ => None,
                })
                .collect(),
            used: 0,
            calls: own.filter(|event| matches!(event, Event::Call { .. })).collect(),
            wrong: None,
        };
        let mut env = Replay(run.randoms.get(packet).cloned().unwrap_or_default());
        let input = RunInput { context: case.context(), packet: &done.input };
        let end = engine.run(&case.code, input, &mut env, &mut observer);
        if let Some(wrong) = observer.wrong {
            return Err(format!("{packet:?}: {wrong}"));
        }
        if let Some(fault) = end.fault {
            return Err(format!("{packet:?}: {fault}"));
        }
        let Fate::Verdict(verdict) = done.outcome.fate else {
            return Err(format!("{packet:?}: {:?}", done.outcome.fate));
        };
        if verdict.word >> 16 != u32::from(action(case.ty, end.retval as u32)) {
            return Err(format!("{packet:?}: result word {:#x}, R0 {:#x}", verdict.word, end.retval));
        }
        if engine.packet() != done.output {
            return Err(format!("{packet:?}: bytes differ"));
        }
        if !observer.calls.is_empty() {
            return Err(format!("{packet:?}: {} more helper calls on the card", observer.calls.len()));
        }
    }
    Ok(())
}

#[test]
fn the_record_explains_every_packet_and_the_maps() {
    let Some(cases) = cases("the_record_explains_every_packet_and_the_maps") else { return };
    let (mut runs, mut overlaps, mut failures) = (0, 0, Vec::new());
    for case in cases.iter().filter(|case| !case.specs.is_empty() && !known(&case.name)) {
        let Ok(words) = link(&case.words, &bench::layout(), Out::Epilogue) else { continue };
        let packets = case.packets(PACKETS * usize::from(CORES * CONTEXTS));
        let atomics = case.atomics(&packets);
        let run = run(case, &words, &packets, &atomics);
        assert_eq!(run.done.len(), packets.len(), "{}: every packet is done", case.name);
        // Packets whose records stand between another packet's first and last.
        overlaps += run.record.windows(2).filter(|pair| pair[0].actor.packet != pair[1].actor.packet).count();
        runs += 1;
        if let Err(reason) = apply(case, &run).and_then(|()| interpret(case, &run)) {
            failures.push(format!("{}: {reason}", case.name));
        }
    }
    println!("{runs} programs, {overlaps} changes from one packet to another in the records");
    assert!(failures.is_empty(), "{} of {runs} fail:\n{}", failures.len(), failures.join("\n"));
    assert!(runs > 40, "only {runs} programs with maps");
    assert!(overlaps > 1000, "only {overlaps} changes from one packet to another");
}
