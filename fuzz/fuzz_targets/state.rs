#![no_main]

#[path = "../../sim/tests/fuzz/state.rs"]
mod state;

libfuzzer_sys::fuzz_target!(|data: &[u8]| state::text(data));
