//! What an instruction reads and writes, as a set of bits.

use nic_model::isa::{Bank, Effect, Op, Place, Reg};

/// A set of places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Places(u128);

/// General purpose registers of a bank.
pub(super) const BANK: u32 = 32;
/// Local memory pointers.
const POINTERS: u8 = 4;

impl Places {
    pub(super) const NONE: Places = Places(0);
    /// The general purpose registers of both banks.
    pub(super) const GPRS: Places = Places((1 << (2 * BANK)) - 1);
    pub(super) const FLAGS: Places = Places(1 << 64);
    /// State of a sequence of multiplication steps.
    pub(super) const RUNNING: Places = Places(1 << 65);
    pub(super) const PREVIOUS: Places = Places(1 << 66);
    pub(super) const PREVIOUS_LEFT: Places = Places(1 << 67);
    /// Any word of local memory.
    pub(super) const LOCAL: Places = Places(1 << 68);
    /// Any transfer register, on the side that commands fill.
    pub(super) const XFER_IN: Places = Places(1 << 69);
    /// Any transfer register, on the side that commands take from.
    pub(super) const XFER_OUT: Places = Places(1 << 70);
    /// What nobody here looks into.
    pub(super) const OTHER: Places = Places(1 << 71);
    /// What hangs between an instruction and the next.
    pub(super) const BETWEEN: Places = Places(Self::PREVIOUS.0 | Self::PREVIOUS_LEFT.0);

    /// A general purpose register.
    pub(super) const fn gpr(bank: Bank, n: u8) -> Places {
        let at = match bank {
            Bank::A => n as u32,
            Bank::B => n as u32 + BANK,
        };
        Places(1 << at)
    }

    /// A local memory pointer.
    pub(super) const fn pointer(n: u8) -> Places {
        Places(1 << (72 + (n % POINTERS) as u32))
    }

    pub(super) const fn union(self, other: Places) -> Places {
        Places(self.0 | other.0)
    }

    pub(super) const fn minus(self, other: Places) -> Places {
        Places(self.0 & !other.0)
    }

    pub(super) const fn meets(self, other: Places) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn within(self, other: Places) -> bool {
        self.0 & !other.0 == 0
    }

    fn of(place: Place, written: bool) -> Places {
        match place {
            Place::Reg(Reg::Gpr(bank, n)) => Places::gpr(bank, n),
            Place::Reg(Reg::Local { .. } | Reg::LocalIncrement { .. } | Reg::LocalDecrement { .. }) => Places::LOCAL,
            Place::Reg(Reg::Xfer(_)) if written => Places::XFER_OUT,
            Place::Reg(Reg::Xfer(_)) => Places::XFER_IN,
            Place::LocalPointer(n) => Places::pointer(n),
            Place::Flags => Places::FLAGS,
            Place::Running => Places::RUNNING,
            Place::Previous => Places::PREVIOUS,
            Place::PreviousLeft => Places::PREVIOUS_LEFT,
            _ => Places::OTHER,
        }
    }
}

impl FromIterator<Places> for Places {
    fn from_iter<I: IntoIterator<Item = Places>>(places: I) -> Places {
        places.into_iter().fold(Places::NONE, Places::union)
    }
}

/// What an instruction reads, and what it writes.
pub(super) fn touches(op: &Op) -> (Places, Places) {
    let uses: Places = op.uses().into_iter().map(|place| Places::of(place, false)).collect();
    let defs: Places = op.defs().into_iter().map(|place| Places::of(place, true)).collect();
    match op.effect() {
        // Commands move transfer registers and memory when they like.
        Effect::Command => (uses.union(Places::XFER_OUT), defs.union(Places::XFER_IN).union(Places::OTHER)),
        Effect::Csr | Effect::Yield => (uses, defs.union(Places::OTHER)),
        _ => (uses, defs),
    }
}
