//! The instruction set (RFC 9669, and what Linux 6.18 has beyond it): a small syntax tree, and the doors in and out of it.
//!
//! A program is a list of 8-byte slots. [`Insn`] has one value for each slot; the second half of a wide instruction is
//! [`Insn::Pad`], so that indices and jump offsets are the kernel's.
//!
//! bytes ↔ [`raw`] → [`legality`] → [`decode`](decode()) → [`Insn`] → [`encode`](encode()); [`flow`] says what an
//! instruction reads and writes and where control goes, [`text`] how it is printed, [`listing`]
//! a whole program; [`asm`] reads that again.

pub mod asm;
pub mod decode;
pub mod encode;
pub mod flow;
pub mod legality;
mod linux_words;
pub mod listing;
pub mod raw;
pub mod text;

pub use decode::{DecodeError, DecodeReason, decode, decode_bytes};
pub use encode::{EncodeError, encode, encode_bytes};
pub use flow::RegSet;
pub use listing::{Listing, Show};
pub use raw::{Endian, RawInsn, SLOT};
pub use text::{Dialect, Names};

/// Index into the maps of the program ([`crate::program::Program::maps`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapIndex(pub u32);

/// A BPF register, R0 to R10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reg(u8);

impl Reg {
    /// Return value.
    pub const R0: Reg = Reg(0);
    /// First argument; the context on entry.
    pub const R1: Reg = Reg(1);
    /// Second argument.
    pub const R2: Reg = Reg(2);
    /// Third argument.
    pub const R3: Reg = Reg(3);
    /// Fourth argument.
    pub const R4: Reg = Reg(4);
    /// Fifth argument.
    pub const R5: Reg = Reg(5);
    /// First callee-saved register.
    pub const R6: Reg = Reg(6);
    /// Callee-saved.
    pub const R7: Reg = Reg(7);
    /// Callee-saved.
    pub const R8: Reg = Reg(8);
    /// Last callee-saved register.
    pub const R9: Reg = Reg(9);
    /// Frame pointer, read-only.
    pub const R10: Reg = Reg(10);
    /// Registers there are.
    pub const COUNT: usize = 11;

    /// The register of that number, if there is one.
    pub const fn new(number: u8) -> Option<Reg> {
        if number <= 10 { Some(Reg(number)) } else { None }
    }

    /// Its number, 0 to 10.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// All registers, ascending.
    pub fn all() -> impl Iterator<Item = Reg> {
        (0..=10).map(Reg)
    }
}

/// Width of an arithmetic or jump operation: class ALU/JMP32 or ALU64/JMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Width {
    /// 32 bits; results are zero-extended.
    W32,
    /// 64 bits.
    W64,
}

/// Size of a memory access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Size {
    /// One byte.
    B,
    /// Two bytes.
    H,
    /// Four bytes.
    W,
    /// Eight bytes.
    D,
}

impl Size {
    /// Bytes.
    pub const fn bytes(self) -> u32 {
        match self {
            Size::B => 1,
            Size::H => 2,
            Size::W => 4,
            Size::D => 8,
        }
    }
}

/// Right-hand side: a register, or an immediate that is sign-extended to the operation's width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operand {
    /// `BPF_X`.
    Reg(Reg),
    /// `BPF_K`.
    Imm(i32),
}

/// Binary arithmetic (RFC 9669 §4.1), moves and byte order apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AluOp {
    /// `dst += src`
    Add,
    /// `dst -= src`
    Sub,
    /// `dst *= src`
    Mul,
    /// Unsigned division; by zero gives 0.
    Div,
    /// Signed division (offset 1).
    Sdiv,
    /// Unsigned remainder; by zero leaves `dst`.
    Mod,
    /// Signed remainder (offset 1).
    Smod,
    /// `dst |= src`
    Or,
    /// `dst &= src`
    And,
    /// `dst ^= src`
    Xor,
    /// Left shift, amount masked to the width.
    Lsh,
    /// Logical right shift, amount masked.
    Rsh,
    /// Arithmetic right shift, amount masked.
    Arsh,
}

