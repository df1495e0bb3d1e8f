//! One program on both engines.

use std::collections::{BTreeMap, VecDeque};

use bpf::diag::Diagnostic;
use bpf::env::Env;
use bpf::interp::{Code, ContextInput, Engine, EngineConfig, NoObserver, RunInput, XdpFields};
use bpf::maps::{MapId, PerfRecord, PerfRing};
use bpf::program::{MapType, Program};
use nic_model::core::{CoreCosts, Fate};
use nic_model::des::Time;
use nic_model::firmware;
use nic_model::memory::{EngineTiming, MemoryKind, TableId};
use offload_jit::{Firmware, Image};

use super::bench::{self, Bench, core_config};

/// Granule at which packets stand.
const BUFFER: u32 = 8;
/// Contexts of the bench's core, each with a slot in per-CPU maps.
const CPUS: u32 = 4;

/// What a map begins with: which map, key, value.
pub type Entry = (usize, Vec<u8>, Vec<u8>);

/// A program, the machine that interprets it and the card that runs its translation.
pub struct Pair {
    engine: Engine,
    code: Code,
    bench: Bench,
    /// The card's maps, by the program's index.
    tables: Vec<Option<TableId>>,
    packets: u64,
    /// What the card has taken for them.
    taken: Time,
}

/// Device that packets come in by.
const IFINDEX: u32 = 7;
/// Bytes of the ring that events go to.
const EVENT_ROOM: usize = 1 << 20;

/// Hands the interpreter the random numbers and times that the core has read.
struct Replay {
    randoms: VecDeque<u32>,
    times: VecDeque<u64>,
}

/// For programs that ask for nothing outside.
pub struct FixedEnvironment;

impl Env for FixedEnvironment {
    fn now_ns(&mut self, _: u64) -> u64 {
        0
    }
    fn random_u32(&mut self) -> u32 {
        0
    }
    fn cpu(&self) -> u32 {
        0
    }
}

impl Env for Replay {
    fn now_ns(&mut self, _: u64) -> u64 {
        self.times.pop_front().expect("the core has read as many")
    }
    fn random_u32(&mut self) -> u32 {
        self.randoms.pop_front().expect("the core has read as many")
    }
    fn cpu(&self) -> u32 {
        0
    }
}

/// The addresses of the bench's firmware.
pub fn doors(values: BTreeMap<u32, u64>) -> Firmware {
    let layout = bench::layout();
    let routine = |id: u32| Some((id, layout.address(firmware::Entry::Helper(id))?));
    let helpers = (1..=3).filter_map(|id| Some((id, layout.address(firmware::Entry::of_helper(id)?)?)));
    Firmware {
        start: layout.start,
        done: layout.address(firmware::Entry::Done).expect("the firmware has it"),
        helpers: helpers.collect::<BTreeMap<_, _>>(),
        routines: bpf::helpers::HELPERS.iter().filter_map(|row| routine(row.id)).collect(),
        atomic: layout.address(firmware::Entry::Atomic),
        values,
    }
}

/// The action byte of an XDP return code (Linux nfp driver, `jit.c`).
pub fn action(code: u64) -> u8 {
    match code {
        1 => 0x22,
        4 => 0x48,
        2 => 0x11,
        3 => 0x44,
        _ => 0x82,
    }
}

impl Pair {
    /// Both engines, with these entries in their maps.
    pub fn new(program: &Program, image: &Image, entries: &[Entry]) -> Result<Pair, Diagnostic> {
        let mut engine = Engine::new(EngineConfig { cpus: CPUS, ..EngineConfig::default() }, &program.maps)?;
        let events = program.maps.iter().position(|map| map.ty == MapType::PERF_EVENT_ARRAY);
        if let Some(map) = events {
            let ring = engine.open_perf(PerfRing::new(0, EVENT_ROOM));
            let slot = engine.map(MapId(map as u32)).expect("it exists");
            { slot }.update(&0u32.to_le_bytes(), &ring.to_le_bytes(), 0).expect("a slot");
        }
        let config = core_config(0, CoreCosts::UNIT);
        let (mut bench, _) = Bench::new(config, EngineTiming::NONE, firmware::Firmware::default(), &[])?;
        let mut tables = vec![None; program.maps.len()];
        for placed in image.maps().iter().filter(|placed| placed.on_card) {
            let index = placed.map.0 as usize;
            let atomic: Vec<u32> = placed.atomic_words.iter().map(|word| word * 4).collect();
            let table = bench.memories.create_map_in(placed.memory, program.maps[index].clone(), &atomic)?;
            assert_eq!(table.0, placed.table, "the card numbers its maps as the image does");
            tables[index] = Some(table);
        }
        for (map, key, value) in entries {
            let Some(table) = tables.get(*map).copied().flatten() else { continue };
            bench.memories.user_update(table, key, value, 0).expect("a key of the map");
            engine.map(MapId(*map as u32)).expect("it exists").update(key, value, 0).expect("a key of the map");
        }
        let shapes = bench.memories.maps().shapes();
        bench.cores[0].set_maps(&shapes);
        bench.cores[0].start_random_log();
        bench.cores[0].start_time_log();
        bench.memories.start_events();
        let first = |table: &TableId| {
            let map = bench.memories.maps().get(*table).expect("it has been created");
            (table.0, map.first_value())
        };
        let values = tables.iter().flatten().map(first).collect();
        bench.load(&image.link(&doors(values))?)?;
        Ok(Pair { engine, code: Code::new(program)?, bench, tables, packets: 0, taken: Time::ZERO })
    }

