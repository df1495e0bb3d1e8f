//! One instruction of classic BPF: as it is stored, by meaning, and as text.

use std::fmt;

use super::Ancillary;
use crate::insn::Size;

/// An instruction as it is stored: `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RawFilter {
    /// Operation.
    pub code: u16,
    /// Instructions to skip if the comparison holds.
    pub jt: u8,
    /// Instructions to skip if it does not.
    pub jf: u8,
    /// Immediate.
    pub k: u32,
}

/// A register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reg {
    /// The accumulator.
    A,
    /// The index.
    X,
}

/// Right-hand side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operand {
    /// `BPF_K`.
    K(u32),
    /// `BPF_X`.
    X,
}

macro_rules! operations {
    ($(#[$doc:meta])* $name:ident { $($(#[$row:meta])* $variant:ident = $code:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$row])* $variant = $code,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// The operation in bits 4 to 7 of an opcode.
            fn of(code: u16) -> Option<$name> {
                Self::ALL.iter().copied().find(|op| *op as u16 == code & 0xf0)
            }

            /// The mnemonic.
            pub const fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)*
                }
            }
        }
    };
}

operations! {
    /// Arithmetic on A, 32 bits wide.
    AluOp {
        /// `A += src`
        Add = 0x00, "add";
        /// `A -= src`
        Sub = 0x10, "sub";
        /// `A *= src`
        Mul = 0x20, "mul";
        /// `A /= src`; by zero ends the filter with 0.
        Div = 0x30, "div";
        /// `A |= src`
        Or = 0x40, "or";
        /// `A &= src`
        And = 0x50, "and";
        /// `A <<= src`, amount modulo 32.
        Lsh = 0x60, "lsh";
        /// `A >>= src`, amount modulo 32.
        Rsh = 0x70, "rsh";
        /// `A %= src`; by zero ends the filter with 0.
        Mod = 0x90, "mod";
        /// `A ^= src`
        Xor = 0xa0, "xor";
    }
}

operations! {
    /// Comparison of A, unsigned.
    Cond {
        /// `==`
        Eq = 0x10, "jeq";
        /// `>`
        Gt = 0x20, "jgt";
        /// `>=`
        Ge = 0x30, "jge";
        /// `A & src != 0`
        Set = 0x40, "jset";
    }
}

/// What a filter returns: bytes of the packet to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// This many.
    K(u32),
    /// As many as A says.
    A,
}

/// One instruction, by meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Insn {
    /// `A = packet[k..]`. From -0x100000 the offset counts from the network header, from -0x200000 from the link header.
    LoadAbs {
        /// 1, 2 or 4 bytes.
        size: Size,
        /// Offset.
        k: u32,
    },
    /// `A = packet[X + k..]`.
    LoadInd {
        /// 1, 2 or 4 bytes.
        size: Size,
        /// Offset.
        k: u32,
    },
    /// `A` = something beside the packet. The size does not matter.
    LoadAncillary {
        /// 1, 2 or 4 bytes.
        size: Size,
        /// What.
        what: Ancillary,
    },
    /// `X = 4 * (packet[k] & 0xf)`: the length of an IPv4 header.
    LoadMsh {
        /// Offset.
        k: u32,
    },
    /// A constant.
    LoadImm {
        /// Destination.
        to: Reg,
        /// Value.
        k: u32,
    },
    /// `to = M[cell]`.
    LoadMem {
        /// Destination.
        to: Reg,
        /// Cell, 0 to 15.
        cell: u32,
    },
    /// `to` = length of the packet.
    LoadLen {
        /// Destination.
        to: Reg,
    },
    /// `M[cell] = from`.
    Store {
        /// Source.
        from: Reg,
        /// Cell, 0 to 15.
        cell: u32,
    },
    /// `A = A op src`.
    Alu {
        /// Operation.
        op: AluOp,
        /// Right-hand side.
        src: Operand,
    },
    /// `A = -A`.
    Neg,
    /// Skips `k` instructions.
    Jump {
        /// Instructions.
        k: u32,
    },
    /// Skips `jt` instructions if the comparison holds, else `jf`.
    Branch {
        /// Comparison.
        cond: Cond,
        /// Right-hand side.
        src: Operand,
        /// Instructions if it holds.
        jt: u8,
        /// Instructions if it does not.
        jf: u8,
    },
    /// `X = A`.
    Tax,
    /// `A = X`.
    Txa,
    /// Ends the filter.
    Return(Verdict),
}

/// Why a word is no instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoInsn {
    /// The opcode is none.
    Code,
    /// A load from where there is nothing.
    Ancillary,
}

