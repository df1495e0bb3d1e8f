//! The guest's address space: one arena, 32-bit addresses, every access checked.
//!
//! ```text
//! address   0        0x1_0000        0x3_0000       ...
//!           | none   | region | gap | region | gap | ...      1 granule = 64 KiB
//! ```
//!
//! A guest pointer is an offset into the [`Arena`], held in a 64-bit register; 0 is no address. Regions ([`Region`]) stand
//! at deterministic addresses in the order they were laid out. Each starts on a granule and is followed by at least one
//! unmapped granule, so the upper half of an address finds the region's window in one table look-up, and a pointer
//! that runs off one region cannot reach the next within any offset an instruction can encode.
//!
//! That window is the part of the region that is live in this run: the packet's moves with `data` and `data_end`, the stack's
//! grows with the call depth. An access outside is a [`Fault`], which is data about the guest and not an error.

mod arena;
mod fault;

#[cfg(test)]
mod tests;

pub use arena::{Arena, Elements, GRANULE, Guard, IMAGE, Layout, MapId, Region, RegionId, RegionKind};
pub use fault::{Fault, FaultKind};
