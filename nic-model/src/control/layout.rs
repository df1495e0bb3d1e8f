//! How large messages are.

use crate::profile::Capabilities;

/// Bytes that an entry has in a message, whatever its map's sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slots {
    /// Of the key.
    pub key: u32,
    /// Of the value.
    pub value: u32,
}

/// Bytes of a request about entries, or of its answer, before the first entry.
pub(super) const ENTRY_HEAD: u32 = 16;

/// Most entries that the driver asks for at once, and keeps.
pub const MAX_ENTRIES: u32 = 4;

/// Payload of a network device by default, which the control channel has at least (`NFP_NET_DEFAULT_MTU`).
const DEFAULT_MTU: u32 = 1_500;

impl Slots {
    /// ABI 2: 64 bytes each.
    pub const FIXED: Slots = Slots { key: 64, value: 64 };

    /// The slots of a map by the ABI that a card's firmware announces: 2 are fixed, 3 as large as the card's largest key
    /// and value. 4 is this project's: those of the map, in whole words. `value` is what user space sees of a value.
    pub fn of(card: &Capabilities, key: u32, value: u32) -> Slots {
        match *card.control_abi {
            2 => Slots::FIXED,
            3 => Slots { key: card.max_key.0 as u32, value: card.max_value.0 as u32 },
            _ => Slots { key: key.next_multiple_of(4), value: value.next_multiple_of(4) },
        }
    }

    /// Bytes of an entry.
    pub const fn entry(self) -> u32 {
        self.key.saturating_add(self.value)
    }

    /// Bytes of a message with that many entries: requests and answers are as long as each other.
    pub const fn message(self, entries: u32) -> u32 {
        ENTRY_HEAD.saturating_add(self.entry().saturating_mul(entries))
    }

    /// Whether a key and a value of these sizes have room.
    pub const fn hold(self, key: u32, value: u32) -> bool {
        key <= self.key && value <= self.value
    }
}

/// Longest message of a card: the driver asks for room for [`MAX_ENTRIES`] entries, at least that of a frame, and gets at
/// most the card's largest frame.
pub fn mtu(card: &Capabilities, largest_frame: u32) -> u32 {
    let entries = match *card.control_abi {
        2 | 3 => Slots::of(card, 0, 0).message(MAX_ENTRIES),
        _ => u32::MAX,
    };
    entries.max(DEFAULT_MTU).min(largest_frame)
}

/// Entries that the driver asks for when it walks a map with such slots: as many as fit, at most [`MAX_ENTRIES`], where the
/// firmware can give several at all.
pub fn entries_an_answer(card: &Capabilities, slots: Slots, mtu: u32) -> u32 {
    if *card.control_entries {
        (mtu.saturating_sub(ENTRY_HEAD) / slots.entry().max(1)).clamp(1, MAX_ENTRIES)
    } else {
        1
    }
}
