//! The packets in work.

use super::held::Place;
use super::inner::Slot;
use super::port::{Frame, PortId};
use crate::core::TaskKind;
use crate::des::Time;
use crate::dispatch::Turn;

/// A packet in work.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    pub(super) frame: Frame,
    /// Port it came from, or goes to when the host sent it.
    pub(super) port: PortId,
    /// When its last bit was at the MAC, or its data in the card.
    pub(super) arrived: Time,
    pub(super) place: Place,
    pub(super) kind: TaskKind,
    /// Its place in the order of its stream.
    pub(super) turn: Turn,
    /// Receive queue that the program chose.
    pub(super) queue: Option<u8>,
    /// Receive queue of the processor that it was redirected to.
    pub(super) processor: Option<u8>,
}

/// All of them, in slots that are used again.
#[derive(Debug, Clone, Default)]
pub(super) struct Packets {
    slots: Vec<Option<Packet>>,
    free: Vec<u32>,
}

impl Packets {
    pub(super) fn insert(&mut self, packet: Packet) -> Slot {
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(packet);
                Slot(slot)
            }
            None => {
                self.slots.push(Some(packet));
                Slot(self.slots.len() as u32 - 1)
            }
        }
    }

    pub(super) fn get(&mut self, slot: Slot) -> &mut Packet {
        self.slots[slot.0 as usize].as_mut().expect("a packet in work has its slot")
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Packet {
        self.free.push(slot.0);
        self.slots[slot.0 as usize].take().expect("a packet in work has its slot")
    }

    /// Packets in work.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
