//! What a row of the helper table says: how a call is served. What is demanded of it stands in [`super::signature`].

use super::HelperCx;
use crate::memory::Fault;

/// What kind of work a helper is, for cost models; profiles give the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CostClass {
    /// A map operation; its memory accesses are priced from the [`crate::maps::AccessLog`].
    Map,
    /// Reads the clock.
    Clock,
    /// Draws a random number.
    Random,
    /// Reads or writes a word of machine state (processor number, redirect target).
    State,
    /// Copies packet bytes.
    Copy,
    /// Sums bytes.
    Checksum,
    /// Moves the packet's start or end.
    Resize,
    /// Sends a copy of the packet.
    Transmit,
    /// Looks for a route or a socket.
    Lookup,
    /// Goes on elsewhere: what is called there is priced as what it is.
    Transfer,
}

/// How a call ends: what R0 becomes, or the guest's fault, which ends the run and is data like any other fault. The
/// engine fills in the slot.
pub type HelperOutcome = Result<u64, Fault>;

/// A helper's code. Arguments are R1 to R5.
pub type HelperBody = fn(&mut dyn HelperCx, [u64; 5]) -> HelperOutcome;

/// One helper that has a body: a row of [`super::HELPERS`].
#[derive(Clone, Copy)]
pub struct HelperProto {
    /// Number in the call instruction.
    pub id: u32,
    /// Kind of work.
    pub cost: CostClass,
    /// What it does.
    pub body: HelperBody,
}

impl HelperProto {
    /// The kernel's name.
    pub fn name(&self) -> String {
        super::name(self.id).unwrap_or_else(|| unreachable!("rows have numbers of the list"))
    }
}

impl std::fmt::Debug for HelperProto {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&super::call_text(self.id))
    }
}
