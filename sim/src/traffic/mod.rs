//! What arrives on the wire: captured traces, and when each frame of them comes.

mod kept;
mod pacing;
mod source;
mod trace;

pub use pacing::{Pacer, Pacing};
pub use source::{Arrival, Play, TrafficSource};
pub use trace::{MAX_FRAME, Record, TraceNotes, TraceReader, survey};
