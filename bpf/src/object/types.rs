//! The types of a file, wherever it has them: a `.BTF` section, DWARF, or the whole file, as the kernel's own are.

use super::code_info;
use super::elf::Elf;
use crate::btf::{Btf, Ext};
use crate::diag::{At, Diagnostic};
use crate::dwarf;

/// Where a file's types are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeSource {
    /// A `.BTF` section, or a file of BTF alone.
    Btf,
    /// DWARF, of which BTF is made ([`dwarf::types`]).
    Dwarf,
}

/// Types, and where they were.
#[derive(Debug, Clone, PartialEq)]
pub struct Types {
    /// The types.
    pub btf: Btf,
    /// What `.BTF.ext` says of code; nothing without it.
    pub ext: Ext,
    /// Where they were.
    pub source: TypeSource,
}

/// Reads the types of a file: those of the source asked for, else those of `.BTF`, else those of DWARF. Whether Linux
/// would take them is not asked.
///
/// # Errors
/// `object-no-types` where there are none; a damaged file, as [`super::Object::parse`] says it; damaged types.
pub fn types(bytes: &[u8], source: Option<TypeSource>) -> Result<Types, Diagnostic> {
    let found = |btf, ext, source| Ok(Types { btf, ext, source });
    if let Some([0x9f, 0xeb] | [0xeb, 0x9f]) = bytes.first_chunk::<2>() {
        return found(Btf::parse(bytes)?, Ext::default(), TypeSource::Btf);
    }
    let elf = Elf::parse(bytes)?;
    if let (Some(section), None | Some(TypeSource::Btf)) = (elf.section(".BTF"), source) {
        let btf = Btf::parse(elf.data(section))?;
        let ext = elf.section(".BTF.ext").map(|s| Ext::parse(elf.data(s), &btf)).transpose()?;
        return found(btf, ext.unwrap_or_default(), TypeSource::Btf);
    }
    if elf.section(".debug_info").is_some() && source != Some(TypeSource::Btf) {
        let btf = dwarf::types(&code_info::sections(&elf)?)?;
        return found(btf, Ext::default(), TypeSource::Dwarf);
    }
    let section = match source {
        Some(TypeSource::Btf) => ".BTF",
        Some(TypeSource::Dwarf) => ".debug_info",
        None => ".BTF or .debug_info",
    };
    Err(Diagnostic::new("object-no-types", "the file has no types")
        .at(At::Named(format!("section {section}")))
        .help("compile it with -g"))
}
