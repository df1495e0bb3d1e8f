//! The parts of an ELF file that a BPF object is made of, with every offset checked.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, SectionHeader, Sym};
use object::{Endianness, FileKind, SymbolIndex};

use crate::btf::printable;
use crate::diag::{At, Diagnostic};
use crate::program::Endian;

/// Longest name of a symbol or section, in bytes (the kernel's `KSYM_NAME_LEN` is 512, with the terminator).
const NAME_MAX: usize = 511;

/// Relocations of data (the kernel's `Documentation/bpf/llvm_reloc.rst`).
const R_BPF_64_ABS64: u32 = 2;
const R_BPF_64_ABS32: u32 = 3;
const R_BPF_64_NODYLD32: u32 = 4;

/// What a section holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Instructions.
    Code,
    /// Bytes that exist when a program runs.
    Data,
    /// Zeroes that take no room in the file.
    Zeroes,
    /// Anything else.
    Other,
}

/// A section.
#[derive(Debug, Clone)]
pub(super) struct Section {
    pub name: String,
    pub content: Content,
    /// Bytes, also of [`Content::Zeroes`].
    pub size: u64,
    /// Where they are in the file; empty for zeroes.
    range: Range<usize>,
    /// Relocations that apply to it, by offset.
    pub relocations: Vec<Relocation>,
    /// Relocations in a format that BPF does not use (`SHT_RELA`) apply to it.
    pub has_rela: bool,
}

/// A relocation without addend: that is in the instruction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Relocation {
    /// Byte in the section.
    pub offset: u64,
    /// Index of the symbol.
    pub symbol: usize,
    /// `R_BPF_*`.
    pub kind: u32,
}

/// What a symbol stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SymbolKind {
    NoType,
    Object,
    Func,
    Section,
    Other,
}

/// Where a symbol is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    Undefined,
    Section(usize),
    /// Absolute, common, or another number without section.
    Nowhere,
}

/// A symbol.
#[derive(Debug, Clone, Copy)]
pub(super) struct Symbol {
    pub kind: SymbolKind,
    pub home: Home,
    /// Byte in its section.
    pub value: u64,
    pub size: u64,
    pub local: bool,
    pub weak: bool,
    /// `STV_HIDDEN`: nothing outside the linked object may name it.
    pub hidden: bool,
    /// Where its name is in the file.
    name: usize,
}

/// A file taken apart.
#[derive(Debug, Clone)]
pub(super) struct Elf {
    bytes: Vec<u8>,
    pub byte_order: Endian,
    pub sections: Vec<Section>,
    pub symbols: Vec<Symbol>,
}

const MAKE_ONE: &str = "compile with clang -target bpf -O2 -g -c";

fn malformed(e: object::read::Error) -> Diagnostic {
    Diagnostic::new("object-malformed", format!("the ELF file is damaged: {e}")).help(MAKE_ONE)
}

