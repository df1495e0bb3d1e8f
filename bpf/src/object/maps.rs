//! Maps that an object defines: in a `maps` section of structures, in a `.maps` section described by BTF, and as
//! sections of global data.

use std::collections::BTreeMap;

use super::elf::{Content, Elf, Section, SymbolKind};
use crate::btf::{Btf, Kind, TypeId, VarLinkage};
use crate::diag::{At, Diagnostic};
use crate::program::{MapSpec, MapType};

/// A map of an object.
#[derive(Debug, Clone)]
pub struct ObjectMap {
    /// Its shape.
    pub spec: MapSpec,
    /// Type of a key, in the object's BTF.
    pub key: Option<TypeId>,
    /// Type of a value, in the object's BTF.
    pub value: Option<TypeId>,
    /// Index of its section.
    pub(super) section: usize,
    /// First byte in the section; `None` if the whole section is the map.
    pub(super) offset: Option<u64>,
    /// Why no program can use it.
    pub(super) refused: Option<Diagnostic>,
}

/// Most bytes of zeroes that an object may ask for, over all `.bss` sections. Kept by nobody else: the file says a
/// number, and the bytes are ours.
const ZEROES_MAX: u64 = 64 << 20;

/// Fields of a definition that stands in a `maps` section, in bytes: type, key size, value size, entries.
const LEGACY_MIN: usize = 16;

/// All maps, in the order libbpf creates them: those of `maps` and `.maps` by place, then global data by
/// section.
pub(super) fn maps(elf: &Elf, btf: Option<&Btf>) -> Result<Vec<ObjectMap>, Diagnostic> {
    let mut maps = legacy(elf)?;
    maps.extend(super::btf_maps::maps(elf, btf)?);
    maps.extend(global_data(elf, btf)?);
    Ok(maps)
}

fn is_legacy(section: &Section) -> bool {
    section.content == Content::Data && (section.name == "maps" || section.name.starts_with("maps/"))
}

/// `struct bpf_map_def` {type, key size, value size, entries, flags}, or iproute2's `struct bpf_elf_map`, which begins
/// with the same five words and goes on with {id, pinning, inner id, inner index}.
///
/// Old compilers write the symbols without a size: then a definition ends at the next, or at the section's end.
fn legacy(elf: &Elf) -> Result<Vec<ObjectMap>, Diagnostic> {
    let mut maps = Vec::new();
    for (section, symbols) in elf.symbols_in(is_legacy) {
        let home = &elf.sections[section];
        let data = elf.data(home);
        for (i, symbol) in symbols.iter().enumerate() {
            if i > 0 && symbols[i - 1].value == symbol.value {
                continue;
            }
            let name = elf.name(symbol).into_owned();
            if name.is_empty() || name.starts_with(".L") {
                continue;
            }
            let next = symbols[i..].iter().map(|s| s.value).find(|&v| v != symbol.value).unwrap_or(data.len() as u64);
            let end = if symbol.size == 0 { next } else { symbol.value.saturating_add(symbol.size) };
            let bytes = usize::try_from(symbol.value)
                .ok()
                .zip(usize::try_from(end).ok())
                .and_then(|(start, end)| data.get(start..end))
                .filter(|bytes| bytes.len() >= LEGACY_MIN && bytes.len().is_multiple_of(4));
            let Some(bytes) = bytes else {
                return Err(Diagnostic::new("object-map", format!("the definition of map {name} is damaged"))
                    .at(At::Bytes { of: home.name.clone(), offset: symbol.value })
                    .limit("at least 16 bytes, a multiple of 4, inside the section", format!("bytes to {end}"))
                    .help("define the map with struct bpf_map_def, or in a .maps section"));
            };
            let (words, _) = bytes.as_chunks::<4>();
            let word = |i: usize| words.get(i).map_or(0, |&w| u32::from_le_bytes(w));
            let spec = MapSpec {
                name,
                ty: MapType(word(0)),
                key_size: word(1),
                value_size: word(2),
                max_entries: word(3),
                flags: word(4),
                ..MapSpec::default()
            };
            let refused = refuse_map_of_maps(&spec);
            let offset = Some(symbol.value);
            maps.push(ObjectMap { spec, key: None, value: None, section, offset, refused });
        }
    }
    Ok(maps)
}

/// `BPF_MAP_TYPE_ARRAY_OF_MAPS` and `BPF_MAP_TYPE_HASH_OF_MAPS` need the shape of the inner map.
pub(super) fn refuse_map_of_maps(spec: &MapSpec) -> Option<Diagnostic> {
    matches!(spec.ty.0, 12 | 13).then(|| {
        Diagnostic::new(
            "object-map-in-map",
            format!("map {} holds maps ({}), which is not supported", spec.name, spec.ty),
        )
        .at(At::Named(spec.name.clone()))
    })
}

