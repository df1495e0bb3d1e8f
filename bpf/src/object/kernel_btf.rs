//! An object's BTF as libbpf hands it to the kernel: sections of variables laid out, nothing from outside left in it,
//! in the byte order of a little-endian machine.

use std::collections::BTreeMap;

use super::elf::{Elf, Home, Symbol, SymbolKind};
use super::externs::{Externs, KCONFIG};
use crate::btf::{Btf, FuncLinkage, Kind, TypeId, VarLinkage, check};
use crate::diag::{At, Diagnostic};
use crate::program::Endian;

/// Section of variables and functions of the kernel's.
const KSYMS: &str = ".ksyms";
/// `BTF_KIND_INT`, `BTF_KIND_VAR`: kinds of the two types that libbpf adds for `.ksyms`.
const INT: u32 = 1 << 24;
const VAR: u32 = 14 << 24;
/// Linkage of what is visible, of functions and of variables.
const GLOBAL: u32 = 1;
const STATIC: u32 = 0;
/// Bytes of a header.
const HEADER: usize = 24;

/// The types that libbpf adds when an object names anything of the kernel's, and the strings they bear.
const DUMMY: &str = "int\0dummy_ksym\0";

/// Checks an object's types as Linux does when libbpf has prepared them.
///
/// # Errors
/// `btf-refused`, with the kernel's reason.
pub(super) fn check(bytes: &[u8], btf: &Btf) -> Result<(), Diagnostic> {
    check::check(bytes).map_err(|why| {
        let name = btf.type_name(TypeId(why.id));
        let at = match why.id {
            0 => ".BTF".to_owned(),
            id => format!("type {id} {name}").trim_end().to_owned(),
        };
        Diagnostic::new("btf-refused", format!("Linux refuses the object's types: {why} ({})", why.errno))
            .at(At::Named(at))
            .help("compile the object again, or remove its types with llvm-objcopy -R .BTF -R .BTF.ext")
    })
}

/// The bytes for `BPF_BTF_LOAD`. `btf` was read from `bytes`.
pub(super) fn bytes(elf: &Elf, section: &[u8], btf: &Btf, externs: &Externs) -> Vec<u8> {
    let header = |at: usize| section.get(at..at + 4).and_then(|b| b.first_chunk()).map_or(0, |b| elf.word(*b));
    let body = header(4) as usize;
    // The sections lie in the file: the types were read from there.
    let part = |at: usize| {
        let start = body.saturating_add(header(at) as usize);
        section.get(start..start.saturating_add(header(at + 4) as usize)).unwrap_or_default()
    };
    let (words, rest) = part(8).as_chunks::<4>();
    let usual = body == HEADER && header(8) == 0 && header(16) == header(12);
    if !usual || !rest.is_empty() || section.len() != HEADER + part(8).len() + part(16).len() {
        // Not as compilers write it: the kernel says what it thinks of that.
        return in_native_order(section, elf.byte_order);
    }
    let mut prepared = Prepared {
        words: words.iter().map(|w| elf.word(*w)).collect(),
        strings: part(16).to_vec(),
        count: btf.types().len() as u32,
        dummy: None,
    };
    prepared.lay_out(elf, btf, externs);
    let types = prepared.words.into_iter().flat_map(u32::to_le_bytes).collect::<Vec<u8>>();
    let flags = u32::from(section.get(3).copied().unwrap_or(0)) << 24;
    let lengths = [types.len() as u32, prepared.strings.len() as u32];
    let first = 0xeb9f | 1 << 16 | flags;
    let header = [first, HEADER as u32, 0, lengths[0], lengths[0], lengths[1]];
    let mut out: Vec<u8> = header.into_iter().flat_map(u32::to_le_bytes).collect();
    out.extend(types);
    out.extend(prepared.strings);
    out
}

/// Turns the words of the header and of the types round where they are big-endian.
fn in_native_order(section: &[u8], order: Endian) -> Vec<u8> {
    let mut bytes = section.to_vec();
    if order == Endian::Big {
        let word = |bytes: &[u8], at: usize| bytes.get(at..at + 4).and_then(|b| b.first_chunk().copied());
        let number = |at: usize| word(section, at).map_or(0, u32::from_be_bytes) as usize;
        let start = number(4).saturating_add(number(8));
        let types = start..start.saturating_add(number(12)).min(bytes.len());
        let header = (4..HEADER.min(bytes.len())).step_by(4);
        for at in header.chain(types.step_by(4)) {
            if let Some(word) = bytes.get_mut(at..at + 4) {
                word.reverse();
            }
        }
        if let Some(magic) = bytes.get_mut(..2) {
            magic.reverse();
        }
    }
    bytes
}

struct Prepared {
    words: Vec<u32>,
    strings: Vec<u8>,
    /// Types, `void` included.
    count: u32,
    dummy: Option<Dummy>,
}

/// What stands for functions and variables of the kernel's, by number; and the variable's name, which parameters of the
/// kernel's functions get where they have none.
#[derive(Clone, Copy)]
struct Dummy {
    int: u32,
    variable: u32,
    name: u32,
}

