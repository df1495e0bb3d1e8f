//! Maps of a `.maps` section: variables whose type says what they are, as `bpf_helpers.h`'s macros write it.
//!
//! A number is a pointer to an array of so many elements (`__uint`), a type is a pointer to it (`__type`), inner maps
//! and programs are an array of pointers (`__array`).

use std::collections::BTreeMap;

use super::elf::{Elf, Symbol};
use super::maps::{ObjectMap, refuse_map_of_maps};
use crate::btf::{Btf, Kind, TypeId, VarLinkage};
use crate::diag::{At, Diagnostic};
use crate::program::{MapSpec, MapType};

/// All maps of the `.maps` section, by place.
pub(super) fn maps(elf: &Elf, btf: Option<&Btf>) -> Result<Vec<ObjectMap>, Diagnostic> {
    let mut maps = Vec::new();
    for (section, symbols) in elf.symbols_in(|s| s.name == ".maps") {
        let Some((btf, vars)) = btf.and_then(|btf| Some((btf, btf.data_section(".maps")?))) else {
            return Err(Diagnostic::new(
                "object-map",
                "the object defines maps in .maps and has no BTF to describe them",
            )
            .at(At::Named(".maps".to_owned()))
            .help("compile with -g"));
        };
        let symbols: BTreeMap<String, &Symbol> =
            symbols.into_iter().rev().map(|s| (elf.name(s).into_owned(), s)).collect();
        for var in vars {
            let name = btf.type_name(var.var).into_owned();
            // A definition that nothing places cannot be named by an instruction either.
            let Some(symbol) = symbols.get(&name) else { continue };
            let mut map = ObjectMap {
                spec: MapSpec { name, ..MapSpec::default() },
                key: None,
                value: None,
                section,
                offset: Some(symbol.value),
                refused: None,
            };
            map.refused = describe(btf, var.var, &mut map).err().or_else(|| refuse_map_of_maps(&map.spec));
            maps.push(map);
        }
    }
    maps.sort_by_key(|m| m.offset);
    Ok(maps)
}

/// Most fields of a definition: there are ten, and each is said once.
const FIELDS_MAX: usize = 16;

/// Fills in what the variable's type says. What is wrong with it is told only to a program that uses the map.
fn describe(btf: &Btf, var: TypeId, map: &mut ObjectMap) -> Result<(), Diagnostic> {
    let name = map.spec.name.clone();
    let bad = |code, reason: String| Diagnostic::new(code, reason).at(At::Named(name.clone()));
    let Kind::Var { linkage, ty } = btf.get(var).kind else {
        return Err(bad("object-map", format!("BTF has no variable for map {name}")));
    };
    if linkage == VarLinkage::Extern {
        return Err(bad("object-extern", format!("map {name} is defined in another object")));
    }
    let Some(members) = btf.members(ty) else {
        return Err(bad("object-map", format!("the type of map {name} is no structure")));
    };
    if members.len() > FIELDS_MAX {
        let d = bad("object-map", format!("the definition of map {name} has too many fields"));
        return Err(d.limit(format!("{FIELDS_MAX} fields"), format!("{} fields", members.len())));
    }
    for member in members {
        let field = btf.name(member.name);
        let number = || {
            let no_number = || bad("object-map", format!("{field} of map {name} is no number"));
            number(btf, member.ty).ok_or_else(no_number)
        };
        match &*field {
            "type" => map.spec.ty = MapType(number()?),
            "max_entries" => map.spec.max_entries = number()?,
            "map_flags" => map.spec.flags = number()?,
            "key_size" => size(&mut map.spec.key_size, number()?, &name, "key")?,
            "value_size" => size(&mut map.spec.value_size, number()?, &name, "value")?,
            "key" | "value" => {
                let Some((ty, bytes)) = pointee(btf, member.ty).and_then(|ty| Some((ty, btf.size_of(ty)?))) else {
                    return Err(bad("object-map", format!("{field} of map {name} has no size")));
                };
                if field == "key" {
                    map.key = Some(ty);
                    size(&mut map.spec.key_size, bytes, &name, "key")?;
                } else {
                    map.value = Some(ty);
                    size(&mut map.spec.value_size, bytes, &name, "value")?;
                }
            }
            // Where a map is kept, and on which memory node, is not for a program to see.
            "pinning" | "numa_node" => {
                number()?;
            }
            "map_extra" => {
                if number()? != 0 {
                    return Err(bad("object-map-extra", format!("map {name} has map_extra, which is not supported")));
                }
            }
            "values" => {
                let what = if matches!(map.spec.ty.0, 12 | 13) { "inner maps" } else { "initial values" };
                let reason = format!("map {name} is declared with {what}, which is not supported");
                return Err(Diagnostic::new("object-map-values", reason)
                    .at(At::Named(name.clone()))
                    .help("fill the map from the scenario instead"));
            }
            other => return Err(bad("object-map", format!("map {name} has a field {other} that is not known"))),
        }
    }
    if map.spec.ty.0 == 0 {
        return Err(bad("object-map", format!("map {name} has no type")));
    }
    Ok(())
}

/// Sets a size that may be said twice, but not differently.
fn size(known: &mut u32, said: u32, map: &str, what: &str) -> Result<(), Diagnostic> {
    if *known != 0 && *known != said {
        let reason = format!("map {map} gives two sizes of its {what}");
        return Err(Diagnostic::new("object-map", reason)
            .at(At::Named(map.to_owned()))
            .limit(format!("{known} bytes"), format!("{said} bytes")));
    }
    *known = said;
    Ok(())
}

fn pointee(btf: &Btf, id: TypeId) -> Option<TypeId> {
    match btf.get(btf.resolve(id)?).kind {
        Kind::Ptr(to) => Some(to),
        _ => None,
    }
}

/// `__uint(name, number)`: pointer to an array of `number` elements.
fn number(btf: &Btf, id: TypeId) -> Option<u32> {
    match btf.get(btf.resolve(pointee(btf, id)?)?).kind {
        Kind::Array { len, .. } => Some(len),
        _ => None,
    }
}
