//! Processes that call bpf(2), one call after the other.

use std::collections::VecDeque;

use bpf::errno::Errno;
use nic_model::control::EntryOp;
use nic_model::des::Time;

/// What is done to a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// Reads the value under a key.
    Lookup(Vec<u8>),
    /// Writes an entry.
    Update(Vec<u8>, Vec<u8>),
    /// Removes one.
    Delete(Vec<u8>),
    /// Reads the whole map, as `bpftool map dump` does: the key after a key, then its value, until there is none.
    Dump,
}

impl Verb {
    /// Its name in reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Verb::Lookup(_) => "lookup",
            Verb::Update(..) => "update",
            Verb::Delete(_) => "delete",
            Verb::Dump => "dump",
        }
    }
}

/// Something a process is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// When: at once, or when the process is done with what it was told before.
    pub at: Time,
    /// Who.
    pub process: u16,
    /// To which map, by its place.
    pub table: usize,
    /// What.
    pub verb: Verb,
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failure {
    /// Linux's number.
    pub errno: Errno,
    /// The reason.
    pub why: String,
}

/// Entries that something found: keys and values.
pub type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The map's name.
    pub map: String,
    /// What it was ([`Verb::name`]).
    pub verb: &'static str,
    /// When the process began it.
    pub began: Time,
    /// When it was done.
    pub ended: Time,
    /// Entries it read, or why it failed.
    pub result: Result<Entries, Failure>,
}

/// A system call under way.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub op: EntryOp,
    pub generation: u32,
    pub entries: u32,
    pub tag: u16,
    /// The message, until it is on its way.
    pub message: Vec<u8>,
    /// When it went.
    pub sent: Time,
    /// When the process gives up.
    pub deadline: Time,
    pub answer: Option<Vec<u8>>,
}

/// How a call ended that did not need the card, or when it did.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// The call returns with this.
    Returns(Result<Vec<u8>, Failure>),
    /// The card is asked.
    Asks(Call),
}

/// An operation under way.
#[derive(Debug, Clone)]
pub(super) struct Doing {
    pub operation: Operation,
    pub began: Time,
    /// Entries read so far.
    pub read: Entries,
    /// The key whose value is asked for, in a dump.
    pub key: Option<Vec<u8>>,
    pub stage: Stage,
}

/// A process.
#[derive(Debug, Clone, Default)]
pub(super) struct Process {
    pub waiting: VecDeque<Operation>,
    pub doing: Option<Doing>,
}
