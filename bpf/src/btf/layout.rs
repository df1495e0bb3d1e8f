//! Where values of a type may lie.

use super::{Btf, Kind, TypeId};

/// Longest chain of types that is followed.
const DEPTH: u32 = 32;
/// Most types that are looked at for one answer: structures may hold structures many times over.
const STEPS: u32 = 1 << 16;

impl Btf {
    /// Bytes that a value's address is a multiple of, on a 64-bit machine; a structure whose members lie closer than
    /// that is packed and has 1. `None` for what has no size, and for chains longer than 32.
    pub fn align_of(&self, id: TypeId) -> Option<u32> {
        self.align_within(id, DEPTH, &mut { STEPS })
    }

    fn align_within(&self, id: TypeId, depth: u32, steps: &mut u32) -> Option<u32> {
        let depth = depth.checked_sub(1)?;
        *steps = steps.checked_sub(1)?;
        let id = self.resolve(id)?;
        match &self.get(id).kind {
            Kind::Int { size, .. } | Kind::Enum { size, .. } | Kind::Float { size } => Some((*size).clamp(1, 8)),
            Kind::Ptr(_) => Some(8),
            Kind::Array { element, .. } => self.align_within(*element, depth, steps),
            Kind::Var { ty, .. } => self.align_within(*ty, depth, steps),
            Kind::Struct { size, members } | Kind::Union { size, members } => {
                let mut largest = 1;
                for member in members {
                    let align = self.align_within(member.ty, depth, steps)?;
                    largest = largest.max(align);
                    if member.bits == 0 && !member.bit_offset.is_multiple_of(8 * align) {
                        return Some(1);
                    }
                }
                Some(if size.is_multiple_of(largest) { largest } else { 1 })
            }
            _ => None,
        }
    }
}
