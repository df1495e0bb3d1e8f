//! Which types of two objects may stand for one another.

use super::spec::CoreError;
use crate::btf::{Btf, Encoding, Kind, Member, TypeId};

/// Most types that are followed into one another (`BPF_CORE_...` recursion limits of libbpf).
const DEPTH: u32 = 32;
/// Most types that are looked at for one answer.
const BUDGET: u32 = 1 << 16;

/// A name without its flavour: `task_struct___old` is `task_struct`. Exactly three underscores between other characters
/// begin a flavour; the last such do.
pub(super) fn essential(name: &str) -> &str {
    let bytes = name.as_bytes();
    let begins = |w: &[u8]| w[0] != b'_' && &w[1..4] == b"___" && w[4] != b'_';
    match bytes.windows(5).rposition(begins) {
        Some(at) => &name[..at + 1],
        None => name,
    }
}

/// Whether kinds are the same; enumerations of 32 and of 64 bits are.
pub(super) fn same_kind(a: &Kind, b: &Kind) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

fn skip(btf: &Btf, id: TypeId) -> Result<TypeId, CoreError> {
    btf.resolve(id).ok_or(CoreError::TooDeep)
}

/// Integers that are bit-fields by themselves, as BTF once had them, are not compared.
fn whole(kind: &Kind) -> bool {
    !matches!(kind, Kind::Int { bit_offset, .. } if *bit_offset != 0)
}

/// Whether a load or store of one may be made one of the other, of another size.
pub(super) fn resizable(local: &Btf, from: TypeId, target: &Btf, to: TypeId) -> bool {
    let unsigned = |k: &Kind| matches!(k, Kind::Int { encoding, .. } if *encoding != Encoding::Signed);
    match (&local.get(from).kind, &target.get(to).kind) {
        (Kind::Ptr(_), Kind::Ptr(_)) => true,
        (a, b) => unsigned(a) && unsigned(b),
    }
}

/// Whether a field of one type may be read as the other.
pub(super) fn fields_are_compatible(
    local: &Btf,
    mut ours: TypeId,
    target: &Btf,
    mut theirs: TypeId,
) -> Result<bool, CoreError> {
    let composite = |k: &Kind| matches!(k, Kind::Struct { .. } | Kind::Union { .. });
    for _ in 0..DEPTH {
        (ours, theirs) = (skip(local, ours)?, skip(target, theirs)?);
        let (a, b) = (&local.get(ours).kind, &target.get(theirs).kind);
        if composite(a) && composite(b) {
            return Ok(true);
        }
        if !same_kind(a, b) {
            return Ok(false);
        }
        match (a, b) {
            (Kind::Ptr(_) | Kind::Float { .. }, _) => return Ok(true),
            (Kind::Fwd { .. } | Kind::Enum { .. }, _) => {
                let (a, b) = (local.type_name(ours), target.type_name(theirs));
                return Ok(a.is_empty() || b.is_empty() || essential(&a) == essential(&b));
            }
            (Kind::Int { .. }, _) => return Ok(whole(a) && whole(b)),
            (Kind::Array { element: a, .. }, Kind::Array { element: b, .. }) => (ours, theirs) = (*a, *b),
            _ => return Ok(false),
        }
    }
    Err(CoreError::TooDeep)
}

/// Whether a type exists as the other: by kind, through pointers and prototypes, and not by what structures hold.
pub(super) fn types_are_compatible(local: &Btf, ours: TypeId, target: &Btf, theirs: TypeId) -> Result<bool, CoreError> {
    if !same_kind(&local.get(ours).kind, &target.get(theirs).kind) {
        return Ok(false);
    }
    Walk { local, target, budget: BUDGET }.compatible(ours, theirs, DEPTH)
}

/// Whether a type is the other: integers of one size and sign, members and enumerators that the other has.
pub(super) fn types_match(local: &Btf, ours: TypeId, target: &Btf, theirs: TypeId) -> Result<bool, CoreError> {
    Walk { local, target, budget: BUDGET }.matches(ours, theirs, false, DEPTH)
}

struct Walk<'a> {
    local: &'a Btf,
    target: &'a Btf,
    budget: u32,
}

