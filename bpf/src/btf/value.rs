//! Typed values and their bytes: [`encode`] makes bytes of what a person writes, [`text`] shows bytes as the kernel does.
//!
//! What a person writes are numbers, addresses, names and fields:
//!
//! | type | is written as |
//! |---|---|
//! | integer, pointer | a number; as text decimal or 0x-hexadecimal; one of 4 bytes also as an IPv4 address, in its bytes' order |
//! | `__be16`, `__be32`, `__be64` and what is defined by them | the number that goes on the wire |
//! | enumeration | a name, or a number |
//! | truth value | `true`, `false`, or a number |
//! | array | a list, the rest zero; of characters a text |
//! | structure | fields by name, the rest zero; those of nameless members as if they were its own |
//! | union | one of its fields |
//!
//! Texts that stand for bytes by themselves fit any type of their size: an IPv4 address 4, an IPv6 address 16, a hardware
//! address 6. A prefix such as `10.0.0.0/8` fits a structure of a 32-bit length and 4 or 16 bytes, as tries have for keys. A
//! list of as many bytes as the type has, each a number or a text of hexadecimal digits, fits any type: that is how maps are
//! dumped without types.

mod text;

pub use text::text;

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Btf, Encoding, Kind, Member, TypeId};
use crate::insn::Endian;

/// A value as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// A number.
    Number(i128),
    /// A truth value.
    Bool(bool),
    /// Text.
    Text(String),
    /// A list.
    Items(Vec<Written>),
    /// Fields by name.
    Fields(Vec<(String, Written)>),
}

/// Structures in structures that are followed: more than any program has, and few enough for any stack.
const DEPTH: usize = 32;

/// The bytes of `written` as a value of `size` bytes, whose type is `ty` of `btf` where that is known.
///
/// # Errors
/// What does not fit, in words that begin with the path to it.
pub fn encode(types: Option<(&Btf, TypeId)>, size: u32, written: &Written, order: Endian) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; size as usize];
    if self_explaining(written, &mut bytes, order) {
        return Ok(bytes);
    }
    let known = types.filter(|(btf, ty)| btf.size_of(*ty) == Some(size));
    match (known, written) {
        (Some((btf, ty)), _) => Encoder { btf, order }.value(ty, written, &mut bytes, "", 0)?,
        (None, Written::Number(number)) => integer(*number, &mut bytes, order, None)?,
        (None, Written::Text(text)) => {
            let number =
                parse_number(text).ok_or_else(|| format!("`{text}` is no number, and the type is not known"))?;
            integer(number, &mut bytes, order, None)?;
        }
        (None, _) => return Err("fields and lists need the type, which the object does not tell".to_owned()),
    }
    Ok(bytes)
}

/// Decimal, or hexadecimal after `0x`.
fn parse_number(text: &str) -> Option<i128> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let magnitude = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
        None => return None,
    };
    Some(sign * i128::from(magnitude))
}

/// Fills bytes from what needs no type to be understood; `false` where it does not fit or is something else.
fn self_explaining(written: &Written, bytes: &mut [u8], order: Endian) -> bool {
    match written {
        Written::Text(text) => match address(text) {
            Some(found) if found.len() == bytes.len() => {
                bytes.copy_from_slice(&found);
                true
            }
            Some(_) => false,
            None => prefix(text, bytes, order),
        },
        Written::Items(items) if items.len() == bytes.len() && items.len() > 1 => {
            let all: Option<Vec<u8>> = items.iter().map(hex_byte).collect();
            all.is_some_and(|all| {
                bytes.copy_from_slice(&all);
                true
            })
        }
        _ => false,
    }
}

/// One byte of a dump.
fn hex_byte(item: &Written) -> Option<u8> {
    match item {
        Written::Text(text) => u8::from_str_radix(text.strip_prefix("0x")?, 16).ok(),
        _ => None,
    }
}

/// The bytes of an IPv4, IPv6 or hardware address.
fn address(text: &str) -> Option<Vec<u8>> {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Some(address.octets().to_vec());
    }
    let fields: Vec<&str> = text.split(':').collect();
    if fields.len() == 6 && fields.iter().all(|field| field.len() == 2) {
        return fields.iter().map(|field| u8::from_str_radix(field, 16).ok()).collect();
    }
    text.parse::<Ipv6Addr>().ok().map(|address| address.octets().to_vec())
}

