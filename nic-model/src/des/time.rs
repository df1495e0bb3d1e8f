//! Simulated time in picoseconds, and clocks that do not drift.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A point in simulated time, or a span of it, in picoseconds. A `u64` holds 213 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The beginning, and the empty span.
    pub const ZERO: Time = Time(0);
    /// The last representable point: never.
    pub const NEVER: Time = Time(u64::MAX);

    /// From picoseconds.
    pub const fn from_ps(ps: u64) -> Self {
        Time(ps)
    }

    /// From nanoseconds; saturates.
    pub const fn from_ns(ns: u64) -> Self {
        Time(ns.saturating_mul(1_000))
    }

    /// From microseconds; saturates.
    pub const fn from_us(us: u64) -> Self {
        Time(us.saturating_mul(1_000_000))
    }

    /// In picoseconds.
    pub const fn ps(self) -> u64 {
        self.0
    }

    /// In whole nanoseconds, rounded down.
    pub const fn ns(self) -> u64 {
        self.0 / 1_000
    }

    /// In seconds, for reports only.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e12
    }

    /// The span from `earlier` to here, or nothing when `earlier` is later.
    pub const fn since(self, earlier: Time) -> Time {
        Time(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Time {
    type Output = Time;
    fn add(self, rhs: Time) -> Time {
        Time(self.0.saturating_add(rhs.0))
    }
}

impl AddAssign for Time {
    fn add_assign(&mut self, rhs: Time) {
        *self = *self + rhs;
    }
}

impl Sub for Time {
    type Output = Time;
    fn sub(self, rhs: Time) -> Time {
        self.since(rhs)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ps if ps < 1_000 => write!(f, "{ps} ps"),
            ps if ps < 1_000_000 => write!(f, "{}.{:03} ns", ps / 1_000, ps % 1_000),
            ps if ps < 1_000_000_000 => write!(f, "{}.{:03} us", ps / 1_000_000, ps / 1_000 % 1_000),
            ps => write!(f, "{}.{:03} ms", ps / 1_000_000_000, ps / 1_000_000 % 1_000),
        }
    }
}

/// A clock's frequency in hertz; never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frequency(u64);

impl Frequency {
    /// From hertz; `None` for zero.
    pub const fn from_hz(hz: u64) -> Option<Self> {
        if hz == 0 { None } else { Some(Frequency(hz)) }
    }

    /// In hertz.
    pub const fn hz(self) -> u64 {
        self.0
    }

    /// The instant at which cycle number `cycle` begins. Converted from the absolute count, so that a clock whose
    /// period is no whole number of picoseconds (1.2 GHz: 833⅓ ps) does not drift.
    pub const fn at_cycle(self, cycle: u64) -> Time {
        let ps = cycle as u128 * 1_000_000_000_000 / self.0 as u128;
        Time(if ps > u64::MAX as u128 { u64::MAX } else { ps as u64 })
    }

    /// The first cycle that begins at `time` or later.
    pub const fn cycle_from(self, time: Time) -> u64 {
        let scaled = time.0 as u128 * self.0 as u128;
        let cycle = scaled.div_ceil(1_000_000_000_000);
        // `at_cycle` rounds down, so the cycle before may already begin at `time`.
        let cycle = if cycle > u64::MAX as u128 { u64::MAX } else { cycle as u64 };
        if cycle > 0 && self.at_cycle(cycle - 1).0 >= time.0 { cycle - 1 } else { cycle }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_of_no_whole_period_does_not_drift() {
        let clock = Frequency::from_hz(1_200_000_000).unwrap();
        assert_eq!(clock.at_cycle(1), Time::from_ps(833));
        assert_eq!(clock.at_cycle(3), Time::from_ps(2_500));
        assert_eq!(clock.at_cycle(1_200_000_000), Time::from_ps(1_000_000_000_000));
    }

    #[test]
    fn cycle_from_is_the_first_cycle_not_before() {
        for hz in [1, 3, 156_250_000, 800_000_000, 1_200_000_000, 3_700_000_000] {
            let clock = Frequency::from_hz(hz).unwrap();
            for ps in [0, 1, 832, 833, 834, 1_250, 999_999_999_999, 1_000_000_000_001] {
                let cycle = clock.cycle_from(Time::from_ps(ps));
                assert!(clock.at_cycle(cycle).ps() >= ps, "{hz} {ps} {cycle}");
                assert!(cycle == 0 || clock.at_cycle(cycle - 1).ps() < ps, "{hz} {ps} {cycle}");
            }
        }
    }
}
