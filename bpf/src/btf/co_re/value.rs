//! The number that a path stands for.

use super::spec::{CoreError, Spec};
use crate::btf::{Btf, CoreKind, Encoding, Kind, TypeId};
use crate::insn::Endian;

/// A number, and what goes with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value {
    pub number: u64,
    /// Whether a compiler must have come to the same number.
    pub certain: bool,
    /// Bytes of the field, for loads and stores.
    pub size: Option<u32>,
    /// Its type.
    pub ty: Option<TypeId>,
}

fn plain(number: u64) -> Value {
    Value { number, certain: true, size: None, ty: None }
}

/// The value by the types of one side; `None` where the question has no answer without the path.
pub(super) fn value(kind: CoreKind, found: Option<(&Btf, &Spec)>, order: Endian) -> Result<Option<Value>, CoreError> {
    let exists = plain(u64::from(found.is_some()));
    match kind {
        CoreKind::FieldExists | CoreKind::EnumValueExists | CoreKind::TypeExists | CoreKind::TypeMatches => {
            return Ok(Some(exists));
        }
        CoreKind::TypeIdLocal | CoreKind::TypeIdTarget | CoreKind::TypeSize if found.is_none() => {
            return Ok(Some(plain(0)));
        }
        _ => {}
    }
    let Some((btf, spec)) = found else { return Ok(None) };
    match kind {
        CoreKind::TypeIdLocal | CoreKind::TypeIdTarget => {
            Ok(Some(Value { certain: false, ..plain(u64::from(spec.root.0)) }))
        }
        CoreKind::TypeSize => Ok(Some(plain(u64::from(btf.size_of(spec.root).ok_or(CoreError::Malformed)?)))),
        CoreKind::EnumValue => {
            let step = spec.steps.first().ok_or(CoreError::Malformed)?;
            let Kind::Enum { values, .. } = &btf.get(step.ty).kind else { return Err(CoreError::Malformed) };
            values.get(step.index as usize).map(|v| Some(plain(v.value))).ok_or(CoreError::Malformed)
        }
        _ => field(kind, btf, spec, order).map(Some),
    }
}

/// About the last step of a path through fields.
fn field(kind: CoreKind, btf: &Btf, spec: &Spec, order: Endian) -> Result<Value, CoreError> {
    let step = spec.steps.last().ok_or(CoreError::Malformed)?;
    let size_of = |id: TypeId| btf.size_of(id).ok_or(CoreError::Malformed);
    if !step.named {
        let size = size_of(step.ty)?;
        return match kind {
            CoreKind::FieldOffset => Ok(Value { size: Some(size), ty: Some(step.ty), ..plain(spec.bit_offset / 8) }),
            CoreKind::FieldSize => Ok(plain(u64::from(size))),
            _ => Err(CoreError::Malformed),
        };
    }
    let member = btf.members(step.ty).and_then(|m| m.get(step.index as usize)).ok_or(CoreError::Malformed)?;
    let ty = btf.resolve(member.ty).ok_or(CoreError::TooDeep)?;
    let is_bit_field = member.bits != 0;
    let mut size = u64::from(size_of(ty)?);
    let mut byte = spec.bit_offset / 8;
    let mut bits = size * 8;
    if is_bit_field {
        bits = u64::from(member.bits);
        let aligned = |size: u64| (spec.bit_offset / 8).checked_div(size).map_or(0, |n| n * size);
        byte = aligned(size);
        // The smallest load that holds the whole field.
        while spec.bit_offset + bits - byte * 8 > size * 8 {
            if size == 0 || size >= 8 {
                return Err(CoreError::TooWide);
            }
            size *= 2;
            byte = aligned(size);
        }
    }
    // What of the loaded bytes lies before the field.
    let skipped = spec.bit_offset - byte * 8;
    Ok(match kind {
        CoreKind::FieldOffset if is_bit_field => Value { certain: false, ..plain(byte) },
        CoreKind::FieldOffset => {
            // Of an array, an element is what is loaded.
            let element = element(btf, ty);
            Value { size: Some(size_of(element)?), ty: Some(element), ..plain(byte) }
        }
        CoreKind::FieldSize => Value { certain: !is_bit_field, ..plain(size) },
        CoreKind::FieldSigned => plain(u64::from(is_signed(btf, ty))),
        CoreKind::FieldLeftShift => {
            let number = match order {
                Endian::Little => 64u64.wrapping_sub(skipped + bits),
                Endian::Big => 64u64.wrapping_sub(size * 8).wrapping_add(skipped),
            };
            Value { certain: !is_bit_field, ..plain(number) }
        }
        CoreKind::FieldRightShift => plain(64u64.wrapping_sub(bits)),
        _ => return Err(CoreError::Malformed),
    })
}

fn element(btf: &Btf, mut ty: TypeId) -> TypeId {
    // Deeper arrays than types are followed elsewhere have no size either.
    for _ in 0..32 {
        match btf.get(ty).kind {
            Kind::Array { element, .. } => ty = btf.resolve(element).unwrap_or(element),
            _ => break,
        }
    }
    ty
}

fn is_signed(btf: &Btf, ty: TypeId) -> bool {
    match btf.get(ty).kind {
        Kind::Int { encoding, .. } => encoding == Encoding::Signed,
        Kind::Enum { signed, .. } => signed,
        _ => false,
    }
}
