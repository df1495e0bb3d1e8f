//! The memory under a map, and the record of what an operation did to it.

/// The linear region of one map, read and written by offset.
///
/// The host's is a region of the engine's arena; a card's stands for its own memories. Offsets come from the map's own
/// layout and lie inside the region, unless a guest has overwritten the map's links (which only an unverified program
/// can): implementations answer a read outside with zeros and drop a write outside.
pub trait MapMemory {
    /// Copies `buf.len()` bytes from offset `off`.
    fn read(&mut self, off: u32, buf: &mut [u8]);

    /// Copies `bytes` to offset `off`.
    fn write(&mut self, off: u32, bytes: &[u8]);

    /// The bytes themselves, where they lie in one piece: they are then read and written without a call each.
    fn view(&mut self) -> View<'_>;
}

/// A map's memory as an operation works on it.
pub enum View<'a> {
    /// Bytes in one piece.
    Plain(&'a mut [u8]),
    /// Any other.
    Other(&'a mut dyn MapMemory),
}

impl View<'_> {
    #[inline]
    fn read(&mut self, off: u32, buf: &mut [u8]) {
        match self {
            View::Plain(bytes) => match bytes.get(off as usize..).and_then(|from| from.get(..buf.len())) {
                Some(bytes) => buf.copy_from_slice(bytes),
                None => buf.fill(0),
            },
            View::Other(memory) => memory.read(off, buf),
        }
    }

    #[inline]
    fn write(&mut self, off: u32, bytes: &[u8]) {
        match self {
            View::Plain(to) => {
                if let Some(to) = to.get_mut(off as usize..).and_then(|to| to.get_mut(..bytes.len())) {
                    to.copy_from_slice(bytes);
                }
            }
            View::Other(memory) => memory.write(off, bytes),
        }
    }

    /// So many bytes as are known beforehand: a load or two, where the memory is plain.
    #[inline]
    fn block<const N: usize>(&mut self, off: u32) -> [u8; N] {
        match self {
            View::Plain(bytes) => bytes.get(off as usize..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N]),
            View::Other(memory) => {
                let mut block = [0; N];
                memory.read(off, &mut block);
                block
            }
        }
    }

    /// Whether these bytes stand there.
    #[inline]
    fn holds(&mut self, off: u32, wanted: &[u8]) -> bool {
        match self {
            View::Plain(bytes) => match bytes.get(off as usize..).and_then(|from| from.get(..wanted.len())) {
                Some(bytes) => bytes == wanted,
                None => wanted.iter().all(|byte| *byte == 0),
            },
            View::Other(memory) => {
                let (mut at, mut buf) = (off, [0; COMPARED_AT_ONCE]);
                wanted.chunks(COMPARED_AT_ONCE).all(|chunk| {
                    let stored = &mut buf[..chunk.len()];
                    memory.read(at, stored);
                    at += chunk.len() as u32;
                    stored == chunk
                })
            }
        }
    }

    #[inline]
    fn word(&mut self, off: u32) -> u32 {
        u32::from_le_bytes(self.block(off))
    }
}

/// Bytes of a trie's node that are read at once: four words and the first of its bits.
const NODE: usize = 16 + PREFIX_AT_ONCE;

/// Plain bytes as a map's memory: a region of an arena, or a `Vec`.
#[derive(Debug)]
pub struct Linear<'a>(pub &'a mut [u8]);

impl MapMemory for Linear<'_> {
    fn read(&mut self, off: u32, buf: &mut [u8]) {
        self.view().read(off, buf);
    }

    fn write(&mut self, off: u32, bytes: &[u8]) {
        self.view().write(off, bytes);
    }

    #[inline]
    fn view(&mut self) -> View<'_> {
        View::Plain(self.0)
    }
}

/// What an access does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessKind {
    /// Data comes from memory.
    Read,
    /// Data goes to memory.
    Write,
    /// Memory reads, changes and writes in one step: a lock, a list head.
    Atomic,
}

/// One access of a map operation to the map's region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Access {
    /// What it does.
    pub kind: AccessKind,
    /// First byte, from the region's start.
    pub off: u32,
    /// Bytes.
    pub len: u32,
    /// Its address is data of an earlier access of the same operation, so it cannot start before that one has answered.
    pub dependent: bool,
}

/// The accesses of one operation, in order. The caller keeps it and hands it to the next operation, so that a run of
/// operations allocates nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessLog {
    accesses: Vec<Access>,
}

impl AccessLog {
    /// An empty log.
    pub const fn new() -> Self {
        Self { accesses: Vec::new() }
    }

    /// The accesses, in order.
    pub fn accesses(&self) -> &[Access] {
        &self.accesses
    }

    /// Forgets the last operation.
    pub fn clear(&mut self) {
        self.accesses.clear();
    }
}

/// What a map kind's code is written against: memory that writes down what is done to it.
pub struct Tape<'a> {
    memory: View<'a>,
    log: &'a mut AccessLog,
}

impl<'a> Tape<'a> {
    /// Records onto `log`, which is cleared first.
    pub fn new(memory: &'a mut dyn MapMemory, log: &'a mut AccessLog) -> Self {
        log.clear();
        Self { memory: memory.view(), log }
    }