/// `address/length` as a trie's key.
fn prefix(text: &str, bytes: &mut [u8], order: Endian) -> bool {
    let Some((found, len)) = text.split_once('/').and_then(|(at, len)| Some((address(at)?, len.parse::<u32>().ok()?)))
    else {
        return false;
    };
    if found.len() + 4 != bytes.len() || found.len() == 6 || len as usize > 8 * found.len() {
        return false;
    }
    bytes[..4].copy_from_slice(&order.bytes(len));
    bytes[4..].copy_from_slice(&found);
    true
}

/// A number in as many bytes as there are. `signed` is `None` where either reading will do.
fn integer(number: i128, bytes: &mut [u8], order: Endian, signed: Option<bool>) -> Result<(), String> {
    let bits = 8 * bytes.len().min(16) as u32;
    let (low, high) = range(bits, signed);
    if !(low..=high).contains(&number) {
        return Err(format!("{number} does not fit {} bytes: {low} to {high}", bytes.len()));
    }
    let all = number.to_le_bytes();
    let fill = if number < 0 { 0xff } else { 0 };
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = all.get(at).copied().unwrap_or(fill);
    }
    if order == Endian::Big {
        bytes.reverse();
    }
    Ok(())
}

fn range(bits: u32, signed: Option<bool>) -> (i128, i128) {
    let bits = bits.clamp(1, 127);
    let low = if signed == Some(false) { 0 } else { -(1 << (bits - 1)) };
    let high = if signed == Some(true) { (1 << (bits - 1)) - 1 } else { ((1i128 << (bits - 1)) - 1) * 2 + 1 };
    (low, high)
}

struct Encoder<'a> {
    btf: &'a Btf,
    order: Endian,
}

