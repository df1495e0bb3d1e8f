//! What exploration saw at each instruction, as a device driver's translator is fed by Linux.
//!
//! A driver is called for every instruction the verifier walks, on every path, and folds what it sees into one record
//! for each instruction; when exploration ends it is told the stack depths, the zero-extension marks and the
//! instructions that the dead-code passes rewrote or removed. [`Explored`] holds those records. They follow the paths
//! that were *walked*: a path pruned into a state seen before leaves nothing here, so a range in it is not true of every
//! run. Only a translator that imitates a driver may read it; everything else reads [`crate::facts::Facts`].
//!
//! Slots are those of the original program, before dead code is removed.

use std::collections::BTreeSet;

use super::tnum::Tnum;
use super::trail::Statistics;
use crate::helpers::signature::DynptrKind;
use crate::program::MapIndex;

/// The kind of thing a register holds, as the verifier names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Nothing yet: reading it is refused.
    Uninit,
    /// A number.
    Scalar,
    /// The program's context.
    Ctx,
    /// Packet data.
    Packet,
    /// Metadata in front of the packet.
    PacketMeta,
    /// One past the last byte of packet data.
    PacketEnd,
    /// A byte of a frame's stack; offsets count from the frame's top and are negative.
    Stack {
        /// Depth of the frame, 0 for the main function.
        frame: u8,
    },
    /// A map itself.
    MapPtr(MapIndex),
    /// A byte of a value of this map.
    MapValue(MapIndex),
    /// A byte of a value of this map, or null: not yet compared.
    MapValueOrNull(MapIndex),
    /// A byte of a key of this map, lent to a function that is called back for each entry.
    MapKey(MapIndex),
    /// A byte of memory lent to the program, of so many bytes.
    Mem {
        /// Bytes that may be accessed.
        size: u32,
        /// Who lent it.
        lender: Lender,
    },
    /// As [`Kind::Mem`], or null: not yet compared.
    MemOrNull {
        /// Bytes that may be accessed.
        size: u32,
        /// Who lent it.
        lender: Lender,
    },
    /// A socket.
    Sock(SockKind),
    /// A socket, or null: not yet compared.
    SockOrNull(SockKind),
    /// A function of the program, by index.
    Func(u32),
    /// A dynamic pointer: it lies on the stack, and no register holds it.
    Dynptr(DynptrKind),
}

/// Who lends memory to a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lender {
    /// The caller of a function that is verified on its own.
    Caller,
    /// A ring buffer, for a record that is to be submitted or discarded.
    RingBuffer,
    /// A dynamic pointer.
    Dynptr,
}

/// What is known of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SockKind {
    /// What all sockets have, those of requests and of connections that wait included (`struct sock_common`).
    Common,
    /// A full socket (`struct sock`).
    Full,
    /// A TCP socket.
    Tcp,
    /// A socket of AF_XDP.
    Xdp,
}

/// Everything exploration saw, by slot of the original program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explored {
    pub(super) slots: Vec<SlotSeen>,
    pub(super) functions: Vec<FunctionSeen>,
    pub(super) max_packet_offset: u32,
    pub(super) statistics: Statistics,
}

impl Explored {
    /// What was seen at `slot` of the original program, if there is such a slot.
    pub fn slot(&self, slot: usize) -> Option<&SlotSeen> {
        self.slots.get(slot)
    }

    /// All slots, ascending; as many as the original program has.
    pub fn slots(&self) -> &[SlotSeen] {
        &self.slots
    }

    /// The functions, in the order of [`crate::program::Program::functions`].
    pub fn functions(&self) -> &[FunctionSeen] {
        &self.functions
    }

    /// The largest offset of a byte of packet data that a load, store or helper was proved to reach
    /// (`max_pkt_offset`), counted from the start of the packet; 0 when no packet data is accessed.
    pub fn max_packet_offset(&self) -> u32 {
        self.max_packet_offset
    }

    /// Instructions walked, the figure that is held against the limit of 1,000,000.
    pub fn processed(&self) -> u32 {
        self.statistics.processed
    }

    /// What the closing line of Linux's log counts.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }
}

/// One slot of the original program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SlotSeen {
    /// How many times exploration walked it. The second slot of a wide load counts with its first.
    pub visits: u32,
    /// What was folded over those visits.
    pub detail: Detail,
    /// The destination is 32 bits wide and its upper half is read on a later path, so it must be cleared.
    pub zext: bool,
    /// What the dead-code passes made of it.
    pub fate: Fate,
}

impl SlotSeen {
    /// Whether exploration walked it at all.
    pub fn visited(&self) -> bool {
        self.visits > 0
    }
}

