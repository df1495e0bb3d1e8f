//! The words that the Linux driver's translator emitted for some hundred programs.

use std::collections::BTreeSet;

/// Bits 56 to 63 of a word before relocation are the driver's relocation tag.
const RELOCATION: u64 = 0xff << 56;

/// Every distinct word, without its tag; `None` where `SHARED_DIR` does not say where they are, and then `test` is said
/// to be skipped.
pub fn words(test: &str) -> Option<BTreeSet<u64>> {
    let Ok(shared) = std::env::var("SHARED_DIR") else {
        println!("skipped: {test}: SHARED_DIR is not set, the words of the Linux driver are not at hand");
        return None;
    };
    let path = format!("{shared}/reference/nfp-driver-words.jsonl");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut words = BTreeSet::new();
    for line in text.lines() {
        let program: serde_json::Value = serde_json::from_str(line).expect("a line is a JSON object");
        for word in program["words"].as_array().into_iter().flatten() {
            let word = word.as_str().and_then(|w| u64::from_str_radix(w, 16).ok()).expect("a word is hexadecimal");
            words.insert(word & !RELOCATION);
        }
    }
    assert!(words.len() > 500, "only {} distinct words in {path}", words.len());
    Some(words)
}
