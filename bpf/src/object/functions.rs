//! Functions: what the symbols of code sections name.

use super::elf::{Content, Elf, SymbolKind};
use crate::diag::{At, Diagnostic};
use crate::insn::SLOT;

/// A function.
#[derive(Debug, Clone)]
pub(super) struct Function {
    pub name: String,
    /// Index of its section.
    pub section: usize,
    /// First byte in the section.
    pub start: usize,
    /// One past the last.
    pub end: usize,
    /// Whether other objects could name it.
    pub global: bool,
    /// Whether only the linked object may name it.
    pub hidden: bool,
}

/// All functions, by section and start.
///
/// Old compilers write functions as untyped symbols without size; theirs is the distance to the next. Labels are untyped
/// too, and local.
pub(super) fn functions(elf: &Elf) -> Result<Vec<Function>, Diagnostic> {
    let mut functions: Vec<Function> = Vec::new();
    for (section, symbols) in elf.symbols_in(|s| s.content == Content::Code) {
        let home = &elf.sections[section];
        let len = elf.data(home).len();
        let symbols: Vec<_> = symbols
            .into_iter()
            .filter(|s| s.kind == SymbolKind::Func || s.kind == SymbolKind::NoType && !s.local)
            .collect();
        for (i, symbol) in symbols.iter().enumerate() {
            // Two names for one place: the first is kept.
            if i > 0 && symbols[i - 1].value == symbol.value {
                continue;
            }
            let next = symbols[i..].iter().map(|s| s.value).find(|&v| v != symbol.value).unwrap_or(len as u64);
            let end = match symbol.size {
                0 => next,
                size => symbol.value.saturating_add(size),
            };
            let name = elf.name(symbol).into_owned();
            let damaged = |reason: &str, limit: String| {
                let at = At::Bytes { of: home.name.clone(), offset: symbol.value };
                Err(Diagnostic::new("object-function", format!("function {name} {reason}"))
                    .at(at)
                    .limit(limit, format!("bytes {} to {end}", symbol.value)))
            };
            if end > len as u64 || symbol.value >= end {
                return damaged("is empty or ends after its section", format!("{len} bytes of section"));
            }
            if end > next {
                return damaged("overlaps the next", format!("the next begins at byte {next}"));
            }
            let (start, end) = (symbol.value as usize, end as usize);
            if !start.is_multiple_of(SLOT) || !end.is_multiple_of(SLOT) {
                return damaged("is not made of whole instructions", "multiples of 8 bytes".to_owned());
            }
            functions.push(Function { name, section, start, end, global: !symbol.local, hidden: symbol.hidden });
        }
    }
    Ok(functions)
}
