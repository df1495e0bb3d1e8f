//! What became of one scenario under regression.

use super::Moved;

/// One scenario held against its baseline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Its name.
    pub scenario: String,
    /// What moved.
    pub moved: Vec<Moved>,
    /// Expectations that do not hold, in words.
    pub broken: Vec<String>,
    /// Whether there was no baseline to hold it against.
    pub unknown: bool,
}

impl Case {
    /// Whether there is nothing to complain of.
    pub fn passes(&self) -> bool {
        self.moved.is_empty() && self.broken.is_empty() && !self.unknown
    }

    /// What there is to complain of, a line each.
    pub fn complaints(&self) -> Vec<String> {
        let moved = self.moved.iter().map(|m| {
            let by = if m.by.is_empty() { String::new() } else { format!(" ({})", m.by) };
            format!("{}.{}: {} -> {}{by}", m.variant, m.metric, m.old, m.new)
        });
        let broken = self.broken.iter().map(|b| format!("expectation broken: {b}"));
        let unknown = self.unknown.then(|| "no baseline; write one with --bless".to_owned());
        moved.chain(broken).chain(unknown).collect()
    }
}
