//! A short trace kept in memory, for the plays after the first.

use super::trace::{Record, TraceNotes};

/// Largest trace that is kept, in bytes of its frames. A longer one is read from its file again at every play.
const MOST: u64 = 64 << 20;

/// Frames one behind the other, with the time and end of each.
#[derive(Debug, Default)]
pub struct Kept {
    bytes: Vec<u8>,
    ends: Vec<(u64, usize)>,
    /// The frame that is played next.
    next: usize,
}

impl Kept {
    /// Room for a trace of which that was noticed, if it is short enough.
    pub fn for_trace(notes: &TraceNotes) -> Option<Self> {
        (notes.bytes <= MOST).then(Self::default)
    }

    /// Keeps one frame more.
    pub fn push(&mut self, record: &Record) {
        self.bytes.extend_from_slice(&record.bytes);
        self.ends.push((record.at_ns, self.bytes.len()));
    }

    /// The next play begins.
    pub fn rewind(&mut self) {
        self.next = 0;
    }

    /// The next frame of this play, with its time in nanoseconds.
    pub fn next_frame(&mut self) -> Option<(u64, &[u8])> {
        let &(at_ns, end) = self.ends.get(self.next)?;
        let start = self.next.checked_sub(1).map_or(0, |before| self.ends[before].1);
        self.next += 1;
        Some((at_ns, &self.bytes[start..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_play_is_the_first() {
        let mut kept = Kept::for_trace(&TraceNotes::default()).expect("nothing is short enough");
        let frames = [(5, vec![1, 2, 3]), (7, vec![]), (7, vec![4])];
        for (at_ns, bytes) in frames.clone() {
            kept.push(&Record { at_ns, bytes });
        }
        for _ in 0..2 {
            kept.rewind();
            let play: Vec<_> =
                std::iter::from_fn(|| kept.next_frame().map(|(at, bytes)| (at, bytes.to_vec()))).collect();
            assert_eq!(play, frames);
        }
        assert!(Kept::for_trace(&TraceNotes { bytes: MOST + 1, ..TraceNotes::default() }).is_none());
    }
}
