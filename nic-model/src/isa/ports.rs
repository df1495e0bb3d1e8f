//! The source fields of a word, what they may hold together, and the operands that fill both.

use super::bits::{Bits, bits};
use super::codes::{WIDE_CONSTANT, narrow_constant, narrow_reg, narrow_source, wide_reg, wide_source};
use super::error::{DecodeReason, EncodeError};
use super::field::{Field, Span};
use super::operand::{Bank, Place, Port, Reg, Source};

/// The two source fields of a format and the flags that go with them.
#[derive(Clone, Copy)]
pub struct Ports {
    pub(super) a: Bits,
    pub(super) b: Bits,
    /// Ten-bit codes rather than eight-bit ones.
    pub(super) wide: bool,
    /// Set when the left operand stands at port B.
    swap: Option<Bits>,
    /// Eighth bit of a restricted constant.
    eighth: Option<Bits>,
    /// High bit of the local memory pointer's number.
    high: Option<Bits>,
}

/// High bit of the pointer of local memory sources.
const SOURCE_HIGH: Bits = bits(42, 1);

impl Ports {
    /// Ten-bit sources without a swap bit: `local_csr_wr`, `jump`.
    pub(super) const WIDE: Self =
        Self { a: bits(0, 10), b: bits(10, 10), wide: true, swap: None, eighth: None, high: Some(SOURCE_HIGH) };
    /// Ten-bit sources of `alu` and `mul_step`.
    pub(super) const ALU: Self = Self { swap: Some(bits(30, 1)), ..Self::WIDE };
    /// Eight-bit sources of a memory command: constants of seven bits, pointers 0 and 1.
    pub(super) const COMMAND: Self =
        Self { a: bits(0, 8), b: bits(10, 8), wide: false, swap: None, eighth: None, high: None };
    /// Eight-bit sources of `br_bset` and `br_bclr`.
    pub(super) const BIT: Self = Self { high: Some(SOURCE_HIGH), ..Self::COMMAND };
    /// Eight-bit sources of `br=byte`.
    pub(super) const BYTE: Self = Self { eighth: Some(bits(18, 1)), ..Self::BIT };
    /// Eight-bit sources of `alu_shf` and `ld_field`.
    pub(super) const SHIFT: Self = Self { swap: Some(bits(19, 1)), ..Self::BYTE };

    fn span(self) -> u64 {
        [Some(self.a), Some(self.b), self.swap, self.eighth, self.high]
            .into_iter()
            .flatten()
            .fold(0, |m, b| m | b.mask())
    }

    pub(super) fn field(self, port: Port) -> Bits {
        match port {
            Bank::A => self.a,
            Bank::B => self.b,
        }
    }

    pub(super) fn put_source(self, port: Port, source: Source, word: &mut u64) -> Result<(), EncodeError> {
        let code = match source {
            Source::Reg(reg) => {
                if reg.bank().is_some_and(|bank| bank != port) {
                    return Err(EncodeError::WrongPort { reg, port });
                }
                if let Some(pointer @ 2..) = reg.local_pointer() {
                    self.high.ok_or(EncodeError::NoPointerExtension { pointer })?.put(word, 1);
                }
                if self.wide { wide_reg(reg)? } else { narrow_reg(reg)? }
            }
            Source::Imm(value) if self.wide => WIDE_CONSTANT | u32::from(value),
            Source::Imm(value) => {
                match self.eighth {
                    Some(eighth) => eighth.put(word, u32::from(value >> 7)),
                    None if value > 127 => return Err(EncodeError::ConstantTooLarge { value, max: 127 }),
                    None => {}
                }
                narrow_constant(value)
            }
        };
        self.field(port).put(word, code);
        Ok(())
    }

    pub(super) fn get_source(self, port: Port, word: u64) -> Result<Source, DecodeReason> {
        let flag = |bit: Option<Bits>| bit.is_some_and(|bit| bit.get(word) != 0);
        let code = self.field(port).get(word);
        if self.wide {
            wide_source(code, port, flag(self.high))
        } else {
            narrow_source(code, port, flag(self.high), flag(self.eighth))
        }
    }

    pub(super) fn get_reg(self, port: Port, word: u64) -> Result<Reg, DecodeReason> {
        match self.get_source(port, word)? {
            Source::Reg(reg) => Ok(reg),
            Source::Imm(_) => Err(DecodeReason::RegisterNeeded { bits: self.field(port).get(word) }),
        }
    }

    pub(super) fn put_swap(self, swap: bool, word: &mut u64) {
        if let Some(bit) = self.swap {
            bit.put(word, swap.into());
        }
    }

    pub(super) fn get_swap(self, word: u64) -> bool {
        self.swap.is_some_and(|bit| bit.get(word) != 0)
    }
}

impl Span for Ports {
    fn span(self) -> u64 {
        Ports::span(self)
    }
}

