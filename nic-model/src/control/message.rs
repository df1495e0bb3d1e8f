//! Requests of the driver, and what the card sends unasked: the layouts of the driver's firmware interface. Numbers are
//! big-endian words; keys and values are bytes as maps have them.

use std::fmt;

use super::layout::{ENTRY_HEAD, Slots};

/// `ver` of every message.
pub const VERSION: u8 = 1;
/// Set in the type of an answer.
pub const REPLY: u8 = 0x80;

/// Types of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Make a table.
    Alloc = 1,
    /// Give one up.
    Free = 2,
    /// An entry's value.
    Lookup = 3,
    /// Write an entry.
    Update = 4,
    /// Remove one.
    Delete = 5,
    /// Entries after a key.
    Next = 6,
    /// Entries from the first on.
    First = 7,
    /// A program's event for the host; the card sends it, and nobody answers.
    Event = 8,
}

impl Kind {
    /// All types, in the order of their numbers.
    pub const ALL: [Kind; 8] =
        [Kind::Alloc, Kind::Free, Kind::Lookup, Kind::Update, Kind::Delete, Kind::Next, Kind::First, Kind::Event];

    /// From the byte of a header, without [`REPLY`].
    pub fn of(byte: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// What is done to entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryOp {
    /// [`Kind::Lookup`].
    Lookup,
    /// [`Kind::Update`].
    Update,
    /// [`Kind::Delete`].
    Delete,
    /// [`Kind::Next`].
    Next,
    /// [`Kind::First`].
    First,
}

impl EntryOp {
    /// All of them.
    pub const ALL: [EntryOp; 5] = [EntryOp::Lookup, EntryOp::Update, EntryOp::Delete, EntryOp::Next, EntryOp::First];

    /// The type of its messages.
    pub const fn kind(self) -> Kind {
        match self {
            EntryOp::Lookup => Kind::Lookup,
            EntryOp::Update => Kind::Update,
            EntryOp::Delete => Kind::Delete,
            EntryOp::Next => Kind::Next,
            EntryOp::First => Kind::First,
        }
    }

    /// Whether it changes the map.
    pub const fn writes(self) -> bool {
        matches!(self, EntryOp::Update | EntryOp::Delete)
    }

    /// Whether its answer may hold several entries.
    pub const fn walks(self) -> bool {
        matches!(self, EntryOp::Next | EntryOp::First)
    }
}

/// The first four bytes: type, version, tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Type, with [`REPLY`] in an answer.
    pub kind: u8,
    /// [`VERSION`].
    pub version: u8,
    /// What an answer is told by.
    pub tag: u16,
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than what every such message has.
    Short {
        /// Bytes it has.
        bytes: usize,
        /// Bytes it needs.
        least: usize,
    },
    /// Another version.
    Version(u8),
    /// A type that no request has.
    Kind(u8),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Short { bytes, least } => write!(f, "{bytes} bytes where there must be {least}"),
            Malformed::Version(version) => write!(f, "version {version}, and not {VERSION}"),
            Malformed::Kind(kind) => write!(f, "type {kind:#04x} is no request"),
        }
    }
}

pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word))
}

pub(super) fn put(words: &[u32], to: &mut Vec<u8>) {
    words.iter().for_each(|word| to.extend(word.to_be_bytes()));
}

/// Bytes padded with zeros to a slot, or cut to it.
pub(super) fn put_slot(bytes: &[u8], slot: u32, to: &mut Vec<u8>) {
    let end = to.len() + slot as usize;
    to.extend(&bytes[..bytes.len().min(slot as usize)]);
    to.resize(end, 0);
}

impl Header {
    /// Reads the first bytes of a message.
    ///
    /// # Errors
    /// [`Malformed::Short`].
    pub fn decode(bytes: &[u8]) -> Result<Header, Malformed> {
        match bytes.first_chunk() {
            Some(&[kind, version, high, low]) => Ok(Header { kind, version, tag: u16::from_be_bytes([high, low]) }),
            None => Err(Malformed::Short { bytes: bytes.len(), least: 4 }),
        }
    }

    /// Its bytes.
    pub fn encode(self) -> [u8; 4] {
        let [high, low] = self.tag.to_be_bytes();
        [self.kind, self.version, high, low]
    }
}

/// What a table is to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NewTable {
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most entries.
    pub max_entries: u32,
    /// `enum bpf_map_type`.
    pub map_type: u32,
    /// Flags; the driver sends 0.
    pub map_flags: u32,
}

/// A request about entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRequest {
    /// What to do.
    pub op: EntryOp,
    /// To which table.
    pub table: u32,
    /// Entries wanted; 1 but for [`EntryOp::walks`].
    pub count: u32,
    /// Flags of an update.
    pub flags: u32,
    /// The one entry that every such request has, key and value in their slots.
    pub entry: Vec<u8>,
}

impl EntryRequest {
    /// A request with its key and value in slots.
    pub fn new(op: EntryOp, table: u32, count: u32, flags: u32, slots: Slots, key: &[u8], value: &[u8]) -> Self {
        let mut entry = Vec::with_capacity(slots.entry() as usize);
        put_slot(key, slots.key, &mut entry);
        put_slot(value, slots.value, &mut entry);
        EntryRequest { op, table, count, flags, entry }
    }

