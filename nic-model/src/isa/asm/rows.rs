//! The derivation: every row of the table as a way to read a line.

use super::draft::{Both, Choices, Read, Shown, Slot, Written};
use super::pieces::{ByteMask, Defer, Named, Product, Shifted, Swapped, Xfer};
use super::reader::Reader;
use crate::isa::listing::when;
use crate::isa::op::*;
use crate::isa::place::*;
use crate::isa::table::for_each_nic_op;
use crate::isa::*;

/// A number, as the row prints it in decimal; either base is taken.
struct Number<'a>(Shown<'a>);

/// A number, as the row prints it in hexadecimal; either base is taken.
struct Hex<'a>(Shown<'a>);

impl Read for Number<'_> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        self.0.read(from)
    }
}

impl Read for Hex<'_> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        self.0.read(from)
    }
}

fn both<'a>(target: impl Into<Both<'a>>) -> Both<'a> {
    target.into()
}

fn predicated(predicate: bool) -> &'static str {
    when(predicate, ", predicate_cc")
}

fn swapped(swap: Slot<'_, Swap>) -> Swapped<'_> {
    Swapped(swap)
}

fn word_length(_: Slot<'_, u16>) {}

macro_rules! define_rows {
    ($( $(#[$doc:meta])* $mnemonic:literal $method:ident $name:ident = $base:literal / $mask:literal,
        $class:ident, $effect:ident, $external:ident,
        { $( $role:tt $field:ident : $ty:ty = $at:expr ),* } [ $( $piece:expr ),* ] )*) => {
        $(
            #[allow(unused_variables, clippy::let_unit_value, clippy::unit_arg, reason = "a row may have no fields, or fields that no text shows")]
            fn $method(from: &mut Reader<'_>, choices: &mut Choices) -> Option<Op> {
                #[derive(Default)]
                struct Stores { $( $field: <$ty as Written>::Store, )* }
                let stores = Stores::default();
                $( let $field = <$ty as Written>::draft(&stores.$field, choices); )*
                $( Read::read($piece, from)?; )*
                from.end()?;
                Some($name { $( $field: <$ty as Written>::finish(&stores.$field)?, )* }.into())
            }
        )*

        /// Every row, in the table's order.
        pub(super) const ROWS: &[fn(&mut Reader<'_>, &mut Choices) -> Option<Op>] = &[ $( $method ),* ];
    };
}
for_each_nic_op!(define_rows);
