//! Where a run's results are kept.

use std::path::{Path, PathBuf};

use bpf::diag::Diagnostic;

use crate::files;
use crate::report::{self, Results};
use crate::scenario::Scenario;

/// The files of one run under `results/<scenario>/`.
pub struct ResultsDir;

impl ResultsDir {
    /// Writes `resolved.yaml` (the scenario with every default and profile value filled in; a run of it gives the same
    /// results) and `report.json`. Returns their directory.
    ///
    /// # Errors
    /// `file-unwritable`.
    pub fn write(root: &Path, scenario: &Scenario, results: &Results) -> Result<PathBuf, Diagnostic> {
        let directory = root.join(&scenario.name);
        files::write(&directory.join("resolved.yaml"), &scenario.resolved)?;
        files::write(&directory.join("report.json"), &report::to_json(results))?;
        Ok(directory)
    }
}
