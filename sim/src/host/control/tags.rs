//! What requests are told apart by.

/// Tags between the oldest that is out and the next to be given: a quarter of all, so that a late answer to a request that
/// was given up finds no other request with its tag (driver, `U16_MAX / 4`).
pub const SPAN: u16 = u16::MAX / 4;

/// The tags of one card.
#[derive(Debug, Clone)]
pub struct Tags {
    out: Vec<bool>,
    next: u16,
    last: u16,
}

impl Default for Tags {
    fn default() -> Self {
        Tags { out: vec![false; 1 << 16], next: 0, last: 0 }
    }
}

impl Tags {
    /// A tag for a request; `None` while too many are out.
    pub fn take(&mut self) -> Option<u16> {
        if self.next.wrapping_sub(self.last) > SPAN {
            return None;
        }
        let tag = self.next;
        self.out[usize::from(tag)] = true;
        self.next = tag.wrapping_add(1);
        Some(tag)
    }

    /// Whether somebody waits for that tag.
    pub fn waits(&self, tag: u16) -> bool {
        self.out[usize::from(tag)]
    }

    /// The request is answered, or given up.
    pub fn give_back(&mut self, tag: u16) {
        self.out[usize::from(tag)] = false;
        while self.last != self.next && !self.out[usize::from(self.last)] {
            self.last = self.last.wrapping_add(1);
        }
    }
}
