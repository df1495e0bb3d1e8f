#![no_main]
//! Programs to the offload's compiler.

#[path = "../../offload-jit/tests/fuzz/programs.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::program(data));
