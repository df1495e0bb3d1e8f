//! A source of frames: a trace, played some times, each frame with the instant it arrives.

use std::path::PathBuf;

use bpf::diag::Diagnostic;
use nic_model::des::Time;
use nic_model::device::{MIN_FRAME, PortId};
use nic_model::quantity::BitRate;

use super::kept::Kept;
use super::pacing::{Pacer, Pacing};
use super::trace::{Record, TraceNotes, TraceReader};

/// What a source plays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Play {
    /// The trace.
    pub path: PathBuf,
    /// Port its frames arrive at.
    pub port: PortId,
    /// When it begins.
    pub start: Time,
    /// When frames come, from then on.
    pub pacing: Pacing,
    /// Times it is played.
    pub repeat: u64,
    /// Most frames, over all plays.
    pub limit: u64,
    /// What a first reading found.
    pub notes: TraceNotes,
}

impl Play {
    /// Frames it will send.
    pub fn packets(&self) -> u64 {
        self.notes.records.saturating_mul(self.repeat).min(self.limit)
    }
}

/// A frame on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// When its last bit reaches the port.
    pub last_bit: Time,
    /// Its bytes, without FCS, padded to the least frame as its sender would.
    pub bytes: Vec<u8>,
}

/// A source being played.
pub struct TrafficSource {
    play: Play,
    reader: TraceReader,
    record: Record,
    /// The trace as the first play read it, if it is played again and is short.
    kept: Option<Kept>,
    /// Whether frames come from there.
    again: bool,
    pacer: Pacer,
    plays_left: u64,
    frames_left: u64,
}

impl TrafficSource {
    /// Opens the trace.
    ///
    /// # Errors
    /// As [`TraceReader::open`].
    pub fn open(play: Play, line: BitRate) -> Result<Self, Diagnostic> {
        Ok(Self {
            reader: TraceReader::open(&play.path)?,
            record: Record::default(),
            kept: if play.repeat > 1 { Kept::for_trace(&play.notes) } else { None },
            again: false,
            pacer: Pacer::new(play.pacing, line, play.start),
            plays_left: play.repeat.saturating_sub(1),
            frames_left: play.packets(),
            play,
        })
    }

    /// Port the frames arrive at.
    pub fn port(&self) -> PortId {
        self.play.port
    }

    /// The next frame.
    ///
    /// # Errors
    /// As [`TraceReader`]: the file has changed since it was first read.
    pub fn next_frame(&mut self) -> Result<Option<Arrival>, Diagnostic> {
        if self.frames_left == 0 {
            return Ok(None);
        }
        loop {
            let frame = match &mut self.kept {
                Some(kept) if self.again => kept.next_frame(),
                kept if self.reader.next_into(&mut self.record)? => {
                    if let Some(kept) = kept {
                        kept.push(&self.record);
                    }
                    Some((self.record.at_ns, &self.record.bytes[..]))
                }
                _ => None,
            };
            if let Some((at_ns, frame)) = frame {
                self.frames_left -= 1;
                let mut bytes = Vec::with_capacity(frame.len().max(MIN_FRAME));
                bytes.extend_from_slice(frame);
                if bytes.len() < MIN_FRAME {
                    bytes.resize(MIN_FRAME, 0);
                }
                return Ok(Some(Arrival { last_bit: self.pacer.next(at_ns, bytes.len()), bytes }));
            }
            if self.plays_left == 0 || self.reader.notes().records == 0 {
                return Ok(None);
            }
            self.plays_left -= 1;
            self.pacer.again(self.play.notes.records, self.play.notes.duration_ns);
            match &mut self.kept {
                Some(kept) => {
                    kept.rewind();
                    self.again = true;
                }
                None => self.reader = TraceReader::open(&self.play.path)?,
            }
        }
    }
}
