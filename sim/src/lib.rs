//! The world and the tool.

pub mod host;
pub mod traffic;
