//! What an instruction does beyond computing: columns of the table.

use bitflags::bitflags;

/// What an instruction can do besides writing registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Nothing, and it leaves the previous result alone.
    None,
    /// It produces a result: the "previous result" of later instructions.
    Result,
    /// It issues a command to another unit.
    Command,
    /// It can move the program counter.
    Branch,
    /// It gives the core away.
    Yield,
    /// It reads or writes a local CSR.
    Csr,
}

/// Cost class of an instruction. The cycles of each stand in the card's profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimingClass {
    /// `nop`.
    Nop,
    /// `immed` in its three widths.
    Immed,
    /// `alu`.
    Alu,
    /// `alu_shf`, `dbl_shf`, `asr`.
    Shift,
    /// `ld_field`, `byte_align`.
    Merge,
    /// `mul_step`.
    Multiply,
    /// `ffs`, `pop_count`.
    Count,
    /// `crc`.
    Crc,
    /// The content addressable memory.
    Cam,
    /// Reading a local CSR.
    CsrRead,
    /// Writing a local CSR.
    CsrWrite,
    /// Branches to an address in the word.
    Branch,
    /// Branches to an address in a register.
    Jump,
    /// Memory commands.
    Command,
    /// Context arbitration.
    Arbitrate,
}

bitflags! {
    /// Where something outside the running context can be seen or can stall it: there a burst of instructions must end
    /// (or check that it need not).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct External: u16 {
        /// The context gives the core away and waits.
        const WAIT = 1 << 0;
        /// A command is issued: its queue may be full.
        const QUEUE = 1 << 1;
        /// A signal or an event mask is seen or changed.
        const SIGNAL = 1 << 2;
        /// The state of a ring is seen.
        const RING = 1 << 3;
        /// A next-neighbour register or its ring is touched.
        const NEIGHBOUR = 1 << 4;
        /// A transfer register is touched: it matters while a command on it is under way.
        const TRANSFER = 1 << 5;
        /// The time is seen.
        const TIME = 1 << 6;
        /// The code store is seen or changed.
        const CODE_STORE = 1 << 7;
        /// A CSR that others can see, or that steers the core, is touched.
        const SHARED_CSR = 1 << 8;
    }
}

impl External {
    /// Nothing outside is involved.
    pub const NONE: Self = Self::empty();
}
