//! What goes into a core and what comes out.

use super::{ContextId, CoreId, FlightId, PacketId, Trap};
use crate::des::{Frequency, Source, Time};
use crate::firmware::{PacketVector, Verdict};
use crate::memory::Answer;

use super::CoreCosts;

/// Everything about a core that does not change during a run.
#[derive(Debug, Clone, Copy)]
pub struct CoreConfig {
    /// Its name.
    pub id: CoreId,
    /// Island it stands in, which decides on CLS and CTM.
    pub island: u16,
    /// Contexts: 4 (32 registers a bank each) or 8 (16).
    pub contexts: u8,
    /// Clock.
    pub clock: Frequency,
    /// Costs.
    pub costs: CoreCosts,
    /// Instructions a packet may take, firmware included, before it is given up.
    pub budget: u64,
    /// Bytes of local memory that one context's stack has; a multiple of 64.
    pub stack_bytes: u32,
    /// The firmware puts the fields of a `struct __sk_buff` behind the packet vector.
    pub context_block: bool,
    /// Seed of the core's random number register.
    pub seed: u64,
    /// Whose events its own are.
    pub source: Source,
}

/// What kind of work a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// From the wire, with a program: receive routine, program, epilogue of its verdict.
    Program,
    /// From the wire, without: receive routine, plain routine, epilogue of a pass.
    Plain,
    /// From the host to the wire: the transmit routine.
    Transmit,
}

/// A packet for a context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// Which packet.
    pub packet: PacketId,
    /// What is to be done.
    pub kind: TaskKind,
    /// What the card knows of it.
    pub vector: PacketVector,
}

/// How a context's work on a packet ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Which packet.
    pub packet: PacketId,
    /// What kind of work it was.
    pub kind: TaskKind,
    /// What is to become of it.
    pub fate: Fate,
    /// The packet vector as the program left it: length and pointer may have moved, a queue may have been chosen.
    pub vector: PacketVector,
    /// Instructions executed for it, firmware included.
    pub instructions: u64,
    /// Where a helper has said that the packet is to go if the verdict is a redirect.
    pub redirect: Option<bpf::helpers::Redirect>,
}

/// What is to become of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The program's verdict, or the pass of the plain path and of transmission.
    Verdict(Verdict),
    /// The program trapped; the packet is lost under that name.
    Trapped(Trap),
}

/// What happens to a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoreIn {
    /// A free context gets a packet.
    Begin {
        /// Context; it must be free.
        context: ContextId,
        /// Packet.
        task: Task,
    },
    /// A command has reached its engine, now. The words it read are in the flight already; the core makes them visible
    /// at [`Answer::back`].
    Answer {
        /// Which command.
        flight: FlightId,
        /// What the engine said.
        answer: Answer,
    },
}

/// A core's own event: it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume;

/// What a core tells the outside. A burst is executed at once, so outputs carry the time at which they happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoreOut {
    /// A memory command reaches its engine.
    Command {
        /// When ([`crate::des::Priority::Memory`]).
        arrives: Time,
        /// The command ([`super::Core::command`]).
        flight: FlightId,
    },
    /// A context is done with its packet and free for the next; [`super::Core::outcome`] says how it ended.
    Finished {
        /// When.
        at: Time,
        /// Context.
        context: ContextId,
    },
}

/// What a core did, for reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CoreCounters {
    /// Instructions executed.
    pub instructions: u64,
    /// Cycles in which it executed, branch bubbles included.
    pub busy_cycles: u64,
    /// Cycles in which it stood still because its command queue was full.
    pub stall_cycles: u64,
    /// Cycles lost between contexts.
    pub switch_cycles: u64,
    /// Bursts.
    pub bursts: u64,
    /// Memory commands issued.
    pub commands: u64,
    /// Packets finished.
    pub packets: u64,
    /// Traps.
    pub traps: u64,
}