    fn record(&mut self, kind: AccessKind, off: u32, len: u32, dependent: bool) {
        self.log.accesses.push(Access { kind, off, len, dependent });
    }

    /// Reads at an address known beforehand.
    pub fn read(&mut self, off: u32, buf: &mut [u8]) {
        self.record(AccessKind::Read, off, buf.len() as u32, false);
        self.memory.read(off, buf);
    }

    /// Reads at an address that an earlier access yielded.
    pub fn follow(&mut self, off: u32, buf: &mut [u8]) {
        self.record(AccessKind::Read, off, buf.len() as u32, true);
        self.memory.read(off, buf);
    }

    /// Reads a little-endian word at an address known beforehand.
    pub fn read_u32(&mut self, off: u32) -> u32 {
        self.record(AccessKind::Read, off, 4, false);
        self.memory.word(off)
    }

    /// Reads a little-endian word at an address that an earlier access yielded.
    pub fn follow_u32(&mut self, off: u32) -> u32 {
        self.record(AccessKind::Read, off, 4, true);
        self.memory.word(off)
    }

    /// Writes; `dependent` as in [`Access`].
    pub fn write(&mut self, off: u32, bytes: &[u8], dependent: bool) {
        self.record(AccessKind::Write, off, bytes.len() as u32, dependent);
        self.memory.write(off, bytes);
    }

    /// Writes parts of one contiguous stretch, each `(offset in the stretch, bytes)`, ascending, in one access at an
    /// address that an earlier access yielded. Padding between the parts stays as it was.
    pub fn write_parts(&mut self, off: u32, parts: &[(u32, &[u8])]) {
        let len = parts.last().map_or(0, |(at, bytes)| at + bytes.len() as u32);
        self.record(AccessKind::Write, off, len, true);
        for (at, bytes) in parts {
            self.memory.write(off + at, bytes);
        }
    }

    /// Writes a little-endian word.
    pub fn write_u32(&mut self, off: u32, word: u32, dependent: bool) {
        self.write(off, &word.to_le_bytes(), dependent);
    }

    /// Copies `len` bytes that two addresses share: no access, the memory is the same.
    pub fn alias(&mut self, from: u32, to: u32, len: u32) {
        let mut bytes = vec![0; len as usize];
        self.memory.read(from, &mut bytes);
        self.memory.write(to, &bytes);
    }

    /// Changes little-endian words in one step and returns what they were.
    pub fn atomic<const N: usize>(
        &mut self,
        off: u32,
        dependent: bool,
        change: impl FnOnce([u32; N]) -> [u32; N],
    ) -> [u32; N] {
        self.record(AccessKind::Atomic, off, 4 * N as u32, dependent);
        let was = std::array::from_fn(|i| self.memory.word(off + 4 * i as u32));
        for (i, word) in change(was).into_iter().enumerate() {
            if word != was[i] {
                self.memory.write(off + 4 * i as u32, &word.to_le_bytes());
            }
        }
        was
    }

    /// Reads an entry's link and hash, the rest of its `head` bytes, and the `key.len()` bytes behind them in one access at
    /// an address that an earlier access yielded. Returns the link, and whether hash and key are those.
    pub fn follow_entry(&mut self, off: u32, head: u32, key: &[u8], hash: u32) -> (u32, bool) {
        self.record(AccessKind::Read, off, head + key.len() as u32, true);
        let [next, stored_hash] = [0, 4].map(|at| self.memory.word(off + at));
        (next, stored_hash == hash && self.memory.holds(off + head, key))
    }

    /// Reads four words and the `key.len()` bytes behind them in one access at an address that an earlier access yielded.
    /// Returns the words, and how many leading bits of the bytes equal those of `key`, whose first 16 bytes `lead` holds,
    /// the first in its highest bits. There are 16 bytes and 16 more from `off` on.
    pub fn follow_common(&mut self, off: u32, key: &[u8], lead: u128) -> ([u32; 4], u32) {
        self.record(AccessKind::Read, off, 16 + key.len() as u32, true);
        let first = key.len().min(PREFIX_AT_ONCE);
        let block: [u8; NODE] = self.memory.block(off);
        let word = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
        let words = [word(0), word(4), word(8), word(12)];
        let stored = *block.last_chunk().expect("a block is longer");
        let stored = u128::from_be_bytes(stored);
        let mut same = (stored ^ lead).leading_zeros().min(8 * first as u32);
        let mut at = off + 16 + first as u32;
        for chunk in key[first..].chunks(PREFIX_AT_ONCE) {
            if same != 8 * (at - off - 16) {
                break;
            }
            let mut buf = [0; PREFIX_AT_ONCE];
            let stored = &mut buf[..chunk.len()];
            self.memory.read(at, stored);
            let differ = stored.iter().zip(chunk).position(|(stored, key)| stored != key);
            same += match differ {
                Some(byte) => 8 * byte as u32 + (stored[byte] ^ chunk[byte]).leading_zeros(),
                None => 8 * chunk.len() as u32,
            };
            at += chunk.len() as u32;
        }
        (words, same)
    }
}

/// Bytes of a key that are fetched for comparison at a time; of no consequence but for speed.
const COMPARED_AT_ONCE: usize = 64;
/// The same for prefixes, which are short.
const PREFIX_AT_ONCE: usize = 16;
