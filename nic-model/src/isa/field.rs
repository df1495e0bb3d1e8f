//! What a field of an instruction must be able to do, and the fields that are plain numbers.

use super::bits::Bits;
use super::effect::External;
use super::error::{DecodeReason, EncodeError};
use super::operand::Place;

/// Where something sits in a word.
pub trait Span: Copy {
    /// The bits it may occupy.
    fn span(self) -> u64;
}

impl Span for Bits {
    fn span(self) -> u64 {
        self.mask()
    }
}

/// A part of an instruction that can write itself into a word and read itself back.
pub trait Field: Copy + Sized {
    /// How its place in the word is described.
    type At: Span;

    /// Writes the field; bits at its place are zero before, or as the row's format sets them.
    fn put(&self, at: Self::At, word: &mut u64) -> Result<(), EncodeError>;

    /// Reads the field.
    fn get(at: Self::At, word: u64) -> Result<Self, DecodeReason>;

    /// Reports what is read if the field's role is `use`.
    fn uses(&self, _see: &mut dyn FnMut(Place)) {}

    /// Reports what is written if the field's role is `def` or `mod`.
    fn defs(&self, _see: &mut dyn FnMut(Place)) {}

    /// Reports what is read and what is written whatever the role, such as pointers that accesses go through and move.
    fn always(&self, _uses: &mut dyn FnMut(Place), _defs: &mut dyn FnMut(Place)) {}

    /// What outside the context the instruction can see or change on account of this field, registers and CSRs aside.
    fn external(&self) -> External {
        External::NONE
    }
}

macro_rules! number {
    ($($ty:ty),*) => { $(
        impl Field for $ty {
            type At = Bits;
            fn put(&self, at: Bits, word: &mut u64) -> Result<(), EncodeError> {
                let value = u32::from(*self);
                if value > at.max() {
                    return Err(EncodeError::OutOfRange { what: "field", value, min: 0, max: at.max() });
                }
                at.put(word, value);
                Ok(())
            }
            fn get(at: Bits, word: u64) -> Result<Self, DecodeReason> {
                let value = at.get(word);
                Self::try_from(value).map_err(|_| DecodeReason::OutOfRange { what: "field", value })
            }
        }
    )* };
}
number!(u8, u16, u32);

/// A flag. One that is used, by its role, is the predicate: then the condition codes decide.
impl Field for bool {
    type At = Bits;
    fn uses(&self, see: &mut dyn FnMut(Place)) {
        if *self {
            see(Place::Flags);
        }
    }
    fn put(&self, at: Bits, word: &mut u64) -> Result<(), EncodeError> {
        at.put(word, u32::from(*self));
        Ok(())
    }
    fn get(at: Bits, word: u64) -> Result<Self, DecodeReason> {
        Ok(at.get(word) != 0)
    }
}
