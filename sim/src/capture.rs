//! What leaves a placement, kept in files: the frames of each port as a trace that a scenario can play again, and what user
//! space reads from rings, a line of JSON each.

use std::path::Path;

use bpf::diag::{At, Diagnostic};
use nic_model::des::Time;
use nic_model::device::PortId;

use crate::files::Beside;
use crate::host::Place;

/// Magic number of a classic pcap with nanoseconds, in little-endian byte order.
const MAGIC: u32 = 0xa1b2_3c4d;
/// Longest frame that is written, which is longer than any.
const SNAPLEN: u32 = 262_144;
/// LINKTYPE_ETHERNET.
const ETHERNET: u32 = 1;

/// The files of one placement, `<placement>.port<n>.pcap` and `<placement>.<hook>.<map>.jsonl`. Time stamps are those of the
/// run: when the last bit leaves, when the record is read.
pub struct Capture {
    ports: Vec<Beside>,
    rings: Vec<(Place, String, Beside)>,
    /// The first thing that went wrong, told at the end.
    trouble: Option<Diagnostic>,
}

impl Capture {
    /// Begins the files of a placement, one for each port of the card, and one for each ring that is read.
    ///
    /// # Errors
    /// `capture-name` for a placement that no file can be named after; `file-unwritable`.
    pub fn new<'a>(
        directory: &Path,
        placement: &str,
        ports: u8,
        rings: impl Iterator<Item = (Place, &'a str)>,
    ) -> Result<Self, Diagnostic> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if placement.is_empty() || !placement.bytes().all(plain) {
            return Err(Diagnostic::new("capture-name", "no file can be named after the placement")
                .at(At::Named(format!("variants.{placement}")))
                .limit("letters, digits, - and _", placement)
                .help("give it another name, or run without --capture"));
        }
        let mut head = Vec::new();
        // Version 2.4; time zone and accuracy are not used.
        for word in [MAGIC, 4 << 16 | 2, 0, 0, SNAPLEN, ETHERNET] {
            head.extend(word.to_le_bytes());
        }
        let file = |port| {
            let mut file = Beside::create(&directory.join(format!("{placement}.port{port}.pcap")))?;
            file.write(&head)?;
            Ok(file)
        };
        let ports = (0..ports).map(file).collect::<Result<_, Diagnostic>>()?;
        let ring = |(place, map): (Place, &str)| {
            let name = format!("{placement}.{}.{map}.jsonl", place.name());
            Ok((place, map.to_owned(), Beside::create(&directory.join(name))?))
        };
        Ok(Self { ports, rings: rings.map(ring).collect::<Result<_, Diagnostic>>()?, trouble: None })
    }

    /// A frame leaves by a port.
    pub fn frame(&mut self, port: PortId, last_bit: Time, bytes: &[u8]) {
        let Some(file) = self.ports.get_mut(usize::from(port.0)) else { return };
        let (ns, len) = (last_bit.ns(), bytes.len() as u32);
        let mut record = Vec::with_capacity(16 + bytes.len());
        for word in [(ns / 1_000_000_000) as u32, (ns % 1_000_000_000) as u32, len, len] {
            record.extend(word.to_le_bytes());
        }
        record.extend(bytes);
        let written = file.write(&record);
        self.trouble = self.trouble.take().or(written.err());
    }

    /// User space reads a record of a ring.
    pub fn record(&mut self, place: Place, map: &str, at: Time, bytes: &[u8]) {
        let ring = self.rings.iter_mut().find(|(hook, name, _)| *hook == place && name == map);
        let Some((_, _, file)) = ring else { return };
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let written = file.write(format!("{{\"at_ps\":{},\"bytes\":\"{hex}\"}}\n", at.ps()).as_bytes());
        self.trouble = self.trouble.take().or(written.err());
    }

    /// Puts the files in their places.
    ///
    /// # Errors
    /// `file-unwritable`, the first there was.
    pub fn finish(self) -> Result<(), Diagnostic> {
        if let Some(trouble) = self.trouble {
            return Err(trouble);
        }
        let rings = self.rings.into_iter().map(|(_, _, file)| file);
        self.ports.into_iter().chain(rings).try_for_each(Beside::finish)
    }
}
