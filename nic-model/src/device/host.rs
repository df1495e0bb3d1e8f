//! The PCIe side: doorbells, descriptors, frames of the host's, interrupts.

use super::card::{Device, Post, part};
use super::packets::Packet;
use super::port::{CardToHost, Fate, Frame, HostToCard, Inner, LossPlace, Out, QueueId};
use crate::core::TaskKind;
use crate::des::{Priority, Time};
use crate::quantity::Bytes;
use crate::rings::Queue;

/// What a driver set up before packets flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostSetup {
    /// Queues of each port.
    pub queues: u16,
    /// Bytes of a receive buffer.
    pub rx_buffer: Bytes,
}

/// Bytes of a transmit completion: the ring's head pointer.
const COMPLETION: u64 = 4;

impl Device {
    /// The host issues a message: it goes over the link.
    pub(super) fn cross(&mut self, now: Time, message: HostToCard, post: &mut impl Post) {
        let rings = &self.card.rings;
        let at = match &message {
            HostToCard::RxDoorbell { .. } | HostToCard::TxDoorbell { .. } | HostToCard::ArmInterrupt { .. } => {
                self.dma.doorbell(now)
            }
            HostToCard::RxDescriptors { count, .. } => {
                self.dma.completion(now, u64::from(*count) * rings.rx_descriptor.0)
            }
            HostToCard::TxDescriptors { lengths, .. } => {
                self.dma.completion(now, lengths.len() as u64 * rings.tx_descriptor.0)
            }
            HostToCard::TxData { frame, .. } => self.dma.completion(now, frame.bytes.len() as u64),
        };
        let number = self.crossing.insert(message) as u32;
        post.wake(at, Priority::Arrival, self.source(part::PCIE), Inner::Crossed(number));
    }

    /// A message of the host's is in the card.
    pub(super) fn crossed(&mut self, now: Time, message: HostToCard, post: &mut impl Post) {
        match message {
            HostToCard::RxDoorbell { queue, count } => {
                self.queues[usize::from(queue.0)].rx_doorbell(count);
                self.fetch_rx(now, queue, post);
            }
            HostToCard::RxDescriptors { queue, count } => {
                self.queues[usize::from(queue.0)].rx_came(count);
                self.fetch_rx(now, queue, post);
            }
            HostToCard::TxDoorbell { queue, count } => {
                self.queues[usize::from(queue.0)].tx_doorbell(count);
                self.tx_wanted = true;
                self.read_frames(now, post);
            }
            HostToCard::TxDescriptors { queue, lengths } => {
                self.reads -= 1;
                self.queues[usize::from(queue.0)].tx_came(&lengths);
                self.read_frames(now, post);
            }
            HostToCard::TxData { queue, frame } => {
                self.reads -= 1;
                self.host_frame(now, queue, frame, post);
                self.read_frames(now, post);
            }
            HostToCard::ArmInterrupt { queue, rx_seen, tx_seen } => {
                if self.queues[usize::from(queue.0)].arm(rx_seen, tx_seen) {
                    self.interrupt(now, queue, now, post);
                }
            }
        }
    }

    /// Keeps receive descriptors at hand.
    pub(super) fn fetch_rx(&mut self, now: Time, queue: QueueId, post: &mut impl Post) {
        while let Some(count) = self.queues[usize::from(queue.0)].ask_rx() {
            let at = self.dma.request(now, u64::from(count) * self.card.rings.rx_descriptor.0);
            let message = CardToHost::ReadRxDescriptors { queue, count };
            post.send(self.source(part::PCIE), Out::Pcie { at, message });
        }
    }

    /// Reads descriptors and frames that the host wants sent, queue after queue, as far as the card has room for them.
    pub(super) fn read_frames(&mut self, now: Time, post: &mut impl Post) {
        if !self.tx_wanted {
            return;
        }
        let queues = self.queues.len();
        let mut idle = 0;
        while idle < queues {
            let index = self.tx_turn;
            self.tx_turn = if index + 1 < queues { index + 1 } else { 0 };
            if self.read_one(now, QueueId(index as u16), post) { idle = 0 } else { idle += 1 }
        }
        self.tx_wanted = self.queues.iter().any(Queue::wants_tx);
    }

    /// One step of one queue; whether there was one.
    fn read_one(&mut self, now: Time, queue: QueueId, post: &mut impl Post) -> bool {
        let index = usize::from(queue.0);
        let reads = *self.card.dma.reads;
        if self.reads >= reads {
            // Looked at again when a read is answered.
            return false;
        }
        let mut moved = false;
        if let Some(count) = self.queues[index].ask_tx() {
            let at = self.dma.request(now, u64::from(count) * self.card.rings.tx_descriptor.0);
            self.reads += 1;
            let message = CardToHost::ReadTxDescriptors { queue, count };
            post.send(self.source(part::PCIE), Out::Pcie { at, message });
            moved = true;
        }
        let Some(bytes) = self.queues[index].next_tx().filter(|_| self.reads < reads) else { return moved };
        let port = usize::from(self.port_of(queue).0);
        let under_way = self.host_frames[port];
        if self.tx[port].room(now) <= under_way || !self.order[self.rx.len() + port].has_room_for(under_way) {
            if let Some(at) = self.tx[port].next_free() {
                self.look_at(at, post);
            }
            return moved;
        }
        let Some(place) = self.host_place(now) else {
            if let Some(at) = self.room.next_free() {
                self.look_at(at, post);
            }
            return moved;
        };
        self.queues[index].read_tx();
        self.reading[index].push_back(place);
        self.host_frames[port] += 1;
        self.reads += 1;
        let at = self.dma.request(now, u64::from(bytes));
        post.send(self.source(part::PCIE), Out::Pcie { at, message: CardToHost::ReadTxData { queue, bytes } });
        true
    }

    /// A frame of the host's is in its buffer.
    fn host_frame(&mut self, now: Time, queue: QueueId, frame: Frame, post: &mut impl Post) {
        let index = usize::from(queue.0);
        let completed = self.queues[index].tx_data().expect("the host answers what it was asked");
        if let Some(count) = completed {
            let at = self.dma.write(now, COMPLETION, 0, 1);
            post.send(self.source(part::PCIE), Out::Pcie { at, message: CardToHost::TxComplete { queue, count } });
            self.notify(now, queue, at, post);
        }
        self.counts.from_host += 1;
        let place = self.reading[index].pop_front().expect("a frame that was asked for has its place");
        let port = self.port_of(queue);
        if frame.bytes.len() as u64 > self.rx[usize::from(port.0)].longest() {
            self.host_frames[usize::from(port.0)] -= 1;
            self.room.free(place);
            return self.end(&frame, Fate::Lost(LossPlace::Oversize), post);
        }
        let kind = TaskKind::Transmit;
        let stream = self.stream(kind, port);
        let turn = self.order[stream].begin();
        let slot =
            self.packets.insert(Packet { frame, port, arrived: now, place, kind, turn, queue: None, processor: None });
        self.assign(now, slot, post);
    }

    /// Something will be visible to the host at `at`: interrupts it, if it wants that.
    pub(super) fn notify(&mut self, now: Time, queue: QueueId, at: Time, post: &mut impl Post) {
        if self.queues[usize::from(queue.0)].notify() {
            self.interrupt(now, queue, at, post);
        }
    }

    /// The interrupt follows what it speaks of.
    fn interrupt(&mut self, now: Time, queue: QueueId, after: Time, post: &mut impl Post) {
        let at = self.dma.interrupt(now).max(after);
        post.send(self.source(part::PCIE), Out::Pcie { at, message: CardToHost::Interrupt { queue } });
    }
}