impl AluOp {
    /// All of them, as declared.
    pub const ALL: [AluOp; 13] = [
        AluOp::Add,
        AluOp::Sub,
        AluOp::Mul,
        AluOp::Div,
        AluOp::Sdiv,
        AluOp::Mod,
        AluOp::Smod,
        AluOp::Or,
        AluOp::And,
        AluOp::Xor,
        AluOp::Lsh,
        AluOp::Rsh,
        AluOp::Arsh,
    ];
}

/// Byte order operation (RFC 9669 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// To little endian (`BPF_ALU|BPF_END|BPF_K`).
    Le,
    /// To big endian (`BPF_ALU|BPF_END|BPF_X`).
    Be,
    /// Unconditional swap (`BPF_ALU64|BPF_END`).
    Swap,
}

/// Comparison of a conditional jump (RFC 9669 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cond {
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// Unsigned `>`
    Gt,
    /// Unsigned `>=`
    Ge,
    /// Unsigned `<`
    Lt,
    /// Unsigned `<=`
    Le,
    /// `dst & src != 0`
    Set,
    /// Signed `>`
    Sgt,
    /// Signed `>=`
    Sge,
    /// Signed `<`
    Slt,
    /// Signed `<=`
    Sle,
}

impl Cond {
    /// All of them, as declared.
    pub const ALL: [Cond; 11] = [
        Cond::Eq,
        Cond::Ne,
        Cond::Gt,
        Cond::Ge,
        Cond::Lt,
        Cond::Le,
        Cond::Set,
        Cond::Sgt,
        Cond::Sge,
        Cond::Slt,
        Cond::Sle,
    ];
}

/// Atomic operation (RFC 9669 §5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AtomicOp {
    /// Addition.
    Add,
    /// Or.
    Or,
    /// And.
    And,
    /// Exclusive or.
    Xor,
    /// Exchange; always fetches.
    Xchg,
    /// Compare R0 and exchange; always fetches, into R0.
    Cmpxchg,
}

impl AtomicOp {
    /// All of them, as declared.
    pub const ALL: [AtomicOp; 6] =
        [AtomicOp::Add, AtomicOp::Or, AtomicOp::And, AtomicOp::Xor, AtomicOp::Xchg, AtomicOp::Cmpxchg];
}

/// What a wide load puts into its register (RFC 9669 §5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wide {
    /// A 64-bit constant.
    Value(u64),
    /// A reference to a map.
    Map(MapIndex),
    /// The address of a byte in the first value of a map.
    MapValue {
        /// The map.
        map: MapIndex,
        /// Byte in the value.
        off: u32,
    },
    /// The address of a variable of the kernel or one of its modules.
    Variable {
        /// Its BTF id.
        id: u32,
        /// Descriptor of the BTF it is in; 0 is the kernel's own (Linux, second slot's immediate).
        btf: u32,
    },
    /// The address of a function of this program: the distance in slots from the next instruction, as the object has it.
    Func {
        /// Slots from the wide instruction's first slot plus one to the function.
        off: i32,
    },
}

/// What a call goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Callee {
    /// A helper by number.
    Helper(u32),
    /// A function of this program: distance in slots from the next instruction.
    Local(i32),
    /// A kernel function.
    Kfunc(Kfunc),
    /// What a register names (`callx`, not in RFC 9669). LLVM from 19 and GCC name the register in the destination field,
    /// LLVM before that in the immediate; both decode to this, and the first is what is written.
    Reg(Reg),
}

/// A kernel function, by BTF id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kfunc {
    /// The id in its BTF.
    pub id: i32,
    /// Which module's BTF, as an index into the loader's list of descriptors; 0 is the kernel's own (Linux, the call's
    /// offset).
    pub module: i16,
}

/// Packet access of classic BPF's heritage (RFC 9669 §5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PacketMode {
    /// `BPF_ABS`: offset is the immediate.
    Abs,
    /// `BPF_IND`: offset is the register plus the immediate.
    Ind(Reg),
}

