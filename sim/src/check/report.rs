//! What a check came to: plain data, whose fields in JSON are an interface.

use std::collections::BTreeMap;

use bpf::diag::{At, Diagnostic, SourceLine, Step};
use offload_jit::Refusal;
use serde::{Serialize, Serializer};

use super::judge::Card;
use crate::report::CardNote;

/// Version of the fields.
pub const SCHEMA: u32 = 1;

/// A check of one or more objects against a card.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Version of these fields.
    pub schema: u32,
    /// The tool and its version.
    pub generator: String,
    /// The card.
    pub nic: String,
    /// Whose translation decides on that card: `driver` or `best`.
    pub mode: &'static str,
    /// What the card has.
    pub limits: Limits,
    /// By path.
    pub objects: Vec<ObjectReport>,
    /// Counts over all objects.
    pub summary: Summary,
}

impl Report {
    /// The report of objects that were held against a card.
    pub fn new(card: &Card, objects: Vec<ObjectReport>) -> Self {
        Self {
            schema: SCHEMA,
            generator: format!("sim {}", env!("CARGO_PKG_VERSION")),
            nic: card.name.clone(),
            mode: card.mode().id(),
            limits: card.limits(),
            summary: Summary::of(&objects),
            objects,
        }
    }

    /// The report as JSON.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("structures with text keys always serialise");
        text.push('\n');
        text
    }
}

/// Counts of objects and programs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Files looked at.
    pub objects: usize,
    /// Files that are no objects.
    pub unreadable: usize,
    /// Programs in the others.
    pub programs: usize,
    /// Programs that the card takes.
    pub offloadable: usize,
    /// Programs that it refuses.
    pub refused: usize,
    /// Those of them for which sizes alone are in the way.
    pub refused_by_size: usize,
    /// Programs that Linux would not load.
    pub rejected: usize,
    /// Programs about which nothing is known, because they use what is not modelled.
    pub unsupported: usize,
}

/// One file.
#[derive(Debug, Clone, Serialize)]
pub struct ObjectReport {
    /// Its path as found.
    pub object: String,
    /// Why it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Error>,
    /// Its programs, in the object's order.
    pub programs: Vec<ProgramReport>,
}

/// A message that is no refusal of the card's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Error {
    /// Identifier for tools.
    pub code: &'static str,
    /// What is wrong.
    pub reason: String,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Place>,
    /// The rule that is broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The few instructions that led there, in the order in which they would run.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "steps")]
    pub path: Vec<Step>,
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

/// Where something is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Place {
    /// A map, a program, a section: whatever has a name and no instruction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Slot of an instruction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<usize>,
    /// The instruction as the verifier prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instruction: Option<String>,
    /// File of its line of C.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The line's text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// One program.
#[derive(Debug, Clone, Serialize)]
pub struct ProgramReport {
    /// Its function.
    pub program: String,
    /// The section it is in.
    pub section: String,
    /// Its type, where it is one that can be loaded here.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub ty: Option<String>,
    /// What the verifier says.
    pub verdict: Answer,
    /// Why it was not accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Error>,
    /// Linux takes it for a device only, not at the host's hooks.
    pub device_only: bool,
    /// Instructions in slots of 8 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bpf_slots: Option<usize>,
    /// Whether the card takes it.
    pub offloadable: bool,
    /// What it needs of the card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// Why the card does not take it, features before sizes.
    pub refusals: Vec<Reason>,
    /// Instructions that do something else on the card than on the host.
    pub notes: Vec<CardNote>,
    /// What the other known cards say, by name.
    pub others: Vec<CardAnswer>,
}

/// The verifier's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Linux would load it.
    Accepted,
    /// Linux would not.
    Rejected,
    /// It uses something that is not modelled here; nothing is said about it.
    Unsupported,
}

impl Answer {
    /// The word of the JSON field.
    pub fn word(self) -> &'static str {
        match self {
            Answer::Accepted => "accepted",
            Answer::Rejected => "rejected",
            Answer::Unsupported => "unsupported",
        }
    }
}

/// What a program needs of a card, by the names of [`Limits`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Budget {
    /// Instructions of the card by mode; a mode that has no translation of the program is absent.
    pub words: BTreeMap<&'static str, u64>,
    /// Bytes of stack.
    pub stack_bytes: u64,
    /// Bytes from the packet's start that it may reach.
    pub packet_bytes: u64,
    /// Maps that live on the card.
    pub maps: u64,
    /// Their entries together.
    pub map_entries: u64,
    /// Bytes of the card's memories that they take; absent where one of them is none that can be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map_memory_bytes: Option<u64>,
    /// The same, for each memory; absent where one of them is none that can be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map_bytes: Option<MapBytes>,
}

