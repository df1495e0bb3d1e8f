//! As much of C as Linux's test tables need: macros, enumerations, layouts, initialisers, and the functions that fill in
//! what is too long to be written down.
//!
//! ```text
//! text ──preprocess──▶ tokens ──expand──▶ Parser ──▶ Expr, Function ──▶ Machine
//! ```
//!
//! Nothing is compiled. Memory is counted in scalars: each member of a structure takes one cell of 64 bits, and so does
//! each element of an array of numbers.

#![allow(dead_code, reason = "each example uses a part of it")]

mod builtin;
mod definitions;
mod expression;
mod function;
mod machine;
mod parser;
mod tokens;
mod types;

pub use definitions::Definitions;
pub use expression::{Expr, Node};
pub use machine::{Image, Machine};
pub use parser::Parser;
pub use tokens::{Token, closed, split, tokens};
pub use types::{Struct, Type};
