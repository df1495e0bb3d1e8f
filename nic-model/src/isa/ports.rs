//! Fields made of operands: they fill the source and destination fields of a word and obey the rules of the read ports.

use super::bits::{Bits, bits};
use super::codes::{NARROW_CONSTANT, WIDE_CONSTANT, narrow_constant, narrow_reg, narrow_source, wide_reg, wide_source};
use super::error::{DecodeReason, EncodeError};
use super::field::{Field, Span};
use super::operand::{Bank, Dst, Idle, Place, Port, Reg, Source};

/// The two source fields of a format and the flags that go with them.
#[derive(Clone, Copy)]
pub struct Ports {
    a: Bits,
    b: Bits,
    /// Ten-bit codes rather than eight-bit ones.
    wide: bool,
    /// Set when the left operand stands at port B.
    swap: Option<Bits>,
    /// Eighth bit of a restricted constant.
    eighth: Option<Bits>,
    /// High bit of the local memory pointer's number.
    high: Option<Bits>,
}

/// High bit of the pointer of local memory sources.
const SOURCE_HIGH: Bits = bits(42, 1);
/// High bit of the pointer of a local memory destination.
const TARGET_HIGH: Bits = bits(43, 1);
/// `gpr_wrboth`.
const WRITE_BOTH: Bits = bits(41, 1);

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

    fn field(self, port: Port) -> Bits {
        match port {
            Bank::A => self.a,
            Bank::B => self.b,
        }
    }

    fn put_source(self, port: Port, source: Source, word: &mut u64) -> Result<(), EncodeError> {
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

    fn get_source(self, port: Port, word: u64) -> Result<Source, DecodeReason> {
        let flag = |bit: Option<Bits>| bit.is_some_and(|bit| bit.get(word) != 0);
        let code = self.field(port).get(word);
        if self.wide {
            wide_source(code, port, flag(self.high))
        } else {
            narrow_source(code, port, flag(self.high), flag(self.eighth))
        }
    }

    fn get_reg(self, port: Port, word: u64) -> Result<Reg, DecodeReason> {
        match self.get_source(port, word)? {
            Source::Reg(reg) => Ok(reg),
            Source::Imm(_) => Err(DecodeReason::RegisterNeeded { bits: self.field(port).get(word) }),
        }
    }

    fn put_swap(self, swap: bool, word: &mut u64) {
        if let Some(bit) = self.swap {
            bit.put(word, swap.into());
        }
    }

    fn get_swap(self, word: u64) -> bool {
        self.swap.is_some_and(|bit| bit.get(word) != 0)
    }
}

impl Span for Ports {
    fn span(self) -> u64 {
        Ports::span(self)
    }
}

