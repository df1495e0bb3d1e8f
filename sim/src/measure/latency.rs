//! Latencies of one kind of packet, as a histogram.

use hdrhistogram::Histogram;
use nic_model::des::Time;

/// Latencies in picoseconds, kept to three significant digits up to one hour.
#[derive(Debug, Clone)]
pub struct Latencies {
    histogram: Histogram<u64>,
}

/// Longest latency that is told apart, in picoseconds: one hour.
const LONGEST_PS: u64 = 3_600_000_000_000_000;

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_PS, 3).expect("the bounds are constants and valid");
        Self { histogram }
    }
}

/// What reports show of a histogram, in picoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Packets counted.
    pub count: u64,
    /// Shortest.
    pub min: Time,
    /// Arithmetic mean.
    pub mean: Time,
    /// Half of the packets took at most this long.
    pub p50: Time,
    /// 90 % of them.
    pub p90: Time,
    /// 99 % of them.
    pub p99: Time,
    /// 99.9 % of them.
    pub p999: Time,
    /// Longest.
    pub max: Time,
}

impl Latencies {
    /// Counts one packet.
    pub fn record(&mut self, latency: Time) {
        self.histogram.saturating_record(latency.ps().max(1));
    }

    /// The summary, or nothing when no packet was counted.
    pub fn summary(&self) -> Option<Summary> {
        let h = &self.histogram;
        let at = |q| Time::from_ps(h.value_at_quantile(q));
        (!h.is_empty()).then(|| Summary {
            count: h.len(),
            min: Time::from_ps(h.min()),
            mean: Time::from_ps(integer_mean(h)),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: Time::from_ps(h.max()),
        })
    }
}

/// Mean in whole picoseconds, in integers so that every machine gives the same.
fn integer_mean(histogram: &Histogram<u64>) -> u64 {
    let sum: u128 = histogram
        .iter_recorded()
        .map(|v| u128::from(histogram.median_equivalent(v.value_iterated_to())) * u128::from(v.count_at_value()))
        .sum();
    (sum / u128::from(histogram.len().max(1))) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_known_spread() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.summary(), None);
        for ns in 1..=1000 {
            latencies.record(Time::from_ns(ns));
        }
        let summary = latencies.summary().unwrap();
        assert_eq!(summary.count, 1000);
        let near = |a: Time, b: u64| a.ps().abs_diff(b * 1000) * 1000 <= b * 1000;
        assert!(near(summary.p50, 500) && near(summary.p99, 990) && near(summary.max, 1000), "{summary:?}");
        assert!(near(summary.mean, 500) || near(summary.mean, 501), "{summary:?}");
    }
}
