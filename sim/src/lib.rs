//! The world and the tool.

pub mod host;
pub mod measure;
pub mod regress;
pub mod report;
pub mod scenario;
pub mod traffic;
