//! What runs around a program on the card: fixed routines as steps, and the interface they offer to the program.

mod abi;
mod image;
mod step;

pub use abi::{
    Action, LENGTH_MASK, NUMBER_SHIFT, NUMBERS, OFFSET_MASK, POINTER_VALID, PacketVector, QUEUE_SELECTED,
    STACK_BASE_REGISTER, StatCounter, VECTOR_WORDS, Verdict, packet_pointer,
};
pub use image::{CodeLayout, Entry, Firmware};
pub use step::{MapRoutine, Place, Routine, Step};
