//! The small units beside the arithmetic unit: content addressable memory and the state of multi-step instructions.

/// Entries of the content addressable memory (ancestor's manual).
const ENTRIES: usize = 16;

/// A content addressable memory with least-recently-used order. One a core; its contexts share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cam {
    /// Tag and state, once written.
    entries: [Option<(u32, u8)>; ENTRIES],
    /// Entries, newest first.
    order: [u8; ENTRIES],
}

impl Default for Cam {
    fn default() -> Self {
        // Entry 0 is the oldest.
        Cam { entries: [None; ENTRIES], order: std::array::from_fn(|i| (ENTRIES - 1 - i) as u8) }
    }
}

impl Cam {
    fn renew(&mut self, entry: u8) {
        let at = self.order.iter().position(|&e| e == entry).expect("every entry stands in the order");
        self.order.copy_within(0..at, 1);
        self.order[0] = entry;
    }

    fn index(entry: u32) -> usize {
        entry as usize % ENTRIES
    }

    /// The tag of an entry.
    pub(super) fn tag(&self, entry: u32) -> u32 {
        self.entries[Self::index(entry)].map_or(0, |(tag, _)| tag)
    }

    /// The state of an entry, in bits 8 to 11.
    pub(super) fn state(&self, entry: u32) -> u32 {
        self.entries[Self::index(entry)].map_or(0, |(_, state)| u32::from(state) << 8)
    }

    /// Writes an entry and makes it the newest.
    pub(super) fn write(&mut self, entry: u32, tag: u32, state: u8) {
        self.entries[Self::index(entry)] = Some((tag, state));
        self.renew(Self::index(entry) as u8);
    }

    /// Writes the state of an entry.
    pub(super) fn write_state(&mut self, entry: u32, state: u8) {
        if let Some((_, s)) = &mut self.entries[Self::index(entry)] {
            *s = state;
        }
    }

    /// Entry in bits 3 to 6; on a hit bit 7 and the state, and the entry becomes the newest. On a miss the oldest.
    pub(super) fn lookup(&mut self, tag: u32) -> u32 {
        match self.entries.iter().position(|e| e.is_some_and(|(t, _)| t == tag)) {
            Some(entry) => {
                self.renew(entry as u8);
                self.state(entry as u32) | 1 << 7 | (entry as u32) << 3
            }
            None => u32::from(self.order[ENTRIES - 1]) << 3,
        }
    }
}

/// What a sequence of steps carries from one to the next. One a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Running {
    /// The product so far.
    pub product: u64,
    /// The operand of the `byte_align` before.
    pub aligned: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_miss_names_the_oldest_entry() {
        let mut cam = Cam::default();
        assert_eq!(cam.lookup(7), 0, "entry 0");
        cam.write(0, 7, 5);
        assert_eq!(cam.lookup(7), 5 << 8 | 1 << 7);
        assert_eq!(cam.lookup(8), 1 << 3);
        for entry in 1..16 {
            cam.write(entry, 100 + entry, 0);
        }
        assert_eq!(cam.lookup(8), 0, "entry 0 again");
        cam.lookup(7);
        assert_eq!(cam.lookup(8), 1 << 3, "a hit makes an entry the newest");
        cam.write_state(0, 9);
        assert_eq!((cam.tag(0), cam.state(0)), (7, 9 << 8));
    }
}
