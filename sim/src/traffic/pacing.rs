//! When each frame comes: instants computed from absolute counts, so that no rounding adds up.

use std::fmt;

use nic_model::des::Time;
use nic_model::device::line_bytes;
use nic_model::quantity::{BitRate, PacketRate};

/// When the frames of a source come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pacing {
    /// `recorded`: by the trace's own time stamps.
    #[default]
    Recorded,
    /// `{speed: 10}`: by its time stamps, that many times as fast.
    Speed(u32),
    /// `line-rate`: back to back, as fast as the port takes them.
    LineRate,
    /// `{rate: 40 Gbps}`: evenly, so many bits a second on the wire (preamble, FCS and gap counted).
    Bits(BitRate),
    /// `{rate: 25 Mpps}`: evenly, so many frames a second.
    Packets(PacketRate),
}

impl fmt::Display for Pacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pacing::Recorded => f.write_str("as recorded"),
            Pacing::Speed(n) => write!(f, "as recorded, {n} times as fast"),
            Pacing::LineRate => f.write_str("line rate"),
            Pacing::Bits(rate) => write!(f, "{rate}"),
            Pacing::Packets(rate) => write!(f, "{rate}"),
        }
    }
}

/// The clock of one source: gives each frame the instant its last bit arrives.
#[derive(Debug)]
pub struct Pacer {
    pacing: Pacing,
    line: BitRate,
    /// When the source begins.
    start: Time,
    /// Frames and line bits before the next frame.
    frames: u64,
    bits: u128,
    /// Recorded time of the trace's first frame, and how far earlier plays of it reach.
    first_ns: Option<u64>,
    played_ns: u64,
    last_ns: u64,
    /// When the line is free again.
    free: Time,
}

const PS_PER_SECOND: u128 = 1_000_000_000_000;

impl Pacer {
    /// A pacer for a port of that line rate, for a source that begins at `start`.
    pub fn new(pacing: Pacing, line: BitRate, start: Time) -> Self {
        Self { pacing, line, start, frames: 0, bits: 0, first_ns: None, played_ns: 0, last_ns: 0, free: Time::ZERO }
    }

    /// The next frame, of `len` bytes without FCS and recorded at `at_ns`: when its last bit arrives.
    ///
    /// No pacing is faster than the line: a frame that would begin before the one before has left begins after it.
    pub fn next(&mut self, at_ns: u64, len: usize) -> Time {
        let since = match self.pacing {
            Pacing::LineRate => Time::ZERO,
            Pacing::Bits(rate) => Time::from_ps(clamp(self.bits * PS_PER_SECOND / u128::from(rate.0))),
            Pacing::Packets(rate) => Time::from_ps(clamp(u128::from(self.frames) * PS_PER_SECOND / u128::from(rate.0))),
            Pacing::Recorded => self.recorded(at_ns, 1),
            Pacing::Speed(speed) => self.recorded(at_ns, speed),
        };
        let bits = line_bytes(len) * 8;
        self.frames += 1;
        self.bits += u128::from(bits);
        let last_bit = (self.start + since).max(self.free) + self.line.time_of(bits);
        self.free = last_bit;
        last_bit
    }

    /// The trace begins again. What was recorded goes on after the last frame, at the trace's own mean distance.
    pub fn again(&mut self, records: u64, duration_ns: u64) {
        let distance = duration_ns / records.saturating_sub(1).max(1);
        self.played_ns = self.played_ns.saturating_add(duration_ns).saturating_add(distance);
        self.first_ns = None;
    }

    fn recorded(&mut self, at_ns: u64, speed: u32) -> Time {
        let first = *self.first_ns.get_or_insert(at_ns);
        // A record stamped earlier than one before it comes right after that one.
        let since = self.played_ns.saturating_add(at_ns.saturating_sub(first)).max(self.last_ns);
        self.last_ns = since;
        Time::from_ps(clamp(u128::from(since) * 1_000 / u128::from(speed)))
    }
}

fn clamp(ps: u128) -> u64 {
    u64::try_from(ps).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: BitRate = BitRate(10_000_000_000);

    #[test]
    fn line_rate_is_the_line_s() {
        let mut pacer = Pacer::new(Pacing::LineRate, LINE, Time::ZERO);
        // 84 bytes on the line at 10 Gb/s: 67.2 ns (RFC 2544 frame of 64 bytes).
        let ends: Vec<_> = (0..3).map(|_| pacer.next(0, 60).ps()).collect();
        assert_eq!(ends, [67_200, 134_400, 201_600]);
    }

    #[test]
    fn a_source_begins_when_it_is_told() {
        let mut pacer = Pacer::new(Pacing::Recorded, LINE, Time::from_us(3));
        assert_eq!([5_000, 7_000].map(|ns| pacer.next(ns, 60).ps()), [3_067_200, 5_067_200]);
    }

    #[test]
    fn packet_rates_do_not_drift() {
        let mut pacer = Pacer::new(Pacing::Packets(PacketRate(3_000_000)), LINE, Time::ZERO);
        let last = (0..3_000_001).map(|_| pacer.next(0, 60)).last().unwrap();
        assert_eq!(last.ps(), 1_000_000_000_000 + 67_200);
    }

    #[test]
    fn bit_rates_count_the_line_s_bits() {
        let mut pacer = Pacer::new(Pacing::Bits(BitRate(1_000_000_000)), LINE, Time::ZERO);
        pacer.next(0, 60);
        assert_eq!(pacer.next(0, 60).ps(), 672_000 + 67_200);
    }

    #[test]
    fn recorded_time_is_kept_scaled_and_continued() {
        let play = |pacing| {
            let mut pacer = Pacer::new(pacing, LINE, Time::ZERO);
            let mut ends: Vec<_> = [5_000, 7_000, 6_000, 9_000].map(|ns| pacer.next(ns, 60).ps()).into();
            pacer.again(4, 4_000);
            ends.push(pacer.next(5_000, 60).ps());
            ends
        };
        let wire = 67_200;
        // The third is stamped before the second and comes right after it; the next play one mean distance later.
        assert_eq!(
            play(Pacing::Recorded),
            [wire, 2_000_000 + wire, 2_000_000 + 2 * wire, 4_000_000 + wire, 5_333_000 + wire]
        );
        assert_eq!(play(Pacing::Speed(2))[3], 2_000_000 + wire);
    }
}
