//! Maps of a `.maps` section: variables whose type says what they are, as `bpf_helpers.h`'s macros write it.
//!
//! A number is a pointer to an array of so many elements (`__uint`), a type is a pointer to it (`__type`), inner maps
//! and programs are an array of pointers (`__array`).

use std::collections::BTreeMap;

use super::elf::{Elf, Symbol};
use super::maps::ObjectMap;
use crate::btf::{Btf, Kind, TypeId, VarLinkage};
use crate::diag::{At, Diagnostic};
use crate::program::{MapSpec, MapType, Pinning};

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
            let mut spec = MapSpec { name, ..MapSpec::default() };
            let described = variable(btf, var.var, &mut spec);
            let values = described.as_ref().ok().copied().flatten().and_then(|at| symbol.value.checked_add(at));
            let refused = described.err().or_else(|| refuse_shapeless(&spec));
            let map = ObjectMap { spec, section, offset: Some(symbol.value), values, refused };
            maps.push(map);
        }
    }
    maps.sort_by_key(|m| m.offset);
    Ok(maps)
}

/// Most fields of a definition: there are ten, and each is said once.
const FIELDS_MAX: usize = 16;

/// A map of maps needs the shape of the inner ones to be created.
pub(super) fn refuse_shapeless(spec: &MapSpec) -> Option<Diagnostic> {
    (matches!(spec.ty, MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS) && spec.inner.is_none()).then(|| {
        let reason = format!("map {} holds maps ({}) and does not say of which shape", spec.name, spec.ty);
        Diagnostic::new("object-map-in-map", reason)
            .at(At::Named(spec.name.clone()))
            .help("define it in .maps with __array(values, struct { ... })")
    })
}

/// Fills in what the type of a map's variable says. Returns the byte of the definition at which its values begin, if it
/// has any. What is wrong is told only to a program that uses the map.
fn variable(btf: &Btf, var: TypeId, spec: &mut MapSpec) -> Result<Option<u64>, Diagnostic> {
    let name = spec.name.clone();
    let bad = |code, reason: String| Diagnostic::new(code, reason).at(At::Named(name.clone()));
    let Kind::Var { linkage, ty } = btf.get(var).kind else {
        return Err(bad("object-map", format!("BTF has no variable for map {name}")));
    };
    if linkage == VarLinkage::Extern {
        return Err(bad("object-extern", format!("map {name} is defined in another object")));
    }
    describe(btf, ty, spec, Nesting::Outer)
}

/// Whether a definition may hold another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nesting {
    Outer,
    Inner,
}

/// Fills in what a structure of definitions says.
fn describe(btf: &Btf, ty: TypeId, spec: &mut MapSpec, nesting: Nesting) -> Result<Option<u64>, Diagnostic> {
    let name = spec.name.clone();
    let bad = |code, reason: String| Diagnostic::new(code, reason).at(At::Named(name.clone()));
    let Some(members) = btf.members(ty) else {
        return Err(bad("object-map", format!("the type of map {name} is no structure")));
    };
    if members.len() > FIELDS_MAX {
        let d = bad("object-map", format!("the definition of map {name} has too many fields"));
        return Err(d.limit(format!("{FIELDS_MAX} fields"), format!("{} fields", members.len())));
    }
    let mut values = None;
    for member in members {
        let field = btf.name(member.name);
        let wide = || {
            let no_number = || bad("object-map", format!("{field} of map {name} is no number"));
            number(btf, member.ty).ok_or_else(no_number)
        };
        let number = || {
            let large = || bad("object-map", format!("{field} of map {name} does not fit 32 bits"));
            u32::try_from(wide()?).map_err(|_| large())
        };
        match &*field {
            "type" => spec.ty = MapType(number()?),
            "max_entries" => spec.max_entries = number()?,
            "map_flags" => spec.flags = number()?,
            "key_size" => size(&mut spec.key_size, number()?, &name, "key")?,
            "value_size" => size(&mut spec.value_size, number()?, &name, "value")?,
            "key" | "value" => {
                let Some((ty, bytes)) = pointee(btf, member.ty).and_then(|ty| Some((ty, btf.size_of(ty)?))) else {
                    return Err(bad("object-map", format!("{field} of map {name} has no size")));
                };
                if field == "key" {
                    spec.key_type = Some(ty);
                    size(&mut spec.key_size, bytes, &name, "key")?;
                } else {
                    spec.value_type = Some(ty);
                    size(&mut spec.value_size, bytes, &name, "value")?;
                }
            }
            "pinning" => {
                spec.pinning = match number()? {
                    0 => Pinning::None,
                    1 => Pinning::ByName,
                    other => Pinning::Other(other),
                }
            }
            // On which memory node a map is kept is not for a program to see.
            "numa_node" => {
                number()?;
            }
            "map_extra" => spec.extra = wide()?,
            "values" => {
                if nesting == Nesting::Inner {
                    let reason = format!("the maps inside map {name} hold maps or programs themselves");
                    return Err(bad("object-map-in-map", reason).help("Linux nests maps once"));
                }
                values = Some(u64::from(member.bit_offset / 8));
                inner(btf, member.ty, spec)?;
            }
            other => return Err(bad("object-map", format!("map {name} has a field {other} that is not known"))),
        }
    }
    if spec.ty.0 == 0 {
        return Err(bad("object-map", format!("map {name} has no type")));
    }
    Ok(values)
}

/// `__array(values, ...)`: pointers to inner maps, or to programs. A value is then the 4 bytes of a descriptor.
fn inner(btf: &Btf, values: TypeId, spec: &mut MapSpec) -> Result<(), Diagnostic> {
    let name = spec.name.clone();
    let bad = |reason: String| Diagnostic::new("object-map-values", reason).at(At::Named(name.clone()));
    size(&mut spec.value_size, 4, &name, "value")?;
    let element = match btf.resolve(values).map(|id| &btf.get(id).kind) {
        Some(Kind::Array { element, .. }) => pointee(btf, *element).and_then(|to| btf.resolve(to)),
        _ => None,
    };
    let Some(element) = element else {
        return Err(bad(format!("values of map {name} are no pointers")));
    };
    match (&btf.get(element).kind, spec.ty) {
        (Kind::Struct { .. }, MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS) => {
            let mut shape = MapSpec { name: format!("{name}.inner"), ..MapSpec::default() };
            describe(btf, element, &mut shape, Nesting::Inner)?;
            spec.inner = Some(Box::new(shape));
            Ok(())
        }
        (Kind::FuncProto { .. }, MapType::PROG_ARRAY) => Ok(()),
        _ => Err(bad(format!("values of map {name} are not what a map of type {} holds", spec.ty))
            .help("maps of maps hold maps, program arrays programs")),
    }
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

/// `__uint(name, number)`: pointer to an array of `number` elements. `__ulong(name, number)`: an enumeration of one value.
fn number(btf: &Btf, id: TypeId) -> Option<u64> {
    let id = btf.resolve(id)?;
    if let Kind::Enum { values, .. } = &btf.get(id).kind {
        return match values[..] {
            [value] => Some(value.value),
            _ => None,
        };
    }
    match btf.get(btf.resolve(pointee(btf, id)?)?).kind {
        Kind::Array { len, .. } => Some(u64::from(len)),
        _ => None,
    }
}
