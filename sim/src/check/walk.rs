//! Which files are checked.

use std::path::{Path, PathBuf};

use bpf::diag::{At, Diagnostic};

/// Deepest directory below the one that is named; a link that leads back upwards ends there.
const MAX_DEPTH: usize = 32;

/// The objects under a path: the file itself, or every file of a directory and those below it whose name ends in `.o`, in
/// the order of their paths.
///
/// # Errors
/// `file-unreadable` for what cannot be looked at; `check-no-object` for a directory without objects.
pub fn walk(path: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    let kind = std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !kind.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    visit(path, 0, &mut found)?;
    if found.is_empty() {
        return Err(Diagnostic::new("check-no-object", "the directory has no objects")
            .at(At::Named(path.display().to_string()))
            .help("objects are files whose name ends in .o"));
    }
    found.sort();
    Ok(found)
}

fn visit(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Diagnostic> {
    let entries = std::fs::read_dir(directory).map_err(|error| unreadable(directory, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| unreadable(directory, &error))?.path();
        // A link to nowhere is no object.
        let Ok(kind) = std::fs::metadata(&path) else { continue };
        if kind.is_dir() && depth < MAX_DEPTH {
            visit(&path, depth + 1, found)?;
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "o") {
            found.push(path);
        }
    }
    Ok(())
}

fn unreadable(path: &Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::new("file-unreadable", format!("cannot open it: {error}")).at(At::Named(path.display().to_string()))
}
