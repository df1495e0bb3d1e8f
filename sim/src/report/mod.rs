//! What a run came to, and how it is shown: one result, one exporter for each form.

mod json;
mod metrics;
mod results;
mod table;

pub use json::to_json;
pub use metrics::{METRICS, Metric, Unit};
pub use results::*;
pub use table::{Style, grouped, offered, render};
