//! Pieces that several tests share; some are those of `bpf`'s tests.

#![allow(dead_code, reason = "shared with tests that need more of it")]

#[path = "../../../bpf/tests/support/asm.rs"]
pub mod asm;
#[path = "../../../bpf/tests/support/both.rs"]
pub mod both;
#[path = "../../../bpf/examples/lines/context.rs"]
pub mod context;
#[path = "../../../bpf/tests/support/functions.rs"]
pub mod functions;
#[path = "../../../bpf/tests/support/kernel.rs"]
pub mod kernel;
#[path = "../../../bpf/tests/support/kernel_maps.rs"]
pub mod kernel_maps;
#[path = "../../../bpf/tests/support/ledger.rs"]
pub mod ledger;
#[path = "../../../bpf/tests/support/locked.rs"]
pub mod locked;
#[path = "../../../bpf/tests/support/progress.rs"]
pub mod progress;
#[path = "../../../bpf/tests/support/rng.rs"]
pub mod rng;
pub mod scenario;
