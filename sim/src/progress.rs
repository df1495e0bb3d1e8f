//! Progress on standard error: one bar for all placements of a scenario, or for the objects of a check.

use std::fmt::Write;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::scenario::Scenario;

/// A bar that work reports to, from any thread.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar for a scenario; invisible when `quiet` or when standard error is no terminal.
    pub fn new(scenario: &Scenario, quiet: bool) -> Self {
        let packets: u64 = scenario.plays.iter().map(|p| p.packets()).sum();
        let total = packets.saturating_mul(scenario.variants.len() as u64);
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        if quiet {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let style = "{prefix} {wide_bar} {human_pos}/{human_len} packets, {rate}, {eta} left";
        let style = ProgressStyle::with_template(style).expect("the template is a constant and valid");
        bar.set_style(style.with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
            // A bar that cannot be written to is no trouble of the run's.
            let _ = write!(out, "{:.0} k a second", state.per_sec() / 1_000.0);
        }));
        bar.set_prefix(scenario.name.clone());
        Self { bar }
    }

    /// A bar for a number of objects; invisible as [`Progress::new`]'s.
    pub fn of_objects(count: usize, quiet: bool) -> Self {
        let bar = ProgressBar::with_draw_target(Some(count as u64), ProgressDrawTarget::stderr());
        if quiet {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} objects, {eta} left");
        bar.set_style(style.expect("the template is a constant and valid"));
        Self { bar }
    }

    /// No bar.
    pub fn hidden() -> Self {
        Self { bar: ProgressBar::hidden() }
    }

    /// So many more packets or objects.
    pub fn advance(&self, packets: u64) {
        self.bar.inc(packets);
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
