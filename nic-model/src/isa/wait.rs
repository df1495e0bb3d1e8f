//! Fields of commands and context arbitration: addresses, signals, and when the core is given away.

use super::bits::{Bits, bits};
use super::effect::External;
use super::error::{DecodeReason, EncodeError};
use super::field::{Field, Span};
use super::listing::{Lister, Text};
use super::operand::{Place, Source};
use super::ports::{Pair, Ports};
use std::fmt;

/// A code-store address, 0 to 16383, counted in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CodeAddress(pub u16);

impl Field for CodeAddress {
    type At = Bits;
    fn put(&self, at: Bits, word: &mut u64) -> Result<(), EncodeError> {
        let value = u32::from(self.0);
        if value > at.max() {
            return Err(EncodeError::OutOfRange { what: "code address", value, min: 0, max: at.max() });
        }
        at.put(word, value);
        Ok(())
    }
    fn get(at: Bits, word: u64) -> Result<Self, DecodeReason> {
        Ok(Self(at.get(word) as u16))
    }
}

impl Text for CodeAddress {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        out.print(format_args!(".{}", self.0))
    }
}

/// How a command's two operands make an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressMode {
    /// 40 bits: operand A shifted left by eight, plus operand B.
    Ab40,
    /// 40 bits: operand B shifted left by eight, plus operand A.
    Ba40,
    /// 32 bits: the sum of the operands.
    Sum32,
}

/// The address of a command. The operands stand in the order of the listing; commands cannot swap them otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// How the operands are joined.
    pub mode: AddressMode,
    /// The operand that is shifted left by eight, in 40-bit modes; the one at port A in [`AddressMode::Sum32`].
    pub high: Source,
    /// The other operand.
    pub low: Source,
}

impl Address {
    /// 40-bit address in the mode that the banks of the operands ask for.
    pub fn wide(high: impl Into<Source>, low: impl Into<Source>) -> Self {
        let pair = Pair::new(high, low);
        let mode = if pair.swap { AddressMode::Ba40 } else { AddressMode::Ab40 };
        Self { mode, high: pair.lhs, low: pair.rhs }
    }

    /// 32-bit address `a + b`, `a` at port A.
    pub fn sum(a: impl Into<Source>, b: impl Into<Source>) -> Self {
        Self { mode: AddressMode::Sum32, high: a.into(), low: b.into() }
    }
}

/// Place of an [`Address`].
#[derive(Clone, Copy)]
pub struct AddressPlace {
    /// Mode codes of A, B order, B, A order and sum.
    modes: [Option<u32>; 3],
}

const MODE: Bits = bits(42, 3);

impl AddressPlace {
    /// Of commands that name a transfer register.
    pub(super) const TRANSFER: Self = Self { modes: [Some(0), Some(1), Some(4)] };
    /// Of commands that carry short data.
    pub(super) const SHORT: Self = Self { modes: [Some(2), Some(3), None] };

    const ALL: [AddressMode; 3] = [AddressMode::Ab40, AddressMode::Ba40, AddressMode::Sum32];
}

impl Span for AddressPlace {
    fn span(self) -> u64 {
        MODE.mask() | Ports::COMMAND.span()
    }
}

impl Field for Address {
    type At = AddressPlace;
    fn put(&self, at: AddressPlace, word: &mut u64) -> Result<(), EncodeError> {
        let known = AddressPlace::ALL.into_iter().zip(at.modes).find(|(mode, _)| *mode == self.mode);
        let Some((_, Some(code))) = known else {
            return Err(EncodeError::NoSuchAddressMode { mode: self.mode });
        };
        MODE.put(word, code);
        Pair { lhs: self.high, rhs: self.low, swap: self.mode == AddressMode::Ba40 }.put(Ports::COMMAND, word)
    }
    fn get(at: AddressPlace, word: u64) -> Result<Self, DecodeReason> {
        let code = MODE.get(word);
        let known = AddressPlace::ALL.into_iter().zip(at.modes).find(|(_, c)| *c == Some(code));
        let (mode, _) = known.ok_or(DecodeReason::UnknownCode { what: "address mode", code })?;
        let pair = Pair::get(Ports::COMMAND, word)?;
        let (high, low) = if mode == AddressMode::Ba40 { (pair.rhs, pair.lhs) } else { (pair.lhs, pair.rhs) };
        Ok(Self { mode, high, low })
    }
    fn uses(&self, see: &mut dyn FnMut(Place)) {
        Pair { lhs: self.high, rhs: self.low, swap: false }.uses(see);
    }
    fn always(&self, uses: &mut dyn FnMut(Place), defs: &mut dyn FnMut(Place)) {
        Pair { lhs: self.high, rhs: self.low, swap: false }.always(uses, defs);
    }
}

