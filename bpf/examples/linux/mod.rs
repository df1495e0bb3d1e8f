//! What the examples share that read tables in Linux's sources: the tree and its C.

#![allow(unused_imports, reason = "each example uses a part of it")]

pub mod c;
pub mod tree;
