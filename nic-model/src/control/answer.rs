//! Answers of the card.

use super::layout::{ENTRY_HEAD, Slots};
use super::message::{Header, Kind, Malformed, REPLY, VERSION, put, put_slot, word};
use super::status::Status;

/// A message of the card's that answers a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Kind::Alloc`]: the new table's number.
    Alloc(Status, u32),
    /// To [`Kind::Free`]: how many entries went with it.
    Free(Status, u32),
    /// To the others.
    Entry(EntryAnswer),
}

/// An answer about entries. It holds the good ones, and one more where the last failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryAnswer {
    /// The type of the request.
    pub kind: Kind,
    /// How the last one ended.
    pub status: Status,
    /// Good entries.
    pub count: u32,
    /// Entries one behind the other, in slots.
    pub entries: Vec<u8>,
}

impl EntryAnswer {
    /// Adds an entry.
    pub fn push(&mut self, slots: Slots, key: &[u8], value: &[u8]) {
        put_slot(key, slots.key, &mut self.entries);
        put_slot(value, slots.value, &mut self.entries);
    }

    /// Entry `n` of an answer whose length is the one it must have.
    pub fn entry(&self, slots: Slots, n: u32) -> Option<(&[u8], &[u8])> {
        let size = slots.entry() as usize;
        let entry = self.entries.get(size.checked_mul(n as usize)?..)?.get(..size)?;
        Some(entry.split_at(slots.key as usize))
    }

    /// Whether it has the length that its count and status say.
    pub fn whole(&self, slots: Slots) -> bool {
        let entries = u64::from(self.count) + u64::from(self.status != Status::SUCCESS);
        self.entries.len() as u64 == entries * u64::from(slots.entry())
    }
}

impl Answer {
    /// Its bytes, for the request of that tag.
    pub fn encode(&self, tag: u16) -> Vec<u8> {
        let kind = match self {
            Answer::Alloc(..) => Kind::Alloc,
            Answer::Free(..) => Kind::Free,
            Answer::Entry(answer) => answer.kind,
        };
        let mut bytes = Header { kind: kind as u8 | REPLY, version: VERSION, tag }.encode().to_vec();
        match self {
            Answer::Alloc(status, number) | Answer::Free(status, number) => put(&[status.0, *number], &mut bytes),
            Answer::Entry(answer) => {
                put(&[answer.status.0, answer.count, 0], &mut bytes);
                bytes.extend(&answer.entries);
            }
        }
        bytes
    }

    /// Reads an answer and its tag, as the driver does that knows whose it is.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<(u16, Answer), Malformed> {
        let Header { kind, tag, .. } = Header::decode(bytes)?;
        let short = |least: u32| Malformed::Short { bytes: bytes.len(), least: least as usize };
        let request = Kind::of(kind & !REPLY).filter(|request| kind & REPLY != 0 && *request != Kind::Event);
        let request = request.ok_or(Malformed::Kind(kind))?;
        let least = if matches!(request, Kind::Alloc | Kind::Free) { 12 } else { ENTRY_HEAD };
        let (Some(status), Some(number), true) = (word(bytes, 4), word(bytes, 8), bytes.len() >= least as usize) else {
            return Err(short(least));
        };
        let status = Status(status);
        let answer = match request {
            Kind::Alloc => Answer::Alloc(status, number),
            Kind::Free => Answer::Free(status, number),
            kind => {
                let entries = bytes[ENTRY_HEAD as usize..].to_vec();
                Answer::Entry(EntryAnswer { kind, status, count: number, entries })
            }
        };
        Ok((tag, answer))
    }
}
