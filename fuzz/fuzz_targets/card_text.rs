#![no_main]
//! Text of a card's instructions.

#[path = "../../nic-model/tests/bench/mod.rs"]
mod bench;
#[path = "../../nic-model/tests/fuzz/words.rs"]
#[allow(dead_code, reason = "this target drives one of the doors there")]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::text(data));
