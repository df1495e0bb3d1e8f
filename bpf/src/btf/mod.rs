//! BTF: the types, lines and relocations a compiler writes beside a program.
//!
//! [`Btf`] is a `.BTF` section, or the kernel's `/sys/kernel/btf/vmlinux`: types by number, and strings. [`Ext`] is a
//! `.BTF.ext` section: for each code section the functions' types, the lines of source, and the CO-RE relocations.
//!
//! Whatever a parsed [`Btf`] refers to by number exists in it. Types can still be recursive, so what follows them
//! counts its steps.
//!
//! Format: the kernel's `Documentation/bpf/btf.rst`, in either byte order.

pub mod build;
pub mod check;
pub mod co_re;
pub mod dump;
mod ext;
mod fields;
pub mod info;
mod layout;
mod parse;
mod types;
mod unify;
pub mod value;

pub use ext::{CoreKind, CoreRelocation, Ext, ExtSection, FuncInfo, LineInfo};
pub use fields::SpecialFields;
pub(crate) use types::printable;
pub use types::{
    Btf, DataVar, Encoding, EnumValue, FuncLinkage, Kind, Member, NameOff, Param, Type, TypeId, VarLinkage,
};

use std::fmt;

use crate::diag::{At, Diagnostic};

/// Why a section is not BTF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BtfError {
    /// Section, as its usual name.
    pub section: &'static str,
    /// Byte in the section where the reader stood.
    pub offset: usize,
    /// What is wrong there, a sentence without a full stop.
    pub reason: String,
}

impl fmt::Display for BtfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.section, self.offset, self.reason)
    }
}

impl std::error::Error for BtfError {}

impl From<BtfError> for Diagnostic {
    fn from(e: BtfError) -> Self {
        let at = At::Bytes { of: e.section.to_owned(), offset: e.offset as u64 };
        Diagnostic::new("btf-malformed", e.reason).at(at).help("compile the object again, with -g")
    }
}
