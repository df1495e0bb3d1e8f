//! The card: its parts, and what happens to a packet on its way in.

use std::collections::{BTreeMap, VecDeque};

use bpf::diag::{At, Diagnostic};
use slab::Slab;

use super::control::ControlQueue;
use super::held::{Place, Room};
use super::packets::{Packet, Packets};
use super::port::{Fate, Frame, HostToCard, In, Inner, LossPlace, Out, PacketId, PortId, QueueId};
use super::reload::{Reload, Reloaded};
use super::workers::Workers;
use super::{HostSetup, Slot};
use crate::core::{TaskKind, Trap};
use crate::des::{Component, Outbox, Priority, Source, Time};
use crate::dispatch::{Buffers, Contexts, Ingress, Reorder, Worker};
use crate::dma::Dma;
use crate::firmware::CodeLayout;
use crate::mac::{Refusal, RxPort, TxPort};
use crate::memory::Memories;
use crate::profile::CardProfile;
use crate::rings::{Queue, Rss};

/// Where a card puts what it wants done.
pub(super) trait Post: Outbox<Inner, Out> {}

impl<O: Outbox<Inner, Out>> Post for O {}

/// How a packet leaves once its turn has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// By its port.
    Wire,
    /// To the host.
    Host,
}

/// A frame in a port's FIFO.
#[derive(Debug)]
struct Waiting {
    port: PortId,
    frame: Frame,
    arrived: Time,
}

/// Counts of what became of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PacketCounts {
    /// Came by the wire.
    pub from_wire: u64,
    /// Came from the host.
    pub from_host: u64,
    /// Left by the wire.
    pub to_wire: u64,
    /// Left to the host.
    pub to_host: u64,
    /// Ended by verdict.
    pub dropped: u64,
    /// Ended by a verdict that reports failure.
    pub aborted: u64,
    /// Lost, by the order of [`LossPlace::ALL`].
    pub lost: [u64; LossPlace::ALL.len()],
}

/// A network card.
///
/// It is one component: [`In`] and [`Out`] are all there is to see of it, and what happens inside are events it schedules
/// for itself. Its parts use [`Device::sources`] sources of events, from the one it was made with.
#[derive(Debug)]
pub struct Device {
    pub(super) card: CardProfile,
    pub(super) host: HostSetup,
    source: Source,
    pub(super) rx: Vec<RxPort>,
    waiting: VecDeque<Waiting>,
    pub(super) ingress: Ingress,
    pub(super) room: Room,
    pub(super) contexts: Contexts,
    /// For each island, packets in their buffers without a context.
    pub(super) ready: Vec<VecDeque<Slot>>,
    pub(super) packets: Packets,
    pub(super) workers: Workers,
    /// One stream for each port's packets from the wire, then one for each port's packets from the host.
    pub(super) order: Vec<Reorder<(Slot, Exit)>>,
    pub(super) tx: Vec<TxPort>,
    pub(super) dma: Dma,
    pub(super) queues: Vec<Queue>,
    /// For each queue, where the frames that are being read from the host will lie.
    pub(super) reading: Vec<VecDeque<Place>>,
    /// For each port, frames of the host's that are on their way to its transmit queue.
    pub(super) host_frames: Vec<usize>,
    /// Queue whose turn it is to have a frame read.
    pub(super) tx_turn: usize,
    /// Whether the host wants anything sent that has not been read.
    pub(super) tx_wanted: bool,
    pub(super) reads: u32,
    pub(super) rss: Rss,
    /// Messages of the host's on the link.
    pub(super) crossing: Slab<HostToCard>,
    /// Control messages.
    pub(super) control: ControlQueue,
    /// A program that replaces the one there is.
    pub(super) reload: Option<Box<Reload>>,
    pub(super) reloads: Vec<Reloaded>,
    /// The earliest [`Inner::Look`] that is under way.
    look: Time,
    pub(super) counts: PacketCounts,
    /// Time that contexts have spent on packets that are done.
    pub(super) occupied: Time,
}

/// Offsets from the card's first source.
pub(super) mod part {
    /// Ingress and transmit scheduling.
    pub(in crate::device) const LOOK: u16 = 0;
    /// Packets reaching their buffers.
    pub(in crate::device) const READY: u16 = 1;
    /// The link.
    pub(in crate::device) const PCIE: u16 = 2;
    /// Ports.
    pub(in crate::device) const MAC: u16 = 3;
    /// Packets that end.
    pub(in crate::device) const FATE: u16 = 4;
    /// Cores, one each; then the core for control messages.
    pub(in crate::device) const CORES: u16 = 5;
}

