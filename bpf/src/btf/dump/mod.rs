//! Types as text: the list that `bpftool btf dump` prints, and C that declares them again.

mod c;
mod decl;
mod offsets;
mod raw;

pub use c::c;
pub use offsets::{Offsets, Piece, offsets, offsets_text};
pub(crate) use raw::kind_name;
pub use raw::raw;
