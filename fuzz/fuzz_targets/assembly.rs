#![no_main]
//! Text → instructions → text.

#[path = "../../bpf/tests/fuzz/instructions.rs"]
#[allow(dead_code, reason = "this target drives one of the doors there")]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::text(data));
