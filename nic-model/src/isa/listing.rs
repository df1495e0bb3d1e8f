//! Listing in the vendor's syntax, as binutils prints it.
//!
//! Each row of the table says with a list of pieces how it is written; here is how each kind of piece prints.

use super::op::Op;
use super::operand::{Bank, ContextMode, Dst, Reg, Source, Step};
use std::fmt;

/// Where a listing goes, and the mode that decides how registers are numbered.
pub struct Lister<'a, 'f> {
    out: &'a mut fmt::Formatter<'f>,
    mode: ContextMode,
}

impl Lister<'_, '_> {
    /// Writes plain text.
    pub(super) fn write(&mut self, text: &str) -> fmt::Result {
        self.out.write_str(text)
    }

    /// Writes formatted text.
    pub(super) fn print(&mut self, text: fmt::Arguments<'_>) -> fmt::Result {
        self.out.write_fmt(text)
    }
}

/// A piece of a listing.
pub trait Text {
    /// Writes the piece.
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result;
}

impl Text for &str {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        out.write(self)
    }
}

/// Prints as a decimal number.
pub(super) struct Number(pub u32);

impl Text for Number {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        out.print(format_args!("{}", self.0))
    }
}

/// Prints as a hexadecimal number.
pub(super) struct Hex(pub u32);

impl Text for Hex {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        out.print(format_args!("{:#x}", self.0))
    }
}

/// Prints as a transfer register.
pub(super) struct Xfer(pub u8);

impl Text for Xfer {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        out.print(format_args!("$xfer_{}", self.0))
    }
}

/// Prints its text if the condition holds.
pub(super) fn when(condition: bool, text: &'static str) -> &'static str {
    if condition { text } else { "" }
}

/// Prints as `, defer[n]` unless zero.
pub(super) struct Defer(pub u8);

impl Text for Defer {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        if self.0 == 0 { Ok(()) } else { out.print(format_args!(", defer[{}]", self.0)) }
    }
}

impl Text for Reg {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        let letter = |bank| if bank == Bank::A { 'A' } else { 'B' };
        let mode = out.mode;
        match self {
            Self::Gpr(bank, n) => out.print(format_args!("gpr{}_{}", letter(bank), mode.register(n))),
            Self::Absolute(bank, n) => out.print(format_args!("@gpr{}_{n}", letter(bank))),
            Self::Xfer(n) => Xfer(mode.transfer(n)).text(out),
            Self::XferIndex(Step::Hold) => out.write("*$index"),
            Self::XferIndex(Step::Increment) => out.write("*$index++"),
            Self::XferIndex(Step::Decrement) => out.write("*$index--"),
            Self::Neighbour(n) => out.print(format_args!("n$reg_{}", mode.register(n))),
            Self::NeighbourIndex(up) => out.write(if up { "*n$index++" } else { "*n$index" }),
            Self::Local { pointer, offset: 0 } => out.print(format_args!("*l$index{pointer}")),
            Self::Local { pointer, offset } => out.print(format_args!("*l$index{pointer}[{offset}]")),
            Self::LocalIncrement { pointer } => out.print(format_args!("*l$index{pointer}++")),
            Self::LocalDecrement { pointer } => out.print(format_args!("*l$index{pointer}--")),
        }
    }
}

impl Text for Source {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        match self {
            Self::Reg(reg) => reg.text(out),
            Self::Imm(value) => Hex(value.into()).text(out),
        }
    }
}

impl Text for Dst {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        match self.reg {
            Some(reg) => reg.text(out),
            None => out.write("--"),
        }
    }
}

/// An instruction's text with registers numbered for a context mode.
pub struct Listing {
    pub(super) op: Op,
    pub(super) mode: ContextMode,
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.op.list(&mut Lister { out: f, mode: self.mode })
    }
}

/// The vendor's syntax, with registers numbered as in four-context mode.
impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.listing(ContextMode::Four).fmt(f)
    }
}
