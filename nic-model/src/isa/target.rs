//! Destinations, and the instructions whose destination stands in a source field.

use super::bits::{Bits, bits};
use super::codes::{NARROW_CONSTANT, WIDE_CONSTANT, narrow_reg, narrow_source, wide_reg, wide_source};
use super::error::{DecodeReason, EncodeError};
use super::field::{Field, Span};
use super::operand::{Bank, Dst, Place, Reg, Source};
use super::ports::{Pair, Ports, see_pointer, see_source};

/// High bit of the pointer of a local memory destination.
const TARGET_HIGH: Bits = bits(43, 1);
/// `gpr_wrboth`.
const WRITE_BOTH: Bits = bits(41, 1);

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