/// A path with one step more.
fn step(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn named(path: &str, reason: String) -> String {
    if path.is_empty() { reason } else { format!("{path}: {reason}") }
}

impl Encoder<'_> {
    /// Whether a chain of typedefs says that bytes are in network order.
    fn wire_order(&self, mut ty: TypeId) -> bool {
        for _ in 0..DEPTH {
            ty = match self.btf.get(ty).kind {
                Kind::Typedef(to) => {
                    if self.btf.type_name(ty).starts_with("__be") {
                        return true;
                    }
                    to
                }
                Kind::Volatile(to) | Kind::Const(to) | Kind::Restrict(to) | Kind::TypeTag(to) => to,
                _ => return false,
            };
        }
        false
    }

    fn value(&self, ty: TypeId, written: &Written, bytes: &mut [u8], path: &str, depth: usize) -> Result<(), String> {
        let fail = |reason: String| Err(named(path, reason));
        if depth > DEPTH {
            return fail(format!("more than {DEPTH} structures inside each other"));
        }
        if self_explaining(written, bytes, self.order) {
            return Ok(());
        }
        let Some(resolved) = self.btf.resolve(ty) else { return fail("the type goes on for ever".to_owned()) };
        let order = if self.wire_order(ty) { Endian::Big } else { self.order };
        match (&self.btf.get(resolved).kind, written) {
            (Kind::Int { .. } | Kind::Ptr(_) | Kind::Enum { .. }, _) => {
                let number = self.number(resolved, written).map_err(|reason| named(path, reason))?;
                let signed = match self.btf.get(resolved).kind {
                    Kind::Int { encoding: Encoding::Signed, .. } => Some(true),
                    Kind::Int { encoding: Encoding::Char, .. } => None,
                    Kind::Enum { signed, .. } => Some(signed),
                    _ => Some(false),
                };
                integer(number, bytes, order, signed).map_err(|reason| named(path, reason))
            }
            (Kind::Array { element, .. }, Written::Text(text)) if self.btf.size_of(*element) == Some(1) => {
                if text.len() > bytes.len() {
                    return fail(format!("`{text}` is longer than {} bytes", bytes.len()));
                }
                bytes[..text.len()].copy_from_slice(text.as_bytes());
                Ok(())
            }
            (Kind::Array { element, len, .. }, Written::Items(items)) => {
                let size = self.btf.size_of(*element).unwrap_or(0).max(1) as usize;
                if items.len() > *len as usize {
                    return fail(format!("{} elements for an array of {len}", items.len()));
                }
                for (at, (item, part)) in items.iter().zip(bytes.chunks_mut(size)).enumerate() {
                    self.value(*element, item, part, &format!("{path}[{at}]"), depth + 1)?;
                }
                Ok(())
            }
            (Kind::Struct { .. }, Written::Fields(fields)) => self.fields(resolved, fields, bytes, path, depth),
            (Kind::Union { .. }, Written::Fields(fields)) if fields.len() <= 1 => {
                self.fields(resolved, fields, bytes, path, depth)
            }
            (Kind::Union { .. }, Written::Fields(_)) => fail("a union has one of its fields at a time".to_owned()),
            (Kind::Struct { .. } | Kind::Union { .. }, _) => fail("takes fields by name".to_owned()),
            (Kind::Array { .. }, _) => fail("takes a list".to_owned()),
            (Kind::Float { .. }, _) => fail("floating point has no place in a map".to_owned()),
            _ => fail("has no value".to_owned()),
        }
    }

    /// A number as an integer, pointer or enumeration takes it.
    fn number(&self, ty: TypeId, written: &Written) -> Result<i128, String> {
        let kind = &self.btf.get(ty).kind;
        match (kind, written) {
            (_, Written::Number(number)) => Ok(*number),
            (_, Written::Bool(truth)) => Ok(i128::from(*truth)),
            (Kind::Enum { values, .. }, Written::Text(text)) => {
                if let Some(value) = values.iter().find(|value| self.btf.name(value.name) == *text) {
                    let Kind::Enum { signed, .. } = kind else { return Err("is no enumeration".to_owned()) };
                    return Ok(if *signed { i128::from(value.value as i64) } else { i128::from(value.value) });
                }
                let names: Vec<_> = values.iter().take(8).map(|value| self.btf.name(value.name)).collect();
                parse_number(text).ok_or_else(|| format!("`{text}` is none of: {}", names.join(", ")))
            }
            (_, Written::Text(text)) => parse_number(text).ok_or_else(|| format!("`{text}` is no number")),
            _ => Err("takes a number".to_owned()),
        }
    }

    fn fields(
        &self,
        ty: TypeId,
        fields: &[(String, Written)],
        bytes: &mut [u8],
        path: &str,
        depth: usize,
    ) -> Result<(), String> {
        for (name, written) in fields {
            let Some((member, at)) = self.member(ty, name, depth) else {
                let names: Vec<_> = self.btf.members(ty).unwrap_or(&[]).iter().map(|m| self.btf.name(m.name)).collect();
                return Err(named(path, format!("there is no field `{name}`; there are: {}", names.join(", "))));
            };
            let path = step(path, name);
            let (first, size) = (at as usize / 8, self.btf.size_of(member.ty).unwrap_or(0) as usize);
            if member.bits > 0 {
                self.bit_field(&member, at, written, bytes).map_err(|reason| named(&path, reason))?;
                continue;
            }
            let Some(part) = bytes.get_mut(first..).and_then(|rest| rest.get_mut(..size)) else {
                return Err(named(&path, "lies outside its structure".to_owned()));
            };
            self.value(member.ty, written, part, &path, depth + 1)?;
        }
        Ok(())
    }

    /// A member by name and its first bit, also of nameless structures and unions inside.
    fn member(&self, ty: TypeId, name: &str, depth: usize) -> Option<(Member, u32)> {
        let members = self.btf.members(ty)?;
        let own = members.iter().find(|member| self.btf.name(member.name) == name);
        if let Some(member) = own {
            return Some((*member, member.bit_offset));
        }
        if depth > DEPTH {
            return None;
        }
        members.iter().filter(|member| self.btf.name(member.name).is_empty()).find_map(|member| {
            let (found, at) = self.member(member.ty, name, depth + 1)?;
            Some((found, at.checked_add(member.bit_offset)?))
        })
    }

    /// Bits are counted from the least significant of the first byte, or on a big-endian machine from the most significant.
    fn bit_field(&self, member: &Member, at: u32, written: &Written, bytes: &mut [u8]) -> Result<(), String> {
        let ty = self.btf.resolve(member.ty).ok_or("the type goes on for ever")?;
        let number = self.number(ty, written)?;
        let bits = u32::from(member.bits);
        let signed = matches!(self.btf.get(ty).kind, Kind::Int { encoding: Encoding::Signed, .. });
        let (low, high) = range(bits, Some(signed));
        if !(low..=high).contains(&number) {
            return Err(format!("{number} does not fit {bits} bits: {low} to {high}"));
        }
        for bit in 0..bits {
            let place = match self.order {
                Endian::Little => at + bit,
                Endian::Big => at + bits - 1 - bit,
            };
            let shift = if self.order == Endian::Little { place % 8 } else { 7 - place % 8 };
            let byte = bytes.get_mut(place as usize / 8).ok_or("lies outside its structure")?;
            *byte = *byte & !(1 << shift) | ((number >> bit & 1) as u8) << shift;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
