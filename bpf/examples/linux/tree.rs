//! A tree of Linux's sources: a directory, or what of an archive is wanted.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian's package puts it.
pub const ARCHIVE: &str = "/usr/src/linux-source-6.1.tar.xz";

/// A tree; what was unpacked goes when it does.
pub struct Tree {
    path: PathBuf,
    unpacked: Option<PathBuf>,
}

impl Tree {
    /// A directory as it is, or these files (and directories, named with `/*`) of an archive.
    ///
    /// # Errors
    /// What cannot be read or unpacked.
    pub fn open(given: &Path, wanted: &[&str]) -> Result<Tree, String> {
        if given.is_dir() {
            return Ok(Tree { path: given.to_owned(), unpacked: None });
        }
        let into = std::env::temp_dir().join(format!("linux-tree-{}", std::process::id()));
        std::fs::create_dir_all(&into).map_err(|e| format!("{}: {e}", into.display()))?;
        let mut tree = Tree { path: into.clone(), unpacked: Some(into.clone()) };
        let mut tar = Command::new("tar");
        tar.arg("xf").arg(given).arg("-C").arg(&into).arg("--wildcards");
        tar.args(wanted.iter().map(|name| format!("*/{name}")));
        let unpacked = tar.status().map_err(|e| format!("tar: {e}"))?;
        let inside = std::fs::read_dir(&into).ok().and_then(|mut d| d.next()).and_then(Result::ok);
        match inside {
            Some(entry) if unpacked.success() => tree.path = entry.path(),
            _ => return Err(format!("{}: no tree of Linux in it", given.display())),
        }
        Ok(tree)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        if let Some(dir) = &self.unpacked {
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}
