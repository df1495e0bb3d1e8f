//! The one result of a run; every exporter reads it and nothing else.
//!
//! All numbers are integers with the unit in the field's name, so that the same run gives the same bytes everywhere:
//! `_ps` picoseconds, `_pps` packets a second, `_bps` bits a second, `_ppm` parts of a million.

use serde::Serialize;

use crate::measure::Summary;

/// Version of the fields of `report.json`; it grows when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// What a scenario's run came to.
#[derive(Debug, Clone, Serialize)]
pub struct Results {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Program and version that wrote it.
    pub generator: String,
    /// The scenario's name.
    pub scenario: String,
    /// Its description.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its seed.
    pub seed: u64,
    /// The card's profile.
    pub nic: String,
    /// The host's profile.
    pub host: String,
    /// What was offered.
    pub traffic: Vec<TrafficResult>,
    /// One for each placement, in the scenario's order.
    pub variants: Vec<VariantResult>,
    /// The scenario's expectations, in its order.
    pub expectations: Vec<Expectation>,
}

/// One source of frames.
#[derive(Debug, Clone, Serialize)]
pub struct TrafficResult {
    /// The trace as the scenario names it.
    pub pcap: String,
    /// Port of the card.
    pub port: u8,
    /// When frames come, in words.
    pub pacing: String,
    /// Records in the trace.
    pub records: u64,
    /// Times it was played.
    pub repeat: u64,
    /// Records the capture had cut; their missing bytes are zero.
    pub records_cut: u64,
    /// Records stamped earlier than the one before; they were sent right after it.
    pub records_backwards: u64,
    /// Whether the file ended inside a record.
    pub file_truncated: bool,
}

/// One placement.
#[derive(Debug, Clone, Serialize)]
pub struct VariantResult {
    /// The scenario's name for it.
    pub name: String,
    /// Hooks with the programs attached there.
    pub attach: Vec<Attached>,
    /// Why it did not run; empty when it did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refusals: Vec<Refusal>,
    /// What was measured, when it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
}

/// A program at a hook.
#[derive(Debug, Clone, Serialize)]
pub struct Attached {
    /// `xdp-offload`, `xdp-native` or `tc-ingress`.
    pub hook: String,
    /// The function's name.
    pub program: String,
    /// BPF instructions after verification, in 8-byte slots.
    pub bpf_slots: usize,
    /// Words of the card's program, where it was offloaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card_words: Option<usize>,
    /// Instructions that do something else on the card, where it was offloaded and there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub card_notes: Vec<CardNote>,
}

/// An instruction that does not do on the card what it does on the host, because its translator has a fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CardNote {
    /// Identifier for tools ([`offload_jit::Fault::code`]).
    pub code: String,
    /// What it does.
    pub what: String,
    /// Which instruction, and its source line where the object has one.
    pub at: String,
}

/// One reason why a program cannot run where it was put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Identifier for tools.
    pub code: String,
    /// What is wrong.
    pub reason: String,
    /// Where, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The limit that was broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// The value that broke it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
    /// What would help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// What was measured of one placement.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Frames that arrived at the card's ports.
    pub offered_packets: u64,
    /// Their bytes, FCS included.
    pub offered_bytes: u64,
    /// From the first bit of the first frame to the last bit of the last.
    pub offered_ps: u64,
    /// Offered frames in that time.
    pub offered_pps: u64,
    /// Offered bits in that time, preamble and gap counted.
    pub offered_bps: u64,
    /// Where the frames ended: every frame has exactly one fate, and the sum is `offered_packets`.
    pub fates: Vec<FateCount>,
    /// Frames that met a verdict (all but the lost) from the first bit of the first to the end of the last.
    pub throughput_pps: u64,
    /// Latency of the frames that met a verdict, from the last bit's arrival to the end of their fate.
    pub latency: Option<Latency>,
    /// The same, by fate.
    pub latency_by_fate: Vec<FateLatency>,
    /// What was busy, busiest first.
    pub resources: Vec<Resource>,
    /// What limits the placement.
    pub bottleneck: Bottleneck,
    /// Counts of work done, exact.
    pub work: Vec<Work>,
    /// What user space did to maps while packets flowed, by map and kind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operations>,
    /// Contents of the programs' maps at the end.
    pub maps: Vec<MapResult>,
    /// Profile values behind this result that are assumptions.
    pub assumed: Vec<String>,
}

