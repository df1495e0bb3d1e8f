//! What a frame takes of a line's time.

/// Bytes of the frame check sequence, which no frame in the model holds.
pub const FCS: u64 = 4;
/// Bytes of preamble, start delimiter and the least gap to the next frame (IEEE 802.3 §3.1, §4.4.2).
pub const PREAMBLE_AND_GAP: u64 = 20;
/// Least bytes of a frame without FCS (IEEE 802.3 §4.4.2: 64 with it). A sender pads; a shorter frame is a runt.
pub const MIN_FRAME: usize = 60;

/// Bytes of line time a frame of `len` bytes (without FCS) takes.
pub fn line_bytes(len: usize) -> u64 {
    len.max(MIN_FRAME) as u64 + FCS + PREAMBLE_AND_GAP
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::des::Time;
    use crate::quantity::BitRate;

    /// Line rates of RFC 2544 frame sizes, in packets a second: rate / ((size with FCS + 20) * 8).
    #[test]
    fn line_rate_counts_preamble_gap_and_fcs() {
        let expected = [(64, 14_880_952), (128, 8_445_945), (512, 2_349_624), (1518, 812_743), (9018, 138_304)];
        for (size, packets) in expected {
            assert_eq!(10_000_000_000 / (line_bytes(size - 4) * 8), packets);
        }
        assert_eq!(BitRate(10_000_000_000).time_of(line_bytes(60) * 8), Time::from_ps(67_200));
        assert_eq!(line_bytes(14), line_bytes(60));
    }
}
