//! The sending half of a port.

use std::collections::VecDeque;

use crate::des::{Server, Time};
use crate::ethernet::{FCS, MIN_FRAME, line_bytes};
use crate::profile::{CardProfile, Mac};
use crate::quantity::BitRate;

/// Bytes of preamble and start delimiter before the first bit of a frame.
const PREAMBLE: u64 = 8;

/// When a frame is on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departure {
    /// First bit of the destination address leaves.
    pub first_bit: Time,
    /// Last bit of the FCS leaves.
    pub last_bit: Time,
}

/// The transmit queue of a port and the line behind it.
#[derive(Debug, Clone)]
pub struct TxPort {
    rate: BitRate,
    latency: Time,
    limit: usize,
    line: Server,
    queued: VecDeque<Time>,
    peak: usize,
    bytes: u64,
}

impl TxPort {
    /// An empty queue.
    pub fn new(card: &CardProfile) -> Self {
        let mac: &Mac = &card.mac;
        TxPort {
            rate: *mac.rate,
            latency: card.egress.latency.time() + mac.tx_latency.time(),
            limit: *card.egress.queue as usize,
            line: Server::default(),
            queued: VecDeque::new(),
            peak: 0,
            bytes: 0,
        }
    }

    /// Frames in the queue, the one being sent included.
    pub fn occupied(&mut self, now: Time) -> usize {
        while self.queued.front().is_some_and(|at| *at <= now) {
            self.queued.pop_front();
        }
        self.queued.len()
    }

    /// Frames it can still take.
    pub fn room(&mut self, now: Time) -> usize {
        self.limit.saturating_sub(self.occupied(now))
    }

    /// When the frame at the head of the queue has left; `None` for an empty queue.
    pub fn next_free(&self) -> Option<Time> {
        self.queued.front().copied()
    }

    /// Puts a frame of `len` bytes (without FCS) into the queue and says when it is on the line; `None` when the queue
    /// is full.
    pub fn send(&mut self, now: Time, len: usize) -> Option<Departure> {
        if self.room(now) == 0 {
            return None;
        }
        let (start, _) = self.line.take(now, self.rate.time_of(line_bytes(len) * 8));
        let first_bit = start + self.latency + self.rate.time_of(PREAMBLE * 8);
        let last_bit = start + self.latency + self.rate.time_of((PREAMBLE + len.max(MIN_FRAME) as u64 + FCS) * 8);
        self.queued.push_back(last_bit);
        self.peak = self.peak.max(self.queued.len());
        self.bytes += len.max(MIN_FRAME) as u64;
        Some(Departure { first_bit, last_bit })
    }

    /// How long the line has been in use until `now`.
    pub fn busy_until(&self, now: Time) -> Time {
        self.line.busy_until(now)
    }

    /// Frames and bytes sent, padding counted.
    pub fn sent(&self) -> (u64, u64) {
        (self.line.jobs(), self.bytes)
    }

    /// Most frames the queue held at once.
    pub fn peak(&self) -> usize {
        self.peak
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Kind, Sourced, builtin};

    fn port(rate: u64, limit: u32) -> TxPort {
        let mut card = builtin("agilio-cx-2x40").unwrap();
        let given = |source: &str| (Kind::Given, source.to_owned());
        let (kind, source) = given("test");
        card.mac.rate = Sourced { value: BitRate(rate), kind, source: source.clone() };
        card.egress.queue = Sourced { value: limit, kind, source };
        TxPort::new(&card)
    }

    /// Frame sizes of RFC 2544 and a jumbo, each with thousands of frames a second at 10, 25, 40, 100 and 200 Gbit/s.
    const LINE_RATES: [(usize, [u64; 5]); 8] = [
        (64, [14_881, 37_202, 59_524, 148_810, 297_619]),
        (128, [8_446, 21_115, 33_784, 84_459, 168_919]),
        (256, [4_529, 11_322, 18_116, 45_290, 90_580]),
        (512, [2_350, 5_874, 9_398, 23_496, 46_992]),
        (1_024, [1_197, 2_993, 4_789, 11_973, 23_946]),
        (1_280, [962, 2_404, 3_846, 9_615, 19_231]),
        (1_518, [813, 2_032, 3_251, 8_127, 16_255]),
        (9_018, [138, 346, 553, 1_383, 2_766]),
    ];

    #[test]
    fn a_full_queue_leaves_at_line_rate() {
        const FRAMES: usize = 1_000;
        for (size, thousands) in LINE_RATES {
            for (rate, expected) in [10, 25, 40, 100, 200].map(|g| g * 1_000_000_000).into_iter().zip(thousands) {
                let mut port = port(rate, 100_000);
                let sent: Vec<_> = (0..=FRAMES).map(|_| port.send(Time::ZERO, size - 4).unwrap()).collect();
                let span = sent[FRAMES].last_bit - sent[0].last_bit;
                let thousands = (FRAMES as u64 * 1_000_000_000 + span.ps() / 2) / span.ps();
                // Of 200 Gbit/s the table's last figure is within the rounding of a frame to the picosecond.
                assert!(thousands.abs_diff(expected) <= expected / 100_000, "{rate} {size} {thousands}");
                assert_eq!(sent[0].last_bit - sent[0].first_bit, BitRate(rate).time_of(size as u64 * 8));
            }
        }
    }

    #[test]
    fn the_queue_is_finite_and_drains() {
        let mut port = port(10_000_000_000, 2);
        let first = port.send(Time::ZERO, 60).unwrap();
        assert!(port.send(Time::ZERO, 60).is_some());
        assert_eq!(port.send(Time::ZERO, 60), None);
        assert_eq!(port.next_free(), Some(first.last_bit));
        assert_eq!(port.room(first.last_bit), 1);
        assert!(port.send(first.last_bit, 60).is_some());
        assert_eq!(port.peak(), 2);
    }
}
