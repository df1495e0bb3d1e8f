//! A card on a test bench: frames in, what became of each out. The host behind it takes everything at once.

use std::collections::BTreeMap;

use nic_model::des::{Component, EventQueue, Outbox, Priority, Source, Time};
use nic_model::device::{CardToHost, Device, Fate, Frame, HostToCard, In, Out, PacketId, PortId, QueueId};

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

/// The bench.
pub struct Bench {
    device: Device,
    queue: EventQueue<In>,
    outbox: Outbox<In, Out>,
    ends: BTreeMap<u64, End>,
    offered: u64,
    /// Receive buffers given and packets taken, by queue.
    taken: Vec<u64>,
}

/// Receive buffers of a queue; more than packets can be on their way.
const BUFFERS: u32 = 1_024;

impl Bench {
    /// A card of so many host queues on the bench.
    pub fn new(device: Device, queues: u16) -> Self {
        let mut bench = Self {
            device,
            queue: EventQueue::default(),
            outbox: Outbox::default(),
            ends: BTreeMap::new(),
            offered: 0,
            taken: vec![0; usize::from(queues)],
        };
        for queue in (0..queues).map(QueueId) {
            bench.tell(Time::ZERO, In::Pcie(HostToCard::RxDoorbell { queue, count: BUFFERS }));
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
        self.queue.push(at, Priority::Arrival, Source(0), In::Wire { port, frame: Frame { id, bytes } });
        id
    }

    /// Runs until nothing is left to happen.
    pub fn drain(&mut self) {
        while let Some((now, event)) = self.queue.pop() {
            self.tell(now, event);
        }
    }

    /// What became of a packet, once.
    pub fn take(&mut self, packet: PacketId) -> Option<End> {
        self.ends.remove(&packet.0)
    }

    fn tell(&mut self, now: Time, event: In) {
        self.device.handle(now, event, &mut self.outbox);
        while !self.outbox.is_empty() {
            for wake in self.outbox.wakes.drain(..) {
                self.queue.push(wake.at, wake.priority, wake.source, wake.event);
            }
            for (_, out) in std::mem::take(&mut self.outbox.sends) {
                match out {
                    Out::Wire { frame, .. } => {
                        self.ends.insert(frame.id.0, End::Transmitted(frame.bytes));
                    }
                    Out::Fate { packet, fate } => {
                        self.ends.insert(packet.0, End::Ended(fate));
                    }
                    Out::Pcie { at, message } => self.host(at, message),
                }
            }
        }
    }

    fn host(&mut self, at: Time, message: CardToHost) {
        let answer = match message {
            CardToHost::RxPacket { queue, frame, .. } => {
                self.ends.insert(frame.id.0, End::Passed(frame.bytes));
                self.taken[usize::from(queue.0)] += 1;
                HostToCard::RxDoorbell { queue, count: 1 }
            }
            CardToHost::ReadRxDescriptors { queue, count } => HostToCard::RxDescriptors { queue, count },
            // Interrupts stay disarmed, and this host sends nothing.
            _ => return,
        };
        self.queue.push(at, Priority::Arrival, Source(CARD_SOURCES.0 - 1), In::Pcie(answer));
    }
}
