//! Formats with a single source: what it is, and what the other source field holds.

use super::bits::Bits;
use super::codes::{NARROW_CONSTANT, WIDE_CONSTANT};
use super::error::{DecodeReason, EncodeError};
use super::field::{Field, Span};
use super::operand::{Bank, Idle, Place, Port, Reg, Source};
use super::ports::{Ports, check_ports, see_pointer, see_source};

/// What stands in the source field beside a single source.
pub trait Companion: Copy {
    /// Writes it into the field at `port`; the single source is `src`.
    fn put_beside(self, ports: Ports, port: Port, src: Source, word: &mut u64) -> Result<(), EncodeError>;
    /// Reads it back.
    fn get_beside(ports: Ports, port: Port, word: u64) -> Result<Self, DecodeReason>;
    /// Reports what the instruction reads and writes on its account.
    fn also(self, _uses: &mut dyn FnMut(Place), _defs: &mut dyn FnMut(Place)) {}
}

impl Idle {
    fn code(self, wide: bool) -> u32 {
        match self {
            Self::Zero => 0,
            Self::Constant if wide => WIDE_CONSTANT,
            Self::Constant => NARROW_CONSTANT,
        }
    }
    fn from_code(code: u32, wide: bool) -> Result<Self, DecodeReason> {
        [Self::Zero, Self::Constant]
            .into_iter()
            .find(|idle| idle.code(wide) == code)
            .ok_or(DecodeReason::UnknownOperand { bits: code })
    }
}

impl Companion for Idle {
    fn put_beside(self, ports: Ports, port: Port, _: Source, word: &mut u64) -> Result<(), EncodeError> {
        ports.field(port).put(word, self.code(ports.wide));
        Ok(())
    }
    fn get_beside(ports: Ports, port: Port, word: u64) -> Result<Self, DecodeReason> {
        Self::from_code(ports.field(port).get(word), ports.wide)
    }
}

/// The left operand of an operator that has none (`B`, `~B`). It takes no part in the result, but an indirect shift in
/// the next instruction takes its amount from it; listings show `--` all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Left {
    /// Nothing meant. With [`Idle::Zero`] the bits name general purpose register 0 of the port's bank, so that is what
    /// an indirect shift would see; [`super::Op::uses`] does not report it. With [`Idle::Constant`] it would see 0.
    Idle(Idle),
    /// A register other than that one.
    Reg(Reg),
}

impl From<Idle> for Left {
    fn from(idle: Idle) -> Self {
        Self::Idle(idle)
    }
}

impl From<Reg> for Left {
    fn from(reg: Reg) -> Self {
        if let Reg::Gpr(_, 0) = reg { Self::Idle(Idle::Zero) } else { Self::Reg(reg) }
    }
}

impl Companion for Left {
    fn put_beside(self, ports: Ports, port: Port, src: Source, word: &mut u64) -> Result<(), EncodeError> {
        match self {
            Self::Idle(idle) => idle.put_beside(ports, port, src, word),
            Self::Reg(Reg::Gpr(_, 0)) => Err(EncodeError::RegisterZeroIsIdle),
            Self::Reg(reg) => {
                check_ports(reg.into(), src)?;
                ports.put_source(port, reg.into(), word)
            }
        }
    }
    fn get_beside(ports: Ports, port: Port, word: u64) -> Result<Self, DecodeReason> {
        if let Ok(idle) = Idle::get_beside(ports, port, word) {
            return Ok(Self::Idle(idle));
        }
        ports.get_reg(port, word).map(Self::Reg)
    }
    fn also(self, uses: &mut dyn FnMut(Place), defs: &mut dyn FnMut(Place)) {
        if let Self::Reg(reg) = self {
            uses(Place::Reg(reg));
            see_pointer(Some(reg), uses, defs);
        }
    }
}

impl Field for Idle {
    type At = Bits;
    fn put(&self, at: Bits, word: &mut u64) -> Result<(), EncodeError> {
        at.put(word, self.code(at.width() == 10));
        Ok(())
    }
    fn get(at: Bits, word: u64) -> Result<Self, DecodeReason> {
        Self::from_code(at.get(word), at.width() == 10)
    }
}

/// Which operand a lone source is: that decides at which port it stands when the swap bit is clear.
#[derive(Clone, Copy)]
pub struct Lone {
    ports: Ports,
    natural: Port,
}

impl Lone {
    /// The right operand of `alu` formats.
    pub(super) const RIGHT: Self = Self { ports: Ports::ALU, natural: Bank::B };
    /// The left operand of `alu` formats.
    pub(super) const LEFT: Self = Self { ports: Ports::ALU, natural: Bank::A };
    /// The right operand of `alu_shf` formats.
    pub(super) const SHIFT_RIGHT: Self = Self { ports: Ports::SHIFT, natural: Bank::B };
    /// The left operand of `alu_shf` formats.
    pub(super) const SHIFT_LEFT: Self = Self { ports: Ports::SHIFT, natural: Bank::A };
}

impl Span for Lone {
    fn span(self) -> u64 {
        self.ports.span()
    }
}

/// One source, and what the other source field holds instead of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct One<X = Idle> {
    /// The operand.
    pub src: Source,
    /// The port at which it stands.
    pub port: Port,
    /// What stands at the other port.
    pub beside: X,
}

impl<X> One<X> {
    /// A source at the port of its bank, port B if it is in none.
    pub fn new(src: impl Into<Source>, beside: impl Into<X>) -> Self {
        let src = src.into();
        Self { src, port: src.reg().and_then(Reg::bank).unwrap_or(Bank::B), beside: beside.into() }
    }
}

impl<X: Companion> Field for One<X> {
    type At = Lone;
    fn put(&self, at: Lone, word: &mut u64) -> Result<(), EncodeError> {
        at.ports.put_swap(self.port != at.natural, word);
        self.beside.put_beside(at.ports, self.port.other(), self.src, word)?;
        at.ports.put_source(self.port, self.src, word)
    }
    fn get(at: Lone, word: u64) -> Result<Self, DecodeReason> {
        let port = if at.ports.get_swap(word) { at.natural.other() } else { at.natural };
        let beside = X::get_beside(at.ports, port.other(), word)?;
        Ok(Self { src: at.ports.get_source(port, word)?, port, beside })
    }
    fn uses(&self, see: &mut dyn FnMut(Place)) {
        see_source(self.src, see);
    }
    fn always(&self, uses: &mut dyn FnMut(Place), defs: &mut dyn FnMut(Place)) {
        see_pointer(self.src.reg(), uses, defs);
        self.beside.also(uses, defs);
    }
}
