//! From a finished world to the numbers of a report.

use nic_model::des::Time;

use super::{Bottleneck, FateCount, FateLatency, Latency, Resource};
use crate::measure::Tracker;

/// The fates of a run, as reports show them.
pub fn fates(tracker: &Tracker) -> (Vec<FateCount>, Vec<FateLatency>) {
    let mut counts = Vec::new();
    let mut latencies = Vec::new();
    for (fate, packets, spread) in tracker.fates() {
        let (outcome, place) = fate.names();
        counts.push(FateCount { outcome: outcome.into(), place: place.into(), packets });
        // What a lost packet waited before it was lost is nobody's latency.
        if let Some(summary) = spread.summary().filter(|_| fate.is_handled()) {
            latencies.push(FateLatency {
                outcome: outcome.into(),
                place: place.into(),
                latency: Latency::from(summary),
            });
        }
    }
    // Packets that programs made of others are no packets that were offered: their outcomes are others.
    for (fate, packets) in tracker.copy_fates() {
        let (outcome, place) = fate.names();
        counts.push(FateCount { outcome: format!("copy {outcome}"), place: place.into(), packets });
    }
    (counts, latencies)
}

/// `count` in a span, per second.
pub fn per_second(count: u64, span: Time) -> u64 {
    let rate = u128::from(count) * 1_000_000_000_000 / u128::from(span.ps().max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// `busy` of `span` in parts of a million.
pub fn share(busy: Time, span: Time) -> u64 {
    let share = u128::from(busy.ps()) * 1_000_000 / u128::from(span.ps().max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// Busy share from which a part counts as what limits a placement.
const SATURATED_PPM: u64 = 900_000;

/// What limits a placement: the place that loses packets names the part behind it, else the busiest part if it is busy
/// enough, else the load.
pub fn bottleneck(resources: &[Resource], fates: &[FateCount]) -> Bottleneck {
    let lost: Vec<_> = fates.iter().filter(|f| f.outcome == "lost").collect();
    let percent = |ppm: u64| format!("{}.{} %", ppm / 10_000, ppm / 1_000 % 10);
    let busiest = resources.first();
    let worst = lost.iter().max_by_key(|f| f.packets);
    match (busiest, worst) {
        (Some(part), Some(loss)) if part.busy_ppm >= SATURATED_PPM => Bottleneck {
            resource: part.name.clone(),
            why: format!("{} is {} busy; packets are lost at {}", part.name, percent(part.busy_ppm), loss.place),
        },
        (Some(part), None) if part.busy_ppm >= SATURATED_PPM => Bottleneck {
            resource: part.name.clone(),
            why: format!("{} is {} busy; nothing is lost yet", part.name, percent(part.busy_ppm)),
        },
        (part, Some(loss)) => Bottleneck {
            resource: loss.place.clone(),
            why: match part {
                Some(part) => format!(
                    "packets are lost at {} while the busiest part, {}, is {} busy",
                    loss.place,
                    part.name,
                    percent(part.busy_ppm)
                ),
                None => format!("packets are lost at {}", loss.place),
            },
        },
        (Some(part), None) => Bottleneck {
            resource: "offered load".into(),
            why: format!("nothing is short: the busiest part, {}, is {} busy", part.name, percent(part.busy_ppm)),
        },
        (None, None) => Bottleneck { resource: "offered load".into(), why: "nothing is short".into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, busy_ppm: u64) -> Resource {
        Resource { name: name.into(), busy_ppm }
    }

    fn lost(place: &str, packets: u64) -> FateCount {
        FateCount { outcome: "lost".into(), place: place.into(), packets }
    }

    #[test]
    fn the_busy_part_then_the_place_of_loss_then_the_load() {
        let limit = |resources: &[Resource], fates: &[FateCount]| bottleneck(resources, fates).resource;
        assert_eq!(limit(&[part("cores", 950_000)], &[lost("ring", 5)]), "cores");
        assert_eq!(limit(&[part("cores", 950_000)], &[]), "cores");
        assert_eq!(limit(&[part("cores", 500_000)], &[lost("ring", 5), lost("fifo", 9)]), "fifo");
        assert_eq!(limit(&[part("cores", 500_000)], &[]), "offered load");
    }

    #[test]
    fn rates_are_exact() {
        assert_eq!(per_second(14_880_952, Time::from_ps(1_000_000_000_000)), 14_880_952);
        assert_eq!(share(Time::from_ns(25), Time::from_ns(100)), 250_000);
    }
}