/// Frames of one fate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FateCount {
    /// `dropped`, `transmitted`, `delivered`, `aborted` or `lost`; of what programs made of packets `copy dropped` and so on.
    pub outcome: String,
    /// Where it happened, such as `card program` or `receive ring full`.
    pub place: String,
    /// Frames.
    pub packets: u64,
}

/// A latency's spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Frames.
    pub packets: u64,
    /// Shortest.
    pub min_ps: u64,
    /// Mean.
    pub mean_ps: u64,
    /// Median.
    pub p50_ps: u64,
    /// 90th percentile.
    pub p90_ps: u64,
    /// 99th percentile.
    pub p99_ps: u64,
    /// 99.9th percentile.
    pub p999_ps: u64,
    /// Longest.
    pub max_ps: u64,
}

impl From<Summary> for Latency {
    fn from(s: Summary) -> Self {
        Self {
            packets: s.count,
            min_ps: s.min.ps(),
            mean_ps: s.mean.ps(),
            p50_ps: s.p50.ps(),
            p90_ps: s.p90.ps(),
            p99_ps: s.p99.ps(),
            p999_ps: s.p999.ps(),
            max_ps: s.max.ps(),
        }
    }
}

/// Latency of one fate.
#[derive(Debug, Clone, Serialize)]
pub struct FateLatency {
    /// As in [`FateCount`].
    pub outcome: String,
    /// As in [`FateCount`].
    pub place: String,
    /// Its spread.
    pub latency: Latency,
}

/// How busy a part was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resource {
    /// Its name.
    pub name: String,
    /// Busy share of the time between the first frame and the last fate.
    pub busy_ppm: u64,
}

/// What limits a placement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bottleneck {
    /// The part, or `offered load` when nothing is short.
    pub resource: String,
    /// The reasoning, one sentence.
    pub why: String,
}

/// An exact count of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Work {
    /// What is counted, such as `card core cycles`.
    pub name: String,
    /// How much, over the whole run.
    pub total: u64,
}

/// What user space did to a map while packets flowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Operations {
    /// The map.
    pub map: String,
    /// `update`, `delete`, `lookup` or `dump`.
    pub operation: String,
    /// How often it was done.
    pub done: u64,
    /// How often it failed, by reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Failed>,
    /// From its system call to the return, of all; none takes time on the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<OperationLatency>,
    /// What was read, at most [`Operations::SHOWN`] times.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub read: Vec<Read>,
}

impl Operations {
    /// Most reads that a report shows of one map and kind.
    pub const SHOWN: usize = 64;
}

/// Operations that failed for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// Linux's number, by name.
    pub errno: String,
    /// The reason.
    pub why: String,
    /// How many.
    pub count: u64,
    /// When the first of them ended.
    pub first_at_ps: u64,
}

/// How long operations took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct OperationLatency {
    /// Shortest.
    pub min_ps: u64,
    /// Mean.
    pub mean_ps: u64,
    /// Median.
    pub p50_ps: u64,
    /// 99th percentile.
    pub p99_ps: u64,
    /// Longest.
    pub max_ps: u64,
}

/// Something read from a map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Read {
    /// When it was there.
    pub at_ps: u64,
    /// How many entries.
    pub entries: usize,
    /// The first of them, at most [`MapResult::SHOWN`].
    pub contents: Vec<MapEntry>,
}

/// A map at the end of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MapResult {
    /// Its name.
    pub name: String,
    /// Its kind.
    #[serde(rename = "type")]
    pub ty: String,
    /// The memory of the card that it lies in; nothing of the host's maps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<&'static str>,
    /// Entries there are.
    pub entries: usize,
    /// Those that are not all zero, in the map's order, at most [`MapResult::SHOWN`].
    pub contents: Vec<MapEntry>,
}

impl MapResult {
    /// Most entries that a report shows of one map.
    pub const SHOWN: usize = 256;
}

/// One entry of a map, in hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MapEntry {
    /// The key's bytes.
    pub key: String,
    /// The value's bytes; of all processors one after the other where the kind is per-CPU.
    pub value: String,
}

/// What became of an expectation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Expectation {
    /// As written.
    pub text: String,
    /// Whether it holds.
    pub holds: bool,
    /// The value found, in words.
    pub found: String,
}

impl VariantResult {
    /// Frames of an outcome, over all places.
    pub fn packets(&self, outcome: &str) -> u64 {
        let fates = self.measured.iter().flat_map(|m| &m.fates);
        fates.filter(|f| f.outcome == outcome).map(|f| f.packets).sum()
    }
}
