//! Profiles that a scenario names: built in, or a file beside it; then with the scenario's own values set.

use std::path::Path;

use bpf::diag::Diagnostic;
use nic_model::profile::{self, CardProfile, Provenance, provenance};
use nic_model::yaml::{self, Positions, Value, ValueError};
use serde::Serialize;

use super::resolve;
use super::written::Profile;
use crate::files;
use crate::host::{self, HostProfile};

/// The card.
pub(super) fn card(written: &Profile, directory: &Path, positions: &Positions) -> Result<CardProfile, Diagnostic> {
    let named = Named { key: "nic", written, positions };
    let value = match named.file(directory)? {
        Some((name, text)) => profile::parse_value(&name, &text)?.0,
        None => profile::builtin_value(&written.profile).map_err(|d| named.place(d))?,
    };
    named.finish(value, profile::from_value)
}

/// The host.
pub(super) fn host(written: &Profile, directory: &Path, positions: &Positions) -> Result<HostProfile, Diagnostic> {
    let named = Named { key: "host", written, positions };
    let value = match named.file(directory)? {
        Some((name, text)) => yaml::parse_value(&name, &text)?.0,
        None => host::builtin_value(&written.profile).map_err(|d| named.place(d))?,
    };
    named.finish(value, host::from_value)
}

struct Named<'a> {
    key: &'static str,
    written: &'a Profile,
    positions: &'a Positions,
}

impl Named<'_> {
    fn place(&self, mut diagnostic: Diagnostic) -> Diagnostic {
        let in_table = self.positions.at(&format!("{}.profile", self.key));
        if let Some(at) = in_table.or_else(|| self.positions.at(self.key)) {
            diagnostic.at = Some(at);
        }
        diagnostic
    }

    /// Name and text of the file, when the profile is one.
    fn file(&self, directory: &Path) -> Result<Option<(String, String)>, Diagnostic> {
        if !self.written.profile.ends_with(".yaml") && !self.written.profile.ends_with(".yml") {
            return Ok(None);
        }
        let path = directory.join(&self.written.profile);
        let text = files::read_text(&path).map_err(|d| self.place(d))?;
        Ok(Some((path.display().to_string(), text)))
    }

    fn finish<T: Serialize>(
        &self,
        mut value: Value,
        read: fn(Value) -> Result<T, ValueError>,
    ) -> Result<T, Diagnostic> {
        let at = |path: &str| self.positions.at(&format!("{}.set[\"{path}\"]", self.key));
        // A value set to what it is already keeps its kind and source.
        let same = |path: &str, new: &Value, known: &[Provenance]| {
            known.iter().any(|p| p.path == path && resolve::untagged(p.tree.clone()) == *new)
        };
        let known = match self.written.set.is_empty() {
            true => Vec::new(),
            false => read(value.clone()).map(|profile| provenance(&profile)).unwrap_or_default(),
        };
        for (path, new) in self.written.set.iter().filter(|(path, new)| !same(path, new, &known)) {
            yaml::set(&mut value, path, new.clone()).map_err(|d| match at(path) {
                Some(at) => d.at(at),
                None => self.place(d),
            })?;
        }
        read(value).map_err(|error| match at(&error.path) {
            Some(at) => error.diagnostic.at(at),
            None => {
                let mut diagnostic = self.place(error.diagnostic);
                diagnostic.reason = format!("{}.{}: {}", self.key, error.path, diagnostic.reason);
                diagnostic
            }
        })
    }
}