impl Elf {
    pub fn parse(bytes: &[u8]) -> Result<Elf, Diagnostic> {
        let header = header(bytes)?;
        let endian = header.endian().map_err(malformed)?;
        let byte_order = if endian == Endianness::Big { Endian::Big } else { Endian::Little };
        let table = header.sections(endian, bytes).map_err(malformed)?;
        check_overlap(table.iter().map(|s| (s.file_range(endian), s.sh_type(endian))), bytes.len())?;

        let mut sections = Vec::with_capacity(table.len());
        for header in table.iter() {
            let name = table.section_name(endian, header).map_err(malformed)?;
            let flags = header.sh_flags(endian).0;
            let (kind, alloc) = (header.sh_type(endian), flags & elf::SHF_ALLOC.0 != 0);
            let content = match kind {
                elf::SHT_NOBITS if alloc => Content::Zeroes,
                elf::SHT_PROGBITS if alloc && flags & elf::SHF_EXECINSTR.0 != 0 => Content::Code,
                elf::SHT_PROGBITS if alloc => Content::Data,
                _ => Content::Other,
            };
            let range = match header.file_range(endian) {
                Some((offset, size)) => range(offset, size, bytes.len()).ok_or_else(|| {
                    let at = At::Named(shown(name).into_owned());
                    Diagnostic::new("object-truncated", "a section ends after the file").at(at).limit(
                        format!("{} bytes of file", bytes.len()),
                        format!("section at byte {offset}, {size} bytes"),
                    )
                })?,
                None => 0..0,
            };
            sections.push(Section {
                name: shown(name).into_owned(),
                content,
                size: header.sh_size(endian),
                range,
                relocations: Vec::new(),
                has_rela: false,
            });
        }

        let table_of_symbols = table.symbols(endian, bytes, elf::SHT_SYMTAB).map_err(malformed)?;
        let strings = sections.get(table_of_symbols.string_section().0).map_or(0, |s| s.range.start);
        let mut symbols = Vec::with_capacity(table_of_symbols.len());
        for (i, symbol) in table_of_symbols.symbols().iter().enumerate() {
            let home = match symbol.st_shndx(endian) {
                elf::SHN_UNDEF => Home::Undefined,
                _ => match table_of_symbols.symbol_section(endian, symbol, SymbolIndex(i)).map_err(malformed)? {
                    Some(section) if section.0 < sections.len() => Home::Section(section.0),
                    Some(section) => {
                        let reason = format!("symbol {i} is in section {}, which does not exist", section.0);
                        return Err(Diagnostic::new("object-malformed", reason).help(MAKE_ONE));
                    }
                    None => Home::Nowhere,
                },
            };
            let kind = match symbol.st_type() {
                elf::STT_NOTYPE => SymbolKind::NoType,
                elf::STT_OBJECT => SymbolKind::Object,
                elf::STT_FUNC => SymbolKind::Func,
                elf::STT_SECTION => SymbolKind::Section,
                _ => SymbolKind::Other,
            };
            symbols.push(Symbol {
                kind,
                home,
                value: symbol.st_value(endian),
                size: symbol.st_size(endian),
                local: symbol.st_bind() == elf::STB_LOCAL,
                weak: symbol.st_bind() == elf::STB_WEAK,
                hidden: symbol.st_visibility() == elf::STV_HIDDEN,
                name: strings.saturating_add(symbol.st_name(endian) as usize),
            });
        }

        for header in table.iter() {
            let target = header.sh_info(endian) as usize;
            if let (elf::SHT_RELA, Some(section)) = (header.sh_type(endian), sections.get_mut(target)) {
                section.has_rela = true;
            }
            let Some((relocations, _)) = header.rel(endian, bytes).map_err(malformed)? else { continue };
            let Some(section) = sections.get_mut(target) else {
                let reason = format!("relocations apply to section {target}, which does not exist");
                return Err(Diagnostic::new("object-malformed", reason).help(MAKE_ONE));
            };
            for relocation in relocations {
                let symbol = relocation.r_sym(endian) as usize;
                if symbol >= symbols.len() {
                    let reason = format!("a relocation names symbol {symbol}, which does not exist");
                    let at = At::Bytes { of: section.name.clone(), offset: relocation.r_offset.get(endian) };
                    return Err(Diagnostic::new("object-malformed", reason).at(at).help(MAKE_ONE));
                }
                let (offset, kind) = (relocation.r_offset.get(endian), relocation.r_type(endian).0);
                section.relocations.push(Relocation { offset, symbol, kind });
            }
            section.relocations.sort_by_key(|r| r.offset);
        }
        Ok(Elf { bytes: bytes.to_vec(), byte_order, sections, symbols })
    }

    /// The bytes of a section; none for zeroes.
    pub fn data(&self, section: &Section) -> &[u8] {
        // The range was checked when it was made.
        self.bytes.get(section.range.clone()).unwrap_or_default()
    }

