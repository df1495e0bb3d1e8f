//! Scenarios: as written, then checked.

pub mod bytes;
pub mod expect;
pub mod written;
