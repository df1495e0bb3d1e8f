//! CO-RE: what a program asks about types, answered for the types of the kernel it is loaded into.
//!
//! A relocation names a type of the object's and, by a path of indices, a field in it or an enumerator. [`resolve`] looks
//! for the types of the kernel's that have the same name (what follows three underscores only tells flavours of a type
//! apart), follows the path there by the fields' names, and computes the value that belongs into the instruction.
//!
//! The rules are libbpf's (`relo_core.c`), whose answers the tests hold these against.

mod compat;
mod find;
mod spec;
mod value;

pub use spec::CoreError;

use super::{Btf, CoreKind, CoreRelocation, TypeId};
use crate::insn::Endian;
use spec::Spec;
use value::Value;

/// What an instruction is to be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The value by the object's types, which the compiler put into the instruction.
    pub before: u64,
    /// The value by the kernel's; `None` if it has none, so that the instruction must not be reached.
    pub after: Option<u64>,
    /// Whether `before` must be what stands in the instruction; numbers of types change when objects are linked, and
    /// compilers differ on bit-fields.
    pub certain: bool,
    /// Bytes of the field by the object's types and by the kernel's, where a load's or store's size follows it.
    pub sizes: Option<(u32, u32)>,
    /// Whether a load or store may take the new size: pointers and unsigned integers may, what is signed may not.
    pub resizable: bool,
}

/// Answers a relocation of `local` from the types of `target`.
///
/// # Errors
/// A relocation that is damaged, about a type without a name, or that two types of the kernel's answer differently.
pub fn resolve(local: &Btf, target: &Btf, relocation: &CoreRelocation, order: Endian) -> Result<Answer, CoreError> {
    let spec = Spec::parse(local, relocation)?;
    if relocation.kind == CoreKind::TypeIdLocal {
        let id = u64::from(relocation.ty.0);
        return Ok(Answer { before: id, after: Some(id), certain: false, sizes: None, resizable: true });
    }
    if local.type_name(relocation.ty).is_empty() {
        return Err(CoreError::Anonymous);
    }
    let mut chosen: Option<(Spec, Answer)> = None;
    for candidate in find::candidates(local, relocation.ty, target) {
        let Some(found) = find::matching(local, &spec, target, candidate)? else { continue };
        let answer = answer(local, &spec, Some((target, &found)), order)?;
        match &chosen {
            None => chosen = Some((found, answer)),
            Some((first, known)) => {
                if first.bit_offset != found.bit_offset || known.after != answer.after {
                    return Err(CoreError::Ambiguous);
                }
            }
        }
    }
    match chosen {
        Some((_, answer)) => Ok(answer),
        None => answer(local, &spec, None, order),
    }
}

fn answer(local: &Btf, spec: &Spec, found: Option<(&Btf, &Spec)>, order: Endian) -> Result<Answer, CoreError> {
    let before = value::value(spec.kind, Some((local, spec)), order)?;
    let after = value::value(spec.kind, found, order)?;
    let (certain, size_before, ty_before) = match before {
        Some(Value { certain, size, ty, .. }) => (certain, size, ty),
        None => (true, None, None),
    };
    let sizes = size_before.zip(after.and_then(|a| a.size));
    let types = ty_before.zip(after.and_then(|a| a.ty)).zip(found.map(|f| f.0));
    let resizable = match (sizes, types) {
        (Some((a, b)), Some(((from, to), target))) if a != b => compat::resizable(local, from, target, to),
        _ => true,
    };
    let (before, after) = (before.map_or(0, |b| b.number), after.map(|a| a.number));
    Ok(Answer { before, after, certain, sizes, resizable })
}

/// What is asked, in words: `offset of field task_struct.pid`.
pub fn describe(btf: &Btf, relocation: &CoreRelocation) -> String {
    let name = |id: TypeId| match btf.type_name(id) {
        name if name.is_empty() => "(anonymous)".to_owned(),
        name => name.into_owned(),
    };
    let what = match Spec::parse(btf, relocation) {
        Ok(spec) => spec.path(btf),
        Err(_) => name(btf.resolve(relocation.ty).unwrap_or(relocation.ty)),
    };
    format!("{} {what}", relocation.kind.name())
}
