//! The corpora that fuzzing left, run through the bodies of the fuzz targets: every input must pass.
//!
//! `fuzz/` drives the same bodies with new inputs; `CONTRIBUTING.md` says how.

#[path = "../../../bpf/tests/fuzz/corpus.rs"]
mod corpus;
#[path = "../fuzz/programs.rs"]
mod programs;

fn replay(name: &str, check: impl Fn(&[u8])) {
    corpus::replay(env!("CARGO_MANIFEST_DIR"), name, check);
}

#[test]
fn offload() {
    replay("offload", programs::program);
}
