#![no_main]
//! Classic filters from bytes.

#[path = "../../bpf/tests/fuzz/classic.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::raw(data));
