//! Whose fault it is when nothing comes of a run.

use bpf::diag::Diagnostic;

/// Why a scenario could not be run.
#[derive(Debug)]
pub enum Trouble {
    /// The user's input is at fault.
    Input(Box<Diagnostic>),
    /// We are.
    Internal(String),
}

impl From<Diagnostic> for Trouble {
    fn from(diagnostic: Diagnostic) -> Self {
        Trouble::Input(Box::new(diagnostic))
    }
}