impl Walk<'_> {
    fn deeper(&mut self, depth: u32) -> Result<u32, CoreError> {
        self.budget = self.budget.checked_sub(1).ok_or(CoreError::TooDeep)?;
        depth.checked_sub(1).ok_or(CoreError::TooDeep)
    }

    fn compatible(&mut self, ours: TypeId, theirs: TypeId, depth: u32) -> Result<bool, CoreError> {
        let depth = self.deeper(depth)?;
        let (ours, theirs) = (skip(self.local, ours)?, skip(self.target, theirs)?);
        let (a, b) = (&self.local.get(ours).kind, &self.target.get(theirs).kind);
        if !same_kind(a, b) {
            return Ok(false);
        }
        match (a, b) {
            (Kind::Void | Kind::Struct { .. } | Kind::Union { .. } | Kind::Enum { .. } | Kind::Fwd { .. }, _) => {
                Ok(true)
            }
            (Kind::Int { .. }, _) => Ok(whole(a) && whole(b)),
            (Kind::Ptr(a), Kind::Ptr(b)) => self.compatible(*a, *b, depth),
            (Kind::Array { element: a, .. }, Kind::Array { element: b, .. }) => self.compatible(*a, *b, depth),
            (Kind::FuncProto { result: a, params: pa }, Kind::FuncProto { result: b, params: pb }) => {
                if pa.len() != pb.len() {
                    return Ok(false);
                }
                for (a, b) in pa.iter().zip(pb) {
                    if !self.compatible(a.ty, b.ty, depth)? {
                        return Ok(false);
                    }
                }
                self.compatible(*a, *b, depth)
            }
            _ => Ok(false),
        }
    }

    fn matches(&mut self, ours: TypeId, theirs: TypeId, behind: bool, depth: u32) -> Result<bool, CoreError> {
        let depth = self.deeper(depth)?;
        let (ours, theirs) = (skip(self.local, ours)?, skip(self.target, theirs)?);
        if essential(&self.local.type_name(ours)) != essential(&self.target.type_name(theirs)) {
            return Ok(false);
        }
        let (a, b) = (&self.local.get(ours).kind, &self.target.get(theirs).kind);
        match (a, b) {
            (Kind::Void, Kind::Void) => Ok(true),
            (Kind::Fwd { is_union: a }, Kind::Fwd { is_union: b }) => Ok(a == b),
            // Behind a pointer a declaration stands for a definition, and the other way round.
            (Kind::Fwd { is_union }, Kind::Struct { .. }) | (Kind::Struct { .. }, Kind::Fwd { is_union }) => {
                Ok(behind && !is_union)
            }
            (Kind::Fwd { is_union }, Kind::Union { .. }) | (Kind::Union { .. }, Kind::Fwd { is_union }) => {
                Ok(behind && *is_union)
            }
            (Kind::Enum { values: a, .. }, Kind::Enum { values: b, .. }) => {
                let has = |name: &str| b.iter().any(|v| essential(&self.target.name(v.name)) == essential(name));
                Ok(a.len() <= b.len() && a.iter().all(|v| has(&self.local.name(v.name))))
            }
            (Kind::Struct { members: a, .. }, Kind::Struct { members: b, .. })
            | (Kind::Union { members: a, .. }, Kind::Union { members: b, .. }) => {
                if behind {
                    Ok(true)
                } else {
                    self.members_match(a, b, depth)
                }
            }
            (Kind::Int { size: a, encoding: ea, .. }, Kind::Int { size: b, encoding: eb, .. }) => {
                Ok(a == b && (*ea == Encoding::Signed) == (*eb == Encoding::Signed))
            }
            (Kind::Ptr(a), Kind::Ptr(b)) => self.matches(*a, *b, true, depth),
            (Kind::Array { element: a, len: la, .. }, Kind::Array { element: b, len: lb, .. }) => {
                Ok(la == lb && self.matches(*a, *b, behind, depth)?)
            }
            (Kind::FuncProto { result: a, params: pa }, Kind::FuncProto { result: b, params: pb }) => {
                if pa.len() != pb.len() {
                    return Ok(false);
                }
                for (a, b) in pa.iter().zip(pb) {
                    if !self.matches(a.ty, b.ty, behind, depth)? {
                        return Ok(false);
                    }
                }
                self.matches(*a, *b, behind, depth)
            }
            _ => Ok(false),
        }
    }

    /// Each of our members is one of theirs.
    fn members_match(&mut self, ours: &[Member], theirs: &[Member], depth: u32) -> Result<bool, CoreError> {
        if ours.len() > theirs.len() {
            return Ok(false);
        }
        'ours: for a in ours {
            for b in theirs {
                let same = essential(&self.local.name(a.name)) == essential(&self.target.name(b.name));
                if same && self.matches(a.ty, b.ty, false, depth)? {
                    continue 'ours;
                }
            }
            return Ok(false);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::essential;

    #[test]
    fn flavours_follow_three_underscores() {
        assert_eq!(essential("task_struct___old"), "task_struct");
        assert_eq!(essential("a___b___c"), "a___b");
        assert_eq!(essential("___a"), "___a");
        assert_eq!(essential("a____b"), "a____b");
        assert_eq!(essential("a___"), "a___");
        assert_eq!(essential(""), "");
    }
}
