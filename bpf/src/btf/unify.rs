//! Types that are the same, once.

use std::collections::BTreeMap;

use super::{Btf, Kind, Member, Type, TypeId};

/// Most rounds of telling types apart: one more than references lead on before they differ.
const ROUNDS: usize = 64;

impl Btf {
    /// The same types with each once: several units of one program describe what they share again and again. Two types
    /// are the same if nothing that can be reached from them differs, in names or in shape.
    ///
    /// Numbers change, their order does not. Types whose difference lies more than 64 references away are left as they
    /// are, all of them.
    pub fn unified(&self) -> Btf {
        let Some(class) = classes(&self.types) else { return self.clone() };
        // The first of each class stays, and gets the next number.
        let mut first: BTreeMap<u32, u32> = BTreeMap::new();
        let mut number = Vec::with_capacity(class.len());
        let mut types: Vec<Type> = Vec::new();
        for (ty, class) in self.types.iter().zip(&class) {
            let next = types.len() as u32;
            let kept = *first.entry(*class).or_insert(next);
            if kept == next {
                types.push(ty.clone());
            }
            number.push(kept);
        }
        for ty in &mut types {
            map(&mut ty.kind, |id| TypeId(number.get(id.0 as usize).copied().unwrap_or(0)));
        }
        Btf { types, strings: self.strings.clone() }
    }
}

/// The class of each type; types of one class are the same. `None` if that takes too many rounds.
fn classes(types: &[Type]) -> Option<Vec<u32>> {
    // Whatever is not a reference tells types apart at once. Names are compared by place: the same text has one.
    let mut known: BTreeMap<String, u32> = BTreeMap::new();
    let mut class: Vec<u32> = Vec::with_capacity(types.len());
    for ty in types {
        let mut bare = ty.clone();
        map(&mut bare.kind, |_| TypeId::VOID);
        let next = known.len() as u32;
        class.push(*known.entry(format!("{bare:?}")).or_insert(next));
    }
    let mut count = known.len();
    drop(known);
    for _ in 0..ROUNDS {
        let mut known: BTreeMap<(u32, Vec<u32>), u32> = BTreeMap::new();
        let mut next: Vec<u32> = Vec::with_capacity(types.len());
        for (ty, own) in types.iter().zip(&class) {
            let mut to = Vec::new();
            map(&mut ty.kind.clone(), |id| {
                to.push(class.get(id.0 as usize).copied().unwrap_or(0));
                id
            });
            let fresh = known.len() as u32;
            next.push(*known.entry((*own, to)).or_insert(fresh));
        }
        class = next;
        if known.len() == count {
            return Some(class);
        }
        count = known.len();
    }
    None
}

/// Gives every reference of a type to another type a new number.
fn map(kind: &mut Kind, mut to: impl FnMut(TypeId) -> TypeId) {
    let mut change = |id: &mut TypeId| *id = to(*id);
    match kind {
        Kind::Void | Kind::Int { .. } | Kind::Enum { .. } | Kind::Fwd { .. } | Kind::Float { .. } => {}
        Kind::Ptr(t)
        | Kind::Typedef(t)
        | Kind::Volatile(t)
        | Kind::Const(t)
        | Kind::Restrict(t)
        | Kind::TypeTag(t)
        | Kind::Func { proto: t, .. }
        | Kind::Var { ty: t, .. }
        | Kind::DeclTag { ty: t, .. } => change(t),
        Kind::Array { element, index, .. } => {
            change(element);
            change(index);
        }
        Kind::Struct { members, .. } | Kind::Union { members, .. } => {
            members.iter_mut().for_each(|Member { ty, .. }| change(ty));
        }
        Kind::FuncProto { result, params } => {
            change(result);
            params.iter_mut().for_each(|p| change(&mut p.ty));
        }
        Kind::DataSec { vars, .. } => vars.iter_mut().for_each(|v| change(&mut v.var)),
    }
}
