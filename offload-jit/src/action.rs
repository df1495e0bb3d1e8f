//! What the card is to do for each BPF instruction: the type between admission and lowering.
//!
//! An [`Action`] is an instruction whose open questions are answered: which memory a pointer reaches, how far a shift can
//! go, how wide a product is. Whoever reads one needs neither the verifier nor the card's limits any more.

use bpf::insn::{AtomicOp, Cond, Operand, Reg, Size, Width};
use bpf::program::MapIndex;

/// One slot of the original program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What to do.
    pub action: Action,
    /// Some jump or call of the original program, live or dead, goes here: nothing may be carried over from the
    /// instruction before.
    pub target: bool,
}

/// What to do for one instruction. Register pairs are 64 bits wide; `zext` says that the upper half is read later and so
/// has to be cleared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Nothing: dead, done by a neighbour, or without effect.
    Nothing,
    /// Several things, one behind the other.
    Sequence(Vec<Action>),
    /// `dst = src`; of width 32 the upper half is always cleared.
    Move {
        /// Width.
        width: Width,
        /// Destination.
        dst: Reg,
        /// Source, never R10.
        src: Reg,
    },
    /// `dst = r10`.
    FrameTop {
        /// Destination.
        dst: Reg,
    },
    /// `dst = value`, a `mov` of an immediate.
    Constant {
        /// Destination.
        dst: Reg,
        /// All 64 bits.
        value: u64,
    },
    /// `dst = value`, a wide load.
    Wide {
        /// Destination.
        dst: Reg,
        /// All 64 bits.
        value: u64,
    },
    /// `dst` = the number by which the card knows a map.
    Table {
        /// Destination.
        dst: Reg,
        /// The map.
        map: MapIndex,
    },
    /// `dst` = the address of a byte of a map's first value.
    ValueAddress {
        /// Destination.
        dst: Reg,
        /// The map.
        map: MapIndex,
        /// The byte.
        offset: u32,
    },
    /// `dst = dst op src`.
    Alu {
        /// Width.
        width: Width,
        /// Operation.
        op: Arith,
        /// Left-hand side and destination.
        dst: Reg,
        /// Right-hand side.
        src: Operand,
        /// Width 32: clear the upper half.
        zext: bool,
    },
    /// `dst = -dst`.
    Negate {
        /// Width.
        width: Width,
        /// Register.
        dst: Reg,
        /// Width 32: clear the upper half.
        zext: bool,
    },
    /// `dst` shifted.
    Shift {
        /// Width.
        width: Width,
        /// Direction and filling.
        kind: ShiftKind,
        /// Register.
        dst: Reg,
        /// How far.
        amount: Amount,
        /// Width 32: clear the upper half.
        zext: bool,
    },
    /// `dst *= by`, of operands below 2^32.
    Multiply {
        /// Register.
        dst: Reg,
        /// The other factor.
        by: Operand,
        /// What is known of the factors and asked of the product.
        product: Product,
    },
    /// `dst /= by`, of a dividend below 2^32.
    Divide {
        /// Register.
        dst: Reg,
        /// Divisor, below 2^32; 0 gives 0.
        by: u32,
    },
    /// `dst *= by`, all 64 bits of any factors.
    MultiplyLong {
        /// Register.
        dst: Reg,
        /// The other factor.
        by: Operand,
    },
    /// `dst /= by` or `dst %= by`, of any numbers; the upper half of a result of 32 bits is cleared.
    DivideLong {
        /// What is asked of it.
        division: Division,
        /// Width.
        width: Width,
        /// Dividend, and result.
        dst: Reg,
        /// Divisor.
        by: Operand,
    },
    /// The low `bits` bits of `dst` to big endian, the rest cleared.
    ToBig {
        /// Register.
        dst: Reg,
        /// 16, 32 or 64.
        bits: u8,
    },
    /// Packet access in classic BPF's manner, into R0: bounds checked, big endian.
    Classic {
        /// Size, at most four bytes.
        size: Size,
        /// Register added to the offset.
        index: Option<Reg>,
        /// Constant part of the offset, as the translator reads it: 16 bits.
        offset: u16,
        /// Clear the upper half.
        zext: bool,
    },
    /// `dst = *(size *)(base + off)`.
    Load {
        /// Size.
        size: Size,
        /// Destination.
        dst: Reg,
        /// Address register.
        base: Reg,
        /// Byte offset.
        off: i16,
        /// What the address is in.
        from: Source,
        /// Clear the upper half; never set for eight bytes.
        zext: bool,
    },
    /// `*(size *)(base + off) = src`.
    Store {
        /// Size.
        size: Size,
        /// Address register.
        base: Reg,
        /// Byte offset.
        off: i16,
        /// Value.
        src: Reg,
        /// What the address is in.
        to: Sink,
    },
    /// `*(size *)(base + off) = value`
    StoreConstant {
        /// Size.
        size: Size,
        /// Address register.
        base: Reg,
        /// Byte offset.
        off: i16,
        /// Value.
        value: u64,
        /// What the address is in.
        to: Sink,
    },
    /// A run of loads and stores of one width that together copy memory into the packet.
    Copy(Box<CopyRun>),
    /// Picks the receive queue the host will see the packet on.
    SelectQueue {
        /// The queue's number.
        src: Reg,
    },
    /// `*(size *)(base + off) += src` in a map's value, as one command.
    AtomicAdd {
        /// Eight bytes instead of four.
        wide: bool,
        /// Address register.
        base: Reg,
        /// Byte offset.
        off: i16,
        /// Addend.
        src: Reg,
        /// How large the addend can be.
        addend: Addend,
    },
    /// Goes to a slot.
    Jump {
        /// Slot.
        to: usize,
    },
    /// Goes to a slot if the comparison holds.
    Branch {
        /// Width of the comparison.
        width: Width,
        /// Comparison.
        cond: Cond,
        /// Left-hand side.
        dst: Reg,
        /// Right-hand side.
        src: Operand,
        /// `src` is an immediate that was negated: compare by adding it.
        negated: bool,
        /// Slot.
        to: usize,
    },
    /// Calls a function of the program.
    CallLocal {
        /// Its first slot.
        to: usize,
    },
    /// A map helper, run by the card's firmware.
    CallMap {
        /// Which.
        helper: MapHelper,
        /// The key's place in the running function's frame, in bytes from the frame's top; `None` where it is only
        /// known when the program runs.
        key: Option<i32>,
    },
    /// One thing or another, by the memory that a register points into.
    Choose {
        /// The register.
        base: Reg,
        /// What it is looked at for.
        among: Among,
        /// Where it is.
        there: Box<Action>,
        /// Where it is not.
        elsewhere: Box<Action>,
    },
    /// A helper that the firmware runs over whatever memory its arguments are in.
    CallHelper {
        /// Its number.
        id: u32,
        /// It may move the packet's ends.
        changes_packet: bool,
    },
    /// An atomic operation on a number in the host's byte order, on the stack or in a map's value, run by the firmware.
    AtomicCall {
        /// The change.
        op: AtomicOp,
        /// The number that was there goes to `src`, or of `cmpxchg` to R0.
        fetch: bool,
        /// Eight bytes instead of four.
        wide: bool,
        /// Address register.
        base: Reg,
        /// Byte offset.
        off: i16,
        /// Operand.
        src: Reg,
    },
    /// `bpf_get_prandom_u32`.
    CallRandom,
    /// `bpf_perf_event_output`, run by the card's firmware.
    CallEvent {
        /// Where the data is, in the firmware's code.
        data: EventData,
    },
    /// `bpf_xdp_adjust_head`.
    AdjustHead {
        /// The firmware guarantees that it succeeds.
        certain: bool,
    },
    /// `bpf_xdp_adjust_tail`.
    AdjustTail,
    /// Leaves the running function.
    Exit,
}

