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
    /// Every place there is.
    pub(super) const ALL: Places = Places(u128::MAX);
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

    pub(super) const fn and(self, other: Places) -> Places {
        Places(self.0 & other.0)
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

    /// The general purpose registers of a bank, a bit each.
    pub(super) const fn bank(self, bank: Bank) -> u32 {
        match bank {
            Bank::A => self.0 as u32,
            Bank::B => (self.0 >> BANK) as u32,
        }
    }

    /// The general purpose registers, by their places in an array of both banks: those of bank B stand behind those of
    /// bank A.
    pub(super) fn registers(self) -> Registers {
        Registers(self.0 as u64)
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

/// The places of registers in an array of both banks, ascending.
#[derive(Debug, Clone)]
pub(super) struct Registers(u64);

impl Registers {
    /// Those of a set, a bit each.
    pub(super) const fn of(set: u64) -> Self {
        Registers(set)
    }

    /// A bit each.
    pub(super) const fn mask(self) -> u64 {
        self.0
    }
}

impl Iterator for Registers {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let first = (self.0 != 0).then(|| self.0.trailing_zeros() as usize);
        self.0 &= self.0.wrapping_sub(1);
        first
    }
}

/// The place of a register in an array of both banks.
pub(super) fn register(bank: Bank, n: u8) -> usize {
    usize::from(n % BANK as u8) + if bank == Bank::B { BANK as usize } else { 0 }
}

impl FromIterator<Places> for Places {
    fn from_iter<I: IntoIterator<Item = Places>>(places: I) -> Places {
        places.into_iter().fold(Places::NONE, Places::union)
    }
}

/// What an instruction reads, and what it writes.
pub(super) fn touches(op: &Op) -> (Places, Places) {
    let (mut uses, mut defs) = (Places::NONE, Places::NONE);
    op.touch(&mut |place| uses = uses.union(Places::of(place, false)), &mut |place| {
        defs = defs.union(Places::of(place, true))
    });
    match op.effect() {
        // Commands move transfer registers and memory when they like.
        Effect::Command => (uses.union(Places::XFER_OUT), defs.union(Places::XFER_IN).union(Places::OTHER)),
        Effect::Csr | Effect::Yield => (uses, defs.union(Places::OTHER)),
        _ => (uses, defs),
    }
}
