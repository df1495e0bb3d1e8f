//! The state file: what programs, maps, links, types and pins outlive a command, as JSON.
//!
//! The form is versioned, and the same state always gives the same bytes. A file is written beside its place and renamed;
//! what is read is checked in full before any of it is used ([`System::restore`]). `docs/state.md` describes it.

mod cards;
mod driver;
mod form;
mod memory;

use std::path::Path;

use bpf::diag::{At, Diagnostic};
use bpf::syscall::{Config, System};

use crate::files;
pub use driver::CardDriver;
use form::Form;

/// Where a new state has a bpf file system.
pub const BPFFS: &str = "/sys/fs/bpf";

/// A state's text.
pub fn to_text(system: System) -> String {
    let form = Form::of(&system.save());
    let mut text = serde_json::to_string_pretty(&form).expect("numbers and texts are JSON");
    text.push('\n');
    text
}

/// The state that a text describes.
///
/// # Errors
/// `state-malformed`, `state-version`; what the system finds wrong.
pub fn from_text(text: &str) -> Result<System, Diagnostic> {
    let form = Form::parse(text)?;
    System::restore_with(form.saved()?, &|driver| CardDriver::of(driver).ok())
}

/// A machine of which nothing is kept yet, with a bpf file system at its usual place.
pub fn new(processors: u32) -> System {
    let mut system = System::new(Config { cpus: processors, ..Config::default() });
    system.mount(BPFFS, 0o1777).expect("a new machine has room for a mount");
    system
}

/// The state in a file, or a new one where there is no file.
///
/// # Errors
/// As [`from_text`]'s; a file that cannot be read.
pub fn read(path: &Path) -> Result<Option<System>, Diagnostic> {
    let Some(text) = files::read_if_there(path)? else { return Ok(None) };
    from_text(&text).map(Some).map_err(|mut why| {
        let file = path.display();
        why.at = Some(At::Named(match why.at {
            Some(at) => format!("{file}: {at}"),
            None => file.to_string(),
        }));
        why
    })
}

/// Writes a state.
///
/// # Errors
/// `file-unwritable`.
pub fn write(path: &Path, system: System) -> Result<(), Diagnostic> {
    files::write(path, &to_text(system))
}