/// Refuses two sources that would need the same read port (Linux driver, `nfp_asm.c`: two operands of one type).
fn check_ports(lhs: Source, rhs: Source) -> Result<(), EncodeError> {
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

fn see_source(source: Source, see: &mut dyn FnMut(Place)) {
    if let Source::Reg(reg) = source {
        see(Place::Reg(reg));
    }
}

/// Reports the pointer an operand goes through, and moves.
fn see_pointer(reg: Option<Reg>, uses: &mut dyn FnMut(Place), defs: &mut dyn FnMut(Place)) {
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

/// What stands in the field beside a single source, as that field's code.
pub trait Companion: Copy {
    /// The code in a ten-bit or eight-bit field.
    fn code(self, wide: bool) -> u32;
    /// Reads the code.
    fn from_code(code: u32, wide: bool) -> Result<Self, DecodeReason>;
    /// Reports what the instruction writes on its account.
    fn defs(self, _see: &mut dyn FnMut(Place)) {}
}

impl Companion for Idle {
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
    pub fn new(src: impl Into<Source>, beside: X) -> Self {
        let src = src.into();
        Self { src, port: src.reg().and_then(Reg::bank).unwrap_or(Bank::B), beside }
    }
}

impl<X: Companion> Field for One<X> {
    type At = Lone;
    fn put(&self, at: Lone, word: &mut u64) -> Result<(), EncodeError> {
        at.ports.put_swap(self.port != at.natural, word);
        at.ports.field(self.port.other()).put(word, self.beside.code(at.ports.wide));
        at.ports.put_source(self.port, self.src, word)
    }
    fn get(at: Lone, word: u64) -> Result<Self, DecodeReason> {
        let port = if at.ports.get_swap(word) { at.natural.other() } else { at.natural };
        Ok(Self {
            src: at.ports.get_source(port, word)?,
            port,
            beside: X::from_code(at.ports.field(port.other()).get(word), at.ports.wide)?,
        })
    }
    fn uses(&self, see: &mut dyn FnMut(Place)) {
        see_source(self.src, see);
    }
    fn always(&self, uses: &mut dyn FnMut(Place), defs: &mut dyn FnMut(Place)) {
        see_pointer(self.src.reg(), uses, defs);
        self.beside.defs(defs);
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

/// The destination field of a format.
#[derive(Clone, Copy)]
pub struct Target {
    reg: Bits,
    bank: Bits,
}

impl Target {
    /// Ten-bit destination of `alu`.
    pub(super) const ALU: Self = Self { reg: bits(20, 10), bank: bits(36, 1) };
    /// Eight-bit destination of `alu_shf`.
    pub(super) const SHIFT: Self = Self { reg: bits(20, 8), bank: bits(36, 1) };
    /// Destination of the last multiplication steps: it stands at source port A.
    pub(super) const PRODUCT: Self = Self { reg: bits(0, 10), bank: bits(23, 1) };

    fn wide(self) -> bool {
        self.reg.width() == 10
    }
}

impl Span for Target {
    fn span(self) -> u64 {
        self.reg.mask() | self.bank.mask() | WRITE_BOTH.mask() | TARGET_HIGH.mask()
    }
}

fn put_both(dst: Dst, word: &mut u64) -> Result<(), EncodeError> {
    if dst.both && dst.reg.and_then(Reg::bank).is_none() {
        return Err(EncodeError::WriteBothWithoutBank);
    }
    WRITE_BOTH.put(word, dst.both.into());
    Ok(())
}

fn put_target_high(reg: Reg, word: &mut u64) {
    TARGET_HIGH.put(word, matches!(reg.local_pointer(), Some(2..)).into());
}

impl Field for Dst {
    type At = Target;
    fn put(&self, at: Target, word: &mut u64) -> Result<(), EncodeError> {
        put_both(*self, word)?;
        let code = match self.reg {
            Some(reg) => {
                put_target_high(reg, word);
                at.bank.put(word, (reg.bank() == Some(Bank::B)).into());
                if at.wide() { wide_reg(reg)? } else { narrow_reg(reg)? }
            }
            None if at.wide() => WIDE_CONSTANT,
            None => NARROW_CONSTANT,
        };
        at.reg.put(word, code);
        Ok(())
    }
    fn get(at: Target, word: u64) -> Result<Self, DecodeReason> {
        let bank = if at.bank.get(word) != 0 { Bank::B } else { Bank::A };
        let high = TARGET_HIGH.get(word) != 0;
        let code = at.reg.get(word);
        let reg = if at.wide() { wide_source(code, bank, high) } else { narrow_source(code, bank, high, false) };
        Ok(Self { reg: reg?.reg(), both: WRITE_BOTH.get(word) != 0 })
    }
    fn defs(&self, see: &mut dyn FnMut(Place)) {
        if let Some(reg) = self.reg {
            see(Place::Reg(reg));
            match reg {
                Reg::Gpr(bank, n) if self.both => see(Place::Reg(Reg::Gpr(bank.other(), n))),
                Reg::Absolute(bank, n) if self.both => see(Place::Reg(Reg::Absolute(bank.other(), n))),
                _ => {}
            }
        }
    }
    fn always(&self, uses: &mut dyn FnMut(Place), defs: &mut dyn FnMut(Place)) {
        see_pointer(self.reg, uses, defs);
    }
}

/// Destination and source of `ld_field`: both stand in source fields, the destination as left operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Merge {
    /// The register whose bytes are replaced.
    pub dst: Reg,
    /// `gpr_wrboth`: the merged word goes to both banks.
    pub both: bool,
    /// Where the bytes come from.
    pub src: Source,
    /// The destination stands at port B and the source at port A.
    pub swap: bool,
}

impl Merge {
    /// Destination and source, swapped where a bank demands it.
    pub fn new(dst: Dst, src: impl Into<Source>) -> Option<Self> {
        let reg = dst.reg?;
        let pair = Pair::new(reg, src);
        Some(Self { dst: reg, both: dst.both, src: pair.rhs, swap: pair.swap })
    }

    /// The destination as other instructions have it.
    pub const fn target(self) -> Dst {
        Dst { reg: Some(self.dst), both: self.both }
    }
}

/// Place of a [`Merge`].
#[derive(Clone, Copy)]
pub struct MergePorts;

impl Span for MergePorts {
    fn span(self) -> u64 {
        Ports::SHIFT.span() | WRITE_BOTH.mask() | TARGET_HIGH.mask()
    }
}

impl Field for Merge {
    type At = MergePorts;
    fn put(&self, _: MergePorts, word: &mut u64) -> Result<(), EncodeError> {
        put_both(self.target(), word)?;
        put_target_high(self.dst, word);
        Pair { lhs: self.dst.into(), rhs: self.src, swap: self.swap }.put(Ports::SHIFT, word)
    }
    fn get(_: MergePorts, word: u64) -> Result<Self, DecodeReason> {
        let pair = Pair::get(Ports::SHIFT, word)?;
        let Source::Reg(dst) = pair.lhs else {
            let port = if pair.swap { Bank::B } else { Bank::A };
            return Err(DecodeReason::RegisterNeeded { bits: Ports::SHIFT.field(port).get(word) });
        };
        Ok(Self { dst, both: WRITE_BOTH.get(word) != 0, src: pair.rhs, swap: pair.swap })
    }
    fn defs(&self, see: &mut dyn FnMut(Place)) {
        self.target().defs(see);
    }
    fn always(&self, uses: &mut dyn FnMut(Place), defs: &mut dyn FnMut(Place)) {
        see_source(self.src, uses);
        see_pointer(Some(self.dst), uses, defs);
        see_pointer(self.src.reg(), uses, defs);
    }
}

/// Destination and constant of `immed`: the destination stands at one port, the constant's low byte at the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Load {
    /// Where the constant goes.
    pub dst: Dst,
    /// The constant as it stands in the word, before inversion and shift.
    pub value: u16,
}

/// Place of a [`Load`].
#[derive(Clone, Copy)]
pub struct LoadPorts;

impl LoadPorts {
    const HIGH_BYTE: Bits = bits(20, 8);
}

impl Span for LoadPorts {
    fn span(self) -> u64 {
        Ports::WIDE.a.mask() | Ports::WIDE.b.mask() | Self::HIGH_BYTE.mask() | WRITE_BOTH.mask() | TARGET_HIGH.mask()
    }
}

impl Load {
    /// The constant as a listing shows it: inverted if `invert`, not shifted.
    pub(super) fn shown(self, invert: bool) -> u32 {
        if invert { !u32::from(self.value) } else { self.value.into() }
    }
}

impl Field for Load {
    type At = LoadPorts;
    fn put(&self, _: LoadPorts, word: &mut u64) -> Result<(), EncodeError> {
        put_both(self.dst, word)?;
        if self.dst.reg.is_none() && self.value == 0 {
            return Err(EncodeError::ReadsAsNop);
        }
        let [low, high] = self.value.to_le_bytes();
        let port = self.dst.reg.and_then(Reg::bank).unwrap_or(Bank::A);
        let code = match self.dst.reg {
            Some(reg) => {
                put_target_high(reg, word);
                wide_reg(reg)?
            }
            None => WIDE_CONSTANT,
        };
        Ports::WIDE.field(port).put(word, code);
        Ports::WIDE.field(port.other()).put(word, WIDE_CONSTANT | u32::from(low));
        LoadPorts::HIGH_BYTE.put(word, high.into());
        Ok(())
    }
    fn get(_: LoadPorts, word: u64) -> Result<Self, DecodeReason> {
        let field = |port| wide_source(Ports::WIDE.field(port).get(word), port, TARGET_HIGH.get(word) != 0);
        let (reg, low) = match (field(Bank::A)?, field(Bank::B)?) {
            (target, Source::Imm(low)) => (target.reg(), low),
            (Source::Imm(low), target) => (target.reg(), low),
            _ => return Err(DecodeReason::UnknownOperand { bits: Ports::WIDE.b.get(word) }),
        };
        let value = u16::from_le_bytes([low, LoadPorts::HIGH_BYTE.get(word) as u8]);
        Ok(Self { dst: Dst { reg, both: WRITE_BOTH.get(word) != 0 }, value })
    }
    fn defs(&self, see: &mut dyn FnMut(Place)) {
        self.dst.defs(see);
    }
    fn always(&self, uses: &mut dyn FnMut(Place), defs: &mut dyn FnMut(Place)) {
        self.dst.always(uses, defs);
    }
}
