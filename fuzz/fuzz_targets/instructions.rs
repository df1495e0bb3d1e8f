#![no_main]
//! Slots → instructions → text → instructions.

#[path = "../../bpf/tests/fuzz/instructions.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::check(data));
