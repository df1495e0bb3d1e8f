#![no_main]
//! Classic filters from the text of `tcpdump -ddd`.

#[path = "../../bpf/tests/fuzz/classic.rs"]
#[allow(dead_code, reason = "this target drives one of the doors there")]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::text(data));
