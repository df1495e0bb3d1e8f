//! Cycles of a core's clock and simulated time.

use crate::des::{Frequency, Time};

/// [`Frequency`] as a fraction of picoseconds a cycle in lowest terms, so that conversions stay in 64 bits for as long as
/// a run can last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    frequency: Frequency,
    /// Picoseconds of `cycles` cycles.
    ps: u64,
    cycles: u64,
    /// Cycle counts and times below these do not overflow.
    safe_cycle: u64,
    safe_ps: u64,
    /// 2^64 / `ps`, rounded up: multiplied and shifted back it divides, or is one too many.
    inverse: u64,
}

impl Clock {
    pub(super) fn new(frequency: Frequency) -> Self {
        let (mut a, mut b) = (1_000_000_000_000, frequency.hz());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        let (ps, cycles) = (1_000_000_000_000 / a, frequency.hz() / a);
        Clock {
            frequency,
            ps,
            cycles,
            safe_cycle: u64::MAX / ps,
            safe_ps: u64::MAX / cycles,
            inverse: (u64::MAX / ps).saturating_add(1),
        }
    }

    /// When a cycle begins.
    #[inline]
    pub(super) fn time(&self, cycle: u64) -> Time {
        if cycle <= self.safe_cycle {
            let ps = cycle * self.ps;
            Time::from_ps(if self.cycles == 1 { ps } else { ps / self.cycles })
        } else {
            self.frequency.at_cycle(cycle)
        }
    }

    /// The first cycle that begins at `time` or later.
    #[inline]
    pub(super) fn cycle(&self, time: Time) -> u64 {
        if time.ps() <= self.safe_ps {
            // Cycle c begins at floor(c * ps / cycles): not before `time` if c * ps >= time * cycles.
            let scaled = time.ps() * self.cycles;
            let quotient = ((u128::from(scaled) * u128::from(self.inverse)) >> 64) as u64;
            // The estimate is the quotient rounded down, or one more: both are cycles to begin from.
            let cycle = match quotient.checked_mul(self.ps) {
                Some(product) if product < scaled => quotient + 1,
                Some(product) if product - scaled < self.ps => quotient,
                _ => quotient - 1,
            };
            // Rounding down may bring the cycle before to `time` as well.
            if self.cycles > 1 && cycle > 0 && self.time(cycle - 1) >= time { cycle - 1 } else { cycle }
        } else {
            self.frequency.cycle_from(time)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_are_those_of_the_frequency() {
        for hz in [1, 3, 156_250_000, 799_999_999, 800_000_000, 1_200_000_000, 3_700_000_000] {
            let frequency = Frequency::from_hz(hz).unwrap();
            let clock = Clock::new(frequency);
            for cycle in [0, 1, 2, 3, 799, 800, 1_000_003, 1 << 40, 1 << 60, u64::MAX] {
                assert_eq!(clock.time(cycle), frequency.at_cycle(cycle), "{hz} Hz cycle {cycle}");
            }
            for ps in [0, 1, 832, 833, 834, 1_250, 1_251, 999_999_999_999, (1 << 53) + 1, u64::MAX - 1] {
                let time = Time::from_ps(ps);
                assert_eq!(clock.cycle(time), frequency.cycle_from(time), "{hz} Hz {ps} ps");
            }
        }
    }
}
