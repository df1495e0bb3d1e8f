//! The ring behind a performance event: records from one processor to one reader, who is told what was lost.
//!
//! A record is a `PERF_RECORD_SAMPLE` with `PERF_SAMPLE_RAW` alone: a header of 8 bytes, the length in 4, the bytes, all of
//! it rounded to 8 (include/uapi/linux/perf_event.h). What does not fit the room is lost, and before the next record that
//! fits the reader finds how many were. The notice takes 24 bytes.

use std::collections::VecDeque;

use crate::errno::Errno;

/// Bytes of the header of any record.
const HEADER: usize = 8;
/// Bytes of a raw sample's length.
const LENGTH: usize = 4;
/// Bytes of a notice of loss (`PERF_RECORD_LOST`): header, event, number.
const LOST: usize = 24;
/// Longest record: its size has 16 bits.
const MAX_RECORD: usize = u16::MAX as usize;

/// What a reader finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PerfRecord {
    /// The bytes of a record, with zeros to a length of 4 more than a multiple of 8.
    Sample(Vec<u8>),
    /// So many records were lost since the last one.
    Lost(u64),
}

/// One ring.
#[derive(Debug, Clone)]
pub struct PerfRing {
    cpu: u32,
    room: usize,
    used: usize,
    /// Lost since the last record that fitted.
    untold: u64,
    lost: u64,
    records: VecDeque<PerfRecord>,
}

impl PerfRing {
    /// A ring of so many bytes (Linux: a power of two of pages) for the programs of one processor.
    pub fn new(cpu: u32, room: usize) -> Self {
        PerfRing { cpu, room, used: 0, untold: 0, lost: 0, records: VecDeque::new() }
    }

    /// The processor whose programs may write.
    pub fn cpu(&self) -> u32 {
        self.cpu
    }

    fn size(record: &PerfRecord) -> usize {
        match record {
            PerfRecord::Sample(bytes) => HEADER + LENGTH + bytes.len(),
            PerfRecord::Lost(_) => LOST,
        }
    }

    /// Writes a record.
    ///
    /// # Errors
    /// `E2BIG` for one too long for any ring; `ENOSPC` for one that does not fit now, which counts as lost.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        let size = (HEADER + LENGTH + bytes.len()).next_multiple_of(8);
        if size > MAX_RECORD {
            return Err(Errno::E2BIG);
        }
        let notice = if self.untold > 0 { LOST } else { 0 };
        // One byte always stays free, so that full and empty differ.
        if self.used + notice + size >= self.room {
            self.untold += 1;
            self.lost += 1;
            return Err(Errno::ENOSPC);
        }
        if self.untold > 0 {
            self.records.push_back(PerfRecord::Lost(self.untold));
            self.untold = 0;
        }
        let mut sample = bytes.to_vec();
        sample.resize(size - HEADER - LENGTH, 0);
        self.records.push_back(PerfRecord::Sample(sample));
        self.used += notice + size;
        Ok(())
    }

    /// The next record.
    pub fn read(&mut self) -> Option<PerfRecord> {
        let record = self.records.pop_front()?;
        self.used -= Self::size(&record);
        Some(record)
    }

    /// Records lost since the ring was made.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_told_before_what_comes_next() {
        let mut ring = PerfRing::new(0, 64);
        // 8 + 4 + 12 bytes: two of them and one byte more would not leave one free for a third.
        assert_eq!(
            [1, 2, 3, 4].map(|fill| ring.write(&[fill; 12])),
            [Ok(()), Ok(()), Err(Errno::ENOSPC), Err(Errno::ENOSPC)]
        );
        assert_eq!(ring.read(), Some(PerfRecord::Sample(vec![1; 12])));
        // 24 left in use, 24 for the notice: 16 do not fit, for one byte stays free.
        assert_eq!(ring.write(&[5; 4]), Err(Errno::ENOSPC));
        assert_eq!(ring.read(), Some(PerfRecord::Sample(vec![2; 12])));
        assert_eq!(ring.write(&[6; 5]), Ok(()));
        assert_eq!(ring.read(), Some(PerfRecord::Lost(3)));
        assert_eq!(ring.read(), Some(PerfRecord::Sample([vec![6; 5], vec![0; 7]].concat())));
        assert_eq!((ring.read(), ring.lost()), (None, 3));
    }

    #[test]
    fn a_record_has_a_length_of_16_bits() {
        let mut ring = PerfRing::new(0, 1 << 20);
        assert_eq!(ring.write(&vec![0; 65_524]), Err(Errno::E2BIG));
        assert_eq!(ring.write(&vec![0; 65_516]), Ok(()));
    }
}
