//! A card of cores and memories alone, for tests: what reaches whom, by one event queue.

#![allow(dead_code, reason = "each test uses a part of it")]

pub mod asm;

use std::collections::BTreeMap;
use std::sync::Arc;

use bpf::diag::Diagnostic;
use bpf::program::MapSpec;
use nic_model::core::{
    CodeStore, ContextId, Core, CoreConfig, CoreCosts, CoreId, CoreIn, CoreOut, FlightId, Outcome, PacketId, Resume,
    Task, TaskKind,
};
use nic_model::des::{Component, EventQueue, Frequency, Kept, Priority, Source, Time};
use nic_model::firmware::{CodeLayout, Entry, Firmware, PacketVector};
use nic_model::memory::{
    Action, EngineId, EngineTiming, MAX_WORDS, MemCommand, Memories, MemoriesConfig, MemoryConfig, MemoryKind, TableId,
};

/// Bytes of CTM for each packet number.
pub const GRANULE: u32 = 256;
/// Bytes before a packet in its buffer.
pub const HEADROOM: u32 = 128;

/// Memories of the Agilio's sizes, with these times.
pub fn memories_config(timing: EngineTiming) -> MemoriesConfig {
    let memory = |bytes| MemoryConfig { bytes, banks: 1, interleave: 64, timing, cache: None };
    MemoriesConfig {
        islands: 1,
        cls: memory(64 << 10),
        ctm: memory(256 << 10),
        ctm_packet_bytes: 128 << 10,
        packet_granule: GRANULE,
        imem: memory(4 << 20),
        emem: memory(1 << 30),
        imem_map_base: 1 << 20,
        map_base: 1 << 20,
    }
}

/// A core of four contexts at 800 MHz in island 0.
pub fn core_config(id: u16, costs: CoreCosts) -> CoreConfig {
    CoreConfig {
        id: CoreId(id),
        island: 0,
        contexts: 4,
        clock: Frequency::from_hz(800_000_000).expect("not zero"),
        costs,
        budget: 1_000_000,
        stack_bytes: 512,
        context_block: false,
        seed: 1,
        source: Source(id),
    }
}

enum Event {
    Begin(usize, CoreIn),
    Resume(usize),
    Memory(usize, FlightId),
}

/// A command as it reached its engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    pub at: Time,
    pub core: CoreId,
    pub context: ContextId,
    pub engine: EngineId,
    pub offset: u64,
    pub bytes: u16,
    pub action: Action,
    /// The words it brought or found.
    pub words: Vec<u32>,
}

impl Arrival {
    /// A command after it has been served.
    pub fn new(at: Time, command: &MemCommand, words: &[u32; MAX_WORDS]) -> Arrival {
        let moved = match command.action {
            Action::Touch(_) | Action::Map | Action::Helper(_) => 0,
            _ => usize::from(command.bytes).div_ceil(4),
        };
        let MemCommand { core, context, engine, offset, bytes, action, .. } = *command;
        Arrival { at, core, context, engine, offset, bytes, action, words: words[..moved].to_vec() }
    }
}

/// Cores and memories, and the events between them.
pub struct Bench {
    pub memories: Memories,
    pub cores: Vec<Core>,
    queue: EventQueue<Event>,
    outbox: Kept<Resume, CoreOut>,
    /// What came of packets, in order.
    pub finished: Vec<(Time, ContextId, Outcome)>,
    /// Commands as they reached their engines, if anyone wants to know.
    pub arrivals: Option<Vec<Arrival>>,
}

impl Bench {
    /// One core that runs `words`, with maps of these definitions.
    pub fn new(
        config: CoreConfig,
        timing: EngineTiming,
        firmware: Firmware,
        maps: &[MapSpec],
    ) -> Result<(Bench, Vec<TableId>), Diagnostic> {
        let mut memories = Memories::new(&memories_config(timing), u32::from(config.contexts));
        let tables = maps.iter().map(|spec| memories.create_map(spec.clone(), &[])).collect::<Result<_, _>>()?;
        let code = Arc::new(CodeStore::new(&layout()));
        let core = Core::new(config, &memories, code, Arc::new(firmware))?;
        let bench = Bench {
            memories,
            cores: vec![core],
            queue: EventQueue::default(),
            outbox: Kept::default(),
            finished: Vec::new(),
            arrivals: None,
        };
        Ok((bench, tables))
    }

    /// Cores of these kinds with one program, on memories that are there already.
    pub fn of(memories: Memories, configs: &[CoreConfig], words: &[u64], firmware: &Firmware) -> Bench {
        let code = Arc::new(CodeStore::with_program(&layout(), words).expect("room"));
        let firmware = Arc::new(firmware.clone());
        let core = |config: &CoreConfig| {
            Core::new(*config, &memories, Arc::clone(&code), Arc::clone(&firmware)).expect("a core")
        };
        Bench {
            cores: configs.iter().map(core).collect(),
            memories,
            queue: EventQueue::default(),
            outbox: Kept::default(),
            finished: Vec::new(),
            arrivals: None,
        }
    }

