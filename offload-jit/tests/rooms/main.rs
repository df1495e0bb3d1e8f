//! What `offload-jit` promises, room by room.

#[path = "../common/mod.rs"]
mod common;

mod differential;
mod docs;
mod driver_words;
mod link;
mod refusals;
mod scenarios;