impl Text for Address {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        self.high.text(out)?;
        out.write(if self.mode == AddressMode::Sum32 { ", " } else { ", <<8, " })?;
        self.low.text(out)
    }
}

/// How many units a command moves, 1 to 8; the unit is the command's (bytes, 32-bit or 64-bit words).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Count(pub u8);

impl Count {
    /// The length field: one less.
    pub const fn length(self) -> u8 {
        self.0.wrapping_sub(1)
    }
}

impl Field for Count {
    type At = Bits;
    fn put(&self, at: Bits, word: &mut u64) -> Result<(), EncodeError> {
        let value = u32::from(self.0);
        if !(1..=at.max() + 1).contains(&value) {
            return Err(EncodeError::OutOfRange { what: "count", value, min: 1, max: at.max() + 1 });
        }
        at.put(word, value - 1);
        Ok(())
    }
    fn get(at: Bits, word: u64) -> Result<Self, DecodeReason> {
        Ok(Self(at.get(word) as u8 + 1))
    }
}

/// Whether a command gives the core away until its signal comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Swap {
    /// `ctx_swap`, at once or after one or two more instructions.
    After(u8),
    /// The context goes on.
    No,
}

impl Field for Swap {
    type At = Bits;
    fn put(&self, at: Bits, word: &mut u64) -> Result<(), EncodeError> {
        let code = match *self {
            Self::After(deferred @ 0..=2) => deferred.into(),
            Self::After(deferred) => {
                return Err(EncodeError::OutOfRange { what: "deferred swap", value: deferred.into(), min: 0, max: 2 });
            }
            Self::No => 3,
        };
        at.put(word, code);
        Ok(())
    }
    fn get(at: Bits, word: u64) -> Result<Self, DecodeReason> {
        Ok(match at.get(word) {
            3 => Self::No,
            deferred => Self::After(deferred as u8),
        })
    }
    fn external(&self) -> External {
        if *self == Self::No { External::NONE } else { External::WAIT }
    }
}

/// What a command does about its completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Completion {
    /// Whether the context waits.
    pub swap: Swap,
    /// The signal raised at completion, 1 to 15; 0 is none.
    pub signal: u8,
}

impl Completion {
    /// The context goes on and gets no signal.
    pub const POSTED: Self = Self { swap: Swap::No, signal: 0 };

    /// The context gives the core away at once and waits for `signal`.
    pub const fn wait(signal: u8) -> Self {
        Self { swap: Swap::After(0), signal }
    }

    /// The context goes on; `signal` comes at completion.
    pub const fn signal(signal: u8) -> Self {
        Self { swap: Swap::No, signal }
    }
}

const SWAP: Bits = bits(8, 2);
const SIGNAL: Bits = bits(28, 4);

/// Place of a [`Completion`].
#[derive(Clone, Copy)]
pub struct CompletionPlace;

impl Span for CompletionPlace {
    fn span(self) -> u64 {
        SWAP.mask() | SIGNAL.mask()
    }
}

impl Field for Completion {
    type At = CompletionPlace;
    fn put(&self, _: CompletionPlace, word: &mut u64) -> Result<(), EncodeError> {
        self.swap.put(SWAP, word)?;
        if self.signal > 15 {
            return Err(EncodeError::OutOfRange { what: "signal", value: self.signal.into(), min: 0, max: 15 });
        }
        SIGNAL.put(word, self.signal.into());
        Ok(())
    }
    fn get(_: CompletionPlace, word: u64) -> Result<Self, DecodeReason> {
        Ok(Self { swap: Swap::get(SWAP, word)?, signal: SIGNAL.get(word) as u8 })
    }
    fn external(&self) -> External {
        self.swap.external()
    }
}

impl Text for Completion {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        match (self.swap, self.signal) {
            (Swap::No, 0) => return Ok(()),
            (Swap::No, signal) => return out.print(format_args!(", sig_done[sig{signal}]")),
            (Swap::After(_), 0) => out.write(", ctx_swap[--]")?,
            (Swap::After(_), signal) => out.print(format_args!(", ctx_swap[sig{signal}]"))?,
        }
        match self.swap {
            Swap::After(deferred @ 1..) => out.print(format_args!(", defer[{deferred}]")),
            _ => Ok(()),
        }
    }
}