/// Arithmetic that the card does on each half, with a carry between them where it takes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arith {
    /// Sum.
    Add,
    /// Difference.
    Sub,
    /// Bitwise and.
    And,
    /// Bitwise or.
    Or,
    /// Bitwise exclusive or.
    Xor,
}

/// Direction and filling of a shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShiftKind {
    /// Left.
    Left,
    /// Right, zeros come in.
    Right,
    /// Right, copies of the sign come in.
    Arithmetic,
}

/// A memory that addresses say by themselves they point into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Among {
    /// External memory, where the values of maps are: the upper half is not 0.
    Values,
    /// Packet memory, with an upper half of 0: bit 31 is set.
    Packets,
}

/// How far a shift goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// By a constant below the width.
    Fixed(u8),
    /// By a register below 32.
    Below32(Reg),
    /// By a register of 32 and more.
    From32(Reg),
    /// By a register.
    Any(Reg),
}

/// What is known of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// Both factors fit 16 bits: the upper half is 0 before and after.
    Short,
    /// 64 bits of a product of two 32-bit factors.
    Long,
    /// The low 32 bits; the upper half is cleared.
    LowOnly,
}

/// Which division.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Division {
    /// Of signed numbers, towards 0.
    pub signed: bool,
    /// The remainder instead of the quotient.
    pub remainder: bool,
}

