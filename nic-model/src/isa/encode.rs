//! Instructions to words.

use super::error::EncodeError;
use super::field::Field;
use super::lone::Lone;
use super::op::*;
use super::place::*;
use super::ports::Ports;
use super::shift::ShiftPlace;
use super::table::for_each_nic_op;
use super::target::{LoadPorts, MergePorts, Target};
use super::{branch::JumpPlace, command::CommandPlace, wait::*};

macro_rules! define_encode {
    ($( $(#[$doc:meta])* $mnemonic:literal $method:ident $name:ident = $base:literal / $mask:literal,
        $class:ident, $effect:ident, $external:ident,
        { $( $role:tt $field:ident : $ty:ty = $at:expr ),* } [ $($pieces:tt)* ] )*) => {
        impl Op {
            /// The word whose fields say what the instruction says, not yet checked.
            #[allow(unused_mut, reason = "a row may have no fields")]
            pub(super) fn assemble(&self) -> Result<u64, EncodeError> {
                match self { $(
                    Self::$name(_op) => {
                        let mut word = $base;
                        $( _op.$field.put($at, &mut word)?; )*
                        Ok(word)
                    }
                )* }
            }
        }
    };
}
for_each_nic_op!(define_encode);

/// The 45 payload bits of an instruction.
///
/// What it returns decodes to the same instruction again.
pub fn encode(op: &Op) -> Result<u64, EncodeError> {
    let word = op.assemble()?;
    if Op::disassemble(word).is_ok_and(|back| back == *op) { Ok(word) } else { Err(EncodeError::ReadsBackAs { word }) }
}
