//! Cases as JSON lines: what a line says, and what is answered.

#![allow(dead_code, reason = "each example uses a part of it")]

pub mod answer;
pub mod case;
pub mod context;
pub mod door;
pub mod encoding;
pub mod json;
