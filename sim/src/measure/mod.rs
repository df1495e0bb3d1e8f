//! What is measured while packets move: fates, latencies, spans.

mod latency;
mod tracker;

pub use latency::{Latencies, Summary};
pub use tracker::{Fate, Loss, Place, Tracker};