/// Sections of global variables; a map each, of one value.
fn global_data(elf: &Elf, btf: Option<&Btf>) -> Result<Vec<ObjectMap>, Diagnostic> {
    // The sections of variables that BTF describes, by name.
    let described: BTreeMap<String, TypeId> = btf
        .into_iter()
        .flat_map(|btf| btf.iter().map(move |(id, ty)| (btf, id, ty)))
        .filter(|(_, _, ty)| matches!(ty.kind, Kind::DataSec { .. }))
        .map(|(btf, id, _)| (btf.type_name(id).into_owned(), id))
        .collect();
    let mut maps = Vec::new();
    let mut zeroes = 0u64;
    for (section, home) in elf.sections.iter().enumerate() {
        let Some(kind) = data_kind(home) else { continue };
        if home.size == 0 {
            continue;
        }
        let initial = match home.content {
            Content::Zeroes => {
                zeroes = zeroes.saturating_add(home.size);
                if zeroes > ZEROES_MAX {
                    return Err(Diagnostic::new("object-bss", "the object's zero-initialised variables are too large")
                        .at(At::Named(home.name.clone()))
                        .limit(format!("{ZEROES_MAX} bytes"), format!("{zeroes} bytes"))
                        .help("keep large tables in maps"));
                }
                vec![0; home.size as usize]
            }
            _ => elf.data(home).to_vec(),
        };
        let Ok(value_size) = u32::try_from(initial.len()) else {
            return Err(Diagnostic::new("object-data", "a section of variables is too large for a map's value")
                .at(At::Named(home.name.clone()))
                .limit("4294967295 bytes", format!("{} bytes", initial.len())));
        };
        let ty = described.get(&home.name).copied();
        let visible = btf.zip(ty).is_some_and(|(btf, ty)| has_visible_variable(btf, ty));
        let spec = MapSpec {
            name: home.name.clone(),
            ty: MapType::ARRAY,
            key_size: 4,
            value_size,
            max_entries: 1,
            flags: if kind == DataKind::ReadOnly { RDONLY_PROG } else { 0 } | if visible { MMAPABLE } else { 0 },
            initial: Some(initial),
            ..MapSpec::default()
        };
        maps.push(ObjectMap { spec, key: None, value: ty, section, offset: None, refused: None });
    }
    Ok(maps)
}

/// `BPF_F_RDONLY_PROG`: programs only read it.
const RDONLY_PROG: u32 = 1 << 7;
/// `BPF_F_MMAPABLE`: user space may map it; libbpf sets it where a variable can be named from outside.
const MMAPABLE: u32 = 1 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DataKind {
    ReadOnly,
    Writable,
}

fn data_kind(section: &Section) -> Option<DataKind> {
    let named =
        |name: &str| section.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    match section.content {
        Content::Data if named(".rodata") => Some(DataKind::ReadOnly),
        Content::Data if named(".data") => Some(DataKind::Writable),
        Content::Zeroes if named(".bss") => Some(DataKind::Writable),
        _ => None,
    }
}

fn has_visible_variable(btf: &Btf, section: TypeId) -> bool {
    match &btf.get(section).kind {
        Kind::DataSec { vars, .. } => vars
            .iter()
            .any(|v| matches!(btf.get(v.var).kind, Kind::Var { linkage: VarLinkage::Global | VarLinkage::Extern, .. })),
        _ => false,
    }
}

/// The name that libbpf gives to a map of global data: the object's name before the section's, as much of both as fits in
/// 15 bytes with at least 7 of the section's; sections with a second dot stand for themselves.
pub(super) fn data_map_name(object: &str, section: &str) -> String {
    const NAME_LEN: usize = 15;
    let cut = |s: &str, len: usize| s.chars().take(len).collect::<String>();
    let name = if section.get(1..).is_some_and(|rest| rest.contains('.')) {
        cut(section, NAME_LEN)
    } else {
        let suffix = section.len().clamp(7, NAME_LEN);
        format!("{}{}", cut(object, NAME_LEN - suffix), cut(section, suffix))
    };
    // What the kernel allows in a name.
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '.' { c } else { '_' }).collect()
}

impl ObjectMap {
    /// Whether the whole section is the map: global data.
    pub fn is_global_data(&self) -> bool {
        self.offset.is_none()
    }
}

/// What a relocation against a symbol of map definitions points at must be a definition's first byte.
pub(super) fn place(symbol: SymbolKind, value: u64, addend: i32) -> u64 {
    if symbol == SymbolKind::Section { value.wrapping_add_signed(i64::from(addend)) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_global_data_are_libbpfs() {
        assert_eq!(data_map_name("firewall_tc", ".rodata"), "firewall.rodata");
        assert_eq!(data_map_name("fw", ".bss"), "fw.bss");
        assert_eq!(data_map_name("longer_than_that", ".data"), "longer_t.data");
        assert_eq!(data_map_name("fw", ".rodata.str1.1"), ".rodata.str1.1");
        assert_eq!(data_map_name("fw-2", ".bss"), "fw_2.bss");
    }
}
