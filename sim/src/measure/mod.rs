//! What is measured while packets move.

mod latency;

pub use latency::{Latencies, Summary};
