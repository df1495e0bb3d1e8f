//! Each type by itself: what stands in its words, whatever they refer to.

use super::{Checked, NAME_OFFSET_MAX, Raw, TYPE_MAX, kind, refuse, refuse_as};
use crate::errno::Errno;

/// Bytes of `struct btf_type`.
const TYPE: usize = 12;
/// Bits of `info` that mean something.
const INFO: u32 = 0x9f00_ffff;
/// Longest name (`KSYM_NAME_LEN`).
const NAME_MAX: usize = 512;

/// Names in the string section.
#[derive(Clone, Copy)]
pub(super) struct Names<'a>(pub &'a [u8]);

impl<'a> Names<'a> {
    pub fn has(self, off: u32) -> bool {
        off <= NAME_OFFSET_MAX && (off as usize) < self.0.len()
    }

    fn at(self, off: u32) -> &'a [u8] {
        let rest = self.0.get(off as usize..).unwrap_or_default();
        &rest[..rest.iter().position(|&b| b == 0).unwrap_or(rest.len())]
    }

    /// A name of C, in which the kernel also takes dots.
    pub fn identifier(self, off: u32) -> bool {
        let name = self.at(off);
        // The kernel's letters are those of Latin-1.
        let letter = |b: u8| b.is_ascii_alphabetic() || b >= 0xc0 && b != 0xd7 && b != 0xf7;
        let fits = |b: u8, first: bool| letter(b) || !first && b.is_ascii_digit();
        let fine = |(i, &b): (usize, &u8)| fits(b, i == 0) || b == b'_' || b == b'.';
        !name.is_empty() && name.len() < NAME_MAX && name.iter().enumerate().all(fine)
    }

    fn section(self, off: u32) -> bool {
        let name = self.at(off);
        !name.is_empty() && name.len() < NAME_MAX && name.iter().all(|b| (0x20..0x7f).contains(b) || *b >= 0xa0)
    }

    fn is_empty(self, off: u32) -> bool {
        self.at(off).is_empty()
    }
}

/// All types, `void` first.
pub(super) fn types<'a>(mut rest: &'a [u8], strings: &'a [u8]) -> Checked<Vec<Raw<'a>>> {
    let names = Names(strings);
    let mut types = vec![Raw { name: 0, info: 0, word: 0, rest: &[] }];
    while !rest.is_empty() {
        let id = types.len() as u32;
        let needs = |needed: usize| refuse(id, format!("meta_left:{} meta_needed:{needed}", rest.len()));
        if rest.len() < TYPE {
            return needs(TYPE);
        }
        let (words, _) = rest.as_chunks::<4>();
        let word = |i: usize| u32::from_le_bytes(words[i]);
        let mut ty = Raw { name: word(0), info: word(1), word: word(2), rest: &[] };
        if ty.info & !INFO != 0 {
            return refuse(id, format!("Invalid btf_info:{:x}", ty.info));
        }
        if ty.kind() == 0 || ty.kind() > kind::ENUM64 {
            return refuse(id, format!("Invalid kind:{}", ty.kind()));
        }
        if !names.has(ty.name) {
            return refuse(id, format!("Invalid name_offset:{}", ty.name));
        }
        let extra = 4 * extra_words(ty);
        if rest.len() - TYPE < extra {
            let left = rest.len() - TYPE;
            return refuse(id, format!("meta_left:{left} meta_needed:{extra}"));
        }
        ty.rest = &words[3..3 + extra / 4];
        one(id, ty, names)?;
        if id > TYPE_MAX {
            return refuse_as(Errno::E2BIG, id, format!("Exceeded max num of types: {TYPE_MAX}"));
        }
        types.push(ty);
        rest = &rest[TYPE + extra..];
    }
    Ok(types)
}

/// Words behind a `struct btf_type`.
fn extra_words(ty: Raw<'_>) -> usize {
    let count = ty.vlen() as usize;
    match ty.kind() {
        kind::INT | kind::VAR | kind::DECL_TAG => 1,
        kind::ARRAY => 3,
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 3 * count,
        kind::ENUM | kind::FUNC_PROTO => 2 * count,
        _ => 0,
    }
}

const NOT_NONE: &str = "vlen != 0";
const FLAG: &str = "Invalid btf_info kind_flag";
const NAME: &str = "Invalid name";

