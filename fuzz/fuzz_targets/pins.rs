#![no_main]

#[path = "../../bpf/tests/fuzz/pins.rs"]
mod pins;

libfuzzer_sys::fuzz_target!(|data: &[u8]| pins::commands(data));
