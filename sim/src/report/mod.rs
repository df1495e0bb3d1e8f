//! What a run came to, and how it is shown: one result, one exporter for each form.

mod collect;
mod json;
mod metrics;
mod results;
mod table;

pub use collect::{bottleneck, fates, per_second, share};
pub use json::to_json;
pub use metrics::{METRICS, Metric, Unit};
pub use results::*;
pub use table::{Style, grouped, offered, render};
