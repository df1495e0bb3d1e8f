//! Doing something for each kind of instruction.

use super::op::*;
use super::table::for_each_nic_op;

macro_rules! define_visitor {
    ($( $(#[$doc:meta])* $mnemonic:literal $method:ident $name:ident = $base:literal / $mask:literal,
        $class:ident, $effect:ident, $external:ident, { $($fields:tt)* } [ $($pieces:tt)* ] )*) => {
        /// One method for each row of the table: a row without a method does not compile.
        pub trait NicVisitor {
            /// What a visit yields.
            type Return;
            $(
                $(#[$doc])*
                fn $method(&mut self, op: &$name) -> Self::Return;
            )*
        }

        impl Op {
            /// Calls the visitor's method for this instruction.
            pub fn visit<V: NicVisitor>(&self, visitor: &mut V) -> V::Return {
                match self { $( Self::$name(op) => visitor.$method(op), )* }
            }
        }
    };
}
for_each_nic_op!(define_visitor);
