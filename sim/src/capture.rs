//! What leaves a placement, kept in files: the frames of each port as a trace that a scenario can play again, and what user
//! space reads from rings, a line of JSON each.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bpf::diag::{At, Diagnostic};
use nic_model::des::Time;
use nic_model::device::PortId;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::{DataLink, Endianness, TsResolution};

use crate::files::Beside;
use crate::host::Place;

/// The form of the traces. The longest frame they can hold is longer than any.
const HEADER: PcapHeader = PcapHeader {
    version_major: 2,
    version_minor: 4,
    ts_correction: 0,
    ts_accuracy: 0,
    snaplen: 262_144,
    datalink: DataLink::ETHERNET,
    ts_resolution: TsResolution::NanoSecond,
    endianness: Endianness::Little,
};

/// The files of one placement, `<placement>.port<n>.pcap` and `<placement>.<hook>.<map>.jsonl`. Time stamps are those of the
/// run: when the last bit leaves, when the record is read.
pub struct Capture {
    ports: Vec<(PathBuf, PcapWriter<Beside>)>,
    rings: Vec<Ring>,
    /// The first thing that went wrong, told at the end.
    trouble: Option<Diagnostic>,
}

/// A ring that user space reads, and the file of its records.
struct Ring {
    place: Place,
    map: String,
    path: PathBuf,
    file: Beside,
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
        let port = |port| {
            let path = directory.join(format!("{placement}.port{port}.pcap"));
            let writer = PcapWriter::with_header(Beside::create(&path)?, HEADER);
            Ok((path.clone(), writer.map_err(|e| Beside::unwritable(&path, e))?))
        };
        let ring = |(place, map): (Place, &str)| {
            let path = directory.join(format!("{placement}.{}.{map}.jsonl", place.name()));
            Ok(Ring { place, map: map.to_owned(), file: Beside::create(&path)?, path })
        };
        Ok(Self {
            ports: (0..ports).map(port).collect::<Result<_, Diagnostic>>()?,
            rings: rings.map(ring).collect::<Result<_, Diagnostic>>()?,
            trouble: None,
        })
    }

    /// A frame leaves by a port.
    pub fn frame(&mut self, port: PortId, last_bit: Time, bytes: &[u8]) {
        let Some((path, writer)) = self.ports.get_mut(usize::from(port.0)) else { return };
        let packet = PcapPacket::new(Duration::from_nanos(last_bit.ns()), bytes.len() as u32, bytes);
        let written = writer.write_packet(&packet).map_err(|e| Beside::unwritable(path, e));
        self.trouble = self.trouble.take().or(written.err());
    }

    /// User space reads a record of a ring.
    pub fn record(&mut self, place: Place, map: &str, at: Time, bytes: &[u8]) {
        let Some(ring) = self.rings.iter_mut().find(|ring| ring.place == place && ring.map == map) else { return };
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let written = writeln!(ring.file, "{{\"at_ps\":{},\"bytes\":\"{hex}\"}}", at.ps());
        self.trouble = self.trouble.take().or(written.err().map(|e| Beside::unwritable(&ring.path, e)));
    }

    /// Puts the files in their places.
    ///
    /// # Errors
    /// `file-unwritable`, the first there was.
    pub fn finish(self) -> Result<(), Diagnostic> {
        if let Some(trouble) = self.trouble {
            return Err(trouble);
        }
        let ports = self.ports.into_iter().map(|(_, writer)| writer.into_writer());
        ports.chain(self.rings.into_iter().map(|ring| ring.file)).try_for_each(Beside::finish)
    }
}
