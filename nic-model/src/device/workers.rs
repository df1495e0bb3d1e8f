//! Cores and memories: what works on packets.

use std::collections::BTreeMap;
use std::sync::Arc;

use bpf::diag::{At, Diagnostic};

use super::card::Post;
use super::counters::WorkerMeasure;
use super::held::Place;
use super::inner::Slot;
use super::packets::Packet;
use super::port::{FIRST_IFINDEX, Inner, PortId};
use crate::core::{
    CodeStore, Core, CoreConfig, CoreCounters, CoreId, CoreIn, CoreOut, Fate, FlightId, Outcome, PacketId, Resume,
    Task, TaskKind, Trap,
};
use crate::des::{Component, Outbox, Priority, Source, Time};
use crate::dispatch::{Buffers, Worker};
use crate::firmware::{CodeLayout, Firmware, PacketVector, VECTOR_PORT, VECTOR_PROTOCOL};
use crate::memory::{Memories, MemoryKind};
use crate::profile::CardProfile;

/// Traps that are kept for the report; more are counted.
const TRAPS_KEPT: usize = 16;

/// Least bytes of a packet that a program leaves: an Ethernet header.
const LEAST_PACKET: usize = 14;

/// A packet that a context works on.
#[derive(Debug, Clone, Copy)]
struct Work {
    slot: Slot,
    since: Time,
}

/// The cores of a card and the memories they share.
#[derive(Debug)]
pub(super) struct Workers {
    cores: Vec<Core>,
    pub(super) memories: Memories,
    layout: CodeLayout,
    /// The words that are attached.
    program: Vec<u64>,
    /// For each port, whether they run on its packets.
    attached: Vec<bool>,
    contexts: usize,
    headroom: u32,
    granule: u32,
    /// For each context, what it works on.
    work: Vec<Option<Work>>,
    /// Banks of each memory, by [`MemoryKind::ALL`].
    banks: [u64; 4],
    pub(super) traps: Vec<(PacketId, Trap)>,
}

impl Workers {
    /// Idle cores without a program.
    ///
    /// # Errors
    /// What [`Core::new`] refuses.
    pub(super) fn new(card: &CardProfile, seed: u64, first_source: Source) -> Result<Self, Diagnostic> {
        let contexts = *card.contexts;
        let memories = Memories::new(&card.memories(), u32::from(*card.cores) * u32::from(contexts));
        let capabilities = &card.capabilities;
        let layout = CodeLayout::new(*capabilities.code_start, *capabilities.max_instructions as u16);
        let code = Arc::new(CodeStore::new(&layout));
        let f = &card.firmware;
        let firmware = Arc::new(Firmware {
            receive: f.receive.value.clone(),
            plain: f.plain.value.clone(),
            pass: f.pass.value.clone(),
            drop: f.drop.value.clone(),
            tx: f.tx.value.clone(),
            transmit: f.transmit.value.clone(),
            map: f.map.value.clone(),
        });
        let core = |id: u16| {
            let config = CoreConfig {
                id: CoreId(id),
                island: card.island_of(id),
                contexts,
                clock: *card.clock,
                costs: card.core_costs(),
                budget: *card.instruction_budget,
                stack_bytes: capabilities.stack.0 as u32,
                context_block: capabilities.takes_every_helper(),
                // Neighbouring seeds give unlike sequences after this odd multiplier (Weyl sequence).
                seed: seed.wrapping_add(1 + u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15),
                source: Source(first_source.0 + id),
            };
            Core::new(config, &memories, Arc::clone(&code), Arc::clone(&firmware))
        };
        Ok(Workers {
            cores: (0..*card.cores).map(core).collect::<Result<_, _>>()?,
            memories,
            layout,
            program: Vec::new(),
            attached: vec![false; usize::from(*card.mac.ports)],
            contexts: usize::from(contexts),
            headroom: card.packet_buffers.headroom.0 as u32,
            granule: card.packet_buffers.granule.0 as u32,
            work: vec![None; usize::from(*card.cores) * usize::from(contexts)],
            banks: [&card.memories.cls, &card.memories.ctm, &card.memories.imem, &card.memories.emem]
                .map(|memory| u64::from(*memory.banks)),
            traps: Vec::new(),
        })
    }

    /// Where a program goes in the code store, and where it finds the firmware's doors.
    pub(super) fn layout(&self) -> &CodeLayout {
        &self.layout
    }

