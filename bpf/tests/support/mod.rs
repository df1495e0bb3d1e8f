//! What the integration tests share.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod arith;
pub mod asm;
pub mod both;
pub mod c_types;
pub mod callbacks;
pub mod calls;
pub mod capabilities;
pub mod coverage;
pub mod executed;
pub mod functions;
pub mod generate;
pub mod inside;
pub mod insns;
pub mod kernel;
pub mod kernel_maps;
pub mod kernel_objects;
pub mod kernel_runner;
pub mod ledger;
pub mod llvm;
pub mod locked;
pub mod logs;
pub mod objects;
pub mod progress;
pub mod rng;
pub mod socket;
pub mod spelling;

#[path = "../../examples/lines/mod.rs"]
pub mod lines;

use std::ops::Range;

use proptest::test_runner::Config;

/// Seeds of a test over generated programs: that many from 0. `VERIFIER_SEED` says another first one, `VERIFIER_CASES` how
/// many.
pub fn seeds(cases: u64) -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("VERIFIER_SEED").unwrap_or(0);
    first..first.saturating_add(number("VERIFIER_CASES").unwrap_or(cases))
}

/// A random test of that many cases; with `PROPTEST_CASES` set, of as many as it says.
pub fn slice(cases: u32) -> Config {
    let asked = Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { asked.cases } else { cases };
    Config { cases, failure_persistence: None, ..asked }
}
