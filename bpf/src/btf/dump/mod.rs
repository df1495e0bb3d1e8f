//! Types as text: the list that `bpftool btf dump` prints, and C that declares them again.

mod c;
mod decl;
mod raw;

pub use c::c;
pub use raw::raw;
