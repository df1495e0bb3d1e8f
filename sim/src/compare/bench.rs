//! A card on a test bench: frames in, what became of each out. The host behind it takes everything at once.

use std::collections::BTreeMap;

use nic_model::des::{Component, EventQueue, Kept, Priority, Source, Time};
use nic_model::device::{CardToHost, Device, Fate, Frame, HostToCard, In, Inner, Out, PacketId, PortId, QueueId};

use crate::world::CARD_SOURCES;

/// What became of a packet, with the bytes it left with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Sent back out.
    Transmitted(Vec<u8>),
    /// Handed to the host.
    Passed(Vec<u8>),
    /// Ended in the card.
    Ended(Fate),
}

/// What waits in the queue.
enum Event {
    /// Reaches the card.
    To(In),
    /// The card scheduled it.
    Own(Inner),
}

/// The bench.
pub struct Bench {
    device: Device,
    queue: EventQueue<Event>,
    outbox: Kept<Inner, Out>,
    ends: BTreeMap<u64, End>,
    offered: u64,
    ended: u64,
}

/// Receive buffers of a queue; more than packets can be on their way.
const BUFFERS: u32 = 1_024;

impl Bench {
    /// A card of so many host queues on the bench.
    pub fn new(device: Device, queues: u16) -> Self {
        let mut bench = Self {
            device,
            queue: EventQueue::default(),
            outbox: Kept::default(),
            ends: BTreeMap::new(),
            offered: 0,
            ended: 0,
        };
        for queue in (0..queues).map(QueueId) {
            bench.tell(Time::ZERO, Event::To(In::Pcie(HostToCard::RxDoorbell { queue, count: BUFFERS })));
        }
        bench
    }

    /// The card.
    pub fn device_mut(&mut self) -> &mut Device {
        &mut self.device
    }

    /// The present.
    pub fn now(&self) -> Time {
        self.queue.now()
    }

    /// A frame whose last bit arrives at `at`.
    pub fn send(&mut self, at: Time, port: PortId, bytes: Vec<u8>) -> PacketId {
        let id = PacketId(self.offered);
        self.offered += 1;
        let frame = Frame { id, bytes };
        self.queue.push(at, Priority::Arrival, Source(0), Event::To(In::Wire { port, frame }));
        id
    }

    /// Runs until nothing is left to happen.
    pub fn drain(&mut self) {
        while self.step() {}
    }

    /// Runs until fewer than `limit` packets are on their way.
    pub fn make_room(&mut self, limit: u64) {
        while self.offered - self.ended >= limit && self.step() {}
    }

    fn step(&mut self) -> bool {
        let Some((now, event)) = self.queue.pop() else { return false };
        self.tell(now, event);
        true
    }

    /// What became of a packet, once.
    pub fn take(&mut self, packet: PacketId) -> Option<End> {
        self.ends.remove(&packet.0)
    }

    fn tell(&mut self, now: Time, event: Event) {
        match event {
            Event::To(event) => self.device.handle(now, event, &mut self.outbox),
            Event::Own(event) => self.device.wake(now, event, &mut self.outbox),
        }
        while !self.outbox.is_empty() {
            for wake in self.outbox.wakes.drain(..) {
                self.queue.push(wake.at, wake.priority, wake.source, Event::Own(wake.event));
            }
            for (_, out) in std::mem::take(&mut self.outbox.sends) {
                match out {
                    Out::Wire { frame, .. } => self.end(frame.id, End::Transmitted(frame.bytes)),
                    Out::Fate { packet, fate } => self.end(packet, End::Ended(fate)),
                    Out::Pcie { at, message } => self.host(at, message),
                    // Nobody sends control messages here.
                    Out::Control { .. } => {}
                }
            }
        }
    }

    fn end(&mut self, packet: PacketId, end: End) {
        self.ended += 1;
        self.ends.insert(packet.0, end);
    }

    fn host(&mut self, at: Time, message: CardToHost) {
        let answer = match message {
            CardToHost::RxPacket { queue, frame, .. } => {
                self.end(frame.id, End::Passed(frame.bytes));
                HostToCard::RxDoorbell { queue, count: 1 }
            }
            CardToHost::ReadRxDescriptors { queue, count } => HostToCard::RxDescriptors { queue, count },
            // Interrupts stay disarmed, and this host sends nothing.
            _ => return,
        };
        self.queue.push(at, Priority::Arrival, Source(CARD_SOURCES.0 - 1), Event::To(In::Pcie(answer)));
    }
}
