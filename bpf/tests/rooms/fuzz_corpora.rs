//! The corpora that fuzzing left, run through the bodies of the fuzz targets: every input must pass.
//!
//! `fuzz/` drives the same bodies with new inputs; `CONTRIBUTING.md` says how.

#[path = "../fuzz/classic.rs"]
mod classic;
#[path = "../fuzz/corpus.rs"]
mod corpus;
#[path = "../fuzz/instructions.rs"]
mod instructions;
#[path = "../fuzz/objects.rs"]
mod objects;
#[path = "../fuzz/pins.rs"]
mod pins;

fn replay(name: &str, check: impl Fn(&[u8])) {
    corpus::replay(env!("CARGO_MANIFEST_DIR"), name, check);
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
