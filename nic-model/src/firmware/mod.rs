//! What runs around a program on the card: fixed routines as steps, and the interface they offer to the program.

mod abi;
mod image;
mod step;

pub use abi::{Action, STACK_BASE_REGISTER, StatCounter, Verdict};
pub use image::{CodeLayout, Entry, Firmware};
pub use step::{ControlRoutine, MapRoutine, Place, Routine, Step};

pub use crate::packet_vector::{
    CONTEXT_BLOCK_BYTES, CONTEXT_BLOCK_OFFSET, LENGTH_MASK, PacketVector, QUEUE_SELECTED, VECTOR_META, VECTOR_PORT,
    VECTOR_PROTOCOL, VECTOR_WORDS,
};
