//! What happens to a packet after its program: drop, wire or host.

use bpf::helpers::Redirect;

use super::Slot;
use super::card::{Device, Exit, Post, part};
use super::held::Place;
use super::packets::Packet;
use super::port::{CardToHost, FIRST_IFINDEX, Fate, LossPlace, MIN_FRAME, Out, PortId, QueueId, RxMeta};
use crate::core::{Fate as Ending, TaskKind};
use crate::des::Time;
use crate::dispatch::Worker;
use crate::firmware::{Action, StatCounter};
use crate::rings::Take;

/// `BPF_F_INGRESS` of `bpf_redirect`.
const INGRESS: u64 = 1;

impl Device {
    /// A context is done with its packet.
    pub(super) fn finished(&mut self, now: Time, worker: Worker, post: &mut impl Post) {
        let (slot, since, outcome) = self.workers.release(worker);
        self.occupied += now - since;
        let stream = self.stream_of(slot);
        let ending = match outcome.fate {
            Ending::Trapped(_) => Err(Fate::Lost(LossPlace::ProgramTrap)),
            Ending::Verdict(verdict) => match verdict.action {
                _ if outcome.kind == TaskKind::Transmit => Ok(Exit::Wire),
                Action::Drop if verdict.counter == Some(StatCounter::Abort) => Err(Fate::Aborted),
                Action::Drop => Err(Fate::Dropped),
                Action::Tx => Ok(Exit::Wire),
                Action::Redirect => self.redirected(slot, outcome.redirect),
                Action::Pass => Ok(Exit::Host),
            },
        };
        let leaves = ending.and_then(|exit| {
            let packet = self.packets.get(slot);
            packet.queue = outcome.vector.queue().or(packet.processor);
            // What the program did to length and start must lie inside the buffer.
            let whole =
                packet.kind != TaskKind::Program || self.workers.read_back(packet, &outcome.vector, &self.room.wire);
            if whole { Ok(exit) } else { Err(Fate::Lost(LossPlace::ProgramTrap)) }
        });
        let turn = self.packets.get(slot).turn;
        match leaves {
            Ok(exit) => self.order[stream].end(turn, Some((slot, exit))),
            Err(fate) => {
                self.order[stream].end(turn, None);
                let packet = self.packets.remove(slot);
                if packet.kind == TaskKind::Transmit {
                    self.host_frames[usize::from(packet.port.0)] -= 1;
                }
                self.give_up(&packet, fate, post);
            }
        }
        while let Some((slot, exit)) = self.order[stream].pop() {
            let packet = self.packets.remove(slot);
            match exit {
                Exit::Wire => self.transmit(now, packet, post),
                Exit::Host => self.deliver(now, packet, post),
            }
        }
        self.free(now, worker, post);
        self.admit(now, post);
        if outcome.kind == TaskKind::Transmit {
            self.read_frames(now, post);
        }
    }

    /// Where a redirected packet goes: out of another port of the card, or for a processor to the host's queue of that
    /// number. Anything else is no place that the card reaches.
    fn redirected(&mut self, slot: Slot, target: Option<Redirect>) -> Result<Exit, Fate> {
        let Some(target) = target else { return Err(Fate::Aborted) };
        let ports = self.rx.len();
        if target.ifindex == 0 || target.flags & INGRESS != 0 {
            let key = target.map.map(|(_, key)| key).filter(|_| target.ifindex == 0).ok_or(Fate::Aborted)?;
            self.packets.get(slot).processor = Some((key % u32::from(self.host.queues.max(1))) as u8);
            return Ok(Exit::Host);
        }
        let port = target.ifindex.checked_sub(FIRST_IFINDEX).filter(|port| (*port as usize) < ports);
        let port = PortId(port.ok_or(Fate::Aborted)? as u8);
        self.packets.get(slot).port = port;
        Ok(Exit::Wire)
    }

    fn stream_of(&mut self, slot: Slot) -> usize {
        let packet = self.packets.get(slot);
        let (kind, port) = (packet.kind, packet.port);
        self.stream(kind, port)
    }

    /// A packet ends here and now.
    pub(super) fn give_up(&mut self, packet: &Packet, fate: Fate, post: &mut impl Post) {
        self.room.free(packet.place);
        self.end(&packet.frame, fate, post);
    }

    /// A packet's turn has come to leave by its port.
    fn transmit(&mut self, now: Time, packet: Packet, post: &mut impl Post) {
        let port = usize::from(packet.port.0);
        if packet.kind == TaskKind::Transmit {
            self.host_frames[port] -= 1;
        }
        let Some(departure) = self.tx[port].send(now, packet.frame.bytes.len()) else {
            return self.give_up(&packet, Fate::Lost(LossPlace::TxQueueFull), post);
        };
        let latency = self.card.reorder.latency.time();
        let (first_bit, last_bit) = (departure.first_bit + latency, departure.last_bit + latency);
        self.room.free_at(last_bit, port, packet.place);
        self.counts.to_wire += 1;
        let Packet { mut frame, port, .. } = packet;
        if frame.bytes.len() < MIN_FRAME {
            frame.bytes.resize(MIN_FRAME, 0);
        }
        post.send(self.source(part::MAC), Out::Wire { port, frame, first_bit, last_bit });
    }

    /// A packet's turn has come to go to the host.
    fn deliver(&mut self, now: Time, packet: Packet, post: &mut impl Post) {
        let queues = self.host.queues;
        // A queue that the port does not have is no choice (assumed: the firmware checks the range).
        let chosen = packet.queue.map(u16::from).filter(|q| *q < queues);
        let hash = if chosen.is_some() { None } else { self.rss.hash(&packet.frame.bytes) };
        let within = chosen.unwrap_or_else(|| self.rss.queue(hash));
        let queue = QueueId(u16::from(packet.port.0) * queues + within);
        let index = usize::from(queue.0);
        let len = packet.frame.bytes.len() as u64;
        if len > self.host.rx_buffer.0 {
            return self.give_up(&packet, Fate::Lost(LossPlace::RxBufferTooSmall), post);
        }
        if self.queues[index].take_rx() == Take::Empty {
            return self.give_up(&packet, Fate::Lost(LossPlace::NoRxDescriptor), post);
        }
        self.fetch_rx(now, queue, post);
        let rings = &self.card.rings;
        let written = self.dma.write(now, len, rings.rx_write_back.0, *rings.rx_write_back_batch);
        let at = written + self.card.reorder.latency.time();
        self.room.free_at(at - self.card.pcie.propagation.time(), self.tx.len(), packet.place);
        self.counts.to_host += 1;
        let meta = RxMeta { port: packet.port, hash, timestamp: packet.arrived };
        let message = CardToHost::RxPacket { queue, frame: packet.frame, meta };
        post.send(self.source(part::PCIE), Out::Pcie { at, message });
        self.notify(now, queue, at, post);
    }

    /// Room for a packet of the host's.
    pub(super) fn host_place(&mut self, now: Time) -> Option<Place> {
        self.room.settle(now);
        self.room.take_host()
    }
}