/// Bytes of maps, or for them, in each of a card's memories.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct MapBytes {
    /// The islands' local scratch, to which no address of a program's leads: no map lies there.
    pub cls: u64,
    /// The islands' memory that packets fill: no map lies there either.
    pub ctm: u64,
    /// Internal memory.
    pub imem: u64,
    /// External memory.
    pub emem: u64,
}

impl MapBytes {
    /// Of all memories.
    pub fn total(self) -> u64 {
        self.cls + self.ctm + self.imem + self.emem
    }
}

/// What a card has of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Instructions of a program.
    pub words: u64,
    /// Bytes of stack.
    pub stack_bytes: u64,
    /// Bytes of a packet that a program may reach.
    pub packet_bytes: u64,
    /// Maps.
    pub maps: u64,
    /// Entries of all maps together.
    pub map_entries: u64,
    /// Bytes of external memory.
    pub map_memory_bytes: u64,
    /// Bytes for maps in each memory.
    pub map_bytes: MapBytes,
}

/// One reason against a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// `feature` or `size`.
    pub cause: &'static str,
    /// The rule, by the names of `docs/offload-rules.md`.
    pub rule: &'static str,
    /// The message.
    #[serde(flatten)]
    pub what: Error,
}

/// What another card says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CardAnswer {
    /// Its name.
    pub nic: String,
    /// Whether it takes the program.
    pub offloadable: bool,
    /// Reasons by feature.
    pub features: usize,
    /// Reasons by size.
    pub sizes: usize,
}

impl From<&Refusal> for Reason {
    fn from(refusal: &Refusal) -> Self {
        Self { cause: refusal.rule.cause().id(), rule: refusal.rule.id(), what: Error::from(&refusal.diagnostic) }
    }
}

/// A step of a path as its fields are called in JSON.
#[derive(Serialize)]
struct PathStep<'a> {
    #[serde(flatten)]
    place: Place,
    function: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    note: &'a str,
}

fn steps<S: Serializer>(path: &[Step], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(path.iter().map(|step| PathStep {
        place: Place::of_insn(step.slot, &step.text, step.source.as_ref()),
        function: &step.function,
        note: &step.note,
    }))
}

impl From<&Diagnostic> for Error {
    fn from(diagnostic: &Diagnostic) -> Self {
        Self {
            code: diagnostic.code,
            reason: diagnostic.reason.clone(),
            at: diagnostic.at.as_ref().map(Place::from),
            rule: diagnostic.rule.clone(),
            path: diagnostic.path.clone(),
            limit: diagnostic.limit.clone(),
            actual: diagnostic.actual.clone(),
            help: diagnostic.help.clone(),
        }
    }
}

impl Place {
    fn of_insn(slot: usize, text: &str, source: Option<&SourceLine>) -> Self {
        Self {
            name: None,
            slot: Some(slot),
            instruction: Some(text.to_owned()),
            file: source.map(|line| line.file.clone()),
            line: source.map(|line| line.line),
            text: source.map(|line| line.text.trim().to_owned()),
        }
    }
}

impl From<&At> for Place {
    fn from(at: &At) -> Self {
        match at {
            At::Insn { slot, text, source, .. } => Self::of_insn(*slot, text, source.as_ref()),
            other => Self { name: Some(other.to_string()), ..Self::default() },
        }
    }
}

impl Summary {
    /// Counts.
    pub fn of(objects: &[ObjectReport]) -> Self {
        let programs = || objects.iter().flat_map(|object| &object.programs);
        let answered = |answer| programs().filter(|program| program.verdict == answer).count();
        let refused = || programs().filter(|p| p.verdict == Answer::Accepted && !p.offloadable);
        Self {
            objects: objects.len(),
            unreadable: objects.iter().filter(|object| object.error.is_some()).count(),
            programs: programs().count(),
            offloadable: programs().filter(|program| program.offloadable).count(),
            refused: refused().count(),
            refused_by_size: refused().filter(|p| p.refusals.iter().all(|r| r.cause == "size")).count(),
            rejected: answered(Answer::Rejected),
            unsupported: answered(Answer::Unsupported),
        }
    }
}
