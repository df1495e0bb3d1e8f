//! The corpora that fuzzing left, run through the bodies of the fuzz targets: every input must pass.
//!
//! `fuzz/` drives the same bodies with new inputs; `CONTRIBUTING.md` says how.

#[path = "../../../bpf/tests/fuzz/corpus.rs"]
mod corpus;
#[path = "../fuzz/words.rs"]
mod words;

fn replay(name: &str, check: impl Fn(&[u8])) {
    corpus::replay(env!("CARGO_MANIFEST_DIR"), name, check);
}

#[test]
fn card_words() {
    replay("card_words", words::words);
}

#[test]
fn card_text() {
    replay("card_text", words::text);
}
