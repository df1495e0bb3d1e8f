//! The metrics that expectations and baselines speak of: one table.

use nic_model::quantity::{Duration, PacketRate, Ratio};

use super::results::{Latency, Measured, VariantResult};

/// What a metric's number is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Packets a second.
    Pps,
    /// Picoseconds.
    Ps,
    /// A plain count.
    Count,
    /// Parts of a million.
    Ppm,
}

/// One metric of a placement.
#[derive(Clone, Copy)]
pub struct Metric {
    /// Its name behind the variant's.
    pub name: &'static str,
    /// What its number is.
    pub unit: Unit,
    /// What it is, for people.
    pub meaning: &'static str,
    /// How far it may move from a baseline, in parts of a million of the old value.
    pub tolerance_ppm: u64,
    /// Its value; nothing when the placement did not run or no packet counts.
    pub get: fn(&VariantResult) -> Option<u64>,
}

fn measured(v: &VariantResult) -> Option<&Measured> {
    v.measured.as_ref()
}

fn latency(v: &VariantResult) -> Option<&Latency> {
    measured(v)?.latency.as_ref()
}

fn count(v: &VariantResult, outcome: &str) -> Option<u64> {
    measured(v).map(|_| v.packets(outcome))
}

fn work(v: &VariantResult, name: &str) -> Option<u64> {
    measured(v)?.work.iter().find(|w| w.name == name).map(|w| w.total)
}

/// A quarter of a percent: more than the histogram's three digits can hide.
const TIGHT: u64 = 2_500;

macro_rules! metrics {
    ($($name:literal, $unit:ident, $tolerance:expr, $meaning:literal, $get:expr;)*) => {
        /// All metrics, in the order of reports.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: $name,
            unit: Unit::$unit,
            meaning: $meaning,
            tolerance_ppm: $tolerance,
            get: $get,
        }),*];
    };
}

metrics! {
    "throughput", Pps, TIGHT, "packets that met a verdict, per second", |v| measured(v).map(|m| m.throughput_pps);
    "offered", Pps, TIGHT, "packets offered, per second", |v| measured(v).map(|m| m.offered_pps);
    "latency.min", Ps, TIGHT, "shortest latency", |v| latency(v).map(|l| l.min_ps);
    "latency.mean", Ps, TIGHT, "mean latency", |v| latency(v).map(|l| l.mean_ps);
    "latency.p50", Ps, TIGHT, "median latency", |v| latency(v).map(|l| l.p50_ps);
    "latency.p90", Ps, TIGHT, "90th percentile of latency", |v| latency(v).map(|l| l.p90_ps);
    "latency.p99", Ps, TIGHT, "99th percentile of latency", |v| latency(v).map(|l| l.p99_ps);
    "latency.p999", Ps, TIGHT, "99.9th percentile of latency", |v| latency(v).map(|l| l.p999_ps);
    "latency.max", Ps, TIGHT, "longest latency", |v| latency(v).map(|l| l.max_ps);
    "dropped", Count, 0, "packets a program dropped", |v| count(v, "dropped");
    "transmitted", Count, 0, "packets a program sent back out", |v| count(v, "transmitted");
    "delivered", Count, 0, "packets the host's stack got", |v| count(v, "delivered");
    "aborted", Count, 0, "packets dropped because the program aborted", |v| count(v, "aborted");
    "lost", Count, 0, "packets lost on the way", |v| count(v, "lost");
    "loss", Ppm, 0, "lost share of the offered packets", |v| {
        let m = measured(v)?;
        Some(v.packets("lost") * 1_000_000 / m.offered_packets.max(1))
    };
    "card.cycles", Count, 0, "cycles the card's cores executed", |v| work(v, "card.cores.busy-cycles");
    "card.instructions", Count, 0, "instructions the card's cores executed, firmware included", |v| work(v, "card.cores.instructions");
    "host.instructions", Count, 0, "instructions the host executed in programs", |v| work(v, "host program instructions");
}

impl Metric {
    /// The metric of that name.
    pub fn named(name: &str) -> Option<&'static Metric> {
        METRICS.iter().find(|m| m.name == name)
    }

    /// A value of this metric as people write it.
    pub fn show(&self, value: u64) -> String {
        match self.unit {
            Unit::Pps => PacketRate(value).to_string(),
            Unit::Ps => Duration(value).to_string(),
            Unit::Count => value.to_string(),
            Unit::Ppm => Ratio(value * 1_000).to_string(),
        }
    }

    /// Reads a value of this metric as people write it.
    ///
    /// # Errors
    /// What is wrong with it, and which units are accepted.
    pub fn read(&self, text: &str) -> Result<u64, String> {
        let text = text.trim();
        match self.unit {
            Unit::Pps => text.parse::<PacketRate>().map(|r| r.0).map_err(|e| e.to_string()),
            Unit::Ps => text.parse::<Duration>().map(|d| d.0).map_err(|e| e.to_string()),
            Unit::Count => text.parse::<u64>().map_err(|_| format!("`{text}` is no count; write a whole number")),
            Unit::Ppm => text.parse::<Ratio>().map(|r| r.0 / 1_000).map_err(|e| e.to_string()),
        }
    }
}
