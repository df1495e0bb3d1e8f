//! What a run came to, and how it is shown: one result, one exporter for each form.

mod metrics;
mod results;
mod table;

pub use metrics::{METRICS, Metric, Unit};
pub use results::*;
pub use table::{Style, grouped, offered, render};
