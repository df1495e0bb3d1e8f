//! Every engine runs every program: the same set of programs, the same packets, one after the other; whatever an engine
//! lets be seen must be equal.
//!
//! ```text
//! ProgramSet ──Runner::load──▶ engine ──Runner::run──▶ Seen ─┐
//!                              engine ──Runner::run──▶ Seen ─┴─ compare ──▶ Difference
//! ```
//!
//! A [`Runner`] is an engine behind one face: the interpreter here ([`Interpreter`]), others where they live. What an
//! engine cannot show (the kernel counts no instructions) it leaves out, and that is not compared.

mod compare;
mod interpreter;
mod set;

pub use compare::{Difference, Place, compare};
pub use interpreter::Interpreter;
pub use set::{Entry, Link, ProgramSet};

use crate::interp::ContextInput;

/// One packet for a program.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// The context, but for the packet's place.
    pub context: ContextInput,
    /// Its bytes, with those before `data` ([`crate::interp::SkbFields::pulled`]).
    pub bytes: &'a [u8],
}

/// What an engine shows of one run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// R0; 0 after a fault.
    pub r0: u64,
    /// Whether all of R0 is there, or its low half alone.
    pub whole: bool,
    /// The packet from `data` on.
    pub packet: Vec<u8>,
    /// Instructions executed, where the engine counts them.
    pub retired: Option<u64>,
    /// Why the run ended before its exit, in words.
    pub fault: Option<String>,
}

/// A map's contents as user space reads them, ordered by key.
pub type Contents = Vec<(Vec<u8>, Vec<u8>)>;

/// An engine that runs sets of programs.
pub trait Runner {
    /// What it is called in a message.
    fn name(&self) -> &str;

    /// Makes the set ready: maps as the set has them at its start.
    ///
    /// # Errors
    /// In words, why this engine does not take the set.
    fn load(&mut self, set: &ProgramSet) -> Result<(), String>;

    /// Runs the set's main program on a packet.
    fn run(&mut self, packet: &Packet<'_>) -> Seen;

    /// The contents of a map of the set, by index; `None` for a kind that user space cannot read.
    fn contents(&mut self, map: usize) -> Option<Contents>;
}
