//! A translated program, before it is loaded.

use std::fmt;

use bpf::diag::At;
use bpf::insn::Reg;
use bpf::program::{MapIndex, Program};
use nic_model::isa::Op;
use nic_model::memory::MemoryKind;

pub use crate::asm::{AddressBits, External, Origin, ValuePart};
use crate::refusal;

/// A translated program: instructions for a code store, with what the loader has to fill in.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// The program it came from.
    pub(crate) program: Program,
    pub(crate) ops: Vec<Op>,
    pub(crate) words: Vec<u64>,
    pub(crate) origins: Vec<Origin>,
    pub(crate) relocations: Vec<Relocation>,
    pub(crate) entries: Vec<(External, u16)>,
    pub(crate) maps: Vec<MapPlacement>,
    pub(crate) stack: u32,
    pub(crate) notes: Vec<Note>,
}

/// A word that depends on where the program is loaded, or on the firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relocation {
    /// Index of the word.
    pub at: u32,
    /// What it needs.
    pub kind: RelocationKind,
    /// The code address that stands in the word: counted from the program's start, or a mark that says it is open.
    pub address: u16,
}

/// What a word needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelocationKind {
    /// A branch inside the program: the program's place is added.
    Branch,
    /// A branch to what stands behind the body, or to the firmware.
    External(External),
    /// A return address as a constant: the program's place is added.
    Address,
    /// Half of the address of a map's value; mode best alone has them.
    Value(ValuePart),
}

impl RelocationKind {
    /// The Linux driver's number for it, which it keeps in bits 56 to 63 of an unrelocated word; 0 for what it has not.
    pub const fn tag(self) -> u8 {
        match self {
            RelocationKind::Branch => 1,
            RelocationKind::External(External::Out) => 2,
            RelocationKind::External(External::Abort) => 3,
            RelocationKind::External(External::Save) => 4,
            RelocationKind::External(External::Restore) => 5,
            RelocationKind::External(External::Done) => 6,
            RelocationKind::External(External::Helper(_)) => 7,
            RelocationKind::Address => 8,
            RelocationKind::Value(_) | RelocationKind::External(External::Atomic | External::Routine(_)) => 0,
        }
    }
}

/// Where a map of the program lives, and how the card uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapPlacement {
    /// Which of the program's maps.
    pub map: MapIndex,
    /// The number by which the program names it.
    pub table: u32,
    /// It lives on the card; other maps stay on the host and are only named.
    pub on_card: bool,
    /// In which memory of the card it should lie (by size and heat); where that has no room left, it lies in
    /// external memory.
    pub memory: MemoryKind,
    /// Words (4 bytes each) of a value that the program adds to atomically. The card keeps them big endian, so the host
    /// swaps them on its way in and out.
    pub atomic_words: Vec<u32>,
}

/// An instruction that does not do on the card what it does on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note {
    /// Slot of the instruction.
    pub slot: usize,
    /// What it does.
    pub fault: Fault,
}

/// What an instruction does on the card instead. Most are faults of the Linux driver's translator that images share,
/// because cards in use have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A 64-bit addition or subtraction of -2^31, or a comparison with it, takes it for +2^31.
    LeastConstant,
    /// Division by 1 shifts by whatever the instruction before had as its left operand.
    DivisionByOne,
    /// A register through which memory was copied holds another part of it than the last load's.
    CopyLeavesOther {
        /// The register.
        reg: Reg,
    },
    /// `bpf_xdp_adjust_head` by more than the firmware guarantees, or by what is no constant: there may be less room than
    /// on the host.
    HeadRoom,
    /// `bpf_xdp_adjust_tail` by what may not be negative: the card only shrinks packets, else the helper fails.
    TailNeverGrows,
    /// A 64-bit left shift by a register that may hold 0: then the low half is copied to the high one.
    LeftShiftByZero {
        /// The register.
        by: Reg,
    },
    /// A 64-bit right shift of a register by itself: the amount is gone when the high half is shifted.
    RightShiftByItself {
        /// The register.
        reg: Reg,
    },
    /// An arithmetic right shift by a register whose bit 31 may be set: it is taken for the sign of what is shifted.
    AmountsSign {
        /// The register.
        by: Reg,
    },
    /// What is set here does not leave the card with the packet.
    StaysOnCard,
    /// The receive queue is chosen after the program: it reads 0.
    QueueUnknown,
    /// What is multiplied, divided or shifted by was chosen by the range that the verifier saw, and a path that it did not
    /// walk again may bring another.
    UnseenRange {
        /// The register.
        reg: Reg,
    },
}

