//! What `.BTF.ext` says of each code section, by place.

use std::collections::BTreeMap;
use std::ops::Range;

use super::elf::{Content, Elf};
use super::functions::Function;
use crate::btf::{Btf, CoreRelocation, Ext, ExtSection, FuncInfo, LineInfo, TypeId};
use crate::dwarf::{DwarfError, Lines, Sections};

/// What is known of the code in sections of one name, each list by offset.
#[derive(Debug, Clone, Default)]
pub(super) struct CodeInfo {
    functions: BTreeMap<u32, TypeId>,
    lines: Vec<LineInfo>,
    relocations: Vec<CoreRelocation>,
    /// What libbpf hands on: the first sections of that name, as they are.
    pub function_records: Option<ExtSection<FuncInfo>>,
    pub line_records: Option<ExtSection<LineInfo>>,
}

impl CodeInfo {
    /// The type of the function that begins at a byte.
    pub fn function(&self, start: usize) -> Option<TypeId> {
        self.functions.get(&u32::try_from(start).ok()?).copied()
    }

    /// Lines of the bytes in a range.
    pub fn lines(&self, range: &Range<usize>) -> &[LineInfo] {
        within(&self.lines, range, |l| l.offset)
    }

    /// Whether there are lines at all.
    pub fn has_lines(&self) -> bool {
        !self.lines.is_empty()
    }

    /// CO-RE relocations of the bytes in a range.
    pub fn relocations(&self, range: &Range<usize>) -> &[CoreRelocation] {
        within(&self.relocations, range, |r| r.offset)
    }
}

fn within<'a, T>(sorted: &'a [T], range: &Range<usize>, offset: impl Fn(&T) -> u32) -> &'a [T] {
    let first = sorted.partition_point(|r| (offset(r) as usize) < range.start);
    let last = sorted.partition_point(|r| (offset(r) as usize) < range.end);
    sorted.get(first..last).unwrap_or_default()
}

/// By the name of a code section.
pub(super) fn by_section(elf: &Elf, btf: &Btf, ext: &Ext) -> BTreeMap<String, CodeInfo> {
    let code = elf.sections.iter().filter(|s| s.content == Content::Code);
    let mut all: BTreeMap<String, CodeInfo> = code.map(|s| (s.name.clone(), CodeInfo::default())).collect();
    for section in &ext.functions {
        if let Some(info) = all.get_mut(&*btf.string(section.name).unwrap_or_default()) {
            info.functions.extend(section.records.iter().map(|f| (f.offset, f.ty)));
            info.function_records.get_or_insert_with(|| section.clone());
        }
    }
    for section in &ext.lines {
        if let Some(info) = all.get_mut(&*btf.string(section.name).unwrap_or_default()) {
            info.lines.extend(&section.records);
            info.line_records.get_or_insert_with(|| section.clone());
        }
    }
    for section in &ext.relocations {
        if let Some(info) = all.get_mut(&*btf.string(section.name).unwrap_or_default()) {
            info.relocations.extend(&section.records);
        }
    }
    for info in all.values_mut() {
        info.lines.sort_by_key(|l| l.offset);
        info.relocations.sort_by_key(|r| r.offset);
    }
    all
}

/// Lines out of DWARF, where a section of code with functions has none in `.BTF.ext`. Nobody depends on them: what is
/// damaged is left out.
pub(super) fn dwarf_lines(elf: &Elf, functions: &[Function], info: &BTreeMap<String, CodeInfo>) -> Lines {
    let has_lines = |f: &Function| info.get(&elf.sections[f.section].name).is_some_and(CodeInfo::has_lines);
    if functions.iter().all(has_lines) {
        return Lines::default();
    }
    sections(elf).map_or_else(|_| Lines::default(), |sections| Lines::read(&sections).0)
}

/// The debug sections, relocated.
pub(super) fn sections(elf: &Elf) -> Result<Sections<'_>, DwarfError> {
    let debug = elf.sections.iter().filter(|s| s.content == Content::Other && s.name.starts_with(".debug_"));
    Sections::new(elf.byte_order, debug.map(|s| (s.name.clone(), elf.relocated(s))))
}
