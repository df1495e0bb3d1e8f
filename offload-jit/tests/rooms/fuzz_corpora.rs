//! The corpora that fuzzing left, run through the bodies of the fuzz targets: every input must pass.
//!
//! `fuzz/` drives the same bodies with new inputs; `CONTRIBUTING.md` says how.

use std::path::Path;

#[path = "../fuzz/programs.rs"]
mod programs;

/// Most bytes that the corpus of one target may have.
const LARGEST: usize = 200 << 10;

fn replay(name: &str, check: impl Fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fuzz").join(name);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a directory lists its files").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{name} has no corpus");
    let mut bytes = 0;
    for file in files {
        let input = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        bytes += input.len();
        // Named where a panic's message can be seen beside it.
        println!("{}", file.display());
        check(&input);
    }
    assert!(bytes <= LARGEST, "{name}: {bytes} bytes, minimise the corpus");
}

#[test]
fn offload() {
    replay("offload", programs::program);
}
