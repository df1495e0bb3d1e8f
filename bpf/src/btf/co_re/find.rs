//! Looking for an object's type, and for a path in it, among another's types.

use super::compat;
use super::spec::{CoreError, STEPS, Spec, Step, advance, element_bits, is_flexible};
use crate::btf::{Btf, CoreKind, Kind, TypeId};

/// The types of `target` that may stand for a type of `local`: of that name and kind.
pub(super) fn candidates<'a>(local: &'a Btf, ty: TypeId, target: &'a Btf) -> impl Iterator<Item = TypeId> + 'a {
    let name = local.type_name(ty);
    let fits = move |(_, other): &(TypeId, &crate::btf::Type)| {
        compat::same_kind(&local.get(ty).kind, &other.kind)
            && compat::essential(&target.name(other.name)) == compat::essential(&name)
    };
    target.iter().filter(fits).map(|(id, _)| id)
}

/// The path in a candidate; `None` if it has no such.
pub(super) fn matching(local: &Btf, spec: &Spec, target: &Btf, candidate: TypeId) -> Result<Option<Spec>, CoreError> {
    let mut found = Spec { kind: spec.kind, root: candidate, steps: Vec::new(), bit_offset: 0 };
    if spec.kind.is_type() {
        let same = match spec.kind {
            CoreKind::TypeMatches => compat::types_match(local, spec.root, target, candidate)?,
            _ => compat::types_are_compatible(local, spec.root, target, candidate)?,
        };
        return Ok(same.then_some(found));
    }
    let mut id = candidate;
    for (i, step) in spec.steps.iter().enumerate() {
        id = target.resolve(id).ok_or(CoreError::TooDeep)?;
        if spec.kind.is_enumerator() {
            return Ok(enumerator(local, step, target, id).map(|step| Spec { steps: vec![step], ..found }));
        }
        if step.named {
            let mut members = Members { local, step, target, budget: BUDGET };
            let Some((place, next)) = members.find(id, &mut found.bit_offset, STEPS)? else { return Ok(None) };
            found.steps.push(place);
            id = next;
            continue;
        }
        if i > 0 {
            let Kind::Array { element, len, .. } = target.get(id).kind else { return Ok(None) };
            if !is_flexible(target, found.steps.last(), len) && step.index >= len {
                return Ok(None);
            }
            id = target.resolve(element).ok_or(CoreError::TooDeep)?;
        }
        found.steps.push(Step { ty: id, ..*step });
        advance(&mut found.bit_offset, element_bits(target, id, step.index)?)?;
    }
    Ok(Some(found))
}

/// The enumerator of that name; what follows three underscores in it does not count either.
fn enumerator(local: &Btf, step: &Step, target: &Btf, id: TypeId) -> Option<Step> {
    let (Kind::Enum { values: ours, .. }, Kind::Enum { values: theirs, .. }) =
        (&local.get(step.ty).kind, &target.get(id).kind)
    else {
        return None;
    };
    let name = local.name(ours.get(step.index as usize)?.name);
    let index = theirs.iter().position(|v| compat::essential(&target.name(v.name)) == compat::essential(&name))?;
    Some(Step { ty: id, index: u32::try_from(index).ok()?, named: true })
}

/// Most members that are looked at for one step: anonymous structures may hold others many times over.
const BUDGET: u32 = 1 << 16;

/// Looking for a member by name.
struct Members<'a> {
    local: &'a Btf,
    step: &'a Step,
    target: &'a Btf,
    budget: u32,
}

impl Members<'_> {
    /// The member of that name, also inside anonymous structures and unions, and its type. Its place is added to the
    /// offset.
    fn find(&mut self, id: TypeId, bits: &mut u64, depth: usize) -> Result<Option<(Step, TypeId)>, CoreError> {
        let depth = depth.checked_sub(1).ok_or(CoreError::TooDeep)?;
        let id = self.target.resolve(id).ok_or(CoreError::TooDeep)?;
        let member = self.local.members(self.step.ty).and_then(|m| m.get(self.step.index as usize));
        let member = member.ok_or(CoreError::Malformed)?;
        let name = self.local.name(member.name);
        for (index, other) in self.target.members(id).unwrap_or_default().iter().enumerate() {
            self.budget = self.budget.checked_sub(1).ok_or(CoreError::TooDeep)?;
            let before = *bits;
            advance(bits, u64::from(other.bit_offset))?;
            let theirs = self.target.name(other.name);
            if theirs.is_empty() {
                if let Some(found) = self.find(other.ty, bits, depth)? {
                    return Ok(Some(found));
                }
            } else if theirs == name {
                let fits = compat::fields_are_compatible(self.local, member.ty, self.target, other.ty)?;
                let index = u32::try_from(index).map_err(|_| CoreError::Malformed)?;
                return Ok(fits.then_some((Step { ty: id, index, named: true }, other.ty)));
            }
            *bits = before;
        }
        Ok(None)
    }
}
