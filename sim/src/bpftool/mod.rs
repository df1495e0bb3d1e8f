//! bpftool's nouns and verbs over a saved state: its words, its text, its JSON fields.
//!
//! Objects are named as it names them (`id N`, `pinned PATH`, `name NAME`, programs also `tag TAG`), keys and values as it
//! reads them (bytes in decimal or `0x`, all hexadecimal after `hex`). Where it would show an address, a time or a number of
//! the kernel's own, this project's stands; `docs/state.md` lists the differences.

mod bytes;
mod files;
mod graph;
mod maps;
mod net;
mod programs;
mod types;
mod words;
mod xlated;

pub use files::tree;
pub use maps::map;
pub use net::net;
pub use programs::prog;

use bpf::diag::{At, Diagnostic};
use bpf::errno::Errno;
use bpf::syscall::{ActorId, Object, Refusal, System};
use serde_json::Value;

/// One command on a state.
pub struct Session<'a> {
    /// The state.
    pub system: &'a mut System,
    /// Who asks.
    pub actor: ActorId,
    /// Whether JSON is wanted.
    pub json: bool,
    /// Whether objects are shown with the paths they are pinned at.
    pub pins: bool,
    /// Reads a file, `-` being standard input.
    pub read: &'a dyn Fn(&str) -> Result<Vec<u8>, Diagnostic>,
}

impl Session<'_> {
    /// Whether any object of a class is pinned: without, bpftool leaves the field out.
    fn any_pinned(&self, of_class: fn(&Object) -> bool) -> bool {
        self.system.fs().pins().iter().any(|(_, object)| of_class(object))
    }
}

/// What a command came to.
#[derive(Debug, Default)]
pub struct Answer {
    /// What is printed, if text is wanted.
    pub text: String,
    /// What is printed, if JSON is wanted.
    pub json: Value,
    /// Whether what was asked for is there.
    pub missing: bool,
    /// Whether the state has changed.
    pub changed: bool,
    /// Files to write, `-` being standard output.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Answer {
    /// A change without words.
    fn changed() -> Answer {
        Answer { changed: true, ..Answer::default() }
    }

    /// What is shown of several objects, or of one that was asked for: that is no list then.
    fn shown(one: bool, objects: impl IntoIterator<Item = (Value, String)>) -> Answer {
        let (mut list, texts): (Vec<Value>, Vec<String>) = objects.into_iter().unzip();
        let json = if one && list.len() == 1 { list.remove(0) } else { Value::Array(list) };
        Answer { json, text: texts.concat(), ..Answer::default() }
    }
}

/// A command that Linux refuses, with what it was about.
fn refused(what: &str, errno: Errno, about: impl Into<String>) -> Diagnostic {
    Diagnostic::new("bpf-refused", format!("{what}: {errno}")).at(At::Named(about.into()))
}

/// The same where there is more to say.
fn explained(refusal: Refusal) -> Diagnostic {
    refusal.into()
}
