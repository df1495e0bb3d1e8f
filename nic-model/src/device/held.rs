//! Packet buffers that are still being read from, and when they will be free.

use std::collections::VecDeque;

use crate::des::Time;
use crate::dispatch::{Buffer, Buffers};

/// Where a packet lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In a buffer for packets from the wire.
    Wire(Buffer),
    /// In a buffer for packets from the host, in that island.
    Host(u16),
}

/// Free room for packets of both kinds.
#[derive(Debug, Clone)]
pub(super) struct Room {
    /// Buffers for packets from the wire.
    pub(super) wire: Buffers,
    /// Free buffers for packets from the host, by island.
    host: Vec<u32>,
    /// For each part of the card that reads buffers: which, and until when, ascending.
    held: Vec<VecDeque<(Time, Place)>>,
}

impl Room {
    /// All free. `readers` parts of the card read from buffers.
    pub(super) fn new(wire: Buffers, host_buffers: u32, islands: usize, readers: usize) -> Self {
        Room { wire, host: vec![host_buffers; islands], held: vec![VecDeque::new(); readers] }
    }

    /// A place is free from now on.
    pub(super) fn free(&mut self, place: Place) {
        match place {
            Place::Wire(buffer) => self.wire.give_back(buffer),
            Place::Host(island) => self.host[usize::from(island)] += 1,
        }
    }

    /// A place will be free at `at`, when `reader` has read it. Calls of one reader come with ascending times.
    pub(super) fn free_at(&mut self, at: Time, reader: usize, place: Place) {
        self.held[reader].push_back((at, place));
    }

    /// Frees what has been read by now.
    pub(super) fn settle(&mut self, now: Time) {
        for reader in 0..self.held.len() {
            while let Some((at, place)) = self.held[reader].front().copied()
                && at <= now
            {
                self.held[reader].pop_front();
                self.free(place);
            }
        }
    }

    /// When the next place will be free.
    pub(super) fn next_free(&self) -> Option<Time> {
        self.held.iter().filter_map(|reader| reader.front()).map(|(at, _)| *at).min()
    }

    /// Takes a buffer for a packet from the host, in the island with the most of them.
    pub(super) fn take_host(&mut self) -> Option<Place> {
        let mut best = 0;
        for island in 1..self.host.len() {
            if self.host[island] > self.host[best] {
                best = island;
            }
        }
        self.host[best] = self.host[best].checked_sub(1)?;
        Some(Place::Host(best as u16))
    }
}
