//! One core of a card with the card's memories, and one packet at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use bpf::diag::Diagnostic;
use nic_model::core::{
    CodeStore, ContextId, Core, CoreConfig, CoreId, CoreIn, CoreOut, Fate, FlightId, Outcome, PacketId, Resume, Task,
    TaskKind,
};
use nic_model::des::{Component, EventQueue, Kept, Priority, Source, Time};
use nic_model::firmware::{CodeLayout, Firmware, PacketVector, VECTOR_PORT, VECTOR_PROTOCOL};
use nic_model::isa::Bank;
use nic_model::memory::{Memories, MemoryKind};
use nic_model::profile::CardProfile;

/// Granule of the packet memory where packets stand.
const NUMBER: u32 = 8;
/// Device that packets come in by, as of a test run: the loopback.
const IFINDEX: u32 = 1;

/// A core and its memories.
pub struct Bench {
    pub memories: Memories,
    core: Core,
    layout: CodeLayout,
    queue: EventQueue<Event>,
    outbox: Kept<Resume, CoreOut>,
    headroom: u32,
    granule: u32,
    /// Bytes of the longest packet.
    pub room: u32,
    packets: u64,
}

enum Event {
    Resume,
    Memory(FlightId),
    Finished,
}

/// What a run left.
pub struct Ran {
    pub fate: Fate,
    /// Register 0 of bank B.
    pub low: u32,
    pub packet: Vec<u8>,
    pub cycles: u64,
    /// Instructions of the card, with those of the firmware.
    pub instructions: u64,
}

impl Bench {
    /// A core without a program, whose code store has room for `words` of one.
    pub fn new(card: &CardProfile, words: u16) -> Result<Bench, Diagnostic> {
        // One context works, so maps for each processor have one slot.
        let memories = Memories::new(&card.memories(), 1);
        let capabilities = &card.capabilities;
        let layout = CodeLayout::new(*capabilities.code_start, words);
        let routines = &card.firmware;
        let firmware = Firmware {
            receive: routines.receive.value.clone(),
            plain: routines.plain.value.clone(),
            pass: routines.pass.value.clone(),
            drop: routines.drop.value.clone(),
            tx: routines.tx.value.clone(),
            transmit: routines.transmit.value.clone(),
            map: routines.map.value.clone(),
        };
        let config = CoreConfig {
            id: CoreId(0),
            island: 0,
            contexts: *card.contexts,
            clock: *card.clock,
            costs: card.core_costs(),
            budget: *card.instruction_budget,
            stack_bytes: capabilities.stack.0 as u32,
            context_block: capabilities.takes_every_helper(),
            seed: 1,
            source: Source(0),
        };
        let core = Core::new(config, &memories, Arc::new(CodeStore::new(&layout)), Arc::new(firmware))?;
        let headroom = card.packet_buffers.headroom.0 as u32;
        Ok(Bench {
            memories,
            core,
            layout,
            queue: EventQueue::default(),
            outbox: Kept::default(),
            headroom,
            granule: card.packet_buffers.granule.0 as u32,
            room: (card.packet_buffers.largest.0 as u32).saturating_sub(headroom),
            packets: 0,
        })
    }

    pub fn layout(&self) -> &CodeLayout {
        &self.layout
    }

    /// Loads programs, once their maps are there; `starts` are those that tail calls go to.
    pub fn load(&mut self, words: &[u64], starts: BTreeMap<u32, u16>) -> Result<(), Diagnostic> {
        self.core.set_maps(&self.memories.maps().shapes());
        self.core.load(Arc::new(CodeStore::with_program(&self.layout, words)?.with_programs(starts)));
        Ok(())
    }

    /// Runs the program on a packet that fits [`Bench::room`].
    pub fn run(&mut self, packet: &[u8], protocol: u32) -> Option<Ran> {
        let start = u64::from(NUMBER * self.granule);
        let store = self.memories.store_mut(MemoryKind::Ctm, 0);
        // What stands in front of a packet is nobody's, and zeros in every engine.
        store.write(start, &vec![0; self.headroom as usize]);
        store.write(start + u64::from(self.headroom), packet);
        let mut vector = PacketVector::new(packet.len() as u32, NUMBER, self.headroom);
        vector.words[VECTOR_PORT] = IFINDEX;
        vector.words[VECTOR_PROTOCOL] = protocol;
        let task = Task { packet: PacketId(self.packets), kind: TaskKind::Program, vector };
        self.packets += 1;
        let began = self.queue.now();
        self.tell(began, CoreIn::Begin { context: ContextId(0), task });
        let mut ended = began;
        while let Some((now, event)) = self.queue.pop() {
            match event {
                Event::Resume => {
                    self.core.wake(now, Resume, &mut self.outbox);
                    self.forward();
                }
                Event::Memory(flight) => {
                    let (command, cargo) = self.core.command(flight);
                    let answer = self.memories.serve(now, &command, cargo);
                    self.tell(now, CoreIn::Answer { flight, answer });
                }
                Event::Finished => ended = now,
            }
        }
        let Outcome { fate, vector, instructions, .. } = self.core.outcome(ContextId(0))?;
        let mut bytes = vec![0; vector.length() as usize];
        let at = u64::from(vector.number() * self.granule + vector.offset());
        self.memories.store(MemoryKind::Ctm, 0).read(at, &mut bytes);
        Some(Ran {
            fate,
            low: self.core.gpr(ContextId(0), Bank::B, 0),
            packet: bytes,
            cycles: self.cycles(ended).saturating_sub(self.cycles(began)),
            instructions,
        })
    }

    fn cycles(&self, at: Time) -> u64 {
        let hertz = u128::from(self.core.config().clock.hz());
        (u128::from(at.ps()) * hertz / 1_000_000_000_000) as u64
    }

    fn tell(&mut self, now: Time, event: CoreIn) {
        self.core.handle(now, event, &mut self.outbox);
        self.forward();
    }

    fn forward(&mut self) {
        for wake in self.outbox.wakes.drain(..) {
            self.queue.push(wake.at, wake.priority, wake.source, Event::Resume);
        }
        for (source, out) in self.outbox.sends.drain(..) {
            match out {
                CoreOut::Command { arrives, flight } => {
                    self.queue.push(arrives, Priority::Memory, source, Event::Memory(flight));
                }
                CoreOut::Finished { at, .. } => self.queue.push(at, Priority::Arrival, source, Event::Finished),
            }
        }
    }
}