impl Device {
    /// A card with nothing attached and nothing under way. Its events use the sources from `source` on.
    ///
    /// # Errors
    /// `card-queues` for more queues than the card has, and what a core refuses: a stack that does not fit its memory.
    pub fn new(card: CardProfile, host: HostSetup, seed: u64, source: Source) -> Result<Self, Diagnostic> {
        if host.queues == 0 || host.queues > *card.rings.queues {
            return Err(Diagnostic::new("card-queues", "a port of the card cannot have that many queues")
                .at(At::Named(card.name.clone()))
                .limit(format!("1 to {}", *card.rings.queues), host.queues));
        }
        let ports = usize::from(*card.mac.ports);
        let islands = usize::from((*card.islands).min(*card.cores));
        let queues = usize::from(host.queues) * ports;
        let window = *card.reorder.window;
        Ok(Device {
            rx: vec![RxPort::new(&card.mac); ports],
            waiting: VecDeque::new(),
            ingress: Ingress::new(&card),
            // Buffers are read by every port and by the DMA engine.
            room: Room::new(Buffers::new(&card), *card.packet_buffers.host, islands, ports + 1),
            contexts: Contexts::new(&card),
            ready: vec![VecDeque::new(); islands],
            packets: Packets::default(),
            workers: Workers::new(&card, seed, Source(source.0 + part::CORES))?,
            order: (0..2 * ports).map(|_| Reorder::new(window)).collect(),
            tx: vec![TxPort::new(&card); ports],
            dma: Dma::new(&card),
            queues: vec![Queue::new(&card.rings); queues],
            reading: vec![VecDeque::new(); queues],
            host_frames: vec![0; ports],
            tx_turn: 0,
            tx_wanted: false,
            reads: 0,
            rss: Rss::new(*card.rings.rss_table, host.queues),
            crossing: Slab::new(),
            control: ControlQueue::new(&card),
            reload: None,
            reloads: Vec::new(),
            look: Time::NEVER,
            counts: PacketCounts::default(),
            occupied: Time::ZERO,
            card,
            host,
            source,
        })
    }

    /// How many sources of events a card has.
    pub fn sources(card: &CardProfile) -> u16 {
        part::CORES + *card.cores + 1
    }

    /// The card as data.
    pub fn profile(&self) -> &CardProfile {
        &self.card
    }

    /// Where a program goes in the code store, and where it finds the firmware's doors: what an image is linked against.
    pub fn code_layout(&self) -> &CodeLayout {
        self.workers.layout()
    }

    /// Runs a program, linked against [`Device::code_layout`] and the table ids of its maps, on the packets of those
    /// ports; the others keep theirs. Its maps are created before ([`Device::memories`]).
    ///
    /// # Errors
    /// `card-no-port`; `card-one-program` for a program that differs from that of another port; `program-too-long`;
    /// `card-busy` while packets are in work.
    pub fn attach(&mut self, ports: &[PortId], words: &[u64]) -> Result<(), Diagnostic> {
        self.attach_programs(ports, words, &BTreeMap::new())
    }

    /// As [`Device::attach`], of several programs one behind the other: `starts` says where those begin that tail calls go
    /// to, by the numbers that program arrays hold.
    ///
    /// # Errors
    /// As [`Device::attach`].
    pub fn attach_programs(
        &mut self,
        ports: &[PortId],
        words: &[u64],
        starts: &BTreeMap<u32, u16>,
    ) -> Result<(), Diagnostic> {
        if self.in_work() > 0 {
            return Err(Diagnostic::new("card-busy", "a program cannot be attached while packets are in work")
                .limit("no packets in work", format!("{} packets", self.in_work()))
                .help("attach programs before the traffic begins"));
        }
        self.workers.attach(ports, words, starts)
    }

    /// The card's memories: its maps as the host's control plane sees them, and the log of what packets do to them.
    pub fn memories(&mut self) -> &mut Memories {
        &mut self.workers.memories
    }

    /// The first traps, with the packets they cost; counters have their number.
    pub fn traps(&self) -> &[(PacketId, Trap)] {
        &self.workers.traps
    }

    /// What became of packets so far.
    pub fn counts(&self) -> PacketCounts {
        self.counts
    }

    /// Packets that have entered and not left.
    pub fn in_work(&self) -> usize {
        self.waiting.len() + self.packets.len()
    }

    pub(super) fn source(&self, part: u16) -> Source {
        Source(self.source.0 + part)
    }

    /// The stream of packets of a kind and port.
    pub(super) fn stream(&self, kind: TaskKind, port: PortId) -> usize {
        let from_host = if kind == TaskKind::Transmit { self.rx.len() } else { 0 };
        usize::from(port.0) + from_host
    }

    pub(super) fn port_of(&self, queue: QueueId) -> PortId {
        PortId((queue.0 / self.host.queues.max(1)) as u8)
    }

    pub(super) fn end(&mut self, frame: &Frame, fate: Fate, post: &mut impl Post) {
        match fate {
            Fate::Dropped => self.counts.dropped += 1,
            Fate::Aborted => self.counts.aborted += 1,
            Fate::Lost(place) => self.counts.lost[place as usize] += 1,
        }
        post.send(self.source(part::FATE), Out::Fate { packet: frame.id, fate });
    }

