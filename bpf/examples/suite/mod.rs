//! What the conformance examples share: the suite's files, its assembly, and how a program of it is run.

#![allow(dead_code, reason = "each example uses a part of it")]

pub mod asm;
pub mod file;
pub mod run;