    /// A section of debug information with its relocations applied. Every section of code gets a range of addresses of its
    /// own, which [`code_address`] tells.
    pub fn relocated(&self, section: &Section) -> Cow<'_, [u8]> {
        let mut bytes = Cow::Borrowed(self.data(section));
        for relocation in &section.relocations {
            let symbol = &self.symbols[relocation.symbol];
            let base = match symbol.home {
                Home::Section(home) if self.sections[home].content == Content::Code => code_address(home),
                _ => 0,
            };
            let value = base.wrapping_add(symbol.value);
            let Ok(at) = usize::try_from(relocation.offset) else { continue };
            // Compilers before LLVM 13 wrote those of instructions here too. The addend stands in the place.
            match relocation.kind {
                1 | R_BPF_64_ABS64 => self.add::<8>(&mut bytes, at, value),
                10 | R_BPF_64_ABS32 | R_BPF_64_NODYLD32 => self.add::<4>(&mut bytes, at, value),
                _ => {}
            }
        }
        bytes
    }

    /// Adds to a number of `N` bytes in the file's order.
    fn add<const N: usize>(&self, bytes: &mut Cow<'_, [u8]>, at: usize, value: u64) {
        let Some(place) = at.checked_add(N).and_then(|end| bytes.to_mut().get_mut(at..end)) else { return };
        let big = self.byte_order == Endian::Big;
        if big {
            place.reverse();
        }
        let number = place.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b)).wrapping_add(value);
        place.copy_from_slice(&number.to_le_bytes()[..N]);
        if big {
            place.reverse();
        }
    }

    /// A word of 4 bytes in the file's order.
    pub fn word(&self, bytes: [u8; 4]) -> u32 {
        match self.byte_order {
            Endian::Little => u32::from_le_bytes(bytes),
            Endian::Big => u32::from_be_bytes(bytes),
        }
    }

    /// The section of that name, the first if there are several.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|s| s.name == name)
    }

    /// A symbol's name; a section's symbol has the section's.
    pub fn name(&self, symbol: &Symbol) -> Cow<'_, str> {
        if let (SymbolKind::Section, Home::Section(section)) = (symbol.kind, symbol.home) {
            return Cow::Borrowed(&self.sections[section].name);
        }
        shown(self.bytes.get(symbol.name..).unwrap_or_default())
    }

    /// Symbols that stand for something in the sections asked for, by section and place; global ones first.
    pub fn symbols_in(&self, wanted: impl Fn(&Section) -> bool) -> BTreeMap<usize, Vec<&Symbol>> {
        let mut found: BTreeMap<usize, Vec<&Symbol>> = BTreeMap::new();
        for symbol in &self.symbols {
            let Home::Section(section) = symbol.home else { continue };
            if !matches!(symbol.kind, SymbolKind::Section | SymbolKind::Other) && wanted(&self.sections[section]) {
                found.entry(section).or_default().push(symbol);
            }
        }
        for symbols in found.values_mut() {
            symbols.sort_by_key(|s| (s.value, s.local));
        }
        found
    }
}

/// Where the code of a section lies for its debug information.
pub(super) fn code_address(section: usize) -> u64 {
    (section as u64 + 1) << 32
}

/// The text up to the first zero byte, no longer than [`NAME_MAX`], as one line.
fn shown(name: &[u8]) -> Cow<'_, str> {
    let name = &name[..name.len().min(NAME_MAX)];
    let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
    printable(String::from_utf8_lossy(&name[..end]))
}

fn range(offset: u64, size: u64, len: usize) -> Option<Range<usize>> {
    let (start, end) = (usize::try_from(offset).ok()?, usize::try_from(offset.checked_add(size)?).ok()?);
    (end <= len).then_some(start..end)
}

/// What the file must be before its tables are looked at.
fn header(bytes: &[u8]) -> Result<&FileHeader64<Endianness>, Diagnostic> {
    let refuse = |code, reason: &str, limit: &str, actual: String| {
        Err(Diagnostic::new(code, reason).limit(limit, actual).help(MAKE_ONE))
    };
    match FileKind::parse(bytes) {
        Ok(FileKind::Elf64) => {}
        Ok(FileKind::Elf32) => {
            return refuse("object-class", "the file is for a 32-bit machine", "ELF class 64", "class 32".to_owned());
        }
        _ => {
            let start = bytes.iter().take(4).map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ");
            let actual = if bytes.is_empty() { "an empty file".to_owned() } else { format!("starts with {start}") };
            return refuse("object-not-elf", "the file is not an ELF object", "starts with 7f 45 4c 46", actual);
        }
    }
    let header = FileHeader64::<Endianness>::parse(bytes).map_err(malformed)?;
    let endian = header.endian().map_err(malformed)?;
    // Compilers before LLVM 5 wrote 0 for the machine.
    let machine = header.e_machine(endian);
    if machine != elf::EM_BPF && machine != elf::EM_NONE {
        let actual = format!("machine {}", machine.0);
        return refuse("object-machine", "the file is for another machine", "machine 247 (BPF)", actual);
    }
    let kind = header.e_type(endian);
    if kind != elf::ET_REL {
        let actual = format!("type {}", kind.0);
        return refuse("object-type", "the file is not relocatable", "type 1 (relocatable object)", actual);
    }
    Ok(header)
}

/// Sections that share bytes could make a small file read as a huge one.
fn check_overlap(
    sections: impl Iterator<Item = (Option<(u64, u64)>, elf::SectionType)>,
    len: usize,
) -> Result<(), Diagnostic> {
    let mut total = 0u64;
    for (range, kind) in sections {
        if let (Some((_, size)), true) = (range, kind != elf::SHT_NULL) {
            total = total.saturating_add(size);
        }
    }
    if total > len as u64 {
        return Err(Diagnostic::new("object-truncated", "the sections hold more bytes than the file")
            .limit(format!("{len} bytes of file"), format!("{total} bytes of sections"))
            .help("the file may be cut off; copy or compile it again"));
    }
    Ok(())
}
