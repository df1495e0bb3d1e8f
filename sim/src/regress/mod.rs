//! Scenarios held against their baselines.

mod baseline;
mod case;
mod junit;

pub use baseline::{Baseline, Moved, Placement};
pub use case::Case;
pub use junit::junit;
