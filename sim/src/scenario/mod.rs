//! Scenarios: as written, then checked.

pub mod bytes;
mod checked;
mod environment;
mod expect;
mod preload;
mod profiles;
mod program;
mod resolve;
pub mod written;

pub use checked::{Scenario, Variant};
pub use expect::{Expect, Relation};
pub use program::{LoadedProgram, Part, Preload};