/// Refuses two sources that would need the same read port (Linux driver, `nfp_asm.c`: two operands of one type).
pub(super) fn check_ports(lhs: Source, rhs: Source) -> Result<(), EncodeError> {
    let kind = match (lhs, rhs) {
        (Source::Imm(_), Source::Imm(_)) => "constant",
        (Source::Reg(left), Source::Reg(right)) => match (left, right) {
            (Reg::Gpr(a, _) | Reg::Absolute(a, _), Reg::Gpr(b, _) | Reg::Absolute(b, _)) if a == b => {
                return Err(EncodeError::SameBank { bank: a });
            }
            (Reg::Xfer(_) | Reg::XferIndex(_), Reg::Xfer(_) | Reg::XferIndex(_)) => "transfer register",
            (Reg::Neighbour(_) | Reg::NeighbourIndex(_), Reg::Neighbour(_) | Reg::NeighbourIndex(_)) => {
                "neighbour register"
            }
            _ if left.local_pointer().is_some() && right.local_pointer().is_some() => "local memory word",
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    Err(EncodeError::SameKind { kind })
}

pub(super) fn see_source(source: Source, see: &mut dyn FnMut(Place)) {
    if let Source::Reg(reg) = source {
        see(Place::Reg(reg));
    }
}

/// Reports the pointer an operand goes through, and moves.
pub(super) fn see_pointer(reg: Option<Reg>, uses: &mut dyn FnMut(Place), defs: &mut dyn FnMut(Place)) {
    let Some(reg) = reg else { return };
    let place = match (reg, reg.local_pointer()) {
        (_, Some(pointer)) => Place::LocalPointer(pointer),
        (Reg::XferIndex(_) | Reg::NeighbourIndex(_), _) => Place::Index,
        _ => return,
    };
    uses(place);
    if reg.moves_pointer() {
        defs(place);
    }
}

/// Two sources in the order of the listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    /// The left operand ("A operand" of the vendor's listing).
    pub lhs: Source,
    /// The right operand ("B operand").
    pub rhs: Source,
    /// The left operand stands at port B and the right one at port A. No effect on the result.
    pub swap: bool,
}

impl Pair {
    /// Two sources, swapped where a bank demands it (the Linux driver's choice, `nfp_asm.c`).
    pub fn new(lhs: impl Into<Source>, rhs: impl Into<Source>) -> Self {
        let (lhs, rhs) = (lhs.into(), rhs.into());
        let bank = |source: Source| source.reg().and_then(Reg::bank);
        Self { lhs, rhs, swap: bank(lhs) == Some(Bank::B) || bank(rhs) == Some(Bank::A) }
    }

    fn left_port(self) -> Port {
        if self.swap { Bank::B } else { Bank::A }
    }
}

impl Field for Pair {
    type At = Ports;
    fn put(&self, at: Ports, word: &mut u64) -> Result<(), EncodeError> {
        check_ports(self.lhs, self.rhs)?;
        at.put_swap(self.swap, word);
        at.put_source(self.left_port(), self.lhs, word)?;
        at.put_source(self.left_port().other(), self.rhs, word)
    }
    fn get(at: Ports, word: u64) -> Result<Self, DecodeReason> {
        let (a, b) = (at.get_source(Bank::A, word)?, at.get_source(Bank::B, word)?);
        let swap = at.get_swap(word);
        Ok(if swap { Self { lhs: b, rhs: a, swap } } else { Self { lhs: a, rhs: b, swap } })
    }
    fn uses(&self, see: &mut dyn FnMut(Place)) {
        see_source(self.lhs, see);
        see_source(self.rhs, see);
    }
    fn always(&self, uses: &mut dyn FnMut(Place), defs: &mut dyn FnMut(Place)) {
        see_pointer(self.lhs.reg(), uses, defs);
        see_pointer(self.rhs.reg(), uses, defs);
    }
}

/// A register at one port and a constant at the other, in formats without a swap bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Beside {
    /// The register.
    pub reg: Reg,
    /// The port at which it stands.
    pub port: Port,
    /// The constant at the other port.
    pub constant: u8,
}

impl Beside {
    /// A register at the port of its bank, port A if it is in none (the Linux driver's choice; the vendor's assembler
    /// takes port B).
    pub fn new(reg: Reg, constant: u8) -> Self {
        Self { reg, port: reg.bank().unwrap_or(Bank::A), constant }
    }
}

impl Field for Beside {
    type At = Ports;
    fn put(&self, at: Ports, word: &mut u64) -> Result<(), EncodeError> {
        at.put_source(self.port, Source::Reg(self.reg), word)?;
        at.put_source(self.port.other(), Source::Imm(self.constant), word)
    }
    fn get(at: Ports, word: u64) -> Result<Self, DecodeReason> {
        let constant = |port| at.get_source(port, word).ok().filter(|s| s.reg().is_none());
        let port = if constant(Bank::A).is_some() { Bank::B } else { Bank::A };
        match constant(port.other()) {
            Some(Source::Imm(constant)) => Ok(Self { reg: at.get_reg(port, word)?, port, constant }),
            _ => Err(DecodeReason::UnknownOperand { bits: at.field(port.other()).get(word) }),
        }
    }
    fn uses(&self, see: &mut dyn FnMut(Place)) {
        see(Place::Reg(self.reg));
    }
    fn always(&self, uses: &mut dyn FnMut(Place), defs: &mut dyn FnMut(Place)) {
        see_pointer(Some(self.reg), uses, defs);
    }
}

/// A constant that stands at both ports (`local_csr_wr` of a constant, as the vendor's assembler writes it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Twice(pub u8);

impl Field for Twice {
    type At = Ports;
    fn put(&self, at: Ports, word: &mut u64) -> Result<(), EncodeError> {
        at.put_source(Bank::A, Source::Imm(self.0), word)?;
        at.put_source(Bank::B, Source::Imm(self.0), word)
    }
    fn get(at: Ports, word: u64) -> Result<Self, DecodeReason> {
        match at.get_source(Bank::A, word)? {
            Source::Imm(value) => Ok(Self(value)),
            Source::Reg(_) => Err(DecodeReason::UnknownOperand { bits: at.a.get(word) }),
        }
    }
}