    /// Runs a program on packets of those ports.
    ///
    /// # Errors
    /// `card-no-port`, `card-one-program`, and what [`CodeStore::with_program`] refuses.
    pub(super) fn attach(
        &mut self,
        ports: &[PortId],
        words: &[u64],
        starts: &BTreeMap<u32, u16>,
    ) -> Result<(), Diagnostic> {
        if let Some(port) = ports.iter().find(|p| usize::from(p.0) >= self.attached.len()) {
            return Err(Diagnostic::new("card-no-port", "the card has no such port")
                .at(At::Named(format!("port {}", port.0)))
                .limit(format!("ports 0 to {}", self.attached.len() - 1), port.0));
        }
        let others = (0..).zip(&self.attached).any(|(port, attached)| *attached && !ports.contains(&PortId(port)));
        if others && self.program != words {
            return Err(Diagnostic::new("card-one-program", "another program is attached to another port of the card")
                .limit("one program for all ports that have one", "a second program")
                .help("attach the same program to every port, or leave the other ports without one"));
        }
        let code = Arc::new(CodeStore::with_program(&self.layout, words)?.with_programs(starts.clone()));
        let shapes = self.memories.maps().shapes();
        for core in &mut self.cores {
            core.load(Arc::clone(&code));
            core.set_maps(&shapes);
        }
        self.program = words.to_vec();
        for port in ports {
            self.attached[usize::from(port.0)] = true;
        }
        Ok(())
    }

    /// The code of a program that is to replace the one that runs.
    ///
    /// # Errors
    /// `card-no-program`, and what [`CodeStore::with_program`] refuses.
    pub(super) fn replacement(
        &mut self,
        words: &[u64],
        starts: &BTreeMap<u32, u16>,
    ) -> Result<Arc<CodeStore>, Diagnostic> {
        if !self.attached.contains(&true) {
            return Err(Diagnostic::new("card-no-program", "no port of the card has a program to replace")
                .help("attach one before the traffic begins"));
        }
        let code = CodeStore::with_program(&self.layout, words)?.with_programs(starts.clone());
        self.program = words.to_vec();
        Ok(Arc::new(code))
    }

    /// Loads a core that has no packets.
    pub(super) fn load_core(&mut self, core: CoreId, code: &Arc<CodeStore>) {
        let shapes = self.memories.maps().shapes();
        let core = &mut self.cores[usize::from(core.0)];
        core.load(Arc::clone(code));
        core.set_maps(&shapes);
    }

    /// What cores and memories did, in a fixed order.
    pub(super) fn counters(&self, tell: &mut dyn FnMut(String, WorkerMeasure)) {
        let mut sum = CoreCounters::default();
        for counters in self.cores.iter().map(Core::counters) {
            sum.instructions += counters.instructions;
            sum.busy_cycles += counters.busy_cycles;
            sum.stall_cycles += counters.stall_cycles;
            sum.switch_cycles += counters.switch_cycles;
            sum.bursts += counters.bursts;
            sum.commands += counters.commands;
            sum.traps += counters.traps;
        }
        let cores = self.cores.len() as u64;
        let clock = self.cores[0].config().clock;
        for (name, cycles) in
            [("cores", sum.busy_cycles), ("cores.stalled", sum.stall_cycles), ("cores.switching", sum.switch_cycles)]
        {
            tell(name.to_owned(), WorkerMeasure::Busy(clock.at_cycle(cycles), cores));
        }
        for (name, count) in [
            ("cores.instructions", sum.instructions),
            ("cores.busy-cycles", sum.busy_cycles),
            ("cores.bursts", sum.bursts),
            ("cores.commands", sum.commands),
            ("cores.traps", sum.traps),
        ] {
            tell(name.to_owned(), WorkerMeasure::Count(count));
        }
        for (memory, island, counters) in self.memories.all_counters() {
            let name = if memory.per_island() {
                format!("memory.{}.{island}", memory.name())
            } else {
                format!("memory.{}", memory.name())
            };
            tell(name.clone(), WorkerMeasure::Busy(counters.busy, self.banks[memory as usize]));
            tell(format!("{name}.commands"), WorkerMeasure::Count(counters.commands()));
            tell(format!("{name}.bytes"), WorkerMeasure::Count(counters.bytes));
            if counters.hits + counters.misses > 0 {
                tell(format!("{name}.cache-hits"), WorkerMeasure::Count(counters.hits));
                tell(format!("{name}.cache-misses"), WorkerMeasure::Count(counters.misses));
            }
        }
    }

    /// Takes the context's packet from it: its slot, since when it was there, how it ended.
    pub(super) fn release(&mut self, worker: Worker) -> (Slot, Time, Outcome) {
        let index = self.index(worker);
        let Work { slot, since } =
            self.work[index].take().expect("a context starts with a packet, and is released once");
        let outcome = self.cores[usize::from(worker.core.0)].outcome(worker.context);
        let outcome = outcome.expect("released on the core's word that it is done");
        if let Fate::Trapped(trap) = outcome.fate
            && self.traps.len() < TRAPS_KEPT
        {
            self.traps.push((outcome.packet, trap));
        }
        (slot, since, outcome)
    }

    fn index(&self, worker: Worker) -> usize {
        usize::from(worker.core.0) * self.contexts + usize::from(worker.context.0)
    }

