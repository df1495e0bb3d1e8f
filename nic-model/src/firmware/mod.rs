//! What runs around a program on the card: fixed routines as steps, and the interface they offer to the program.

mod abi;
mod image;
mod step;

pub use abi::{
    Action, LENGTH_MASK, PacketVector, QUEUE_SELECTED, STACK_BASE_REGISTER, StatCounter, VECTOR_WORDS, Verdict,
};
pub use image::{CodeLayout, Entry, Firmware};
pub use step::{MapRoutine, Place, Routine, Step};
