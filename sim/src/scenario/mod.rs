//! Scenarios: as written, then checked.

pub mod bytes;
mod checked;
mod expect;
mod preload;
mod profiles;
mod resolve;
pub mod written;

pub use checked::{LoadedProgram, Preload, Scenario, Variant};
pub use expect::{Expect, Relation};
