//! What the definitions in `.maps` put into slots: relocations against the places of `values`.

use std::collections::BTreeMap;

use super::elf::{Content, Elf, Home};
use super::functions::Function;
use super::maps::{ObjectMap, place};
use crate::diag::{At, Diagnostic};
use crate::program::{MapIndex, MapType, SlotInit};

/// Bytes of a pointer in a definition.
const POINTER: u64 = 8;

/// Fills in the slots of all maps. What is wrong is told only to a program that uses the map.
pub(super) fn fill(elf: &Elf, functions: &[Function], maps: &mut [ObjectMap]) {
    let by_place: BTreeMap<(usize, u64), usize> =
        maps.iter().enumerate().filter_map(|(i, m)| Some(((m.section, m.offset?), i))).collect();
    for (section, home) in elf.sections.iter().enumerate() {
        if home.name != ".maps" {
            continue;
        }
        for relocation in &home.relocations {
            // The last definition that begins before the relocation.
            let before = by_place.range((section, 0)..=(section, relocation.offset)).next_back();
            let Some((_, &map)) = before else { continue };
            match target(elf, functions, &by_place, relocation.symbol, &maps[map], relocation.offset) {
                Ok((slot, init)) => maps[map].spec.slots.push((slot, init)),
                Err(why) => maps[map].refused = maps[map].refused.take().or(Some(why)),
            }
        }
    }
    for map in maps {
        map.spec.slots.sort_by_key(|&(slot, _)| slot);
        map.spec.slots.dedup_by_key(|&mut (slot, _)| slot);
    }
}

/// Which slot of the map a relocation fills, and with what.
fn target(
    elf: &Elf,
    functions: &[Function],
    by_place: &BTreeMap<(usize, u64), usize>,
    symbol: usize,
    map: &ObjectMap,
    offset: u64,
) -> Result<(u32, SlotInit), Diagnostic> {
    let symbol = &elf.symbols[symbol];
    let (name, spec) = (elf.name(symbol), &map.spec);
    let bad = |reason: String| Diagnostic::new("object-map-values", reason).at(At::Named(spec.name.clone()));
    let byte = map.values.and_then(|values| offset.checked_sub(values)).filter(|byte| byte.is_multiple_of(POINTER));
    let Some(slot) = byte.and_then(|byte| u32::try_from(byte / POINTER).ok()) else {
        return Err(bad(format!("the definition of map {} names {name} outside its values", spec.name)));
    };
    if slot >= spec.max_entries {
        return Err(bad(format!("map {} is given more values than it has entries", spec.name))
            .limit(format!("{} entries", spec.max_entries), format!("a value for slot {slot}")));
    }
    let home = match symbol.home {
        Home::Section(section) => section,
        _ => return Err(bad(format!("map {} is given {name}, which is not defined in the object", spec.name))),
    };
    if spec.ty == MapType::PROG_ARRAY {
        let start = usize::try_from(symbol.value).ok();
        let found = start.and_then(|s| functions.iter().find(|f| f.section == home && f.start == s));
        return match found {
            Some(f) if elf.sections[home].content == Content::Code && f.global => {
                Ok((slot, SlotInit::Program(f.name.clone())))
            }
            _ => Err(bad(format!("map {} is given {name}, which is no program", spec.name))),
        };
    }
    match by_place.get(&(home, place(symbol.kind, symbol.value, 0))) {
        Some(&inner) => Ok((slot, SlotInit::Map(MapIndex(inner as u32)))),
        None => Err(bad(format!("map {} is given {name}, which is no map", spec.name))),
    }
}