/// One type; the order of the checks is the kernel's.
fn one(id: u32, ty: Raw<'_>, names: Names<'_>) -> Checked {
    let no = |reason: &str| refuse(id, reason);
    let is_type = |id: u32| id <= TYPE_MAX;
    let named = ty.name != 0 && names.identifier(ty.name);
    let anonymous_or_named = ty.name == 0 || names.identifier(ty.name);
    match ty.kind() {
        kind::INT => int(id, ty),
        kind::PTR | kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
            if ty.vlen() != 0 {
                return no(NOT_NONE);
            }
            if ty.flag() && ty.kind() != kind::TYPE_TAG {
                return no(FLAG);
            }
            if !is_type(ty.word) {
                return no("Invalid type_id");
            }
            let fine = match ty.kind() {
                kind::TYPEDEF => named,
                kind::TYPE_TAG => !names.is_empty(ty.name),
                _ => ty.name == 0,
            };
            if fine { Ok(()) } else { no(NAME) }
        }
        kind::ARRAY if ty.name != 0 => no(NAME),
        kind::ARRAY if ty.vlen() != 0 => no(NOT_NONE),
        kind::ARRAY if ty.flag() => no(FLAG),
        kind::ARRAY if ty.word != 0 => no("size != 0"),
        kind::ARRAY if ty.extra(0) == 0 || !is_type(ty.extra(0)) => no("Invalid elem"),
        kind::ARRAY if ty.extra(1) == 0 || !is_type(ty.extra(1)) => no("Invalid index"),
        kind::STRUCT | kind::UNION if !anonymous_or_named => no(NAME),
        kind::STRUCT | kind::UNION => members(id, ty, names),
        kind::ENUM | kind::ENUM64 if ty.word > 8 || !ty.word.is_power_of_two() => no("Unexpected size"),
        kind::ENUM | kind::ENUM64 if !anonymous_or_named => no(NAME),
        kind::ENUM | kind::ENUM64 => {
            let words = if ty.kind() == kind::ENUM { 2 } else { 3 };
            for i in 0..ty.vlen() as usize {
                let name = ty.extra(words * i);
                if !names.has(name) {
                    return refuse(id, format!("Invalid name_offset:{name}"));
                }
                if name == 0 || !names.identifier(name) {
                    return no(NAME);
                }
            }
            Ok(())
        }
        kind::FWD if ty.vlen() != 0 => no(NOT_NONE),
        kind::FWD if ty.word != 0 => no("type != 0"),
        kind::FWD if !named => no(NAME),
        kind::FUNC if !named => no(NAME),
        // Static or global: an object's externs are not for the kernel to see.
        kind::FUNC if ty.vlen() > 1 => no("Invalid func linkage"),
        kind::FUNC if ty.flag() => no(FLAG),
        kind::FUNC_PROTO if ty.name != 0 => no(NAME),
        kind::FUNC_PROTO if ty.flag() => no(FLAG),
        kind::VAR if ty.vlen() != 0 => no(NOT_NONE),
        kind::VAR if ty.flag() => no(FLAG),
        kind::VAR if !named => no(NAME),
        kind::VAR if ty.word == 0 || !is_type(ty.word) => no("Invalid type_id"),
        kind::VAR if ty.extra(0) > 1 => no("Linkage not supported"),
        kind::DATASEC if ty.word == 0 => no("size == 0"),
        kind::DATASEC if ty.flag() => no(FLAG),
        kind::DATASEC if ty.name == 0 || !names.section(ty.name) => no(NAME),
        kind::DATASEC => variables(id, ty),
        kind::FLOAT if ty.vlen() != 0 => no(NOT_NONE),
        kind::FLOAT if ty.flag() => no(FLAG),
        kind::FLOAT if !matches!(ty.word, 2 | 4 | 8 | 12 | 16) => no("Invalid type_size"),
        kind::DECL_TAG if names.is_empty(ty.name) => no("Invalid value"),
        kind::DECL_TAG if ty.vlen() != 0 => no(NOT_NONE),
        kind::DECL_TAG if (ty.extra(0) as i32) < -1 => no("Invalid component_idx"),
        _ => Ok(()),
    }
}

fn int(id: u32, ty: Raw<'_>) -> Checked {
    let data = ty.extra(0);
    if ty.vlen() != 0 {
        return refuse(id, NOT_NONE);
    }
    if ty.flag() {
        return refuse(id, FLAG);
    }
    if data & !0x0fff_ffff != 0 {
        return refuse(id, format!("Invalid int_data:{data:x}"));
    }
    let bits = (data & 0xff) + (data >> 16 & 0xff);
    if bits > 128 {
        return refuse(id, "nr_bits exceeds 128");
    }
    if bits.div_ceil(8) > ty.word {
        return refuse(id, "nr_bits exceeds type_size");
    }
    match data >> 24 & 15 {
        0 | 1 | 2 | 4 => Ok(()),
        _ => refuse_as(Errno::ENOTSUPP, id, "Unsupported encoding"),
    }
}

fn members(id: u32, ty: Raw<'_>, names: Names<'_>) -> Checked {
    let mut last = 0;
    for [name, to, place] in ty.triples() {
        let offset = if ty.flag() { place & 0xff_ffff } else { place };
        if !names.has(name) {
            return refuse(id, format!("Invalid member name_offset:{name}"));
        }
        if name != 0 && !names.identifier(name) {
            return refuse(id, NAME);
        }
        if to == 0 || to > TYPE_MAX {
            return refuse(id, "Invalid type_id");
        }
        if ty.kind() == kind::UNION && offset != 0 || last > offset {
            return refuse(id, "Invalid member bits_offset");
        }
        if offset.div_ceil(8) > ty.word {
            return refuse(id, "Member bits_offset exceeds its struct size");
        }
        last = offset;
    }
    Ok(())
}

fn variables(id: u32, ty: Raw<'_>) -> Checked {
    let (mut end, mut sum) = (0u64, 0u64);
    for [var, offset, size] in ty.triples() {
        if var == 0 || var > TYPE_MAX {
            return refuse(id, "Invalid type_id");
        }
        if u64::from(offset) < end || offset >= ty.word {
            return refuse(id, "Invalid offset");
        }
        if size == 0 || size > ty.word {
            return refuse(id, "Invalid size");
        }
        end = u64::from(offset) + u64::from(size);
        if end > u64::from(ty.word) {
            return refuse(id, "Invalid offset+size");
        }
        sum += u64::from(size);
    }
    if sum > u64::from(ty.word) { refuse(id, "Invalid btf_info size") } else { Ok(()) }
}
