//! The pieces that rows list themselves with, and the derivation that joins them.

use super::command::Named;
use super::crc::{CrcMode, Lookup};
use super::listing::{Defer, Hex, Lister, Listing, Number, Text, Xfer, when};
use super::op::*;
use super::operand::{ContextMode, Dst};
use super::shift::Shift;
use super::table::for_each_nic_op;
use super::wait::{Completion, Swap};
use std::fmt;

fn both(dst: Dst) -> &'static str {
    when(dst.both, ", gpr_wrboth")
}

fn predicated(predicate: bool) -> &'static str {
    when(predicate, ", predicate_cc")
}

/// A command without a signal.
fn swapped(swap: Swap) -> Completion {
    Completion { swap, signal: 0 }
}

/// The length field of a command that has data in its place.
fn word_length(data: u16) -> u8 {
    (data >> 7 & 7) as u8
}

/// Prints the destination of a product, which stands in a source field: no register there looks like the constant 0.
struct Product(Dst);

impl Text for Product {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        match self.0.reg {
            Some(reg) => reg.text(out),
            None => Hex(0).text(out),
        }
    }
}

/// Prints four binary digits.
struct ByteMask(u8);

impl Text for ByteMask {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        out.print(format_args!("{:04b}", self.0))
    }
}

/// Prints a shift with its comma, and nothing for no shift.
struct Shifted(Shift);

impl Text for Shifted {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        if self.0 == Shift::NONE {
            return Ok(());
        }
        out.write(", ")?;
        self.0.text(out)
    }
}

impl Text for CrcMode {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        out.write(if self.little { "crc_le[" } else { "crc_be[" })?;
        out.write(self.kind.text())?;
        out.write(", ")
    }
}

impl Text for Lookup {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        match self.0 {
            Some(p) => out.print(format_args!(", lm_addr{}[{}]", p.pointer, p.index)),
            None => Ok(()),
        }
    }
}

macro_rules! define_listing {
    ($( $(#[$doc:meta])* $mnemonic:literal $method:ident $name:ident = $base:literal / $mask:literal,
        $class:ident, $effect:ident, $external:ident,
        { $( $role:tt $field:ident : $ty:ty = $at:expr ),* } [ $( $piece:expr ),* ] )*) => {
        impl Op {
            /// The instruction in the vendor's syntax, with registers numbered for a context mode.
            pub const fn listing(&self, mode: ContextMode) -> Listing {
                Listing { op: *self, mode }
            }

            #[allow(unused_variables, reason = "not every field is listed: some are implied by others")]
            pub(super) fn list(&self, out: &mut Lister<'_, '_>) -> fmt::Result {
                match *self { $(
                    Self::$name($name { $( $field ),* }) => { $( Text::text($piece, out)?; )* Ok(()) }
                )* }
            }
        }
    };
}
for_each_nic_op!(define_listing);