/// One slot, by meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Insn {
    /// `dst = dst op src`.
    Alu {
        /// Width.
        width: Width,
        /// Operation.
        op: AluOp,
        /// Destination and left-hand side.
        dst: Reg,
        /// Right-hand side.
        src: Operand,
    },
    /// `dst = src`, sign-extended from `sext` bytes where given.
    Mov {
        /// Width.
        width: Width,
        /// Destination.
        dst: Reg,
        /// Source.
        src: Operand,
        /// `movsx`: bits of the source to sign-extend from, 8, 16 or 32.
        sext: Option<u8>,
    },
    /// `dst = -dst`.
    Neg {
        /// Width.
        width: Width,
        /// Register.
        dst: Reg,
    },
    /// Byte order of the low `bits` of `dst`; the rest is cleared.
    End {
        /// Which.
        order: ByteOrder,
        /// Register.
        dst: Reg,
        /// 16, 32 or 64.
        bits: u8,
    },
    /// Wide load (two slots).
    LoadImm64 {
        /// Destination.
        dst: Reg,
        /// What it holds.
        value: Wide,
    },
    /// Second slot of a wide load.
    Pad,
    /// `dst = *(size *)(base + off)`.
    Load {
        /// Size.
        size: Size,
        /// Sign-extend (`BPF_MEMSX`).
        sext: bool,
        /// Destination.
        dst: Reg,
        /// Address register.
        base: Reg,
        /// Byte offset.
        off: i16,
    },
    /// `*(size *)(base + off) = src`.
    Store {
        /// Size.
        size: Size,
        /// Address register.
        base: Reg,
        /// Byte offset.
        off: i16,
        /// Value; an immediate is sign-extended to 64 bits.
        src: Operand,
    },
    /// `R0 = ntoh(*(size *)(packet + offset))`, or end of the program when out of bounds.
    LoadPacket {
        /// Size; at most four bytes.
        size: Size,
        /// How the offset is formed.
        mode: PacketMode,
        /// Immediate part of the offset.
        imm: i32,
    },
    /// Atomic operation on memory.
    Atomic {
        /// Operation.
        op: AtomicOp,
        /// Whether the old value comes back.
        fetch: bool,
        /// Four or eight bytes.
        size: Size,
        /// Address register.
        base: Reg,
        /// Byte offset.
        off: i16,
        /// Operand register; takes the old value when fetching (R0 does for compare-and-exchange).
        src: Reg,
    },
    /// `dst = *(size *)(base + off)`, before every access that follows (Linux, `BPF_LOAD_ACQ`).
    LoadAcquire {
        /// Size.
        size: Size,
        /// Destination; zero-extended.
        dst: Reg,
        /// Address register.
        base: Reg,
        /// Byte offset.
        off: i16,
    },
    /// `*(size *)(base + off) = src`, after every access before it (Linux, `BPF_STORE_REL`).
    StoreRelease {
        /// Size.
        size: Size,
        /// Address register.
        base: Reg,
        /// Byte offset.
        off: i16,
        /// Value.
        src: Reg,
    },
    /// `dst = src`, a pointer from one address space to another (Linux: arenas).
    AddrSpaceCast {
        /// Destination.
        dst: Reg,
        /// Source.
        src: Reg,
        /// Address space of the result: the immediate's upper half.
        to: u16,
        /// Address space of the source: the immediate's lower half.
        from: u16,
    },
    /// Unconditional jump (`ja`, or `gotol` when `long`).
    Jump {
        /// Slots from the next instruction.
        off: i32,
        /// Encoded in the immediate (class JMP32).
        long: bool,
    },
    /// Conditional jump.
    Branch {
        /// Width of the comparison.
        width: Width,
        /// Comparison.
        cond: Cond,
        /// Left-hand side.
        dst: Reg,
        /// Right-hand side.
        src: Operand,
        /// Slots from the next instruction.
        off: i16,
    },
    /// A jump that is taken once the loop it stands in has run for too long (Linux, `BPF_JCOND`).
    MayGoto {
        /// Slots from the next instruction.
        off: i16,
    },
    /// Call.
    Call {
        /// Callee.
        callee: Callee,
    },
    /// End of the function. Linux does not look at its offset, so it may be anything, and is written as 0.
    Exit,
}
