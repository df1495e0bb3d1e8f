//! Corpora that fuzzing left.

use std::path::Path;

/// Most bytes that the corpus of one target may have.
const LARGEST: usize = 200 << 10;

/// Runs every input below the crate's `tests/data/fuzz/NAME` through the body of its target.
pub fn replay(root: &str, name: &str, check: impl Fn(&[u8])) {
    let dir = Path::new(root).join("tests/data/fuzz").join(name);
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
