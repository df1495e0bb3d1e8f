//! Captured traces, read one record at a time: classic pcap and pcapng, both byte orders, any time-stamp resolution.
//!
//! What cannot be replayed is refused with the record and the reason; what can be replayed with a loss of fidelity
//! (a record cut by its snap length, a time stamp that goes backwards, a file cut in the middle of a record) is replayed
//! and counted in [`TraceNotes`].

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use bpf::diag::{At, Diagnostic};
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::PcapNgReader;
use pcap_file::pcapng::blocks::Block;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::{DataLink, PcapError, TsResolution};

/// One captured frame.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Time stamp in nanoseconds since the capture's epoch, as recorded.
    pub at_ns: u64,
    /// The frame without FCS, padded with zeros to its length on the wire when the capture cut it.
    pub bytes: Vec<u8>,
}

/// What was noticed while reading; reports carry it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TraceNotes {
    /// Records read.
    pub records: u64,
    /// Bytes of all frames, without FCS.
    pub bytes: u64,
    /// Records whose capture was shorter than the frame; the missing bytes read as zero.
    pub cut: u64,
    /// Records stamped earlier than the one before.
    pub backwards: u64,
    /// Longest gap between neighbouring records, in nanoseconds.
    pub longest_gap_ns: u64,
    /// Time from the first record to the last, going backwards not counted, in nanoseconds.
    pub duration_ns: u64,
    /// The file ended inside a record; the records before it were read.
    pub truncated: bool,
}

/// Largest frame taken from a trace, in bytes. A longer length field is taken for a damaged file.
pub const MAX_FRAME: usize = 256 * 1024;

enum Format {
    Classic(PcapReader<BufReader<File>>),
    Next { reader: PcapNgReader<BufReader<File>>, ticks: Vec<Result<TickRate, DataLink>> },
}

/// Ticks of a pcapng interface, as nanoseconds per tick or ticks per nanosecond.
#[derive(Clone, Copy)]
struct TickRate {
    /// Ticks a second.
    per_second: u64,
}

impl TickRate {
    /// From the option `if_tsresol`: bit 7 set means a power of two, clear a power of ten.
    fn from_option(value: u8) -> Option<Self> {
        let exponent = u32::from(value & 0x7f);
        let base: u64 = if value & 0x80 == 0 { 10 } else { 2 };
        base.checked_pow(exponent).map(|per_second| TickRate { per_second })
    }