impl Insn {
    /// The instruction of a word. Fields it does not use may hold anything, as for Linux; `k` is not looked at but in loads
    /// beside the packet.
    pub(super) fn decode(raw: RawFilter) -> Result<Insn, NoInsn> {
        let RawFilter { code, jt, jf, k } = raw;
        let src = if code & 8 == 0 { Operand::K(k) } else { Operand::X };
        let size = match code & 0x18 {
            0x00 => Size::W,
            0x08 => Size::H,
            _ => Size::B,
        };
        Ok(match code {
            0x20 | 0x28 | 0x30 => match Ancillary::at(k) {
                Some(what) => Insn::LoadAncillary { size, what },
                None if k >= super::ancillary::AD_OFF => return Err(NoInsn::Ancillary),
                None => Insn::LoadAbs { size, k },
            },
            0x40 | 0x48 | 0x50 => Insn::LoadInd { size, k },
            0x00 => Insn::LoadImm { to: Reg::A, k },
            0x01 => Insn::LoadImm { to: Reg::X, k },
            0x60 => Insn::LoadMem { to: Reg::A, cell: k },
            0x61 => Insn::LoadMem { to: Reg::X, cell: k },
            0x80 => Insn::LoadLen { to: Reg::A },
            0x81 => Insn::LoadLen { to: Reg::X },
            0xb1 => Insn::LoadMsh { k },
            0x02 => Insn::Store { from: Reg::A, cell: k },
            0x03 => Insn::Store { from: Reg::X, cell: k },
            0x84 => Insn::Neg,
            0x05 => Insn::Jump { k },
            0x06 => Insn::Return(Verdict::K(k)),
            0x16 => Insn::Return(Verdict::A),
            0x07 => Insn::Tax,
            0x87 => Insn::Txa,
            _ if code > 0xff => return Err(NoInsn::Code),
            _ => match code & 7 {
                4 => Insn::Alu { op: AluOp::of(code).ok_or(NoInsn::Code)?, src },
                5 => Insn::Branch { cond: Cond::of(code).ok_or(NoInsn::Code)?, src, jt, jf },
                _ => return Err(NoInsn::Code),
            },
        })
    }

    /// The word of an instruction; fields it does not use are 0.
    pub fn encode(&self) -> RawFilter {
        let word = |code, k| RawFilter { code, jt: 0, jf: 0, k };
        let sized = |size| match size {
            Size::H => 0x08,
            Size::B => 0x10,
            _ => 0x00,
        };
        let of_x = |reg| u16::from(reg == Reg::X);
        let with = |code: u16, src| match src {
            Operand::K(k) => word(code, k),
            Operand::X => word(code | 8, 0),
        };
        match *self {
            Insn::LoadAbs { size, k } => word(0x20 | sized(size), k),
            Insn::LoadInd { size, k } => word(0x40 | sized(size), k),
            Insn::LoadAncillary { size, what } => word(0x20 | sized(size), what.k()),
            Insn::LoadMsh { k } => word(0xb1, k),
            Insn::LoadImm { to, k } => word(of_x(to), k),
            Insn::LoadMem { to, cell } => word(0x60 | of_x(to), cell),
            Insn::LoadLen { to } => word(0x80 | of_x(to), 0),
            Insn::Store { from, cell } => word(0x02 + of_x(from), cell),
            Insn::Alu { op, src } => with(op as u16 | 4, src),
            Insn::Neg => word(0x84, 0),
            Insn::Jump { k } => word(0x05, k),
            Insn::Branch { cond, src, jt, jf } => RawFilter { jt, jf, ..with(cond as u16 | 5, src) },
            Insn::Tax => word(0x07, 0),
            Insn::Txa => word(0x87, 0),
            Insn::Return(Verdict::K(k)) => word(0x06, k),
            Insn::Return(Verdict::A) => word(0x16, 0),
        }
    }

    /// The instruction as `tcpdump -d` prints it at that index.
    pub fn at(&self, pc: usize) -> impl fmt::Display {
        At(*self, pc)
    }
}

struct At(Insn, usize);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let At(insn, pc) = *self;
        let load = |reg| if reg == Reg::A { "ld" } else { "ldx" };
        let sized = |size| match size {
            Size::B => "ldb",
            Size::H => "ldh",
            _ => "ld",
        };
        let (name, operand) = match insn {
            Insn::LoadAbs { size, k } => (sized(size), format!("[{k}]")),
            Insn::LoadInd { size, k } => (sized(size), format!("[x + {k}]")),
            Insn::LoadAncillary { size, what } => (sized(size), format!("[{}]", what.k())),
            Insn::LoadMsh { k } => ("ldxb", format!("4*([{k}]&0xf)")),
            Insn::LoadImm { to, k } => (load(to), format!("#{k:#x}")),
            Insn::LoadMem { to, cell } => (load(to), format!("M[{cell}]")),
            Insn::LoadLen { to } => (load(to), "#pktlen".to_owned()),
            Insn::Store { from: Reg::A, cell } => ("st", format!("M[{cell}]")),
            Insn::Store { from: Reg::X, cell } => ("stx", format!("M[{cell}]")),
            Insn::Alu { op, src: Operand::X } => (op.name(), "x".to_owned()),
            // Bit masks in hexadecimal, numbers in decimal.
            Insn::Alu { op: op @ (AluOp::And | AluOp::Or | AluOp::Xor), src: Operand::K(k) } => {
                (op.name(), format!("#{k:#x}"))
            }
            Insn::Alu { op, src: Operand::K(k) } => (op.name(), format!("#{k}")),
            Insn::Neg => ("neg", String::new()),
            Insn::Jump { k } => ("ja", format!("{}", pc as u64 + 1 + u64::from(k))),
            Insn::Branch { cond, src, jt, jf } => {
                let src = match src {
                    Operand::K(k) => format!("#{k:#x}"),
                    Operand::X => "x".to_owned(),
                };
                let to = |skip: u8| pc + 1 + usize::from(skip);
                (cond.name(), format!("{src:<16} jt {}\tjf {}", to(jt), to(jf)))
            }
            Insn::Tax => ("tax", String::new()),
            Insn::Txa => ("txa", String::new()),
            Insn::Return(Verdict::K(k)) => ("ret", format!("#{k}")),
            Insn::Return(Verdict::A) => ("ret", "a".to_owned()),
        };
        write!(f, "{name:<8} {operand}")
    }
}
