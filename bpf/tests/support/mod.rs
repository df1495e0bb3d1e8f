//! What the integration tests share.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod arith;
pub mod asm;
pub mod both;
pub mod executed;
pub mod functions;
pub mod generate;
pub mod insns;
pub mod kernel;
pub mod kernel_maps;
pub mod kernel_runner;
pub mod llvm;
pub mod rng;
pub mod socket;

#[path = "../../examples/lines/context.rs"]
pub mod test_run;
