//! The table as data, and the columns of an instruction.

use super::effect::{Effect, External, TimingClass};
use super::field::{Field, Span};
use super::lone::Lone;
use super::op::*;
use super::operand::{Place, Reg};
use super::place::*;
use super::ports::Ports;
use super::shift::ShiftPlace;
use super::table::for_each_nic_op;
use super::target::{LoadPorts, MergePorts, Target};
use super::{branch::JumpPlace, command::CommandPlace, wait::*};

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct OpRow {
    /// Mnemonic in the vendor's syntax; for rows with several, the first.
    pub mnemonic: &'static str,
    /// Name of the type and of the [`Op`] variant.
    pub name: &'static str,
    /// What it does, with sources; lines as in the table.
    pub doc: &'static [&'static str],
    /// The word with all fields zero.
    pub base: u64,
    /// The bits by which a word belongs to the row.
    pub mask: u64,
    /// Cost class.
    pub class: TimingClass,
    /// Effect.
    pub effect: Effect,
    /// Where a burst must end, operands aside.
    pub external: External,
    /// The fields.
    pub fields: &'static [FieldRow],
}

/// A field of a row.
#[derive(Clone, Copy, Debug)]
pub struct FieldRow {
    /// Name.
    pub name: &'static str,
    /// `use`, `def`, `mod` or `imm`.
    pub role: &'static str,
    /// Type.
    pub kind: &'static str,
    /// The bits it may occupy; fields of one row may share flag bits.
    pub span: fn() -> u64,
}

macro_rules! define_rows {
    ($( $(#[doc = $doc:literal])* $mnemonic:literal $method:ident $name:ident = $base:literal / $mask:literal,
        $class:ident, $effect:ident, $external:ident,
        { $( $role:tt $field:ident : $ty:ty = $at:expr ),* } [ $($pieces:tt)* ] )*) => {
        /// The table, in its own order.
        pub const OPS: &[OpRow] = &[ $( OpRow {
            mnemonic: $mnemonic,
            name: stringify!($name),
            doc: &[ $( $doc ),* ],
            base: $base,
            mask: $mask,
            class: TimingClass::$class,
            effect: Effect::$effect,
            external: External::$external,
            fields: &[ $( FieldRow {
                name: stringify!($field),
                role: stringify!($role),
                kind: stringify!($ty),
                span: || Span::span($at),
            } ),* ],
        } ),* ];

        impl Op {
            /// Cost class.
            pub const fn timing_class(&self) -> TimingClass {
                match self { $( Self::$name(_) => TimingClass::$class, )* }
            }

            /// What the instruction can do besides writing registers.
            pub const fn effect(&self) -> Effect {
                match self { $( Self::$name(_) => Effect::$effect, )* }
            }

            fn row_external(&self) -> External {
                match self { $(
                    Self::$name(_op) => External::$external $( | _op.$field.external() )*,
                )* }
            }

            fn see_places(&self, uses: &mut dyn FnMut(Place), defs: &mut dyn FnMut(Place)) {
                match self { $(
                    Self::$name(_op) => { $( see_field!($role _op.$field, uses, defs); )* }
                )* }
            }
        }
    };
}

/// What a field's role makes of it.
macro_rules! see_field {
    (imm $field:expr, $uses:ident, $defs:ident) => {};
    (use $field:expr, $uses:ident, $defs:ident) => {
        $field.uses($uses);
        $field.always($uses, $defs);
    };
    (def $field:expr, $uses:ident, $defs:ident) => {
        $field.defs($defs);
        $field.always($uses, $defs);
    };
    (mod $field:expr, $uses:ident, $defs:ident) => {
        $field.defs($uses);
        $field.defs($defs);
        $field.always($uses, $defs);
    };
}
for_each_nic_op!(define_rows);

impl Op {
    /// What the instruction reads, in no particular order and perhaps twice. Transfer registers that a command takes
    /// its data from later are not among them.
    pub fn uses(&self) -> Vec<Place> {
        let mut places = Vec::new();
        self.touch(&mut |place| places.push(place), &mut |_| {});
        places
    }

    /// What the instruction writes, in no particular order and perhaps twice; if it is predicated, only perhaps. Transfer registers that a command fills
    /// later are not among them. An instruction with a result also replaces the previous result and its left operand.
    pub fn defs(&self) -> Vec<Place> {
        let mut places = Vec::new();
        self.touch(&mut |_| {}, &mut |place| places.push(place));
        places
    }

    /// Shows what [`Op::uses`] and [`Op::defs`] list.
    pub fn touch(&self, uses: &mut dyn FnMut(Place), defs: &mut dyn FnMut(Place)) {
        self.see_places(uses, defs);
        if self.effect() == Effect::Result {
            [Place::Previous, Place::PreviousLeft].into_iter().for_each(defs);
        }
    }

    /// Where a burst of instructions must end, or check that it need not, at this instruction.
    pub fn external(&self) -> External {
        let mut touched = External::NONE;
        let mut reads = External::NONE;
        self.see_places(&mut |place| reads |= outside(place), &mut |place| touched |= outside(place));
        self.row_external() | touched | reads
    }
}

fn outside(place: Place) -> External {
    match place {
        Place::Reg(Reg::Xfer(_) | Reg::XferIndex(_)) => External::TRANSFER,
        Place::Reg(Reg::Neighbour(_) | Reg::NeighbourIndex(_)) => External::NEIGHBOUR,
        _ => External::NONE,
    }
}
