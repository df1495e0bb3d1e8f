//! What whoever loads an object needs to know besides its programs: names of maps as the kernel gets them, and types
//! with places in the sections that they describe.

use std::collections::BTreeMap;

use super::elf::Elf;
use super::{Object, maps};
use crate::program::Endian;

/// Bytes of the header's fields that are read.
const HEADER: usize = 24;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;

impl Object {
    /// The name that libbpf gives to a map: of global data the object's name and the section's.
    pub fn map_name(&self, index: usize) -> String {
        match self.maps.get(index) {
            Some(map) if map.is_global_data() && !self.name.is_empty() => {
                maps::data_map_name(&self.name, &map.spec.name)
            }
            Some(map) => map.spec.name.clone(),
            None => String::new(),
        }
    }

    /// Whether a map is defined in a `maps` section, by a structure, as iproute2's are.
    pub fn is_legacy_map(&self, index: usize) -> bool {
        let map = self.maps.get(index).filter(|map| !map.is_global_data());
        map.is_some_and(|map| self.elf.sections[map.section].name != ".maps")
    }

    /// The object's types as libbpf hands them to the kernel: sections of variables with their size, variables with their
    /// places, in order. `None` if there are no types, or they are damaged.
    pub fn linked_btf(&self) -> Option<Vec<u8>> {
        let section = self.elf.section(".BTF")?;
        let mut bytes = self.elf.data(section).to_vec();
        place_variables(&self.elf, &mut bytes)?;
        Some(bytes)
    }
}

/// Words of a type behind its first three, for a kind and its number of members.
fn words_of(kind: u32, vlen: usize) -> Option<usize> {
    Some(match kind {
        1 | KIND_VAR | 17 => 1,
        3 => 3,
        4 | 5 | 19 | KIND_DATASEC => 3 * vlen,
        6 | 13 => 2 * vlen,
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}

fn place_variables(elf: &Elf, bytes: &mut [u8]) -> Option<()> {
    let order = elf.byte_order;
    let word = |bytes: &[u8], at: usize| -> Option<u32> {
        let at = bytes.get(at..at.checked_add(4)?)?;
        Some(order.word([at[0], at[1], at[2], at[3]]))
    };
    let header: Vec<usize> = (4..HEADER).step_by(4).map_while(|at| word(bytes, at)).map(|w| w as usize).collect();
    let [len, types, types_len, strings, strings_len] = header[..] else { return None };
    let text = bytes.get(len.checked_add(strings)?..)?.get(..strings_len)?.to_vec();
    let name = |off: u32| -> Option<String> {
        let rest = text.get(off as usize..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&rest[..end]).into_owned())
    };
    let (mut at, end) = (len.checked_add(types)?, len.checked_add(types)?.checked_add(types_len)?);
    // Names of variables by their type's number, and where sections of them are.
    let (mut variables, mut sections, mut number) = (BTreeMap::new(), Vec::new(), 1u32);
    while at < end {
        let (info, vlen) = (word(bytes, at + 4)?, word(bytes, at + 4)? as usize & 0xffff);
        let kind = info >> 24 & 0x1f;
        match kind {
            KIND_VAR => drop(variables.insert(number, name(word(bytes, at)?)?)),
            KIND_DATASEC => sections.push((at, vlen)),
            _ => {}
        }
        at += 4 * (3 + words_of(kind, vlen)?);
        number += 1;
    }
    for (at, vlen) in sections {
        let title = name(word(bytes, at)?)?;
        let Some(home) = elf.sections.iter().position(|section| section.name == title) else { continue };
        let size = u32::try_from(elf.sections[home].size).ok()?;
        put(order, bytes, at + 8, size)?;
        let places: BTreeMap<String, u64> = elf
            .symbols_in(|section| section.name == title)
            .into_values()
            .flatten()
            .map(|symbol| (elf.name(symbol).into_owned(), symbol.value))
            .collect();
        let mut entries = Vec::new();
        for entry in (0..vlen).map(|i| at + 12 + 12 * i) {
            let [ty, off, size] = [word(bytes, entry)?, word(bytes, entry + 4)?, word(bytes, entry + 8)?];
            let place = variables.get(&ty).and_then(|name| places.get(name));
            entries.push([place.map_or(off, |place| *place as u32), ty, size]);
        }
        entries.sort();
        for (entry, [off, ty, size]) in (0..).map(|i| at + 12 + 12 * i).zip(entries) {
            put(order, bytes, entry, ty)?;
            put(order, bytes, entry + 4, off)?;
            put(order, bytes, entry + 8, size)?;
        }
    }
    Some(())
}

fn put(order: Endian, bytes: &mut [u8], at: usize, word: u32) -> Option<()> {
    bytes.get_mut(at..at.checked_add(4)?)?.copy_from_slice(&order.bytes(word));
    Some(())
}
