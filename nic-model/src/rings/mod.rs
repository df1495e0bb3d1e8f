//! Host rings as the card sees them, and the choice among them.

mod queue;
mod rss;

pub use queue::{Queue, Take, Unasked};
pub use rss::{Rss, RssHash};
