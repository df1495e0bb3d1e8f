//! Fields of an instruction while its text is read: what a row's pieces name is filled in instead of written.

use std::cell::Cell;
use std::ops::BitAnd;

use super::reader::Reader;
use crate::isa::branch::{BitTest, JumpTo};
use crate::isa::command::Command;
use crate::isa::crc::{CrcMode, Lookup, LookupPointer};
use crate::isa::csr::Csr;
use crate::isa::kinds::*;
use crate::isa::lone::{Left, One};
use crate::isa::operand::{Dst, Idle, Reg, Source};
use crate::isa::place::{Cam, Indirect, Previous, Running};
use crate::isa::ports::{Beside, Pair, Twice};
use crate::isa::shift::{Amount, Shift};
use crate::isa::target::{Load, Merge};
use crate::isa::wait::{Address, AddressMode, CodeAddress, Completion, Count, Swap, Wait};

/// The choices of one attempt at a line: flags that a text shows by what it leaves out, and which of several commands of
/// one name is meant. An attempt goes by its number.
pub(super) struct Choices(u32);

impl Choices {
    /// The choices of an attempt.
    pub(super) const fn of(attempt: u32) -> Self {
        Self(attempt)
    }

    fn bit(&mut self) -> bool {
        let bit = self.0 & 1 != 0;
        self.0 >>= 1;
        bit
    }

    /// Whether the attempt has choices that nothing asked for.
    pub(super) const fn left(&self) -> bool {
        self.0 != 0
    }
}

/// A field that can be read.
pub(super) trait Written: Sized + 'static {
    /// Where it gathers.
    type Store: Default;
    /// What a row's pieces see of it.
    type Draft<'a>: Copy;
    /// Begins.
    fn draft<'a>(store: &'a Self::Store, choices: &mut Choices) -> Self::Draft<'a>;
    /// What has gathered; what no text shows is as the Linux driver has it. `None` where a part is missing.
    fn finish(store: &Self::Store) -> Option<Self>;
}

/// A piece of a row that can be read.
pub(super) trait Read {
    fn read(self, from: &mut Reader<'_>) -> Option<()>;
}

impl Read for &str {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        from.literal(self)
    }
}

/// A value that a text gives.
pub(super) struct Slot<'a, T>(pub(super) &'a Cell<Option<T>>);

impl<T> Clone for Slot<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Slot<'_, T> {}

impl<T> Slot<'_, T> {
    pub(super) fn set(self, value: T) -> Option<()> {
        self.0.set(Some(value));
        Some(())
    }
}

/// A cell that takes a number, if it fits.
trait TakesNumber {
    fn take(&self, number: u32) -> Option<()>;
}

macro_rules! takes_numbers {
    ($($ty:ty),*) => { $(
        impl TakesNumber for Cell<Option<$ty>> {
            fn take(&self, number: u32) -> Option<()> {
                self.set(Some(<$ty>::try_from(number).ok()?));
                Some(())
            }
        }
        impl<'a> From<Slot<'a, $ty>> for Shown<'a> {
            fn from(slot: Slot<'a, $ty>) -> Self {
                Self { cell: slot.0, invert: false, mask: u32::MAX }
            }
        }
    )* };
}
takes_numbers!(u8, u16, u32);

/// A number as a text shows it: perhaps inverted, or a part of it.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    cell: &'a dyn TakesNumber,
    invert: bool,
    mask: u32,
}

impl Shown<'_> {
    pub(super) fn read(self, from: &mut Reader<'_>) -> Option<()> {
        let at = from.at();
        let shown = from.number()?;
        let number = if self.invert { !shown & self.mask } else { shown };
        if shown & !self.mask == 0 && self.cell.take(number).is_some() {
            return Some(());
        }
        from.back_to(at);
        from.want("a number that fits")
    }
}

impl BitAnd<u32> for Shown<'_> {
    type Output = Self;
    fn bitand(self, mask: u32) -> Self {
        Self { mask, ..self }
    }
}

