#![no_main]
//! What is said of functions and lines.

#[path = "../../bpf/tests/fuzz/objects.rs"]
#[allow(dead_code, reason = "this target drives one of the doors there")]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::btf(data));
