//! Reading and writing whole files: what is written is there whole or not at all.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use bpf::diag::{At, Diagnostic};

/// Most bytes of a text or object that is read whole.
pub const MAX_FILE: u64 = 256 << 20;

fn trouble(code: &'static str, what: &str, path: &Path, error: &dyn std::fmt::Display) -> Diagnostic {
    Diagnostic::new(code, format!("cannot {what}: {error}")).at(At::Named(path.display().to_string()))
}

/// A file's bytes.
///
/// # Errors
/// `file-unreadable`; `file-too-large`.
pub fn read(path: &Path) -> Result<Vec<u8>, Diagnostic> {
    let size = std::fs::metadata(path).map_err(|e| trouble("file-unreadable", "open the file", path, &e))?.len();
    if size > MAX_FILE {
        return Err(Diagnostic::new("file-too-large", "the file is too large to be what it should be")
            .at(At::Named(path.display().to_string()))
            .limit(format!("{MAX_FILE} B"), format!("{size} B")));
    }
    std::fs::read(path).map_err(|e| trouble("file-unreadable", "read the file", path, &e))
}

/// A file's text.
///
/// # Errors
/// As [`read`]; `file-not-text`.
pub fn read_text(path: &Path) -> Result<String, Diagnostic> {
    String::from_utf8(read(path)?).map_err(|e| {
        Diagnostic::new("file-not-text", "the file is not UTF-8 text")
            .at(At::Bytes { of: path.display().to_string(), offset: e.utf8_error().valid_up_to() as u64 })
    })
}

/// A file's text, or nothing when there is no such file.
///
/// # Errors
/// As [`read_text`], but for a file that is not there.
pub fn read_if_there(path: &Path) -> Result<Option<String>, Diagnostic> {
    match std::fs::metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        _ => read_text(path).map(Some),
    }
}

/// A file being written beside its place, where [`Beside::finish`] puts it: nobody ever sees half of it, and of one that is
/// not finished nothing stays.
pub struct Beside {
    path: PathBuf,
    beside: PathBuf,
    file: BufWriter<File>,
}

impl Beside {
    /// Begins a file, in a directory that is made if it is not there.
    ///
    /// # Errors
    /// `file-unwritable`.
    pub fn create(path: &Path) -> Result<Self, Diagnostic> {
        let unwritable = |e: std::io::Error| Self::unwritable(path, e);
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(unwritable)?;
        }
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}.new", std::process::id()));
        let beside = PathBuf::from(beside);
        let file = BufWriter::new(File::create(&beside).map_err(unwritable)?);
        Ok(Self { path: path.to_owned(), beside, file })
    }

    /// What is said of a write that failed.
    pub fn unwritable(path: &Path, error: impl std::fmt::Display) -> Diagnostic {
        trouble("file-unwritable", "write the file", path, &error)
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// `file-unwritable`.
    pub fn finish(mut self) -> Result<(), Diagnostic> {
        let done = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        done.and_then(|()| std::fs::rename(&self.beside, &self.path)).map_err(|e| Self::unwritable(&self.path, e))
    }
}

impl Write for Beside {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // What was finished is no longer there under this name.
        let _ = std::fs::remove_file(&self.beside);
    }
}

/// Writes a whole file.
///
/// # Errors
/// `file-unwritable`.
pub fn write(path: &Path, text: &str) -> Result<(), Diagnostic> {
    let mut file = Beside::create(path)?;
    file.write_all(text.as_bytes()).map_err(|e| Beside::unwritable(path, e))?;
    file.finish()
}
