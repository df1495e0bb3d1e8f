//! The verifier: decides whether Linux would take a program, and what was seen while deciding.
//!
//! Three rooms never share a function: what an instruction demands, whether a state proves it, and what state comes
//! next. Exploration walks the paths with them.

mod bounds;
mod explored;
mod tnum;

pub use bounds::{Bounds, Range};
pub use explored::{
    AluSeen, ArgSeen, AtomicSeen, CallSeen, Conflict, Detail, ExitSeen, Explored, Fate, FunctionSeen, Kind, Pointer,
    PointerSeen, SlotSeen, Span,
};
pub use tnum::Tnum;
