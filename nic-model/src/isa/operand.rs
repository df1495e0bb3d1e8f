//! Registers and operands as a programmer names them.
//!
//! How they turn into bits is in [`super::ports`]; here is only what they are.

/// The two banks of general purpose registers. The core has one read port to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bank {
    /// Bank A, read through port A.
    A,
    /// Bank B, read through port B.
    B,
}

impl Bank {
    /// The other bank.
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// What an access through an index register does to the index afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Leaves it.
    Hold,
    /// Adds one register.
    Increment,
    /// Subtracts one register.
    Decrement,
}

/// A register that an instruction can name.
///
/// Numbers are those of four-context mode. In eight-context mode each context owns half as many registers: the core
/// then ignores bit 4 of the number ([`ContextMode::register`] and [`ContextMode::transfer`] give the number that
/// counts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reg {
    /// `gprA_n`, `gprB_n`: general purpose register `n` of the running context, 0 to 31.
    Gpr(Bank, u8),
    /// `@gprA_n`, `@gprB_n`: general purpose register by its number in the whole bank, 0 to 127.
    Absolute(Bank, u8),
    /// `$xfer_n`: transfer register of the running context, 0 to 63. A source reads the *in* side, which commands
    /// fill; a destination writes the *out* side, from which commands take their data.
    Xfer(u8),
    /// `*$index`: the transfer register that the `XferIndex` CSR points to.
    XferIndex(Step),
    /// `n$reg_n`: next-neighbour register, 0 to 31. A source reads the own file, which the previous core fills; a
    /// destination writes the file of the next core (or the own one, if the core is configured so).
    Neighbour(u8),
    /// `*n$index`: head or tail of the next-neighbour ring; with `true`, `*n$index++`.
    NeighbourIndex(bool),
    /// `*l$indexP[offset]`: the local memory word at pointer `P` (0 to 3) *or* offset (0 to 15; restricted operands
    /// reach 0 to 7). The offset is ORed into the pointer, not added (Linux nfp driver, `jit.c`).
    Local {
        /// Which of the four pointers.
        pointer: u8,
        /// Word offset.
        offset: u8,
    },
    /// `*l$indexP++`: the word at the pointer, then the pointer moves up one word.
    LocalIncrement {
        /// Which of the four pointers.
        pointer: u8,
    },
    /// `*l$indexP--`: the word at the pointer, then the pointer moves down one word.
    LocalDecrement {
        /// Which of the four pointers.
        pointer: u8,
    },
}

impl Reg {
    /// Bank of a general purpose register, relative or absolute.
    pub const fn bank(self) -> Option<Bank> {
        match self {
            Self::Gpr(bank, _) | Self::Absolute(bank, _) => Some(bank),
            _ => None,
        }
    }

    /// Local memory pointer the register goes through, if it does.
    pub const fn local_pointer(self) -> Option<u8> {
        match self {
            Self::Local { pointer, .. } | Self::LocalIncrement { pointer } | Self::LocalDecrement { pointer } => {
                Some(pointer)
            }
            _ => None,
        }
    }

    /// Whether the access also moves the pointer it goes through.
    pub const fn moves_pointer(self) -> bool {
        matches!(
            self,
            Self::LocalIncrement { .. }
                | Self::LocalDecrement { .. }
                | Self::NeighbourIndex(true)
                | Self::XferIndex(Step::Increment | Step::Decrement)
        )
    }
}

/// A source operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A register.
    Reg(Reg),
    /// An unsigned constant: 0 to 255, in restricted operands without an eighth bit 0 to 127.
    Imm(u8),
}

impl From<Reg> for Source {
    fn from(reg: Reg) -> Self {
        Self::Reg(reg)
    }
}

impl Source {
    /// The register, if it is one.
    pub const fn reg(self) -> Option<Reg> {
        match self {
            Self::Reg(reg) => Some(reg),
            Self::Imm(_) => None,
        }
    }
}

/// A destination operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dst {
    /// Where the result goes; `None` is `--`: condition codes and previous result still change.
    pub reg: Option<Reg>,
    /// `gpr_wrboth`: the result goes to the same register number of both banks.
    pub both: bool,
}

impl Dst {
    /// `--`.
    pub const NONE: Self = Self { reg: None, both: false };

    /// One register.
    pub const fn to(reg: Reg) -> Self {
        Self { reg: Some(reg), both: false }
    }

    /// General purpose register `n` of both banks, encoded through bank A as the Linux driver does.
    pub const fn both(n: u8) -> Self {
        Self { reg: Some(Reg::Gpr(Bank::A, n)), both: true }
    }
}

/// Read port of the core: which of the two source fields of the word holds an operand.
pub type Port = Bank;

/// What stands in a source field that the instruction does not read. Two forms are seen in the wild.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Idle {
    /// All bits zero (Linux driver; vendor's assembler in some instructions).
    #[default]
    Zero,
    /// The constant 0 (vendor's assembler in others).
    Constant,
}

/// How many contexts the core runs, which decides how many registers each owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum ContextMode {
    /// Four contexts (0, 2, 4, 6): 32 registers a bank, 64 transfer registers each way, 32 neighbour registers.
    #[default]
    Four,
    /// Eight contexts: half of that each.
    Eight,
}

impl ContextMode {
    /// The general purpose or neighbour register that the number `n` of four-context mode selects.
    pub const fn register(self, n: u8) -> u8 {
        match self {
            Self::Four => n,
            Self::Eight => n & 15,
        }
    }

    /// The transfer register that the number `n` of four-context mode selects.
    pub const fn transfer(self, n: u8) -> u8 {
        match self {
            Self::Four => n,
            Self::Eight => (n & 15) | ((n >> 5) << 4),
        }
    }
}

/// Something an instruction reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A register: as a use its source side, as a definition its destination side (see [`Reg::Xfer`],
    /// [`Reg::Neighbour`]).
    Reg(Reg),
    /// The local memory pointer with this number.
    LocalPointer(u8),
    /// The index that `*$index` or `*n$index` goes through.
    Index,
    /// The condition codes N, Z, V, C.
    Flags,
    /// The result of the latest instruction that produced one ("previous ALU result").
    Previous,
    /// The left operand of the latest instruction that had one: the amount of indirect shifts.
    PreviousLeft,
    /// The multiplier's, checksum's, byte aligner's or population counter's running state.
    Running,
    /// The content addressable memory.
    Cam,
    /// A local CSR.
    Csr(super::csr::Csr),
}