    /// What is done for a packet from that port.
    pub(super) fn task_of(&self, port: PortId) -> TaskKind {
        if self.attached[usize::from(port.0)] { TaskKind::Program } else { TaskKind::Plain }
    }

    /// How long contexts have been at their present packets, summed.
    pub(super) fn occupied_until(&self, now: Time) -> Time {
        self.work.iter().flatten().fold(Time::ZERO, |sum, work| sum + (now - work.since))
    }

    /// A context begins a packet, now.
    pub(super) fn begin(
        &mut self,
        now: Time,
        worker: Worker,
        slot: Slot,
        packet: &Packet,
        buffers: &Buffers,
        post: &mut impl Post,
    ) {
        let len = packet.frame.bytes.len();
        let number = match packet.place {
            Place::Wire(buffer) => {
                let reach = buffers.reach() as usize;
                if packet.kind == TaskKind::Program {
                    let at = u64::from(buffer.number * self.granule + self.headroom);
                    let bytes = &packet.frame.bytes[..len.min(reach)];
                    self.memories.store_mut(MemoryKind::Ctm, buffer.island).write(at, bytes);
                }
                buffer.number
            }
            // Outside the packet engine's part of CTM; of its address only the bank matters.
            Place::Host(_) => slot.0,
        };
        let mut vector = PacketVector::new(len as u32, number, self.headroom);
        if packet.kind == TaskKind::Program {
            vector.words[VECTOR_PORT] = FIRST_IFINDEX + u32::from(packet.port.0);
            let ty = packet.frame.bytes.get(12..14).map_or([0; 2], |ty| [ty[0], ty[1]]);
            vector.words[VECTOR_PROTOCOL] = u16::from_le_bytes(ty).into();
        }
        let task = Task { packet: packet.frame.id, kind: packet.kind, vector };
        let index = self.index(worker);
        self.work[index] = Some(Work { slot, since: now });
        let begin = CoreIn::Begin { context: worker.context, task };
        self.cores[usize::from(worker.core.0)].handle(now, begin, &mut CorePost { core: worker.core, post });
    }

    /// Takes the packet out of its buffer as the program left it; `false` when its start and length name bytes that are
    /// not the packet's.
    pub(super) fn read_back(&mut self, packet: &mut Packet, vector: &PacketVector, buffers: &Buffers) -> bool {
        let Place::Wire(buffer) = packet.place else { return true };
        let (len, offset) = (vector.length() as usize, vector.offset() as usize);
        let bytes = &mut packet.frame.bytes;
        let room = buffers.bytes(buffer) as usize;
        let was = bytes.len();
        // What did not fit the buffer follows its end.
        let behind = was.saturating_sub(buffers.reach() as usize);
        let Some(inside) = room.checked_sub(offset).map(|most| most.min(len)) else { return false };
        if len < LEAST_PACKET || len - inside > behind {
            return false;
        }
        let start = u64::from(buffer.number) * u64::from(self.granule) + offset as u64;
        let store = self.memories.store(MemoryKind::Ctm, buffer.island);
        if behind == 0 || len == inside {
            bytes.resize(inside, 0);
            store.read(start, bytes);
        } else {
            let tail = was - behind;
            let mut head = vec![0; inside];
            store.read(start, &mut head);
            bytes.truncate(tail + len - inside);
            bytes.splice(..tail, head);
        }
        true
    }

    /// A core goes on.
    pub(super) fn resume(&mut self, now: Time, core: CoreId, post: &mut impl Post) {
        self.cores[usize::from(core.0)].wake(now, Resume, &mut CorePost { core, post });
    }

    /// A command reaches its engine.
    pub(super) fn memory(&mut self, now: Time, id: CoreId, flight: FlightId, post: &mut impl Post) {
        let core = &mut self.cores[usize::from(id.0)];
        let (command, cargo) = core.command(flight);
        let answer = self.memories.serve(now, &command, cargo);
        core.handle(now, CoreIn::Answer { flight, answer }, &mut CorePost { core: id, post });
    }
}

/// What a core wants becomes events of the card's.
struct CorePost<'a, P> {
    core: CoreId,
    post: &'a mut P,
}

impl<P: Post> Outbox<Resume, CoreOut> for CorePost<'_, P> {
    fn send(&mut self, source: Source, out: CoreOut) {
        match out {
            CoreOut::Command { arrives, flight } => {
                self.post.wake(arrives, Priority::Memory, source, Inner::Memory(self.core, flight));
            }
            CoreOut::Finished { at, context } => {
                let worker = Worker { core: self.core, context };
                self.post.wake(at, Priority::Arrival, source, Inner::Finished(worker));
            }
        }
    }

    fn wake(&mut self, at: Time, priority: Priority, source: Source, _: Resume) {
        self.post.wake(at, priority, source, Inner::Resume(self.core));
    }
}
