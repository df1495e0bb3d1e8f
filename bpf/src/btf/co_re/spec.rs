//! The path of an access: from a type, by members and elements, to a field.

use std::fmt;

use crate::btf::{Btf, CoreKind, CoreRelocation, Kind, TypeId};

/// Most steps of a path (`BPF_CORE_SPEC_MAX_LEN`).
pub(super) const STEPS: usize = 64;

/// Why a relocation has no answer at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoreError {
    /// The relocation names what its type does not have.
    Malformed,
    /// It is about a type without a name, which nothing can be looked for by.
    Anonymous,
    /// Types of one name in the kernel give different answers.
    Ambiguous,
    /// A bit-field does not fit a load of 8 bytes.
    TooWide,
    /// Types are nested more deeply than is followed.
    TooDeep,
}

impl fmt::Display for CoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CoreError::Malformed => "it names what its type does not have",
            CoreError::Anonymous => "its type has no name",
            CoreError::Ambiguous => "types of that name differ in the kernel",
            CoreError::TooWide => "the bit-field does not fit a load of 8 bytes",
            CoreError::TooDeep => "types are nested too deeply",
        })
    }
}

/// A step of a path that has a name, or counts elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// The structure, union or enumeration that is stepped into, or the element.
    pub ty: TypeId,
    /// Member, enumerator or element.
    pub index: u32,
    /// Whether it is a member or an enumerator.
    pub named: bool,
}

/// A path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spec {
    pub kind: CoreKind,
    pub root: TypeId,
    /// Steps; anonymous structures and unions on the way are left out.
    pub steps: Vec<Step>,
    /// First bit from the start of the root.
    pub bit_offset: u64,
}

impl CoreKind {
    /// About a type as a whole.
    pub(super) fn is_type(self) -> bool {
        use CoreKind::{TypeExists, TypeIdLocal, TypeIdTarget, TypeMatches, TypeSize};
        matches!(self, TypeIdLocal | TypeIdTarget | TypeExists | TypeSize | TypeMatches)
    }

    /// About an enumerator.
    pub(super) fn is_enumerator(self) -> bool {
        matches!(self, CoreKind::EnumValue | CoreKind::EnumValueExists)
    }
}

/// Bits from the start to element `index`, if that can be said.
pub(super) fn element_bits(btf: &Btf, element: TypeId, index: u32) -> Result<u64, CoreError> {
    let size = btf.size_of(element).ok_or(CoreError::Malformed)?;
    (u64::from(index) * u64::from(size)).checked_mul(8).ok_or(CoreError::Malformed)
}

/// Goes on by so many bits; nothing lies further than 4 GiB into a type.
pub(super) fn advance(offset: &mut u64, bits: u64) -> Result<(), CoreError> {
    let there = offset.checked_add(bits).filter(|bits| bits >> 35 == 0);
    *offset = there.ok_or(CoreError::Malformed)?;
    Ok(())
}

/// Whether an array has as many elements as there is room behind its structure: it has none of its own, and it is the
/// last member.
pub(super) fn is_flexible(btf: &Btf, outer: Option<&Step>, len: u32) -> bool {
    let Some(outer) = outer.filter(|o| o.named && len == 0) else { return false };
    btf.members(outer.ty).is_some_and(|m| outer.index as usize + 1 == m.len())
}

impl Spec {
    /// The path that a relocation says, in the object's own types.
    pub fn parse(btf: &Btf, relocation: &CoreRelocation) -> Result<Spec, CoreError> {
        let (kind, root) = (relocation.kind, relocation.ty);
        let text = btf.string(relocation.access).ok_or(CoreError::Malformed)?;
        let mut spec = Spec { kind, root, steps: Vec::new(), bit_offset: 0 };
        if kind.is_type() {
            return if text == "0" { Ok(spec) } else { Err(CoreError::Malformed) };
        }
        let mut indices = Vec::new();
        for part in text.split(':') {
            indices.push(part.parse::<u32>().map_err(|_| CoreError::Malformed)?);
            if indices.len() > STEPS {
                return Err(CoreError::TooDeep);
            }
        }
        let mut id = btf.resolve(root).ok_or(CoreError::TooDeep)?;
        let index = indices[0];
        if kind.is_enumerator() {
            let Kind::Enum { values, .. } = &btf.get(id).kind else { return Err(CoreError::Malformed) };
            if indices.len() > 1 || index as usize >= values.len() {
                return Err(CoreError::Malformed);
            }
            spec.steps.push(Step { ty: id, index, named: true });
            return Ok(spec);
        }
        spec.steps.push(Step { ty: id, index, named: false });
        advance(&mut spec.bit_offset, element_bits(btf, id, index)?)?;
        for &index in &indices[1..] {
            id = btf.resolve(id).ok_or(CoreError::TooDeep)?;
            match &btf.get(id).kind {
                Kind::Struct { members, .. } | Kind::Union { members, .. } => {
                    let member = members.get(index as usize).ok_or(CoreError::Malformed)?;
                    advance(&mut spec.bit_offset, u64::from(member.bit_offset))?;
                    if !btf.name(member.name).is_empty() {
                        spec.steps.push(Step { ty: id, index, named: true });
                    }
                    id = member.ty;
                }
                &Kind::Array { element, len, .. } => {
                    if !is_flexible(btf, spec.steps.last(), len) && index >= len {
                        return Err(CoreError::Malformed);
                    }
                    id = btf.resolve(element).ok_or(CoreError::TooDeep)?;
                    spec.steps.push(Step { ty: id, index, named: false });
                    advance(&mut spec.bit_offset, element_bits(btf, id, index)?)?;
                }
                _ => return Err(CoreError::Malformed),
            }
        }
        Ok(spec)
    }

    /// The path with names, such as `iphdr.saddr`.
    pub fn path(&self, btf: &Btf) -> String {
        let mut path = btf.type_name(self.root).into_owned();
        for (i, step) in self.steps.iter().enumerate() {
            let name = match &btf.get(step.ty).kind {
                Kind::Enum { values, .. } => values.get(step.index as usize).map(|v| btf.name(v.name)),
                _ => btf.members(step.ty).and_then(|m| m.get(step.index as usize)).map(|m| btf.name(m.name)),
            };
            match name.filter(|_| step.named) {
                Some(name) => path = format!("{path}.{name}"),
                None if i > 0 => path = format!("{path}[{}]", step.index),
                None => {}
            }
        }
        path
    }
}
