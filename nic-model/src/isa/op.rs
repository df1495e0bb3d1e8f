//! The instructions as types: a struct a row, and [`Op`] over all of them.

use super::branch::{BitTest, JumpTo};
use super::command::Command;
use super::crc::{CrcMode, Lookup};
use super::csr::Csr;
use super::kinds::*;
use super::lone::{Left, One};
use super::operand::{Dst, Idle};
use super::place::{Cam, Indirect, Previous, Running};
use super::ports::{Beside, Pair, Twice};
use super::shift::{Amount, Shift};
use super::table::for_each_nic_op;
use super::target::{Load, Merge};
use super::wait::{Address, CodeAddress, Completion, Count, Resume, Swap, Wait};

macro_rules! define_ops {
    ($( $(#[$doc:meta])* $mnemonic:literal $method:ident $name:ident = $base:literal / $mask:literal,
        $class:ident, $effect:ident, $external:ident,
        { $( $role:tt $field:ident : $ty:ty = $at:expr ),* } [ $( $piece:expr ),* ] )*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
            pub struct $name { $(
                #[doc = concat!("Role `", stringify!($role), "`, at `", stringify!($at), "`.")]
                pub $field: $ty,
            )* }

            impl From<$name> for Op {
                fn from(op: $name) -> Self { Self::$name(op) }
            }
        )*

        /// One instruction of the flow processing core.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Op { $(
            $(#[$doc])*
            $name($name),
        )* }
    };
}
for_each_nic_op!(define_ops);
