//! Control messages on their way through the card: a queue of descriptors, reads over PCIe, the core that carries them out,
//! answers and interrupts.

use std::collections::VecDeque;

use slab::Slab;

use super::card::{Device, Post, part};
use super::port::{ControlToCard, ControlToHost, Inner, Out};
use crate::control::{MapServer, ServerCounters, Step};
use crate::des::{Priority, Source, Time};
use crate::profile::CardProfile;

/// The card's end of the queue.
#[derive(Debug)]
pub(super) struct ControlQueue {
    server: MapServer,
    /// What is on the link towards the card.
    crossing: Slab<ControlToCard>,
    /// Announced messages whose descriptors have not been asked for.
    announced: u32,
    /// Whether a read is under way: the queue has one at a time.
    reading: bool,
    /// Bytes of the messages that have not been read.
    lengths: VecDeque<u32>,
}

impl ControlQueue {
    pub(super) fn new(card: &CardProfile) -> Self {
        ControlQueue {
            server: MapServer::new(card),
            crossing: Slab::new(),
            announced: 0,
            reading: false,
            lengths: VecDeque::new(),
        }
    }
}

impl Device {
    /// What the core for control messages did.
    pub fn control_counters(&self) -> ServerCounters {
        self.control.server.counters()
    }

    fn control_source(&self) -> Source {
        self.source(part::CORES + *self.card.cores)
    }

    /// The host issues something: it goes over the link.
    pub(super) fn control_issued(&mut self, now: Time, message: ControlToCard, post: &mut impl Post) {
        let descriptor = self.card.rings.tx_descriptor.0;
        let at = match &message {
            ControlToCard::Doorbell(_) => self.dma.doorbell(now),
            ControlToCard::Descriptors(lengths) => self.dma.completion(now, lengths.len() as u64 * descriptor),
            ControlToCard::Message(bytes) => self.dma.completion(now, bytes.len() as u64),
        };
        let number = self.control.crossing.insert(message) as u32;
        post.wake(at, Priority::Arrival, self.control_source(), Inner::ControlCrossed(number));
    }

    /// Something of the host's is in the card.
    pub(super) fn control_crossed(&mut self, now: Time, number: u32, post: &mut impl Post) {
        match self.control.crossing.remove(number as usize) {
            ControlToCard::Doorbell(count) => self.control.announced = self.control.announced.saturating_add(count),
            ControlToCard::Descriptors(lengths) => {
                self.control.reading = false;
                self.control.lengths.extend(lengths);
            }
            ControlToCard::Message(bytes) => {
                self.control.reading = false;
                if self.control.server.push(bytes) {
                    self.control_step(now, post);
                }
            }
        }
        self.control_read(now, post);
    }

    /// Reads on: a message whose length is known, or descriptors.
    fn control_read(&mut self, now: Time, post: &mut impl Post) {
        if self.control.reading {
            return;
        }
        let (bytes, message) = if let Some(bytes) = self.control.lengths.pop_front() {
            (u64::from(bytes), ControlToHost::ReadMessage(bytes))
        } else if self.control.announced > 0 {
            let count = self.control.announced.min(*self.card.rings.tx_fetch);
            self.control.announced -= count;
            (u64::from(count) * self.card.rings.tx_descriptor.0, ControlToHost::ReadDescriptors(count))
        } else {
            return;
        };
        self.control.reading = true;
        let at = self.dma.request(now, bytes);
        post.send(self.control_source(), Out::Control { at, message });
    }

    /// The core for control messages goes on.
    pub(super) fn control_step(&mut self, now: Time, post: &mut impl Post) {
        loop {
            match self.control.server.step(now, &mut self.workers.memories) {
                Step::Idle => return,
                Step::At(at) => {
                    return post.wake(at, Priority::Memory, self.control_source(), Inner::Control);
                }
                Step::Answer(bytes) => {
                    let note = self.card.rings.rx_write_back.0;
                    let at = self.dma.write(now, bytes.len() as u64, note, 1);
                    post.send(self.control_source(), Out::Control { at, message: ControlToHost::Message(bytes) });
                    let at = self.dma.interrupt(now).max(at);
                    post.send(self.control_source(), Out::Control { at, message: ControlToHost::Interrupt });
                }
            }
        }
    }
}