    /// Key and value, of these sizes in such slots; `None` where the request has another length.
    pub fn parts(&self, slots: Slots, key: u32, value: u32) -> Option<(&[u8], &[u8])> {
        if self.entry.len() != slots.entry() as usize || !slots.hold(key, value) {
            return None;
        }
        let (keys, values) = self.entry.split_at(slots.key as usize);
        Some((&keys[..key as usize], &values[..value as usize]))
    }
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// [`Kind::Alloc`].
    Alloc(NewTable),
    /// [`Kind::Free`], of that table.
    Free(u32),
    /// The others.
    Entry(EntryRequest),
}

/// A message of the driver's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What the answer is told by.
    pub tag: u16,
    /// What it asks for.
    pub body: Body,
}

impl Request {
    /// The type in its header.
    pub fn kind(&self) -> Kind {
        match &self.body {
            Body::Alloc(_) => Kind::Alloc,
            Body::Free(_) => Kind::Free,
            Body::Entry(entry) => entry.op.kind(),
        }
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Header { kind: self.kind() as u8, version: VERSION, tag: self.tag }.encode().to_vec();
        match &self.body {
            Body::Alloc(new) => {
                put(&[new.key_size, new.value_size, new.max_entries, new.map_type, new.map_flags], &mut bytes);
            }
            Body::Free(table) => put(&[*table], &mut bytes),
            Body::Entry(request) => {
                put(&[request.table, request.count, request.flags], &mut bytes);
                bytes.extend(&request.entry);
            }
        }
        bytes
    }

    /// Reads a message that the card gets. Bytes behind a table's definition or number are not looked at.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Request, Malformed> {
        let Header { kind, version, tag } = Header::decode(bytes)?;
        if version != VERSION {
            return Err(Malformed::Version(version));
        }
        let short = |least: u32| Malformed::Short { bytes: bytes.len(), least: least as usize };
        let words = |count: usize| -> Result<Vec<u32>, Malformed> {
            let words = (1..=count).map(|n| word(bytes, 4 * n));
            words.collect::<Option<_>>().ok_or_else(|| short(4 + 4 * count as u32))
        };
        let op = match Kind::of(kind) {
            Some(Kind::Alloc) => {
                let w = words(5)?;
                let [key_size, value_size, max_entries, map_type, map_flags] = [w[0], w[1], w[2], w[3], w[4]];
                let new = NewTable { key_size, value_size, max_entries, map_type, map_flags };
                return Ok(Request { tag, body: Body::Alloc(new) });
            }
            Some(Kind::Free) => return Ok(Request { tag, body: Body::Free(words(1)?[0]) }),
            Some(kind) => EntryOp::ALL.into_iter().find(|op| op.kind() == kind),
            None => None,
        };
        let op = op.ok_or(Malformed::Kind(kind))?;
        let w = words(3)?;
        let entry = bytes.get(ENTRY_HEAD as usize..).unwrap_or_default().to_vec();
        Ok(Request { tag, body: Body::Entry(EntryRequest { op, table: w[0], count: w[1], flags: w[2], entry }) })
    }
}

/// A program's event for the host (`bpf_perf_event_output`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Processor whose ring it is for.
    pub cpu: u32,
    /// The host's number of the map.
    pub map: u64,
    /// The packet's bytes.
    pub packet: Vec<u8>,
    /// What the program says.
    pub data: Vec<u8>,
}

/// Bytes of an event before the packet's.
const EVENT_HEAD: usize = 24;

impl Event {
    /// Its bytes: the packet's come first, what the program says begins at the next word.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Header { kind: Kind::Event as u8, version: VERSION, tag: 0 }.encode().to_vec();
        put(&[self.cpu, (self.map >> 32) as u32, self.map as u32], &mut bytes);
        put(&[self.data.len() as u32, self.packet.len() as u32], &mut bytes);
        bytes.extend(&self.packet);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(&self.data);
        bytes
    }

    /// Reads one, as the driver does.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Event, Malformed> {
        let Header { kind, version, .. } = Header::decode(bytes)?;
        let short = |least: usize| Malformed::Short { bytes: bytes.len(), least };
        let at = |n: usize| word(bytes, n).ok_or_else(|| short(EVENT_HEAD));
        let (cpu, high, low, data, packet) = (at(4)?, at(8)?, at(12)?, at(16)? as usize, at(20)? as usize);
        if kind != Kind::Event as u8 {
            return Err(Malformed::Kind(kind));
        }
        if version != VERSION {
            return Err(Malformed::Version(version));
        }
        let behind = EVENT_HEAD + packet.next_multiple_of(4);
        let part = |from: usize, len: usize| bytes.get(from..from + len).ok_or_else(|| short(from + len));
        let (packet, data) = (part(EVENT_HEAD, packet)?.to_vec(), part(behind, data)?.to_vec());
        Ok(Event { cpu, map: u64::from(high) << 32 | u64::from(low), packet, data })
    }
}
