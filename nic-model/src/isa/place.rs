//! Where the plain fields sit, and the fields that take no bits at all.

use super::bits::{Bits, bits};
use super::error::{DecodeReason, EncodeError};
use super::field::{Field, Span};
use super::listing::{Lister, Text};
use super::operand::Place;
use std::fmt;

pub(super) const ALU_OP: Bits = bits(31, 5);
pub(super) const SHIFT_OP: Bits = bits(33, 3);
pub(super) const SHIFT_AMOUNT: Bits = bits(28, 5);
pub(super) const CC: Bits = bits(40, 1);
pub(super) const LOAD_CC: Bits = bits(34, 1);
pub(super) const PREDICATE: Bits = bits(44, 1);
pub(super) const BYTE_MASK: Bits = bits(24, 4);
pub(super) const INVERT: Bits = bits(31, 1);
pub(super) const LANE: Bits = bits(33, 2);
pub(super) const CAM_STATE: Bits = bits(20, 4);
pub(super) const MUL_WIDTH: Bits = bits(31, 2);
pub(super) const MUL_STEP: Bits = bits(20, 3);
pub(super) const MUL_IDLE: Bits = bits(10, 10);
pub(super) const CSR: Bits = bits(22, 11);
pub(super) const CSR_IDLE: Bits = bits(10, 10);
pub(super) const DEFER: Bits = bits(20, 2);
pub(super) const COND: Bits = bits(0, 4);
pub(super) const COND_KNOWN: Bits = bits(8, 2);
pub(super) const COND_NOT: Bits = bits(0, 1);
pub(super) const COND_STATE: Bits = bits(14, 4);
pub(super) const BIT_SET: Bits = bits(18, 1);
pub(super) const BYTE_EQUAL: Bits = bits(19, 1);
pub(super) const BYTE_NUMBER: Bits = bits(8, 2);
pub(super) const CMD_XFER: Bits = bits(20, 5).then(40, 1);
pub(super) const CMD_COUNT: Bits = bits(25, 3);
pub(super) const SWAP: Bits = bits(8, 2);
pub(super) const INDIRECT: Bits = bits(41, 1);
pub(super) const WORD_ADDRESS: Bits = bits(0, 8).then(10, 8);
pub(super) const WORD_DATA: Bits = bits(18, 14);
pub(super) const SHORT_DATA: Bits = bits(20, 5).then(40, 1).then(41, 1);
pub(super) const LONG_DATA: Bits = bits(0, 8).then(10, 8).then(20, 5).then(40, 1);

macro_rules! implied {
    ($( $(#[$doc:meta])* $name:ident = $place:expr; )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
        pub struct $name;

        impl Span for $name {
            fn span(self) -> u64 { 0 }
        }

        impl Field for $name {
            type At = Self;
            fn put(&self, _: Self, _: &mut u64) -> Result<(), EncodeError> { Ok(()) }
            fn get(_: Self, _: u64) -> Result<Self, DecodeReason> { Ok(Self) }
            fn uses(&self, see: &mut dyn FnMut(Place)) { see($place); }
            fn defs(&self, see: &mut dyn FnMut(Place)) { see($place); }
        }
    )* };
}

implied! {
    /// The running state of a sequence of steps, implied by the instruction.
    Running = Place::Running;
    /// The content addressable memory, implied by the instruction.
    Cam = Place::Cam;
    /// The previous result, implied by the instruction.
    Previous = Place::Previous;
}

/// Whether a command takes overrides from the previous result (`indirect_ref`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Indirect(pub bool);

impl Field for Indirect {
    type At = Bits;
    fn put(&self, at: Bits, word: &mut u64) -> Result<(), EncodeError> {
        self.0.put(at, word)
    }
    fn get(at: Bits, word: u64) -> Result<Self, DecodeReason> {
        bool::get(at, word).map(Self)
    }
    fn uses(&self, see: &mut dyn FnMut(Place)) {
        if self.0 {
            see(Place::Previous);
        }
    }
}

impl Text for Indirect {
    fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result {
        out.write(if self.0 { ", indirect_ref" } else { "" })
    }
}