macro_rules! plain {
    ($($ty:ty),*) => { $(
        impl Written for $ty {
            type Store = Cell<Option<$ty>>;
            type Draft<'a> = Slot<'a, $ty>;
            fn draft<'a>(store: &'a Self::Store, _: &mut Choices) -> Slot<'a, $ty> {
                Slot(store)
            }
            fn finish(store: &Self::Store) -> Option<Self> {
                store.get()
            }
        }
    )* };
}
plain!(u8, u16, CodeAddress, Indirect, Csr, Amount, Shift, Swap, Completion, Wait, JumpTo);

impl Written for u32 {
    type Store = Cell<Option<u32>>;
    type Draft<'a> = Shown<'a>;
    fn draft<'a>(store: &'a Self::Store, _: &mut Choices) -> Shown<'a> {
        Slot(store).into()
    }
    fn finish(store: &Self::Store) -> Option<Self> {
        store.get()
    }
}

macro_rules! listed {
    ($($ty:ident $what:literal),*) => {
        plain!($($ty),*);
        $( impl Read for Slot<'_, $ty> {
            fn read(self, from: &mut Reader<'_>) -> Option<()> {
                self.set(from.longest($ty::ALL, $ty::text, $what)?)
            }
        } )*
    };
}
listed!(
    AluOp "an operator", AluMove "an operator", ShiftMove "an operator", ShiftOp "an operator", CondCodes "`no_cc`",
    LoadCc "`load_cc`", Cond "an instruction", InputState "a state", MulWidth "a width", MulStepNo "a step",
    MulHalf "`last`", ByteLane "a byte's number", WordLane "a half's number", ImmedShift "a shift",
    CrcKind "a checksum", CrcBytes "bytes"
);

/// Fields that no text shows.
macro_rules! unseen {
    ($($ty:ty = $value:expr),*) => { $(
        impl Written for $ty {
            type Store = ();
            type Draft<'a> = ();
            fn draft(_: &(), _: &mut Choices) {}
            fn finish(_: &()) -> Option<Self> {
                Some($value)
            }
        }
    )* };
}
unseen!(
    Idle = Idle::Zero,
    Left = Left::Idle(Idle::Zero),
    Known = Known::Late,
    Running = Running,
    Cam = Cam,
    Previous = Previous
);

impl Written for bool {
    type Store = Cell<bool>;
    type Draft<'a> = bool;
    fn draft(store: &Cell<bool>, choices: &mut Choices) -> bool {
        store.set(choices.bit());
        store.get()
    }
    fn finish(store: &Cell<bool>) -> Option<bool> {
        Some(store.get())
    }
}

/// Structs of fields: where they gather, and what pieces see.
macro_rules! parts {
    ($( $ty:ident $store:ident $draft:ident { $( $part:ident : $kind:ty ),* } |$s:ident| $finish:expr; )*) => { $(
        #[derive(Default)]
        pub(super) struct $store { $( $part: Cell<Option<$kind>>, )* }

        #[derive(Clone, Copy)]
        pub(super) struct $draft<'a> { $( pub $part: Slot<'a, $kind>, )* }

        impl $store {
            fn pieces(&self) -> $draft<'_> {
                $draft { $( $part: Slot(&self.$part), )* }
            }
        }

        impl Written for $ty {
            type Store = $store;
            type Draft<'a> = $draft<'a>;
            fn draft<'a>(store: &'a $store, _: &mut Choices) -> $draft<'a> {
                store.pieces()
            }
            fn finish($s: &$store) -> Option<Self> {
                $finish
            }
        }
    )* };
}
parts! {
    Dst DstStore DstDraft { reg: Option<Reg>, both: bool } |s| {
        Some(Dst { reg: s.reg.get()?, both: s.both.get().unwrap_or(false) })
    };
    Pair PairStore PairDraft { lhs: Source, rhs: Source } |s| Some(Pair::new(s.lhs.get()?, s.rhs.get()?));
    Merge MergeStore MergeDraft { dst: Reg, src: Source, both: bool } |s| {
        Merge::new(Dst { reg: Some(s.dst.get()?), both: s.both.get().unwrap_or(false) }, s.src.get()?)
    };
    Beside BesideStore BesideDraft { reg: Reg, constant: u8 } |s| {
        Some(Beside::new(s.reg.get()?, s.constant.get().unwrap_or(0)))
    };
    BitTest BitStore BitDraft { reg: Reg, number: u8 } |s| {
        Some(BitTest::new(s.reg.get()?, s.number.get().filter(|bit| *bit < 32)?))
    };
    Address AddressStore AddressDraft { mode: AddressMode, high: Source, low: Source } |s| {
        let (high, low) = (s.high.get()?, s.low.get()?);
        Some(if s.mode.get()? == AddressMode::Sum32 { Address::sum(high, low) } else { Address::wide(high, low) })
    };
}