    /// A frame's last bit is at a port.
    fn receive(&mut self, now: Time, port: PortId, frame: Frame, post: &mut impl Post) {
        self.counts.from_wire += 1;
        match self.rx[usize::from(port.0)].take(now, frame.bytes.len()) {
            Ok(()) => {
                self.waiting.push_back(Waiting { port, frame, arrived: now });
                self.admit(now, post);
            }
            Err(refusal) => {
                let place = match refusal {
                    Refusal::Runt => LossPlace::Runt,
                    Refusal::Oversize => LossPlace::Oversize,
                    Refusal::Full if self.lacks_buffer(now) => LossPlace::NoPacketBuffer,
                    Refusal::Full => LossPlace::MacRxFifo,
                };
                self.end(&frame, Fate::Lost(place), post);
            }
        }
    }

    /// Whether the oldest frame in the FIFOs waits for a buffer, or for its order, which buffers are held for.
    fn lacks_buffer(&mut self, now: Time) -> bool {
        self.room.settle(now);
        self.waiting.front().is_some_and(|first| {
            let in_order = self.order[usize::from(first.port.0)].has_room();
            !in_order || !self.room.wire.has_room(first.frame.bytes.len())
        })
    }

    /// Lets frames into packet memory, as many as can go now.
    pub(super) fn admit(&mut self, now: Time, post: &mut impl Post) {
        while let Some(first) = self.waiting.front() {
            if self.ingress.free_at() > now {
                return self.look_at(self.ingress.free_at(), post);
            }
            let stream = usize::from(first.port.0);
            if !self.order[stream].has_room() {
                // Looked at again when a packet of this port has left.
                return;
            }
            let len = first.frame.bytes.len();
            self.room.settle(now);
            let Some(buffer) = self.room.wire.take(len) else {
                // Looked at again when a packet ends; or when one has been read out, which is no event.
                if let Some(at) = self.room.next_free() {
                    self.look_at(at, post);
                }
                return;
            };
            let Waiting { port, frame, arrived } = self.waiting.pop_front().expect("it was looked at above");
            let entering = self.ingress.enter(now, len);
            self.rx[stream].leave(entering.left, len);
            let kind = self.workers.task_of(port);
            let turn = self.order[stream].begin();
            let place = Place::Wire(buffer);
            let slot =
                self.packets.insert(Packet { frame, port, arrived, place, kind, turn, queue: None, processor: None });
            post.wake(entering.there, Priority::Arrival, self.source(part::READY), Inner::Ready(slot));
        }
    }

    /// Schedules a look at what waits, unless there is one no later.
    pub(super) fn look_at(&mut self, at: Time, post: &mut impl Post) {
        if at < self.look {
            self.look = at;
            post.wake(at, Priority::Timer, self.source(part::LOOK), Inner::Look);
        }
    }

    /// A packet is in its buffer: a context takes it, or it waits for one of its island.
    pub(super) fn assign(&mut self, now: Time, slot: Slot, post: &mut impl Post) {
        let island = match self.packets.get(slot).place {
            Place::Wire(buffer) => buffer.island,
            Place::Host(island) => island,
        };
        match self.contexts.take(island) {
            Some(worker) => self.begin(now, worker, slot, post),
            None => self.ready[usize::from(island)].push_back(slot),
        }
    }

    fn begin(&mut self, now: Time, worker: Worker, slot: Slot, post: &mut impl Post) {
        let packet = self.packets.get(slot);
        let buffers = &self.room.wire;
        self.workers.begin(now, worker, slot, packet, buffers, post);
    }

    /// A context is free: it takes the packet of its island that waits longest.
    pub(super) fn free(&mut self, now: Time, worker: Worker, post: &mut impl Post) {
        self.contexts.give_back(worker);
        if self.reload.is_some() && self.held_back(now, worker.core, post) {
            return;
        }
        let island = self.card.island_of(worker.core.0);
        if let Some(slot) = self.ready[usize::from(island)].pop_front() {
            let worker = self.contexts.take(island).expect("a context has just been given back");
            self.begin(now, worker, slot, post);
        }
    }
}

impl Component for Device {
    type In = In;
    type Wake = Inner;
    type Out = Out;

    fn handle(&mut self, now: Time, event: In, post: &mut impl Outbox<Inner, Out>) {
        match event {
            In::Wire { port, frame } => self.receive(now, port, frame, post),
            In::Pcie(message) => self.cross(now, message, post),
            In::Control(message) => self.control_issued(now, message, post),
        }
    }

    fn wake(&mut self, now: Time, event: Inner, post: &mut impl Outbox<Inner, Out>) {
        match event {
            Inner::Look => {
                if self.look <= now {
                    self.look = Time::NEVER;
                }
                self.admit(now, post);
                self.read_frames(now, post);
            }
            Inner::Ready(slot) => self.assign(now, slot, post),
            Inner::Resume(core) => self.workers.resume(now, core, post),
            Inner::Memory(core, flight) => self.workers.memory(now, core, flight, post),
            Inner::Finished(worker) => self.finished(now, worker, post),
            Inner::Crossed(message) => {
                let message = self.crossing.remove(message as usize);
                self.crossed(now, message, post);
            }
            Inner::ControlCrossed(message) => self.control_crossed(now, message, post),
            Inner::Control => self.control_step(now, post),
            Inner::Reloaded => self.reloaded(now, post),
        }
    }
}