/// What a load reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A field of the context.
    Context(Field),
    /// The packet.
    Packet(PacketAt),
    /// The stack.
    Stack(StackAt),
    /// A value of a map.
    MapValue,
}

/// What a store writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    /// The packet.
    Packet(PacketAt),
    /// The stack.
    Stack(StackAt),
    /// A value of a map.
    MapValue,
}

/// A field of the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Start of the packet.
    Data,
    /// End of the packet.
    DataEnd,
    /// Length of the packet.
    Length,
    /// Start of the metadata in front of the packet.
    Metadata,
    /// Number of the device the packet came in by.
    Device,
    /// Nothing but 0: what the card does not know yet.
    Zero,
}

/// A packet pointer: pointers of one `id` differ by their `off` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketAt {
    /// Which variable part.
    pub id: u32,
    /// Constant part, in bytes.
    pub off: i32,
    /// The read command that serves this load together with its neighbours.
    pub window: Option<Window>,
}

/// A run of packet bytes read at once, of which loads take their parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First byte, in the terms of the loads' own offsets.
    pub start: i16,
    /// One past the last byte; at most 64 after the first.
    pub end: i16,
    /// This load is the one that reads it.
    pub fill: bool,
}

/// Where in the stack a pointer reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StackAt {
    /// The running function's frame, at this many bytes from the frame's top (the pointer alone, without the
    /// instruction's offset).
    Own(i32),
    /// The block of the context's fields, at the instruction's offset.
    Context,
    /// Wherever the register says; the constant is the pointer at some visit, right modulo 4.
    Register(i32),
}

/// How large an atomic addend can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addend {
    /// It fits 16 bits: part of the command.
    Short,
    /// It never fits 16 bits.
    Long,
    /// The program finds out.
    Either,
}

/// Map helpers that the firmware runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MapHelper {
    /// `bpf_map_lookup_elem`
    Lookup,
    /// `bpf_map_update_elem`
    Update,
    /// `bpf_map_delete_elem`
    Delete,
}

/// Where the data of an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventData {
    /// Nowhere.
    Null,
    /// In a map's value.
    MapValue,
    /// On the stack.
    Stack,
    /// In the packet.
    Packet,
}

/// A copy of memory into the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyRun {
    /// Bytes, at most 128.
    pub len: u16,
    /// Width of one load and store.
    pub size: Size,
    /// Register the bytes went through; it holds the last load's value afterwards.
    pub through: Reg,
    /// The source is a map's value rather than the packet.
    pub from_map: bool,
    /// Address register of the source.
    pub src: Reg,
    /// Lowest source offset.
    pub src_off: i16,
    /// Address register of the destination.
    pub dst: Reg,
    /// Lowest destination offset.
    pub dst_off: i16,
    /// The run went from high to low addresses.
    pub descending: bool,
}

impl CopyRun {
    /// Which bytes of the run, from the lowest on, stand in [`CopyRun::through`] afterwards. That should be the last
    /// load's. The Linux driver takes them from the end of the run's last word where it went up, of its first word where
    /// it went down, and of words always the first.
    pub fn left_at(&self) -> u16 {
        let end = self.len - self.size.bytes() as u16;
        match (self.descending, self.size) {
            (_, Size::W) => 0,
            (true, _) => end % 4,
            (false, _) => end,
        }
    }

    /// Whether those are the last load's.
    pub fn leaves_last_value(&self) -> bool {
        let last = if self.descending { 0 } else { self.len - self.size.bytes() as u16 };
        self.left_at() == last
    }
}
