#![no_main]
//! Slots → instructions → text → instructions.

#[path = "../../bpf/tests/fuzz/instructions.rs"]
#[allow(dead_code, reason = "this target drives one of the doors there")]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::slots(data));
