//! What `nic-model` promises, room by room.

#[path = "../bench/mod.rs"]
mod bench;
#[path = "../cycle_core/mod.rs"]
mod cycle_core;
#[path = "../device_world/mod.rs"]
mod device_world;
#[path = "../driver_case/mod.rs"]
mod driver_case;
#[path = "../isa_driver/mod.rs"]
mod isa_driver;

mod burst_exact;
mod control;
mod device_conservation;
mod device_flow;
mod device_profiles;
mod driver_words;
mod firmware;
mod fuzz_corpora;
mod isa_asm;
mod isa_binutils;
mod isa_docs;
mod isa_driver_words;
mod recorded_runs;
