//! Words to instructions.

use super::ecc::PAYLOAD;
use super::encode::encode;
use super::error::{DecodeError, DecodeReason};
use super::field::Field;
use super::lone::Lone;
use super::op::*;
use super::place::*;
use super::ports::Ports;
use super::shift::ShiftPlace;
use super::table::for_each_nic_op;
use super::target::{LoadPorts, MergePorts, Target};
use super::{branch::JumpPlace, command::CommandPlace, wait::*};

macro_rules! define_decode {
    ($( $(#[$doc:meta])* $mnemonic:literal $method:ident $name:ident = $base:literal / $mask:literal,
        $class:ident, $effect:ident, $external:ident,
        { $( $role:tt $field:ident : $ty:ty = $at:expr ),* } [ $($pieces:tt)* ] )*) => {
        impl Op {
            /// What the first row that the word's format matches makes of it. Bits that the row has no field for are
            /// ignored.
            fn disassemble(word: u64) -> Result<Self, DecodeError> {
                $( if word & $mask == $base & $mask {
                    let row = || -> Result<$name, DecodeReason> {
                        Ok($name { $( $field: Field::get($at, word)? ),* })
                    };
                    return match row() {
                        Ok(op) => Ok(Self::$name(op)),
                        Err(reason) => Err(DecodeError { word, row: Some(stringify!($name)), reason }),
                    };
                } )*
                Err(DecodeError { word, row: None, reason: DecodeReason::UnknownFormat })
            }

            /// The type of the instruction's row, such as `AluShf`.
            pub const fn row_name(&self) -> &'static str {
                match self { $( Self::$name(_) => stringify!($name), )* }
            }
        }
    };
}
for_each_nic_op!(define_decode);

/// The instruction that the 45 payload bits of a word hold.
///
/// Every bit must be accounted for: the instruction's encoding is compared with the word.
pub fn decode(word: u64) -> Result<Op, DecodeError> {
    if word & !PAYLOAD != 0 {
        return Err(DecodeError { word, row: None, reason: DecodeReason::BitsAbovePayload });
    }
    let op = Op::disassemble(word)?;
    let refuse = |reason| Err(DecodeError { word, row: Some(op.row_name()), reason });
    match encode(&op) {
        Ok(again) if again == word => Ok(op),
        Ok(again) => refuse(DecodeReason::StrayBits { bits: again ^ word }),
        Err(rule) => refuse(DecodeReason::Rule(rule)),
    }
}