    /// Runs both on a packet; the return code, or the first difference.
    pub fn compare(&mut self, packet: &[u8]) -> Result<u64, String> {
        // What stands in front of a packet is nobody's: the interpreter has zeros there.
        let buffer = u64::from(BUFFER * bench::GRANULE);
        self.bench.memories.store_mut(MemoryKind::Ctm, 0).write(buffer, &[0; bench::HEADROOM as usize]);
        let mut vector = self.bench.put_packet(BUFFER, packet);
        vector.words[firmware::VECTOR_PORT] = IFINDEX;
        let begin = self.bench.now();
        self.bench.begin(0, 0, self.packets, vector);
        self.packets += 1;
        self.bench.run();
        let (end, _, outcome) = self.bench.finished.pop().expect("the packet is done");
        self.taken = Time::from_ps(self.taken.ps() + end.since(begin).ps());
        let word = match outcome.fate {
            Fate::Verdict(verdict) => verdict.word,
            Fate::Trapped(trap) => return Err(trap.to_string()),
        };
        let randoms = self.bench.cores[0].take_random_log().into_iter().map(|(_, value)| value).collect();
        let times = self.bench.cores[0].take_time_log().into_iter().map(|(_, value)| value).collect();
        let fields = XdpFields { ingress_ifindex: IFINDEX, ..XdpFields::default() };
        let input = RunInput { context: ContextInput::Xdp(fields), packet };
        let end = self.engine.run(&self.code, input, &mut Replay { randoms, times }, &mut NoObserver);
        if let Some(fault) = end.fault {
            return Err(format!("interpreter: {fault}"));
        }
        if (word >> 16) as u8 != action(end.retval) {
            return Err(format!("R0 is {:#x}, the card says {word:#x}", end.retval));
        }
        self.compare_redirect(end.retval, end.redirect.map(|to| to.ifindex), outcome.redirect.map(|to| to.ifindex))?;
        let sent = self.bench.packet(&outcome.vector);
        if sent != self.engine.packet() {
            let at = sent.iter().zip(self.engine.packet()).position(|(a, b)| a != b);
            let (theirs, ours) = (self.engine.packet(), &sent);
            return Err(format!("packets differ at {at:?}\ninterpreter {theirs:02x?}\ncard        {ours:02x?}"));
        }
        for (map, table) in self.tables.iter().enumerate() {
            let Some(table) = table else { continue };
            let on_card = self.bench.memories.user_entries(*table);
            let expected = self.engine.map(MapId(map as u32)).expect("it exists").entries();
            if let Some((a, b)) = expected.iter().zip(&on_card).find(|(a, b)| a != b) {
                return Err(format!("map {map}\ninterpreter {a:02x?}\ncard        {b:02x?}"));
            }
            if expected.len() != on_card.len() {
                return Err(format!("map {map} has {} entries, on the card {}", expected.len(), on_card.len()));
            }
        }
        Ok(end.retval)
    }

    /// Cycles of the core for all packets so far.
    pub fn cycles(&self) -> u64 {
        self.bench.cores[0].config().clock.cycle_from(self.taken)
    }

    /// Where a redirected packet goes.
    fn compare_redirect(&self, code: u64, expected: Option<u32>, card: Option<u32>) -> Result<(), String> {
        if code == 4 && expected != card {
            return Err(format!("the interpreter redirects to {expected:?}, the card to {card:?}"));
        }
        Ok(())
    }

    /// The events of all packets so far.
    pub fn compare_events(&mut self) -> Result<(), String> {
        let card: Vec<Vec<u8>> = self.bench.memories.take_events().into_iter().map(|event| event.bytes).collect();
        let Some(ring) = self.engine.perf_ring(1) else { return Ok(()) };
        let mut expected = Vec::new();
        while let Some(record) = ring.read() {
            match record {
                PerfRecord::Sample(bytes) => expected.push(bytes),
                PerfRecord::Lost(_) => return Err("the ring of the test is too small".to_owned()),
            }
        }
        // Linux pads records.
        let equal = |(a, b): (&Vec<u8>, &Vec<u8>)| a.starts_with(b) && a.len() < b.len() + 8;
        if expected.len() != card.len() || !expected.iter().zip(&card).all(equal) {
            return Err(format!("events\ninterpreter {expected:02x?}\ncard        {card:02x?}"));
        }
        Ok(())
    }
}