    /// Gives all cores a program.
    pub fn load(&mut self, words: &[u64]) -> Result<(), Diagnostic> {
        self.load_programs(words, BTreeMap::new())
    }

    /// The same with programs behind it that tail calls go to.
    pub fn load_programs(&mut self, words: &[u64], starts: BTreeMap<u32, u16>) -> Result<(), Diagnostic> {
        let code = Arc::new(CodeStore::with_program(&layout(), words)?.with_programs(starts));
        for core in &mut self.cores {
            core.load(Arc::clone(&code));
        }
        Ok(())
    }

    /// Puts a packet into the buffer from granule `number` on, [`HEADROOM`] behind its start.
    pub fn put_packet(&mut self, number: u32, bytes: &[u8]) -> PacketVector {
        let at = u64::from(number * GRANULE + HEADROOM);
        self.memories.store_mut(MemoryKind::Ctm, 0).write(at, bytes);
        PacketVector::new(bytes.len() as u32, number, HEADROOM)
    }

    /// The packet that a vector describes.
    pub fn packet(&self, vector: &PacketVector) -> Vec<u8> {
        let mut bytes = vec![0; vector.length() as usize];
        let at = u64::from(vector.number() * GRANULE + vector.offset());
        self.memories.store(MemoryKind::Ctm, 0).read(at, &mut bytes);
        bytes
    }

    /// Gives a context a packet, now.
    pub fn begin(&mut self, core: usize, context: u8, packet: u64, vector: PacketVector) {
        let task = Task { packet: PacketId(packet), kind: TaskKind::Program, vector };
        let now = self.queue.now();
        self.tell(now, core, CoreIn::Begin { context: ContextId(context), task });
    }

    /// Gives a context work of some kind, now.
    pub fn begin_kind(&mut self, core: usize, context: u8, kind: TaskKind, packet: u64, vector: PacketVector) {
        let task = Task { packet: PacketId(packet), kind, vector };
        let now = self.queue.now();
        self.tell(now, core, CoreIn::Begin { context: ContextId(context), task });
    }

    /// Gives a context a packet later.
    pub fn begin_at(&mut self, at: Time, core: usize, context: u8, task: Task) {
        let source = self.cores[core].config().source;
        let event = CoreIn::Begin { context: ContextId(context), task };
        self.queue.push(at, Priority::Arrival, source, Event::Begin(core, event));
    }

    fn tell(&mut self, now: Time, core: usize, event: CoreIn) {
        self.cores[core].handle(now, event, &mut self.outbox);
        self.forward(core);
    }

    fn forward(&mut self, core: usize) {
        for wake in self.outbox.wakes.drain(..) {
            self.queue.push(wake.at, wake.priority, wake.source, Event::Resume(core));
        }
        for (source, out) in self.outbox.sends.drain(..) {
            match out {
                CoreOut::Command { arrives, flight } => {
                    self.queue.push(arrives, Priority::Memory, source, Event::Memory(core, flight));
                }
                CoreOut::Finished { at, context } => {
                    let outcome = self.cores[core].outcome(context).expect("it has just finished");
                    self.finished.push((at, context, outcome));
                }
            }
        }
    }

    /// Takes one event; `false` when there is none.
    pub fn step(&mut self) -> bool {
        let Some((now, event)) = self.queue.pop() else { return false };
        match event {
            Event::Begin(core, event) => self.tell(now, core, event),
            Event::Resume(core) => {
                self.cores[core].wake(now, Resume, &mut self.outbox);
                self.forward(core);
            }
            Event::Memory(core, flight) => {
                let (command, cargo) = self.cores[core].command(flight);
                let answer = self.memories.serve(now, &command, cargo);
                if let Some(arrivals) = &mut self.arrivals {
                    let (_, cargo) = self.cores[core].command(flight);
                    arrivals.push(Arrival::new(now, &command, cargo.words));
                }
                self.tell(now, core, CoreIn::Answer { flight, answer });
            }
        }
        true
    }

    /// Runs until nothing happens any more.
    pub fn run(&mut self) {
        while self.step() {}
    }

    /// The time of the last event.
    pub fn now(&self) -> Time {
        self.queue.now()
    }

    /// Events taken so far.
    pub fn events(&self) -> u64 {
        self.queue.popped()
    }
}

/// The address of a door of the firmware.
pub fn door(entry: Entry) -> u16 {
    layout().address(entry).expect("the firmware of the tests has all doors")
}

/// The code store of the tests: firmware below 256, programs behind it.
pub fn layout() -> CodeLayout {
    CodeLayout::new(256, 7900)
}
