#![no_main]
//! Classic filters from the text of `tcpdump -ddd`.

#[path = "../../bpf/tests/fuzz/classic.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::text(data));
