//! Where firmware and program meet: registers, local memory, the packet vector, the result word (nfp.md §2.1, §2.4, §2.5).

use std::fmt;

use crate::packet_pointer::{NUMBER_SHIFT, NUMBERS, OFFSET_MASK, packet_pointer};

/// Register in both banks that holds the stack's base (bank A) when the program starts.
pub const STACK_BASE_REGISTER: u8 = 22;
/// Words of the packet vector that live in local memory behind pointer 1.
pub const VECTOR_WORDS: usize = 8;

/// What the card knows of a packet, as the program finds it behind local memory pointer 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PacketVector {
    /// The words. 0: length in bits 0 to 13. 2: packet pointer ([`packet_pointer`]). 4: flags. 6: queue in bits 0 to 7.
    pub words: [u32; VECTOR_WORDS],
}

/// Flag in vector word 4: the program has chosen the receive queue in word 6.
pub const QUEUE_SELECTED: u32 = 1 << 4;
/// Bits of vector word 0 that hold the packet's length in bytes.
pub const LENGTH_MASK: u32 = 0x3fff;

impl PacketVector {
    /// A packet of `length` bytes at `offset` of the buffer that starts at granule `number`.
    pub const fn new(length: u32, number: u32, offset: u32) -> Self {
        let mut words = [0; VECTOR_WORDS];
        words[0] = length & LENGTH_MASK;
        words[2] = packet_pointer(number, offset);
        PacketVector { words }
    }

    /// Bytes of the packet.
    pub const fn length(&self) -> u32 {
        self.words[0] & LENGTH_MASK
    }

    /// First granule of the packet's buffer.
    pub const fn number(&self) -> u32 {
        self.words[2] >> NUMBER_SHIFT & (NUMBERS - 1)
    }

    /// Offset of the packet's first byte in its buffer.
    pub const fn offset(&self) -> u32 {
        self.words[2] & OFFSET_MASK
    }

    /// The receive queue, if the program has chosen one.
    pub const fn queue(&self) -> Option<u8> {
        if self.words[4] & QUEUE_SELECTED != 0 { Some(self.words[6] as u8) } else { None }
    }
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// To the host.
    Pass,
    /// Nowhere.
    Drop,
    /// Out of the port it came in by.
    Tx,
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
    /// Reads the word a program leaves in A0: bit 16 pass, 17 drop, 18 send back; bits 20 to 23 the counters. Of several
    /// actions the drop wins, then the sending back (assumed; no program emits them). `None` names no action.
    pub const fn decode(word: u32) -> Option<Verdict> {
        let action = match word >> 16 & 7 {
            0 => return None,
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
        })
    }
}
