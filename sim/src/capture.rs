//! What leaves a placement, kept in files: the frames of each port as a trace that a scenario can play again.

use std::path::Path;

use bpf::diag::{At, Diagnostic};
use nic_model::des::Time;
use nic_model::device::PortId;

use crate::files::Beside;

/// Magic number of a classic pcap with nanoseconds, in little-endian byte order.
const MAGIC: u32 = 0xa1b2_3c4d;
/// Longest frame that is written, which is longer than any.
const SNAPLEN: u32 = 262_144;
/// LINKTYPE_ETHERNET.
const ETHERNET: u32 = 1;

/// The files of one placement, `<placement>.port<n>.pcap`. Time stamps are those of the run, when the last bit leaves.
pub struct Capture {
    ports: Vec<Beside>,
    /// The first thing that went wrong, told at the end.
    trouble: Option<Diagnostic>,
}

impl Capture {
    /// Begins the files of a placement, one for each port of the card.
    ///
    /// # Errors
    /// `capture-name` for a placement that no file can be named after; `file-unwritable`.
    pub fn new(directory: &Path, placement: &str, ports: u8) -> Result<Self, Diagnostic> {
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
        Ok(Self { ports: (0..ports).map(file).collect::<Result<_, Diagnostic>>()?, trouble: None })
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

    /// Puts the files in their places.
    ///
    /// # Errors
    /// `file-unwritable`, the first there was.
    pub fn finish(self) -> Result<(), Diagnostic> {
        if let Some(trouble) = self.trouble {
            return Err(trouble);
        }
        self.ports.into_iter().try_for_each(Beside::finish)
    }
}
