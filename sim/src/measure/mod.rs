//! What is measured while packets move: fates, latencies, spans.

mod collect;
mod latency;
mod tracker;

pub use collect::{bottleneck, fates, per_second, share};
pub use latency::{Latencies, Summary};
pub use tracker::{Fate, Loss, Place, Tracker};
