//! What arrives on the wire: captured traces, and when each frame of them comes.

pub mod trace;