impl Prepared {
    fn lay_out(&mut self, elf: &Elf, btf: &Btf, externs: &Externs) {
        let symbols: BTreeMap<String, &Symbol> = elf
            .symbols
            .iter()
            .filter(|s| s.kind == SymbolKind::Object && !s.local && matches!(s.home, Home::Section(_)))
            .map(|s| (elf.name(s).into_owned(), s))
            .collect();
        let places = self.places();
        for ((_, ty), &at) in btf.iter().skip(1).zip(&places) {
            match &ty.kind {
                // One that no section places is refused where it is used, by name.
                Kind::Func { linkage: FuncLinkage::Extern, proto } => {
                    self.words[at + 1] = self.words[at + 1] & !0xffff | GLOBAL;
                    let proto_at = places.get((proto.0 as usize).wrapping_sub(1));
                    let Some((&proto_at, Kind::FuncProto { params, .. })) = proto_at.zip(Some(&btf.get(*proto).kind))
                    else {
                        continue;
                    };
                    for (i, param) in params.iter().enumerate() {
                        if param.ty != TypeId::VOID && self.words[proto_at + 3 + 2 * i] == 0 {
                            self.words[proto_at + 3 + 2 * i] = self.dummy().name;
                        }
                    }
                }
                Kind::DataSec { vars, .. } => {
                    let name = btf.name(ty.name);
                    let linked = self.words[at + 2] != 0;
                    match &*name {
                        KCONFIG => {
                            let mut end = 0;
                            for (i, var) in vars.iter().enumerate() {
                                let Some((offset, size)) = externs.extent(&btf.type_name(var.var)) else { continue };
                                self.words[at + 4 + 3 * i] = offset;
                                end = end.max(offset.saturating_add(size));
                            }
                            self.words[at + 2] = end;
                        }
                        KSYMS => {
                            for (i, var) in vars.iter().enumerate() {
                                if matches!(btf.get(var.var).kind, Kind::Func { .. }) {
                                    self.words[at + 3 + 3 * i] = self.dummy().variable;
                                } else if let Some(&place) = places.get((var.var.0 as usize).wrapping_sub(1)) {
                                    self.words[place + 2] = self.dummy().int;
                                }
                                self.words[at + 4 + 3 * i] = 4 * i as u32;
                                self.words[at + 5 + 3 * i] = 4;
                            }
                            self.words[at + 2] = 4 * vars.len() as u32;
                        }
                        _ if linked => {}
                        _ => {
                            let size = elf.section(&name).map_or(0, |s| s.size);
                            self.words[at + 2] = u32::try_from(size).unwrap_or(u32::MAX);
                            for (i, var) in vars.iter().enumerate() {
                                let symbol = symbols.get(&*btf.type_name(var.var));
                                if let (Kind::Var { linkage: VarLinkage::Global, .. }, Some(symbol)) =
                                    (&btf.get(var.var).kind, symbol)
                                {
                                    self.words[at + 4 + 3 * i] = symbol.value as u32;
                                    if let Some(&place) = places.get((var.var.0 as usize).wrapping_sub(1)) {
                                        self.words[place + 3] = if symbol.hidden { STATIC } else { GLOBAL };
                                    }
                                }
                            }
                        }
                    }
                    let variables = &mut self.words[at + 3..at + 3 + 3 * vars.len()];
                    let mut sorted = variables.as_chunks::<3>().0.to_vec();
                    sorted.sort_by_key(|[_, offset, _]| *offset);
                    variables.copy_from_slice(sorted.as_flattened());
                }
                _ => {}
            }
        }
        for ((_, ty), &at) in btf.iter().skip(1).zip(&places) {
            if matches!(ty.kind, Kind::Var { linkage: VarLinkage::Extern, .. }) {
                self.words[at + 3] = GLOBAL;
            }
        }
    }

    /// The first word of each type but `void`.
    fn places(&self) -> Vec<usize> {
        let (mut places, mut at) = (Vec::new(), 0);
        while let Some(info) = self.words.get(at + 1) {
            places.push(at);
            let count = (info & 0xffff) as usize;
            at += 3 + match info >> 24 & 31 {
                1 | 14 | 17 => 1,
                3 => 3,
                4 | 5 | 15 | 19 => 3 * count,
                6 | 13 => 2 * count,
                _ => 0,
            };
        }
        places
    }

    /// The integer and the variable of its type that libbpf adds, once.
    fn dummy(&mut self) -> Dummy {
        if let Some(dummy) = self.dummy {
            return dummy;
        }
        let name = self.strings.len() as u32;
        self.strings.extend(DUMMY.bytes());
        let dummy = Dummy { int: self.count, variable: self.count + 1, name: name + 4 };
        self.words.extend([name, INT, 4, 1 << 24 | 32]);
        self.words.extend([dummy.name, VAR, dummy.int, GLOBAL]);
        *self.dummy.insert(dummy)
    }
}
