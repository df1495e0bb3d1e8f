//! What `offload-jit` promises, room by room.

#[path = "../common/mod.rs"]
mod common;

mod cases;
mod differential;
mod docs;
mod driver_words;
mod fuzz_corpora;
mod lifted;
mod link;
mod passes;
mod placement;
mod refusals;
mod scenarios;
