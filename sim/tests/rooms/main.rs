//! What `sim` promises, room by room.

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod btf;
mod byte_order;
mod cards;
mod check;
mod compare;
mod determinism;
mod docs;
mod house;
mod operations;
mod programs;
mod queues;
mod regress;
mod routines;
mod slots;
mod state;
mod traces;
mod x86_weights;
