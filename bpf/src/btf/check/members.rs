//! Members lie in their structure.

use super::resolve::Walk;
use super::{Checked, Raw, kind, refuse};

/// Bits that are copied at most at once.
const COPY_MAX: u32 = 128;

/// Whether an integer is made of whole bytes, 1, 2, 4, 8 or 16 of them.
pub(super) fn is_regular(ty: Raw<'_>) -> bool {
    let (bits, offset) = (ty.extra(0) & 0xff, ty.extra(0) >> 16 & 0xff);
    ty.kind() == kind::INT && offset == 0 && matches!(bits, 8 | 16 | 32 | 64 | 128)
}

/// Checks a member of the type `to` at `place`, which is the offset in bits and, in a structure with bit-fields, their
/// width in the high byte.
pub(super) fn check(walk: &Walk<'_>, id: u32, outer: Raw<'_>, to: u32, place: u32) -> Checked {
    let mut to = to;
    let mut ty = walk.ty(to);
    if ty.is_modifier() {
        to = walk.comes_to(to);
        ty = walk.ty(to);
    }
    let (offset, width) = if outer.flag() { (place & 0xff_ffff, place >> 24) } else { (place, 0) };
    let within = |bytes: u64| {
        if u64::from(outer.word) < bytes { refuse(id, "Member exceeds struct_size") } else { Ok(()) }
    };
    let start = u64::from(offset / 8);
    match ty.kind() {
        kind::INT => {
            let (mut bits, shift) = (ty.extra(0) & 0xff, ty.extra(0) >> 16 & 0xff);
            let mut first = offset;
            if outer.flag() {
                if !is_regular(ty) {
                    return refuse(id, "Invalid member base type");
                }
                if width == 0 && offset % 8 != 0 {
                    return refuse(id, "Invalid member offset");
                }
                if width > bits {
                    return refuse(id, "Invalid member bitfield_size");
                }
                if width != 0 {
                    bits = width;
                }
            } else {
                match offset.checked_add(shift) {
                    Some(there) => first = there,
                    None => return refuse(id, "bits_offset exceeds U32_MAX"),
                }
            }
            let copied = bits + first % 8;
            if copied > COPY_MAX {
                return refuse(id, "nr_copy_bits exceeds 128");
            }
            within(u64::from(first / 8) + u64::from(copied.div_ceil(8)))
        }
        kind::ENUM | kind::ENUM64 if outer.flag() => {
            let bits = match width {
                0 if offset % 8 != 0 => return refuse(id, "Member is not byte aligned"),
                0 => 32,
                width if width > 32 => return refuse(id, "Invalid member bitfield_size"),
                width => width,
            };
            within((u64::from(offset) + u64::from(bits)).div_ceil(8))
        }
        0 | kind::FWD | kind::FUNC_PROTO => refuse(id, "Invalid member"),
        _ if width != 0 => refuse(id, "Invalid member bitfield_size"),
        kind::FLOAT => {
            if !offset.is_multiple_of(8 * ty.word.min(8)) {
                return refuse(id, "Member is not properly aligned");
            }
            within(start + u64::from(ty.word))
        }
        kind::PTR | kind::ARRAY | kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64 => {
            if offset % 8 != 0 {
                return refuse(id, "Member is not byte aligned");
            }
            let size = walk.sized(to).map_or(0, |(_, size)| size);
            within(start + u64::from(size))
        }
        _ => refuse(id, "Unsupported check_member"),
    }
}
