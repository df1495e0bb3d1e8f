//! The commands of bpf(2), as one facade over programs, maps, links and types.
//!
//! A [`System`] is what one machine's kernel keeps of BPF. Whoever asks it for something is an *actor*, a process with a
//! table of descriptors; a descriptor can be passed on to another. Every object has a number that is never used again, and
//! counts who holds it: descriptors, pins in the bpf file system, links and hooks, maps whose slots name it, programs whose
//! instructions name it. With the last reference it is gone, and lets go of what it held. A program array is emptied when
//! no descriptor and no pin is left, whatever programs still use it, as in Linux: otherwise a program that jumps to itself
//! would never go.
//!
//! ```text
//! descriptor ─┐                       ┌─▶ map ──slot──▶ map, program
//! pin ────────┼─▶ map, program, link ─┤
//! hook, link ─┘                       └─▶ types
//! ```
//!
//! Commands answer with Linux's error numbers ([`crate::errno::Errno`]); where a refusal has more to say it is a
//! [`Refusal`]. There is no clock and no randomness: what a test run observes comes from an [`crate::env::Env`].
//!
//! A card that runs programs itself is an [`OffloadDriver`]; programs and maps are bound to it before anything else is
//! looked at.
//!
//! [`System::save`] gives what outlives every actor as plain data, and [`System::restore`] takes it back with checks.
//!
//! A loaded program cannot be changed: nobody has a mutable path to its instructions, and in the machine that runs it the
//! image lies in a region without stores, where an attempt is a reported fault ([`crate::memory::FaultKind::ReadOnly`]).

mod assembly;
mod digest;
mod info;
mod links;
mod loader;
mod map_commands;
mod objects;
mod offload;
mod pins;
mod programs;
mod references;
mod saved;
mod system;
mod test_run;

pub use assembly::Assembly;
pub use digest::{hex, sha1, sha256};
pub use info::{BtfInfo, Class, LinkInfo, MapInfo, ProgInfo};
pub use links::{BPF_F_REPLACE, Hook, XDP_FLAGS_DRV_MODE, XDP_FLAGS_HW_MODE, XDP_FLAGS_SKB_MODE};
pub use loader::{LoadOptions, Loaded, PinRoots};
pub use map_commands::NewMap;
pub use objects::{Object, Owner};
pub use offload::{CardInfo, DeviceInfo, MapsInUse, OffloadDriver};
pub use programs::NewProgram;
pub use saved::{SavedBtf, SavedCard, SavedLink, SavedMap, SavedProgram, SavedSystem};
pub use system::{ActorId, Config, Fd, Mode, Refusal, System};
pub use test_run::{TestRun, TestRunAnswer};
