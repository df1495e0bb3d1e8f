//! Scenarios held against their baselines.

mod baseline;

pub use baseline::{Baseline, Moved, Placement};
