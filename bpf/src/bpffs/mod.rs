//! The bpf file system: pins, directories and symbolic links under any number of mounts.
//!
//! A [`Bpffs`] is what one machine's mount table shows of it. Every mount that is made with [`Bpffs::mount`] is a file system
//! of its own; [`Bpffs::bind`] shows a directory of one a second time. Around them stands a plain world that only has the
//! directories that lead to mount points, and that cannot be changed.
//!
//! What may be done is what Linux lets root do (kernel/bpf/inode.c and fs/namei.c), with its error numbers in its order: a
//! directory holds pins, directories and symbolic links and nothing else; new names have no dot, unless all permission
//! bits of their directory are off; hard links are for anything but directories, and stay in one mount. Permission bits
//! are data: they are kept and shown, and stop nobody.
//!
//! A pin is whatever `P` says. The tree does not count references: what a command lets go of is handed back to the caller.

mod commands;
mod saved;
mod tree;
mod walk;

pub use commands::Exchange;
pub use saved::{SavedInode, SavedMount, SavedNode, SavedPlace, SavedTree};
pub use tree::{Bpffs, FileKind, Ino, Stat};