impl<'a> BitDraft<'a> {
    pub(super) fn bit(self) -> Slot<'a, u8> {
        self.number
    }
}

impl<'a> MergeDraft<'a> {
    pub(super) fn target(self) -> Both<'a> {
        Both(self.both)
    }
}

impl<'a> From<DstDraft<'a>> for Both<'a> {
    fn from(dst: DstDraft<'a>) -> Self {
        Both(dst.both)
    }
}

/// Whether a result goes to both banks.
pub(super) struct Both<'a>(Slot<'a, bool>);

impl Read for Both<'_> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        self.0.set(from.optional(", gpr_wrboth"))
    }
}

impl Read for DstDraft<'_> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        if from.optional("--") { self.reg.set(None) } else { self.reg.set(Some(from.register()?)) }
    }
}

impl Read for Slot<'_, Reg> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        self.set(from.register()?)
    }
}

impl Read for Slot<'_, Source> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        let at = from.at();
        if let Some(reg) = from.register() {
            return self.set(Source::Reg(reg));
        }
        let number = from.number()?;
        match u8::try_from(number) {
            Ok(number) => self.set(Source::Imm(number)),
            Err(_) => {
                from.back_to(at);
                from.want("a constant of 0 to 255")
            }
        }
    }
}

/// Destination and constant of `immed`.
#[derive(Default)]
pub(super) struct LoadStore {
    dst: DstStore,
    value: Cell<Option<u16>>,
}

#[derive(Clone, Copy)]
pub(super) struct LoadDraft<'a> {
    pub dst: DstDraft<'a>,
    value: Slot<'a, u16>,
}

impl<'a> LoadDraft<'a> {
    pub(super) fn shown(self, invert: bool) -> Shown<'a> {
        Shown { invert, ..self.value.into() }
    }
}

impl Written for Load {
    type Store = LoadStore;
    type Draft<'a> = LoadDraft<'a>;
    fn draft<'a>(store: &'a LoadStore, _: &mut Choices) -> LoadDraft<'a> {
        LoadDraft { dst: store.dst.pieces(), value: Slot(&store.value) }
    }
    fn finish(store: &LoadStore) -> Option<Self> {
        Some(Load { dst: Dst::finish(&store.dst)?, value: store.value.get()? })
    }
}

/// A lone source, and what stands beside it.
pub(super) struct OneStore<X: Written> {
    src: Cell<Option<Source>>,
    beside: X::Store,
}

impl<X: Written> Default for OneStore<X> {
    fn default() -> Self {
        Self { src: Cell::default(), beside: X::Store::default() }
    }
}

#[derive(Clone, Copy)]
pub(super) struct OneDraft<'a, D: Copy> {
    pub src: Slot<'a, Source>,
    pub beside: D,
}

impl<X: Written> Written for One<X> {
    type Store = OneStore<X>;
    type Draft<'a> = OneDraft<'a, X::Draft<'a>>;
    fn draft<'a>(store: &'a OneStore<X>, choices: &mut Choices) -> Self::Draft<'a> {
        OneDraft { src: Slot(&store.src), beside: X::draft(&store.beside, choices) }
    }
    fn finish(store: &OneStore<X>) -> Option<Self> {
        Some(One::new(store.src.get()?, X::finish(&store.beside)?))
    }
}

