//! What the parts of a card did: what a search for the bottleneck reads.

use super::card::Device;
use super::port::{FCS, LossPlace, PREAMBLE_AND_GAP};
use crate::des::Time;

/// One figure of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counter {
    /// Name: part, and what of it, in dots. Stable; the order of a card's counters is too.
    pub name: String,
    /// The figure.
    pub measure: Measure,
}

/// Kinds of figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// How long something was in use, of how long it could have been: the part with the largest share is the bottleneck.
    Share {
        /// In use, summed over all that work side by side.
        busy: Time,
        /// Elapsed, times all that work side by side.
        of: Time,
    },
    /// How full something was.
    Level {
        /// At most, so far.
        peak: u64,
        /// It can hold.
        limit: u64,
    },
    /// How often something happened.
    Count(u64),
}

impl Measure {
    /// Share or level in parts per million; `None` for a count, and where nothing could have been used.
    pub fn ppm(&self) -> Option<u64> {
        let (part, whole) = match *self {
            Measure::Share { busy, of } => (busy.ps(), of.ps()),
            Measure::Level { peak, limit } => (peak, limit),
            Measure::Count(_) => return None,
        };
        u64::try_from(u128::from(part) * 1_000_000 / u128::from(whole.max(1))).ok().filter(|_| whole > 0)
    }
}

/// The list under way.
struct List {
    counters: Vec<Counter>,
    elapsed: Time,
}

impl List {
    fn share(&mut self, name: impl Into<String>, busy: Time, wide: u64) {
        let of = Time::from_ps(self.elapsed.ps().saturating_mul(wide));
        self.add(name, Measure::Share { busy, of });
    }

    fn level(&mut self, name: impl Into<String>, peak: u64, limit: u64) {
        self.add(name, Measure::Level { peak, limit });
    }

    fn count(&mut self, name: impl Into<String>, count: u64) {
        self.add(name, Measure::Count(count));
    }

    fn add(&mut self, name: impl Into<String>, measure: Measure) {
        self.counters.push(Counter { name: name.into(), measure });
    }
}

impl Device {
    /// Every counter of the card at `now`, in a fixed order: along a packet's way. Shares count from time zero.
    pub fn counters(&self, now: Time) -> Vec<Counter> {
        let mut list = List { counters: Vec::new(), elapsed: now };
        let rate = self.card.mac.rate.value;
        for (port, rx) in self.rx.iter().enumerate() {
            let (frames, bytes) = rx.received();
            // FCS, preamble and gap of every frame.
            let on_line = (bytes + frames * (FCS + PREAMBLE_AND_GAP)) * 8;
            list.share(format!("mac.rx.{port}.line"), rate.time_of(on_line), 1);
            list.level(format!("mac.rx.{port}.fifo"), rx.peak(), self.card.mac.rx_fifo.0);
            list.count(format!("mac.rx.{port}.frames"), frames);
            list.count(format!("mac.rx.{port}.bytes"), bytes);
        }
        list.share("ingress", self.ingress.busy_until(now), 1);
        let (_, peak, limit) = self.room.wire.used();
        list.level("packet-buffers", peak, limit);
        let (_, peak, all) = self.contexts.used();
        list.level("contexts.peak", u64::from(peak), u64::from(all));
        list.share("contexts", self.occupied + self.workers.occupied_until(now), u64::from(all));
        self.workers.counters(&mut |name, measure| match measure {
            WorkerMeasure::Busy(busy, wide) => list.share(name, busy, wide),
            WorkerMeasure::Count(count) => list.count(name, count),
        });
        let (mut peak, mut waited) = (0, 0);
        for order in &self.order {
            let (_, most, late) = order.used();
            peak = peak.max(most as u64);
            waited += late;
        }
        list.level("reorder.window", peak, u64::from(*self.card.reorder.window));
        list.count("reorder.waited", waited);
        for (port, tx) in self.tx.iter().enumerate() {
            list.share(format!("mac.tx.{port}.line"), tx.busy_until(now), 1);
            list.level(format!("mac.tx.{port}.queue"), tx.peak() as u64, u64::from(*self.card.egress.queue));
            let (frames, bytes) = tx.sent();
            list.count(format!("mac.tx.{port}.frames"), frames);
            list.count(format!("mac.tx.{port}.bytes"), bytes);
        }
        let dma = self.dma.counters(now);
        list.share("dma.read", dma.read_busy, 1);
        list.share("dma.write", dma.write_busy, 1);
        list.share("pcie.to-host", dma.up_busy, 1);
        list.share("pcie.to-card", dma.down_busy, 1);
        list.count("dma.read.commands", dma.reads);
        list.count("dma.read.bytes", dma.read_bytes);
        list.count("dma.write.commands", dma.writes);
        list.count("dma.write.bytes", dma.write_bytes);
        let counts = self.counts;
        for (name, count) in [
            ("packets.from-wire", counts.from_wire),
            ("packets.from-host", counts.from_host),
            ("packets.to-wire", counts.to_wire),
            ("packets.to-host", counts.to_host),
            ("packets.dropped", counts.dropped),
            ("packets.aborted", counts.aborted),
        ] {
            list.count(name, count);
        }
        for (place, count) in LossPlace::ALL.iter().zip(counts.lost) {
            list.count(format!("lost.{}", place.name()), count);
        }
        list.counters
    }
}

/// A figure of cores and memories.
pub(super) enum WorkerMeasure {
    /// In use, and how many work side by side.
    Busy(Time, u64),
    /// How often.
    Count(u64),
}
