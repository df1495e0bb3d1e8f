//! The firmware of a card: its routines, and where programs find its doors.

use super::{MapRoutine, Routine};

/// What stands at an address of the code store that is the firmware's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Entry {
    /// The program is done: the result word is in A0.
    Done,
    /// `bpf_map_lookup_elem`: table id in A0, return address in B0, key behind local memory pointer 0. Leaves the value's
    /// address ([`crate::memory::AddressMap::register_pair`]) or 0 in R0.
    MapLookup,
    /// `bpf_map_update_elem`: as look-up, value behind pointer 2, flags in R4. Leaves 0 or the negated error in R0.
    MapUpdate,
    /// `bpf_map_delete_elem`: as look-up. Leaves 0 or the negated error in R0.
    MapDelete,
    /// Any helper, by its number, with operands in memory of every kind: R1 to R5 in bank A, the program's type (0 XDP, 1 tc) in A0, return address in B0.
    /// Leaves R0.
    Helper(u32),
    /// An atomic operation on a number in the host's byte order: address, operand and the number expected in A23 to A28,
    /// which operation in A29, return address in B30. Leaves the number that was there in register 23 and 24.
    Atomic,
}

impl Entry {
    /// The door of a helper, by its number in Linux; `None` for helpers that translation carries out by itself,
    /// or that have a routine only ([`Entry::Helper`]).
    pub const fn of_helper(helper: u32) -> Option<Entry> {
        match helper {
            1 => Some(Entry::MapLookup),
            2 => Some(Entry::MapUpdate),
            3 => Some(Entry::MapDelete),
            _ => None,
        }
    }
}

/// The code store as a loader sees it, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeLayout {
    /// Words there are.
    pub words: u16,
    /// First word of a program.
    pub start: u16,
    /// Words a program may have.
    pub room: u16,
    /// The firmware's doors, by address; each address once, none inside the program's room.
    pub entries: Vec<(u16, Entry)>,
}

impl CodeLayout {
    /// The firmware in the words before the program: `Done` at 1, as in the vendor's tree, then a door for each helper.
    /// The helpers' addresses are assumed; a card announces them (Linux nfp driver, `fw.h`) and nobody depends on their
    /// values.
    pub fn new(start: u16, room: u16) -> Self {
        let mut entries = vec![(1, Entry::Done), (2, Entry::MapLookup), (3, Entry::MapUpdate), (4, Entry::MapDelete)];
        let doors = [Entry::Atomic].into_iter().chain(bpf::helpers::HELPERS.iter().map(|row| Entry::Helper(row.id)));
        entries.extend((5..start).zip(doors));
        CodeLayout { words: start.saturating_add(room), start, room, entries }
    }

    /// The address of a door.
    pub fn address(&self, entry: Entry) -> Option<u16> {
        self.entries.iter().find(|(_, e)| *e == entry).map(|(address, _)| *address)
    }
}

/// The routines around a program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Firmware {
    /// From work assigned to the program's first instruction.
    pub receive: Routine,
    /// In place of a program.
    pub plain: Routine,
    /// After a pass.
    pub pass: Routine,
    /// After a drop, and after a trap.
    pub drop: Routine,
    /// After sending back.
    pub tx: Routine,
    /// A packet from the host.
    pub transmit: Routine,
    /// A map helper.
    pub map: MapRoutine,
}
