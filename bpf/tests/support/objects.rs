//! Objects that tests read.

use std::path::{Path, PathBuf};

/// Objects of this project, and those in the directory that `BPF_OBJECTS` names.
pub fn objects() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut open = vec![root.join("tests/data/object"), root.join("../scenarios/programs")];
    open.extend(std::env::var_os("BPF_OBJECTS").map(PathBuf::from));
    let mut files = Vec::new();
    while let Some(dir) = open.pop() {
        for path in std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "o" || e == "elf") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
