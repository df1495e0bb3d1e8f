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
        /// The 45 payload bits of an instruction, or the rule that it breaks. [`super::decode`] gives the same instruction
        /// back.
        #[allow(unused_mut, reason = "a row may have no fields")]
        pub fn encode(op: &Op) -> Result<u64, EncodeError> {
            match op { $(
                Op::$name(_op) => {
                    let mut word = $base;
                    $( _op.$field.put($at, &mut word)?; )*
                    Ok(word)
                }
            )* }
        }
    };
}
for_each_nic_op!(define_encode);