impl Fault {
    /// Identifier for tools.
    pub const fn code(&self) -> &'static str {
        match self {
            Fault::LeastConstant => "least-constant",
            Fault::DivisionByOne => "division-by-one",
            Fault::CopyLeavesOther { .. } => "copy-leaves-other",
            Fault::HeadRoom => "head-room",
            Fault::TailNeverGrows => "tail-never-grows",
            Fault::LeftShiftByZero { .. } => "left-shift-by-zero",
            Fault::RightShiftByItself { .. } => "right-shift-by-itself",
            Fault::AmountsSign { .. } => "amounts-sign",
            Fault::StaysOnCard => "stays-on-card",
            Fault::QueueUnknown => "queue-unknown",
            Fault::UnseenRange { .. } => "unseen-range",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::LeastConstant => f.write_str("-2147483648 is taken for 2147483648"),
            Fault::DivisionByOne => f.write_str("a division by 1 shifts by an unrelated amount"),
            Fault::CopyLeavesOther { reg } => {
                write!(f, "{reg} does not hold the last load's value after a copy through it")
            }
            Fault::HeadRoom => f.write_str("the packet's start can move less far than on the host"),
            Fault::TailNeverGrows => f.write_str("the packet's end can only be cut: growing fails"),
            Fault::LeftShiftByZero { by } => {
                write!(f, "a left shift by {by} copies the low half to the high one where {by} is 0")
            }
            Fault::RightShiftByItself { reg } => {
                write!(f, "a right shift of {reg} by itself shifts the high half by what the low half has become")
            }
            Fault::AmountsSign { by } => {
                write!(f, "an arithmetic shift by {by} takes bit 31 of {by} for the sign of what is shifted")
            }
            Fault::StaysOnCard => f.write_str("what is set here does not go to the host or the wire with the packet"),
            Fault::QueueUnknown => f.write_str("the receive queue is chosen after the program, which reads 0"),
            Fault::UnseenRange { reg } => {
                write!(f, "{reg} may lie outside the range the verifier saw, which the instruction was chosen by")
            }
        }
    }
}

impl Image {
    /// The instructions.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// The words before they are relocated, without parity: branches inside the program hold addresses counted from its
    /// start.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The words as the Linux driver keeps them on the host: [`Image::words`] with the relocation's number in bits 56
    /// to 63.
    pub fn tagged_words(&self) -> Vec<u64> {
        let mut words = self.words.clone();
        for relocation in &self.relocations {
            words[relocation.at as usize] |= u64::from(relocation.kind.tag()) << 56;
        }
        words
    }

    /// Words that a loader has to change, ascending.
    pub fn relocations(&self) -> &[Relocation] {
        &self.relocations
    }

    /// Where each word came from.
    pub fn origins(&self) -> &[Origin] {
        &self.origins
    }

    /// The slot each word came from, for words of the program's body.
    pub fn slot_of(&self, word: usize) -> Option<usize> {
        match self.origins.get(word) {
            Some(Origin::Slot(slot)) => Some(*slot as usize),
            _ => None,
        }
    }

    /// The program it came from, by whose slots and lines [`Image::origins`] counts.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The instruction at a slot as a place in messages, with its source line where the object has one.
    pub fn place(&self, slot: usize) -> At {
        refusal::place(&self.program, slot)
    }

    /// Words of the program's own instructions: without prologue, epilogue and padding.
    pub fn body_words(&self) -> usize {
        self.origins.iter().filter(|origin| matches!(origin, Origin::Slot(_))).count()
    }

    /// Its maps.
    pub fn maps(&self) -> &[MapPlacement] {
        &self.maps
    }

    /// Bytes of stack of the deepest chain of calls, frames aligned to 64.
    pub fn stack_bytes(&self) -> u32 {
        self.stack
    }

    /// Instructions that will not do what they do on the host.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }
}
