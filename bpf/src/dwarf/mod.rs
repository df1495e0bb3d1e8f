//! DWARF: what a debugger is told of a program, where BTF is missing.
//!
//! [`Lines`] says which line of source each byte of code came from; [`types`] makes BTF of the types and functions that are
//! described, as `pahole -J` does.
//!
//! Whoever wrote the sections decides how much there is to read, and not by the bytes alone: records of no length, tables
//! and strings that many share. So every walk has a budget of steps, and ends with an error when it is spent.
//!
//! Format: DWARF versions 2 to 5, in either byte order; sections with their relocations applied, none compressed. Split
//! DWARF and type units are not read: clang writes neither for BPF.

mod convert;
mod entries;
mod lines;
mod units;

pub use convert::types;
pub use lines::{Lines, Row};

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use crate::diag::{At, Diagnostic};
use crate::insn::Endian;

/// The debug sections of an object, by name.
#[derive(Debug, Clone)]
pub struct Sections<'a> {
    order: Endian,
    sections: BTreeMap<String, Cow<'a, [u8]>>,
}

/// Most bytes of a section that is read. The debug sections of the largest BPF objects stay below a tenth.
const SECTION_MAX: usize = 32 << 20;
/// Most bytes of `.debug_line`: a file of a line table takes one byte here and a hundred in memory.
const LINES_MAX: usize = 2 << 20;

impl<'a> Sections<'a> {
    /// Sections with their names; others than debug sections do no harm.
    ///
    /// # Errors
    /// A section that is too large.
    pub fn new(
        order: Endian,
        sections: impl IntoIterator<Item = (String, Cow<'a, [u8]>)>,
    ) -> Result<Sections<'a>, DwarfError> {
        let sections: BTreeMap<String, Cow<'a, [u8]>> = sections.into_iter().collect();
        for (name, bytes) in &sections {
            let most = if name == ".debug_line" { LINES_MAX } else { SECTION_MAX };
            if bytes.len() > most {
                let reason = format!("section {name} has {} bytes, of which {most} at most are read", bytes.len());
                return Err(DwarfError { reason });
            }
        }
        Ok(Sections { order, sections })
    }

    /// The bytes of a section, none if it is not there.
    fn get(&self, name: &str) -> &[u8] {
        self.sections.get(name).map_or(&[], |bytes| bytes)
    }
}

/// Why debug sections could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DwarfError {
    /// What is wrong, a sentence without a full stop.
    pub reason: String,
}

impl fmt::Display for DwarfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for DwarfError {}

impl From<gimli::Error> for DwarfError {
    fn from(e: gimli::Error) -> Self {
        DwarfError { reason: e.to_string() }
    }
}

impl From<DwarfError> for Diagnostic {
    fn from(e: DwarfError) -> Self {
        Diagnostic::new("dwarf-malformed", format!("the debug information is damaged: {e}"))
            .at(At::Named("DWARF".to_owned()))
            .help("compile the object again, with -g")
    }
}
