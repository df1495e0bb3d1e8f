//! Where firmware and program meet: registers, local memory, the packet vector, the result word (Linux nfp driver,
//! `main.h` and `jit.c`).

use std::fmt;

/// Register in both banks that holds the stack's base (bank A) when the program starts.
pub const STACK_BASE_REGISTER: u8 = 22;

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// To the host.
    Pass,
    /// Nowhere.
    Drop,
    /// Out of the port it came in by.
    Tx,
    /// Where a helper has said.
    Redirect,
}

/// Which of the four counters of the card a program's end moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatCounter {
    /// Passed.
    Pass,
    /// Dropped.
    Drop,
    /// Sent back.
    Tx,
    /// Aborted.
    Abort,
}

/// A result word as the firmware reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// What to do.
    pub action: Action,
    /// Counter to move, if any.
    pub counter: Option<StatCounter>,
    /// The word.
    pub word: u32,
}

impl Verdict {
    /// Reads the word a program leaves in A0: bit 16 pass, 17 drop, 18 send back, 19 redirect (this project's); bits 20 to
    /// 23 the counters. Of several
    /// actions the drop wins, then the sending back (assumed; no program emits them). `None` names no action.
    pub const fn decode(word: u32) -> Option<Verdict> {
        let action = match word >> 16 & 15 {
            0 => return None,
            8 => Action::Redirect,
            bits if bits & 2 != 0 => Action::Drop,
            bits if bits & 4 != 0 => Action::Tx,
            _ => Action::Pass,
        };
        let counter = match (word >> 20 & 0xf).trailing_zeros() {
            0 => Some(StatCounter::Pass),
            1 => Some(StatCounter::Drop),
            2 => Some(StatCounter::Tx),
            3 => Some(StatCounter::Abort),
            _ => None,
        };
        Some(Verdict { action, counter, word })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Pass => "pass",
            Action::Drop => "drop",
            Action::Tx => "tx",
            Action::Redirect => "redirect",
        })
    }
}