/// The record of one instruction, by its class.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Detail {
    /// Never walked, or an instruction of which nothing is recorded: wide loads, jumps, local calls, and stores of an
    /// immediate (a driver's hook is not told their pointer).
    #[default]
    None,
    /// A load: the pointer is its base register.
    Load(PointerSeen),
    /// A store of a register: the pointer is its base register.
    Store(PointerSeen),
    /// An atomic operation.
    Atomic(AtomicSeen),
    /// An ALU operation of either width, moves, negation and byte order included.
    Alu(AluSeen),
    /// A call of a helper.
    Call(Box<CallSeen>),
    /// An exit, of the main function or another: the register is R0.
    Exit(ExitSeen),
}

/// A pointer register at a load, store or atomic operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointerSeen {
    /// The pointer at the latest visit.
    pub last: Pointer,
    /// It pointed into the stack of a calling function at some visit.
    pub caller_frame: bool,
    /// Stack only: the constant offset was not the same at all visits.
    pub moved: bool,
    /// The first reason for which visits do not fit together. A driver refuses the program at that point; the fold
    /// goes on.
    pub conflict: Option<Conflict>,
}

/// A pointer's place: `off + var` bytes from the start of what it points into; the instruction's own offset comes on
/// top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pointer {
    /// What it points into.
    pub kind: Kind,
    /// The part of the offset added by constants, in bytes.
    pub off: i32,
    /// The variable part of the offset, in bytes; constant unless a variable was added.
    pub var: Tnum,
    /// Packet pointers with one id differ by constants only; 0 for a pointer to which no variable was added.
    pub id: u32,
    /// Packet pointers: bytes from the variable part on that were compared with the packet's end.
    pub range: u16,
}

impl Pointer {
    /// The whole offset, if it is constant.
    pub fn constant(&self) -> Option<i64> {
        self.var.constant().map(|v| (v as i64).wrapping_add(i64::from(self.off)))
    }
}

/// Why the visits of one instruction do not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// The pointer was of one kind and then of another; a stack pointer's frame and a value's map do not count.
    KindChanged {
        /// Before.
        was: Kind,
        /// At the visit that differed.
        is: Kind,
    },
    /// A stack pointer with a variable offset.
    VariableStack,
    /// Stack offsets that differ modulo 4.
    StackMoved {
        /// Before, in bytes from the frame's top.
        was: i64,
        /// At the visit that differed.
        is: i64,
    },
}

/// The smallest and largest unsigned values of a register over all visits. Of a pointer it is the variable part of its
/// offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Smallest.
    pub min: u64,
    /// Largest.
    pub max: u64,
}

impl Span {
    /// The one value, if there is only one.
    pub fn constant(self) -> Option<u64> {
        (self.min == self.max).then_some(self.min)
    }
}

/// The operands of an ALU operation, before it, as 64-bit values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AluSeen {
    /// The left-hand side.
    pub dst: Span,
    /// The right-hand side: the register's span, or the immediate, sign-extended.
    pub src: Span,
}

/// An atomic operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtomicSeen {
    /// The address.
    pub pointer: PointerSeen,
    /// The operand was a number at every visit.
    pub scalar: bool,
    /// At some visit a known bit or an unknown bit of the operand lay above the low 16.
    pub over_16bit: bool,
    /// At some visit the operand's known bits fitted 16 bits.
    pub maybe_16bit: bool,
}

/// A call of a helper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallSeen {
    /// The helper's number.
    pub helper: u32,
    /// R1 to R5 before the call; those beyond the helper's arguments are recorded as they stood.
    pub args: [ArgSeen; 5],
    /// `bpf_map_update_elem` with a value on the stack: by 4-byte word of the value, whether some byte of it may have
    /// been other than zero at some visit. Empty for other calls.
    pub nonzero_words: Vec<bool>,
}

/// One argument of a helper over all visits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgSeen {
    /// The register at the latest visit. For a number, `off` is 0 and `var` holds it.
    pub last: Pointer,
    /// The value of a number or the whole offset of a pointer was not one and the same constant at all visits.
    pub varies: bool,
    /// A stack pointer, at some visit, whose offset was not constant.
    pub variable_stack: bool,
    /// A stack pointer, at some visit, whose offset was no multiple of 4.
    pub unaligned_stack: bool,
    /// The kinds of two visits differed: the first such pair.
    pub kind_changed: Option<(Kind, Kind)>,
}

/// R0 at an exit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExitSeen {
    /// The constants it was, ascending.
    pub constants: BTreeSet<u64>,
    /// At some visit it was not a constant number.
    pub variable: bool,
}

/// One function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FunctionSeen {
    /// First slot.
    pub start: usize,
    /// Bytes of its own stack that were touched, before rounding.
    pub stack_depth: u32,
}

/// What the dead-code passes make of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fate {
    /// It stays.
    #[default]
    Kept,
    /// A conditional jump of which one side was never walked: it becomes an unconditional jump, reported to a device
    /// as a replacement. One that only falls through is a jump to the next instruction, which the pass after removes.
    HardWired {
        /// Whether it always jumps.
        taken: bool,
        /// Whether the pass after removed it, as a jump to the next instruction.
        removed: bool,
    },
    /// It is gone: never walked, or a jump to the next instruction.
    Removed,
}
