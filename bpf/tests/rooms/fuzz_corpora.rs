//! The corpora that fuzzing left, run through the bodies of the fuzz targets: every input must pass.
//!
//! `fuzz/` drives the same bodies with new inputs; `CONTRIBUTING.md` says how.

use std::path::Path;

#[path = "../fuzz/classic.rs"]
mod classic;
#[path = "../fuzz/instructions.rs"]
mod instructions;
#[path = "../fuzz/objects.rs"]
mod objects;
#[path = "../fuzz/pins.rs"]
mod pins;

/// Most bytes that the corpus of one target may have.
const LARGEST: usize = 200 << 10;

fn replay(name: &str, check: impl Fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fuzz").join(name);
    let mut files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{name} has no corpus");
    let mut bytes = 0;
    for file in files {
        let input = std::fs::read(&file).unwrap();
        bytes += input.len();
        // Named where a panic's message can be seen beside it.
        println!("{}", file.display());
        check(&input);
    }
    assert!(bytes <= LARGEST, "{name}: {bytes} bytes, minimise the corpus");
}

#[test]
fn instructions() {
    replay("instructions", instructions::slots);
}

#[test]
fn classic_text() {
    replay("classic_text", classic::text);
}

#[test]
fn classic_raw() {
    replay("classic_raw", classic::raw);
}

#[test]
fn assembly() {
    replay("assembly", instructions::text);
}

#[test]
fn object() {
    replay("object", objects::object);
}

#[test]
fn btf() {
    replay("btf", objects::btf);
}

#[test]
fn ext() {
    replay("ext", objects::ext);
}

#[test]
fn debug() {
    replay("debug", objects::debug);
}

#[test]
fn pins() {
    replay("pins", pins::commands);
}