impl Written for Lookup {
    type Store = Cell<Option<LookupPointer>>;
    type Draft<'a> = Slot<'a, LookupPointer>;
    fn draft<'a>(store: &'a Self::Store, _: &mut Choices) -> Slot<'a, LookupPointer> {
        Slot(store)
    }
    fn finish(store: &Self::Store) -> Option<Self> {
        Some(Lookup(store.get()))
    }
}

impl Read for Slot<'_, LookupPointer> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        if !from.optional(", lm_addr") {
            return Some(());
        }
        let pointer = u8::try_from(from.number()?).ok()?;
        from.literal("[")?;
        let index = u8::try_from(from.number()?).ok()?;
        from.literal("]")?;
        self.set(LookupPointer { pointer, index })
    }
}

#[derive(Default)]
pub(super) struct CrcStore {
    kind: Cell<Option<CrcKind>>,
    little: Cell<bool>,
    bytes: Cell<Option<CrcBytes>>,
    bit_swap: Cell<bool>,
}

#[derive(Clone, Copy)]
pub(super) struct CrcDraft<'a> {
    store: &'a CrcStore,
    pub bytes: Slot<'a, CrcBytes>,
    pub bit_swap: bool,
}

impl Written for CrcMode {
    type Store = CrcStore;
    type Draft<'a> = CrcDraft<'a>;
    fn draft<'a>(store: &'a CrcStore, choices: &mut Choices) -> CrcDraft<'a> {
        store.bit_swap.set(choices.bit());
        CrcDraft { store, bytes: Slot(&store.bytes), bit_swap: store.bit_swap.get() }
    }
    fn finish(store: &CrcStore) -> Option<Self> {
        let (kind, bytes) = (store.kind.get()?, store.bytes.get()?);
        Some(CrcMode { kind, bytes, little: store.little.get(), bit_swap: store.bit_swap.get() })
    }
}

impl Read for CrcDraft<'_> {
    fn read(self, from: &mut Reader<'_>) -> Option<()> {
        self.store.little.set(from.optional("crc_le["));
        if !self.store.little.get() {
            from.literal("crc_be[")?;
        }
        Slot(&self.store.kind).read(from)?;
        from.literal(", ")
    }
}

#[derive(Clone, Copy)]
pub(super) struct CountDraft<'a>(pub Slot<'a, u8>);

impl CountDraft<'_> {
    /// A command's name is read before its count, and held against it when the line is done.
    pub(super) fn length(self) {}
}

macro_rules! wrapped {
    ($($ty:ident $draft:ident),*) => { $(
        impl Written for $ty {
            type Store = Cell<Option<u8>>;
            type Draft<'a> = $draft<'a>;
            fn draft<'a>(store: &'a Self::Store, _: &mut Choices) -> $draft<'a> {
                $draft(Slot(store))
            }
            fn finish(store: &Self::Store) -> Option<Self> {
                store.get().map($ty)
            }
        }
    )* };
}
wrapped!(Count CountDraft, Twice TwiceDraft);

#[derive(Clone, Copy)]
pub(super) struct TwiceDraft<'a>(pub Slot<'a, u8>);

/// A command, and which of those of one name is tried.
#[derive(Clone, Copy)]
pub(super) struct CommandDraft<'a> {
    pub(super) slot: Slot<'a, Command>,
    pub(super) which: usize,
}

impl Written for Command {
    type Store = Cell<Option<Command>>;
    type Draft<'a> = CommandDraft<'a>;
    fn draft<'a>(store: &'a Self::Store, choices: &mut Choices) -> CommandDraft<'a> {
        let which = usize::from(choices.bit()) | usize::from(choices.bit()) << 1;
        CommandDraft { slot: Slot(store), which }
    }
    fn finish(store: &Self::Store) -> Option<Self> {
        store.get()
    }
}
