//! BTF as Linux checks it when it is loaded (`BPF_BTF_LOAD`): the same answer, for the same reason.
//!
//! [`super::Btf::parse`] reads what compilers write; the kernel is stricter, and wants what libbpf makes of it: sections
//! of variables that have a size, and nothing from outside. [`check`] takes bytes as the kernel is handed them.
//!
//! Three passes, as in the kernel's `btf.c`: the header and its sections; each type by itself (`meta`); then what types
//! refer to, without loops and at most 32 deep (`resolve`). What Linux checks of the structures that it gives a meaning
//! of its own by their names (`bpf_spin_lock`, `bpf_list_head` ...) is not checked here.

mod members;
mod meta;
mod resolve;

use std::fmt;

use crate::errno::Errno;

/// Why Linux would not take BTF: the number it returns, and the sentence it logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Error number.
    pub errno: Errno,
    /// Type at which it stopped; 0 for the header and the sections.
    pub id: u32,
    /// What it logs.
    pub reason: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            0 => f.write_str(&self.reason),
            id => write!(f, "[{id}] {}", self.reason),
        }
    }
}

impl std::error::Error for Refused {}

pub(super) type Checked<T = ()> = Result<T, Refused>;

pub(super) fn refuse<T>(id: u32, reason: impl Into<String>) -> Checked<T> {
    refuse_as(Errno::EINVAL, id, reason)
}

pub(super) fn refuse_as<T>(errno: Errno, id: u32, reason: impl Into<String>) -> Checked<T> {
    Err(Refused { errno, id, reason: reason.into() })
}

/// Largest BTF (`BTF_MAX_SIZE`).
const SIZE_MAX: usize = 16 << 20;
/// Largest offset of a string (`BTF_MAX_NAME_OFFSET`).
const NAME_OFFSET_MAX: u32 = 0xff_ffff;
/// Largest number of a type (`BTF_MAX_TYPE`).
const TYPE_MAX: u32 = 0xf_ffff;
/// Bytes of the header that this follows.
const HEADER: usize = 24;

/// Kinds by number (`BTF_KIND_*`).
mod kind {
    pub const INT: u32 = 1;
    pub const PTR: u32 = 2;
    pub const ARRAY: u32 = 3;
    pub const STRUCT: u32 = 4;
    pub const UNION: u32 = 5;
    pub const ENUM: u32 = 6;
    pub const FWD: u32 = 7;
    pub const TYPEDEF: u32 = 8;
    pub const VOLATILE: u32 = 9;
    pub const CONST: u32 = 10;
    pub const RESTRICT: u32 = 11;
    pub const FUNC: u32 = 12;
    pub const FUNC_PROTO: u32 = 13;
    pub const VAR: u32 = 14;
    pub const DATASEC: u32 = 15;
    pub const FLOAT: u32 = 16;
    pub const DECL_TAG: u32 = 17;
    pub const TYPE_TAG: u32 = 18;
    pub const ENUM64: u32 = 19;
}

/// A `struct btf_type` with the words behind it.
#[derive(Debug, Clone, Copy)]
struct Raw<'a> {
    name: u32,
    info: u32,
    /// Size or type.
    word: u32,
    /// What follows, by kind.
    rest: &'a [[u8; 4]],
}

impl Raw<'_> {
    fn kind(self) -> u32 {
        self.info >> 24 & 31
    }

    fn vlen(self) -> u32 {
        self.info & 0xffff
    }

    fn flag(self) -> bool {
        self.info >> 31 != 0
    }

    fn is(self, kinds: &[u32]) -> bool {
        kinds.contains(&self.kind())
    }

    /// A word behind the type.
    fn extra(self, i: usize) -> u32 {
        self.rest.get(i).map_or(0, |w| u32::from_le_bytes(*w))
    }

    /// Records of three words behind the type: members, variables of a section.
    fn triples(self) -> impl Iterator<Item = [u32; 3]> {
        let count = self.vlen() as usize;
        (0..count).map(move |i| [self.extra(3 * i), self.extra(3 * i + 1), self.extra(3 * i + 2)])
    }

    fn is_modifier(self) -> bool {
        self.is(&[kind::TYPEDEF, kind::VOLATILE, kind::CONST, kind::RESTRICT, kind::TYPE_TAG])
    }

    fn is_composite(self) -> bool {
        self.is(&[kind::STRUCT, kind::UNION])
    }
}

/// Checks BTF as a kernel on a little-endian machine does.
///
/// # Errors
/// What Linux would say.
pub fn check(bytes: &[u8]) -> Checked {
    if bytes.len() > SIZE_MAX {
        return refuse_as(Errno::E2BIG, 0, "larger than 16 MiB");
    }
    let (types, strings) = sections(bytes)?;
    let types = meta::types(types, strings)?;
    resolve::all(&types, strings)
}

/// The header's sections: types and strings.
fn sections(bytes: &[u8]) -> Checked<(&[u8], &[u8])> {
    let word = |at: usize| bytes.get(at..at + 4).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b));
    if bytes.len() < 8 {
        return refuse(0, "hdr_len not found");
    }
    let header = word(4) as usize;
    if bytes.len() < header {
        return refuse(0, "btf_header not found");
    }
    if bytes.get(HEADER..header).is_some_and(|more| more.iter().any(|&b| b != 0)) {
        return refuse_as(Errno::E2BIG, 0, "Unsupported btf_header");
    }
    // What a short header leaves out is zero.
    let field = |at: usize| if at + 4 <= header { word(at) } else { 0 };
    if word(0) & 0xffff != 0xeb9f {
        return refuse(0, "Invalid magic");
    }
    if word(0) >> 16 & 0xff != 1 {
        return refuse_as(Errno::ENOTSUPP, 0, "Unsupported version");
    }
    if word(0) >> 24 != 0 {
        return refuse_as(Errno::ENOTSUPP, 0, "Unsupported flags");
    }
    if bytes.len() == header {
        return refuse(0, "No data");
    }
    let body = &bytes[header..];
    let (types, strings) = ((field(8), field(12)), (field(16), field(20)));
    // The kernel's sort compares by a difference of 32 bits with a sign, and turns round two that are equal.
    let turned = types.0.wrapping_sub(strings.0) as i32 >= 0;
    let sections = if turned { [strings, types] } else { [types, strings] };
    let mut total = 0u64;
    for (off, len) in sections.map(|(off, len)| (u64::from(off), u64::from(len))) {
        if off > body.len() as u64 {
            return refuse(0, "Invalid section offset");
        }
        if total < off {
            return refuse(0, "Unsupported section found");
        }
        if total > off {
            return refuse(0, "Section overlap found");
        }
        if len > body.len() as u64 - total {
            return refuse(0, "Total section length too long");
        }
        total += len;
    }
    if total != body.len() as u64 {
        return refuse(0, "Unsupported section found");
    }
    // Both lie in the body, as was just found.
    let part = |(off, len): (u32, u32)| body.get(off as usize..off as usize + len as usize).unwrap_or_default();
    if strings.0 as usize + strings.1 as usize != body.len() {
        return refuse(0, "String section is not at the end");
    }
    let text = part(strings);
    let ends = text.first() == Some(&0) && text.last() == Some(&0);
    if !ends || strings.1 - 1 > NAME_OFFSET_MAX {
        return refuse(0, "Invalid string section");
    }
    if types.0 & 3 != 0 {
        return refuse(0, "Unaligned type_off");
    }
    if types.1 == 0 {
        return refuse(0, "No type found");
    }
    Ok((part(types), text))
}
