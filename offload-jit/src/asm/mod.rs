//! The assembler buffer: instructions of the card with labels, and fixups recorded for what is not known yet.
//!
//! Emission goes through typed operands of [`nic_model::isa`]; no bits are written here. Two things are open while a
//! program is being lowered, and each is recorded rather than patched:
//!
//! - where a label is. A label is bound at most once, before or after its uses. [`crate::place`] turns labels into
//!   addresses counted from the program's start.
//! - where the program will stand in the code store, and where the firmware's routines are. That stays open in the image as
//!   a relocation ([`crate::image::Relocation`]).

mod constant;
mod emit;

pub(crate) use constant::once;
pub(crate) use emit::{Command, Operand};

use nic_model::isa::Op;

/// A place in the program, bound or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Label(u32);

impl Label {
    /// The label with a number, as [`Assembly::labels`] counts them.
    pub(crate) fn numbered(n: usize) -> Label {
        Label(n as u32)
    }

    /// Its number.
    pub(crate) fn number(self) -> usize {
        self.0 as usize
    }
}

/// What a branch or address that is open refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// A label of the program.
    Label(Label),
    /// A part of the epilogue, or the firmware.
    External(External),
    /// The address of a byte in the first value of a map: a part of it.
    Value(ValuePart),
}

/// Sixteen bits of the address of a byte of a map's first value, which is known when the map is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValuePart {
    /// The card's number of the map.
    pub table: u32,
    /// Byte in the value.
    pub offset: u32,
    /// Which bits.
    pub bits: AddressBits,
}

/// Which sixteen bits of an address, as programs hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressBits {
    /// Bits 0 to 15.
    Low,
    /// Bits 16 to 31.
    Middle,
    /// Bits 48 to 63, which name the memory.
    Memory,
}

/// Parts of the program that stand behind its body, and routines of the firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum External {
    /// Where a finished program goes: the epilogue.
    Out,
    /// Where a program that must not go on goes.
    Abort,
    /// The subroutine that saves R6 to R9.
    Save,
    /// The subroutine that restores them.
    Restore,
    /// The firmware takes the packet back.
    Done,
    /// The firmware's routine for a helper, by the helper's number.
    Helper(u32),
    /// The firmware's routine for a helper over memory of every kind, by the helper's number.
    Routine(u32),
    /// The firmware's routine for atomic operations.
    Atomic,
}

/// Which part of the program an instruction belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// In front of the program.
    Prologue,
    /// The BPF instruction at this slot.
    Slot(u32),
    /// Behind the program: verdict, and subroutines.
    Epilogue,
    /// For the core to fetch ahead.
    Padding,
}

/// An operand that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fixup {
    /// Index of the instruction.
    pub at: usize,
    /// What it refers to.
    pub goal: Goal,
}

/// A program as instructions whose labels are not yet addresses.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    pub(crate) ops: Vec<Op>,
    /// For each instruction, where it came from.
    pub(crate) origins: Vec<Origin>,
    /// Ascending by instruction.
    pub(crate) fixups: Vec<Fixup>,
    /// Addresses of labels, once bound.
    pub(crate) labels: Vec<Option<usize>>,
    /// Where the parts behind the body begin.
    pub(crate) entries: Vec<(External, Label)>,
    origin: Option<Origin>,
}

impl Assembly {
    /// Instructions from here on belong to `origin`.
    pub(crate) fn set_origin(&mut self, origin: Origin) {
        self.origin = Some(origin);
    }

    /// A new label.
    pub(crate) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() as u32 - 1)
    }

    /// Binds a label to the next instruction.
    pub(crate) fn bind(&mut self, label: Label) {
        let place = &mut self.labels[label.0 as usize];
        assert!(place.is_none(), "a label stands in one place");
        *place = Some(self.ops.len());
    }

    /// A part behind the body begins at the next instruction.
    pub(crate) fn entry(&mut self, part: External) {
        let label = self.label();
        self.bind(label);
        self.entries.push((part, label));
    }

    /// The label of a part that has begun.
    pub(crate) fn entry_label(&self, part: External) -> Label {
        let found = self.entries.iter().find(|(name, _)| *name == part);
        found.map(|(_, label)| *label).expect("parts are referred to by label after they began")
    }

    /// The address of a label; every label that is used is bound when a program is whole.
    pub(crate) fn address_of(&self, label: Label) -> usize {
        self.labels[label.0 as usize].expect("lowering binds every label it uses")
    }

    /// Whether a label stands somewhere.
    pub(crate) fn is_bound(&self, label: Label) -> bool {
        self.labels.get(label.0 as usize).is_some_and(Option::is_some)
    }

    fn push(&mut self, op: impl Into<Op>) {
        self.ops.push(op.into());
        self.origins.push(self.origin.unwrap_or(Origin::Prologue));
    }

    fn push_open(&mut self, op: impl Into<Op>, goal: Goal) {
        self.fixups.push(Fixup { at: self.ops.len(), goal });
        self.push(op);
    }
}