    fn to_ns(self, ticks: u64) -> u64 {
        let ns = u128::from(ticks) * 1_000_000_000 / u128::from(self.per_second);
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

/// A trace being read.
pub struct TraceReader {
    path: PathBuf,
    format: Format,
    notes: TraceNotes,
    last_ns: Option<u64>,
    ended: bool,
}

impl TraceReader {
    /// Opens a trace and reads its header.
    ///
    /// # Errors
    /// `trace-unreadable`, `trace-compressed`, `trace-format` or `trace-link-type`.
    pub fn open(path: &Path) -> Result<Self, Diagnostic> {
        let named = || At::Named(path.display().to_string());
        let mut file = File::open(path)
            .map_err(|e| Diagnostic::new("trace-unreadable", format!("cannot open the trace: {e}")).at(named()))?;
        let mut magic = [0u8; 4];
        let got = read_up_to(&mut file, &mut magic)
            .map_err(|e| Diagnostic::new("trace-unreadable", format!("cannot read the trace: {e}")).at(named()))?;
        if got == 0 {
            return Err(Diagnostic::new("trace-empty", "the trace is an empty file")
                .at(named())
                .help("give a pcap or pcapng file with at least one frame"));
        }
        if magic[..2] == [0x1f, 0x8b] {
            return Err(Diagnostic::new("trace-compressed", "the trace is compressed with gzip")
                .at(named())
                .help("decompress it first: gunzip -k FILE"));
        }
        let file = File::open(path)
            .map_err(|e| Diagnostic::new("trace-unreadable", format!("cannot open the trace: {e}")).at(named()))?;
        let input = BufReader::with_capacity(1 << 16, file);
        let format = if magic == [0x0a, 0x0d, 0x0d, 0x0a] {
            let reader = PcapNgReader::new(input).map_err(|e| not_a_trace(path, &e))?;
            Format::Next { reader, ticks: Vec::new() }
        } else {
            let reader = PcapReader::new(input).map_err(|e| not_a_trace(path, &e))?;
            let link = reader.header().datalink;
            if link != DataLink::ETHERNET {
                return Err(wrong_link(path, link, 0));
            }
            Format::Classic(reader)
        };
        Ok(Self { path: path.to_owned(), format, notes: TraceNotes::default(), last_ns: None, ended: false })
    }

    /// What was noticed up to now; complete once [`next`](Self::next_into) has returned `false`.
    pub fn notes(&self) -> &TraceNotes {
        &self.notes
    }

    /// Reads the next record into `record`, reusing its buffer. `false` at the end.
    ///
    /// # Errors
    /// `trace-record` for a damaged record, `trace-link-type` for a frame that is not Ethernet.
    pub fn next_into(&mut self, record: &mut Record) -> Result<bool, Diagnostic> {
        if self.ended {
            return Ok(false);
        }
        let read = match &mut self.format {
            Format::Classic(reader) => next_classic(reader, record),
            Format::Next { reader, ticks } => next_ng(reader, ticks, record),
        };
        match read {
            Ok(Some(original)) => {
                self.take(record, original)?;
                Ok(true)
            }
            Ok(None) => {
                self.ended = true;
                Ok(false)
            }
            Err(Trouble::Cut) => {
                self.notes.truncated = true;
                self.ended = true;
                Ok(false)
            }
            Err(Trouble::Link(link)) => Err(wrong_link(&self.path, link, self.notes.records)),
            Err(Trouble::Bad(what)) => Err(Diagnostic::new("trace-record", what)
                .at(At::Named(format!("{} record {}", self.path.display(), self.notes.records)))
                .help("the records before it are sound; cut the file there (editcap -r) to use them")),
        }
    }

    fn take(&mut self, record: &mut Record, original: usize) -> Result<(), Diagnostic> {
        let longest = original.max(record.bytes.len());
        if longest > MAX_FRAME {
            return Err(Diagnostic::new("trace-record", "a record claims a frame longer than any link carries")
                .at(At::Named(format!("{} record {}", self.path.display(), self.notes.records)))
                .limit(format!("{MAX_FRAME} B"), format!("{longest} B")));
        }
        if original > record.bytes.len() {
            self.notes.cut += 1;
            record.bytes.resize(original, 0);
        }
        if let Some(last) = self.last_ns {
            match record.at_ns.checked_sub(last) {
                Some(gap) => {
                    self.notes.longest_gap_ns = self.notes.longest_gap_ns.max(gap);
                    self.notes.duration_ns = self.notes.duration_ns.saturating_add(gap);
                }
                None => self.notes.backwards += 1,
            }
        }
        self.last_ns = Some(self.last_ns.unwrap_or(0).max(record.at_ns));
        self.notes.records += 1;
        self.notes.bytes += record.bytes.len() as u64;
        Ok(())
    }
}

/// Reads a whole trace once, keeping nothing but what was noticed.
///
/// # Errors
/// As [`TraceReader`]; `trace-empty` when there is no record.
pub fn survey(path: &Path) -> Result<TraceNotes, Diagnostic> {
    let mut reader = TraceReader::open(path)?;
    let mut record = Record::default();
    while reader.next_into(&mut record)? {}
    if reader.notes.records == 0 {
        let why =
            if reader.notes.truncated { "the trace ends inside its first record" } else { "the trace holds no frame" };
        return Err(Diagnostic::new("trace-empty", why)
            .at(At::Named(path.display().to_string()))
            .help("give a pcap or pcapng file with at least one frame"));
    }
    Ok(reader.notes)
}

enum Trouble {
    Cut,
    Link(DataLink),
    Bad(String),
}

impl From<PcapError> for Trouble {
    fn from(error: PcapError) -> Self {
        match error {
            PcapError::IncompleteBuffer => Trouble::Cut,
            PcapError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Trouble::Cut,
            other => Trouble::Bad(format!("the record cannot be read: {other}")),
        }
    }
}

/// The frame's length on the wire, with the captured bytes in `record`.
fn next_classic(reader: &mut PcapReader<BufReader<File>>, record: &mut Record) -> Result<Option<usize>, Trouble> {
    let nanoseconds = reader.header().ts_resolution == TsResolution::NanoSecond;
    let Some(packet) = reader.next_raw_packet() else { return Ok(None) };
    let packet = packet?;
    let fraction = if nanoseconds { u64::from(packet.ts_frac) } else { u64::from(packet.ts_frac) * 1_000 };
    record.at_ns = u64::from(packet.ts_sec) * 1_000_000_000 + fraction;
    record.bytes.clear();
    record.bytes.extend_from_slice(&packet.data);
    Ok(Some(packet.orig_len as usize))
}

fn next_ng(
    reader: &mut PcapNgReader<BufReader<File>>,
    ticks: &mut Vec<Result<TickRate, DataLink>>,
    record: &mut Record,
) -> Result<Option<usize>, Trouble> {
    loop {
        let Some(block) = reader.next_block() else { return Ok(None) };
        match block? {
            Block::SectionHeader(_) => ticks.clear(),
            Block::InterfaceDescription(interface) => ticks.push(if interface.linktype == DataLink::ETHERNET {
                let resolution = interface.options.iter().find_map(|o| match o {
                    InterfaceDescriptionOption::IfTsResol(value) => Some(*value),
                    _ => None,
                });
                match resolution {
                    // pcapng §4.2: microseconds when the option is absent.
                    None => Ok(TickRate { per_second: 1_000_000 }),
                    Some(value) => Ok(TickRate::from_option(value)
                        .ok_or_else(|| Trouble::Bad(format!("time-stamp resolution {value:#x} is out of range")))?),
                }
            } else {
                Err(interface.linktype)
            }),
            Block::EnhancedPacket(packet) => {
                let rate = match ticks.get(packet.interface_id as usize) {
                    Some(Ok(rate)) => *rate,
                    Some(Err(link)) => return Err(Trouble::Link(*link)),
                    None => return Err(Trouble::Bad(format!("interface {} is not described", packet.interface_id))),
                };
                // The reader hands the raw ticks over as nanoseconds.
                let raw = u64::try_from(packet.timestamp.as_nanos()).unwrap_or(u64::MAX);
                record.at_ns = rate.to_ns(raw);
                record.bytes.clear();
                record.bytes.extend_from_slice(&packet.data);
                return Ok(Some(packet.original_len as usize));
            }
            Block::SimplePacket(packet) => {
                match ticks.first() {
                    Some(Ok(_)) => {}
                    Some(Err(link)) => return Err(Trouble::Link(*link)),
                    None => return Err(Trouble::Bad("interface 0 is not described".to_owned())),
                }
                record.bytes.clear();
                record.bytes.extend_from_slice(&packet.data);
                return Ok(Some(packet.original_len as usize));
            }
            Block::Packet(_) => {
                return Err(Trouble::Bad("the block type Packet (2) is obsolete and not supported".to_owned()));
            }
            _ => {}
        }
    }
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read(&mut buffer[got..])? {
            0 => break,
            n => got += n,
        }
    }
    Ok(got)
}

fn not_a_trace(path: &Path, error: &PcapError) -> Diagnostic {
    Diagnostic::new("trace-format", format!("the file is neither pcap nor pcapng: {error}"))
        .at(At::Named(path.display().to_string()))
        .help("give a capture in pcap or pcapng format")
}

fn wrong_link(path: &Path, link: DataLink, record: u64) -> Diagnostic {
    Diagnostic::new("trace-link-type", "the card's ports are Ethernet and the trace is not")
        .at(At::Named(format!("{} record {record}", path.display())))
        .limit("link type 1 (Ethernet)", format!("link type {} ({link:?})", u32::from(link)))
        .help("convert the trace to Ethernet first, for example with editcap -T ether after adding headers")
}
