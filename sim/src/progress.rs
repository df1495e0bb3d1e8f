//! Progress on standard error: one bar for all placements of a scenario.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::scenario::Scenario;

/// A bar that placements report to, from any thread.
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
        let style = "{prefix} {wide_bar} {human_pos}/{human_len} packets, {per_sec}, {eta} left";
        bar.set_style(ProgressStyle::with_template(style).expect("the template is a constant and valid"));
        bar.set_prefix(scenario.name.clone());
        Self { bar }
    }

    /// No bar.
    pub fn hidden() -> Self {
        Self { bar: ProgressBar::hidden() }
    }

    /// So many more packets.
    pub fn advance(&self, packets: u64) {
        self.bar.inc(packets);
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