/// What a context waits for when it gives the core away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wait {
    /// `voluntary`: nothing; it is ready again at once.
    Voluntary,
    /// `kill`: it never runs again.
    Kill,
    /// `bpt`: the core stops and interrupts the host.
    Breakpoint,
    /// `--`: the events already in its wake-up mask (`ActCtxWkpEvt`).
    Armed,
    /// All of these signals: bit `n` is signal `n`, bit 0 is clear.
    All(u16),
    /// Any of these signals.
    Any(u16),
}

/// Place of a [`Wait`].
#[derive(Clone, Copy)]
pub struct WaitPlace;

const EVENTS: Bits = bits(0, 16);
const ANY: Bits = bits(16, 1);
const BREAKPOINT: Bits = bits(17, 1);
const KEEP_MASK: Bits = bits(19, 1);

impl Span for WaitPlace {
    fn span(self) -> u64 {
        EVENTS.mask() | ANY.mask() | BREAKPOINT.mask() | KEEP_MASK.mask()
    }
}

impl Field for Wait {
    type At = WaitPlace;
    fn put(&self, _: WaitPlace, word: &mut u64) -> Result<(), EncodeError> {
        let (events, flag) = match *self {
            Self::Voluntary => (1, None),
            Self::Kill => (0, Some(ANY)),
            Self::Breakpoint => (0, Some(BREAKPOINT)),
            Self::Armed => (0, Some(KEEP_MASK)),
            Self::All(mask) => (mask, None),
            Self::Any(mask) => (mask, Some(ANY)),
        };
        if let Self::All(mask) | Self::Any(mask) = *self
            && (mask & 1 != 0 || mask == 0)
        {
            return Err(EncodeError::OutOfRange { what: "signal mask", value: mask.into(), min: 2, max: 0xfffe });
        }
        EVENTS.put(word, events.into());
        if let Some(flag) = flag {
            flag.put(word, 1);
        }
        Ok(())
    }
    fn get(_: WaitPlace, word: u64) -> Result<Self, DecodeReason> {
        let events = EVENTS.get(word) as u16;
        let flags = (BREAKPOINT.get(word), KEEP_MASK.get(word), ANY.get(word));
        match (flags, events) {
            ((0, 0, 0), 1) => Ok(Self::Voluntary),
            ((0, 0, 1), 0) => Ok(Self::Kill),
            ((1, 0, 0), 0) => Ok(Self::Breakpoint),
            ((0, 1, 0), 0) => Ok(Self::Armed),
            ((0, 0, 0), mask) if mask & 1 == 0 && mask != 0 => Ok(Self::All(mask)),
            ((0, 0, 1), mask) if mask & 1 == 0 => Ok(Self::Any(mask)),
            _ => Err(DecodeReason::UnknownCode { what: "ctx_arb events", code: EVENTS.get(word) }),
        }
    }
}

impl Text for Wait {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        let mask = match self {
            Self::Voluntary => return out.write("voluntary]"),
            Self::Kill => return out.write("kill]"),
            Self::Breakpoint => return out.write("bpt]"),
            Self::Armed => return out.write("--]"),
            Self::All(mask) | Self::Any(mask) => mask,
        };
        let mut separator = "";
        for signal in (0..16).filter(|n| mask >> n & 1 != 0) {
            out.print(format_args!("{separator}sig{signal}"))?;
            separator = ", ";
        }
        out.write(if matches!(self, Self::Any(_)) { "], any" } else { "]" })
    }
}

/// Where a context goes on when it gets the core back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resume(pub Option<CodeAddress>);

/// Place of a [`Resume`].
#[derive(Clone, Copy)]
pub struct ResumePlace;

const RESUME: Bits = bits(18, 1);
/// The code address of branches.
pub(super) const CODE_ADDRESS: Bits = bits(22, 13).then(40, 1);

impl Span for ResumePlace {
    fn span(self) -> u64 {
        RESUME.mask() | CODE_ADDRESS.mask()
    }
}

impl Field for Resume {
    type At = ResumePlace;
    fn put(&self, _: ResumePlace, word: &mut u64) -> Result<(), EncodeError> {
        let Some(address) = self.0 else { return Ok(()) };
        RESUME.put(word, 1);
        address.put(CODE_ADDRESS, word)
    }
    fn get(_: ResumePlace, word: u64) -> Result<Self, DecodeReason> {
        if RESUME.get(word) == 0 {
            return Ok(Self(None));
        }
        Ok(Self(Some(CodeAddress::get(CODE_ADDRESS, word)?)))
    }
}

impl Text for Resume {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        match self.0 {
            Some(CodeAddress(address)) => out.print(format_args!(", br[.{address}]")),
            None => Ok(()),
        }
    }
}
