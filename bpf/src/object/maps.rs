//! Maps that an object defines: in a `maps` section of structures, in a `.maps` section described by BTF, and as
//! sections of global data.

use std::collections::BTreeMap;

use super::elf::{Content, Elf, Section, SymbolKind};
use super::sections::tail_call_slot;
use crate::btf::{Btf, Kind, TypeId, VarLinkage};
use crate::diag::{At, Diagnostic};
use crate::program::{MapIndex, MapSpec, MapType, Pinning, SlotInit};

/// A map of an object.
#[derive(Debug, Clone)]
pub struct ObjectMap {
    /// Its shape. Maps in its slots are numbered as [`super::Object::maps`] orders them.
    pub spec: MapSpec,
    /// Index of its section.
    pub(super) section: usize,
    /// First byte in the section; `None` if the whole section is the map.
    pub(super) offset: Option<u64>,
    /// Byte in the section where the values begin that the definition fills slots with.
    pub(super) values: Option<u64>,
    /// Why no program can use it.
    pub(super) refused: Option<Diagnostic>,
}

/// Most bytes of zeroes that an object may ask for, over all `.bss` sections. Kept by nobody else: the file says a
/// number, and the bytes are ours.
const ZEROES_MAX: u64 = 64 << 20;

/// Fields of a definition that stands in a `maps` section, in bytes: type, key size, value size, entries.
const LEGACY_MIN: usize = 16;

/// All maps, in the order libbpf creates them: those of `maps` and `.maps` by place, then global data by
/// section. What they are filled with is said by [`super::slots`], once functions are known.
pub(super) fn maps(elf: &Elf, btf: Option<&Btf>) -> Result<Vec<ObjectMap>, Diagnostic> {
    let mut maps = legacy(elf)?;
    maps.extend(super::btf_maps::maps(elf, btf)?);
    maps.extend(global_data(elf, btf)?);
    Ok(maps)
}

fn is_legacy(section: &Section) -> bool {
    section.content == Content::Data && (section.name == "maps" || section.name.starts_with("maps/"))
}

/// What the words after the first five of a definition say, which depends on whose structure it is.
#[derive(Debug, Clone, Copy, Default)]
struct Tail {
    /// iproute2's number of the map.
    id: u32,
    /// iproute2's number of the map that is the model of the inner ones.
    inner_id: u32,
    /// Slot into which iproute2 puts this map in the map whose model it is.
    inner_slot: u32,
    /// Place among the definitions of the map that is the model of the inner ones.
    inner_place: Option<u32>,
    pinning: Pinning,
}

/// Most words of a definition that mean something.
const LEGACY_WORDS: usize = 9;

impl Tail {
    fn read(words: &[u32]) -> Tail {
        match *words {
            // The kernel's samples: place of the inner map, memory node.
            [_, _, _, _, _, inner, _] => Tail { inner_place: Some(inner), ..Tail::default() },
            // iproute2.
            [_, _, _, _, _, id, pinning, inner_id, inner_slot] => {
                let pinning = match pinning {
                    1 => Pinning::ByObject,
                    2 => Pinning::ByName,
                    _ => Pinning::None,
                };
                Tail { id, inner_id, inner_slot, inner_place: None, pinning }
            }
            _ => Tail::default(),
        }
    }
}

/// `struct bpf_map_def` {type, key size, value size, entries, flags}, that of the kernel's samples or iproute2's
/// `struct bpf_elf_map`, which begin with the same five words.
///
/// Old compilers write the symbols without a size: then a definition ends at the next, or at the section's end.
fn legacy(elf: &Elf) -> Result<Vec<ObjectMap>, Diagnostic> {
    let mut maps: Vec<ObjectMap> = Vec::new();
    let mut tails = Vec::new();
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
            let words: Vec<u32> = words.iter().take(LEGACY_WORDS + 1).map(|&w| elf.word(w)).collect();
            let word = |i: usize| words.get(i).copied().unwrap_or(0);
            let tail = Tail::read(&words);
            let spec = MapSpec {
                name,
                ty: MapType(word(0)),
                key_size: word(1),
                value_size: word(2),
                max_entries: word(3),
                flags: word(4),
                pinning: tail.pinning,
                ..MapSpec::default()
            };
            let offset = Some(symbol.value);
            maps.push(ObjectMap { spec, section, offset, values: None, refused: None });
            tails.push(tail);
        }
    }
    nest(elf, &mut maps, &tails);
    Ok(maps)
}

/// Gives legacy maps of maps their inner shapes, and iproute2's maps what goes into their slots.
fn nest(elf: &Elf, maps: &mut [ObjectMap], tails: &[Tail]) {
    let shapes: Vec<MapSpec> = maps.iter().map(|m| MapSpec { slots: Vec::new(), ..m.spec.clone() }).collect();
    let of_maps = |spec: &MapSpec| matches!(spec.ty, MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS);
    for (map, tail) in maps.iter_mut().zip(tails) {
        let by_id = |id: u32| tails.iter().position(|t| t.id == id).filter(|_| id != 0);
        if of_maps(&map.spec) {
            let inner = by_id(tail.inner_id).or(tail.inner_place.map(|p| p as usize));
            let inner = inner.and_then(|i| shapes.get(i)).filter(|inner| !of_maps(inner));
            map.spec.inner = inner.map(|inner| Box::new(inner.clone()));
            // The model of inner maps that names a slot is put there.
            let fits = |(i, t): &(usize, &Tail)| {
                by_id(tail.inner_id) == Some(*i) && t.inner_slot != u32::MAX && t.inner_slot < map.spec.max_entries
            };
            let fill = tails.iter().enumerate().filter(fits);
            map.spec.slots = fill.map(|(i, t)| (t.inner_slot, SlotInit::Map(MapIndex(i as u32)))).collect();
        }
        map.refused = super::btf_maps::refuse_shapeless(&map.spec);
        if map.spec.ty == MapType::PROG_ARRAY && tail.id != 0 {
            map.spec.slots = programs_for(elf, tail.id);
        }
    }
}

/// The programs that sections put into the slots of iproute2's map of that number.
fn programs_for(elf: &Elf, id: u32) -> Vec<(u32, SlotInit)> {
    let sections = elf.symbols_in(|s| s.content == Content::Code && tail_call_slot(&s.name).is_some_and(|t| t.0 == id));
    let mut slots = BTreeMap::new();
    for (section, symbols) in sections {
        let slot = tail_call_slot(&elf.sections[section].name);
        let first = symbols.into_iter().find(|s| !s.local && s.value == 0);
        if let (Some((_, slot)), Some(first)) = (slot, first) {
            slots.entry(slot).or_insert_with(|| SlotInit::Program(elf.name(first).into_owned()));
        }
    }
    slots.into_iter().collect()
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
            value_type: ty,
            ..MapSpec::default()
        };
        maps.push(ObjectMap { spec, section, offset: None, values: None, refused: None });
    }
    Ok(maps)
}

/// `BPF_F_RDONLY_PROG`: programs only read it.
pub(super) const RDONLY_PROG: u32 = 1 << 7;
/// `BPF_F_MMAPABLE`: user space may map it; libbpf sets it where a variable can be named from outside.
pub(super) const MMAPABLE: u32 = 1 << 10;

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
