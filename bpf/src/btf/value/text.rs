//! Values of a type as text, in the form of the kernel's and bpftool's dumps of map elements: JSON-like, by names.

use std::fmt::Write;

use crate::btf::{Btf, Encoding, Kind, TypeId};
use crate::insn::Endian;

/// Most types that are followed into one another.
const DEPTH: u32 = 32;
/// Most bytes of text that are made of one value.
const TEXT_MAX: usize = 1 << 20;

/// The bytes of a value of type `ty` as text: `{"src": 167772161,"port": [1,2]}`. Characters that can be printed are
/// shown as such in quotes, arrays of them up to a zero as one string; bytes that are missing, and types without a size,
/// as `null`.
pub fn text(btf: &Btf, ty: TypeId, bytes: &[u8], order: Endian) -> String {
    let mut text = Text { btf, order, out: String::new() };
    text.value(ty, bytes, DEPTH);
    text.out
}

struct Text<'a> {
    btf: &'a Btf,
    order: Endian,
    out: String,
}

impl Text<'_> {
    fn null(&mut self) {
        self.out.push_str("null");
    }

    fn number(&self, bytes: &[u8]) -> u128 {
        let step = |n: u128, b: &u8| n << 8 | u128::from(*b);
        match self.order {
            Endian::Little => bytes.iter().rev().fold(0, step),
            Endian::Big => bytes.iter().fold(0, step),
        }
    }

    fn value(&mut self, ty: TypeId, bytes: &[u8], depth: u32) {
        let (Some(depth), Some(ty)) = (depth.checked_sub(1), self.btf.resolve(ty)) else { return self.null() };
        let btf = self.btf;
        let size = btf.size_of(ty).map(|size| size as usize);
        let Some(bytes) = size.and_then(|size| bytes.get(..size)).filter(|_| self.out.len() < TEXT_MAX) else {
            return self.null();
        };
        match &btf.get(ty).kind {
            Kind::Int { encoding, bit_offset, bits, .. } => {
                let bits = u32::from(*bits);
                let number = self.number(bytes) >> u32::from(*bit_offset).min(127);
                self.int(*encoding, number, bits);
            }
            Kind::Enum { values, signed, .. } => {
                let number = self.number(bytes) as u64;
                let shift = 64 - 8 * bytes.len().clamp(1, 8) as u32;
                let number = if *signed { ((number << shift) as i64 >> shift) as u64 } else { number };
                match values.iter().find(|v| v.value == number) {
                    Some(value) => self.quoted(&btf.name(value.name)),
                    None if *signed => self.push(number as i64),
                    None => self.push(number),
                }
            }
            Kind::Ptr(_) => {
                let number = self.number(bytes);
                let _ = write!(self.out, "\"{number:#x}\"");
            }
            Kind::Float { .. } => {
                let number = self.number(bytes);
                match bytes.len() {
                    4 => self.push(f32::from_bits(number as u32)),
                    8 => self.push(f64::from_bits(number as u64)),
                    _ => self.push(number),
                }
            }
            Kind::Array { element, len, .. } => self.array(*element, *len, bytes, depth),
            Kind::Struct { members, .. } | Kind::Union { members, .. } => {
                self.out.push('{');
                for (i, member) in members.iter().enumerate() {
                    self.out.push_str(if i > 0 { "," } else { "" });
                    let name = btf.name(member.name);
                    self.quoted(if name.is_empty() { "(anon)" } else { &name });
                    self.out.push_str(": ");
                    self.member(member, bytes, depth);
                }
                self.out.push('}');
            }
            Kind::Var { ty, .. } => self.value(*ty, bytes, depth),
            Kind::DataSec { vars, .. } => {
                self.out.push('{');
                for (i, var) in vars.iter().enumerate() {
                    self.out.push_str(if i > 0 { "," } else { "" });
                    self.quoted(&btf.type_name(var.var));
                    self.out.push_str(": ");
                    self.value(var.var, bytes.get(var.offset as usize..).unwrap_or_default(), depth);
                }
                self.out.push('}');
            }
            _ => self.null(),
        }
    }

    fn member(&mut self, member: &crate::btf::Member, bytes: &[u8], depth: u32) {
        let first = (member.bit_offset / 8) as usize;
        if member.bits == 0 {
            return self.value(member.ty, bytes.get(first..).unwrap_or_default(), depth);
        }
        let (skip, bits) = (member.bit_offset % 8, u32::from(member.bits));
        let end = first + (skip + bits).div_ceil(8) as usize;
        let (Some(loaded), Some(ty)) = (bytes.get(first..end), self.btf.resolve(member.ty)) else { return self.null() };
        let loaded_bits = 8 * loaded.len() as u32;
        let number = match self.order {
            Endian::Little => self.number(loaded) >> skip,
            Endian::Big => self.number(loaded) >> (loaded_bits - skip - bits),
        };
        let encoding = match self.btf.get(ty).kind {
            Kind::Int { encoding, .. } => encoding,
            _ => Encoding::Unsigned,
        };
        self.int(encoding, number, bits);
    }

    fn int(&mut self, encoding: Encoding, number: u128, bits: u32) {
        let shift = 128 - bits.clamp(1, 128);
        let number = number << shift >> shift;
        let signed = (number << shift) as i128 >> shift;
        match encoding {
            Encoding::Bool => self.push(number != 0),
            Encoding::Char if printable(number) => self.character(number),
            Encoding::Signed | Encoding::Char => self.push(signed),
            Encoding::Unsigned => self.push(number),
        }
    }

    fn array(&mut self, element: TypeId, len: u32, bytes: &[u8], depth: u32) {
        let Some(size) = self.btf.size_of(element).map(|size| size as usize) else { return self.null() };
        let is_char = self.btf.resolve(element).is_some_and(|id| {
            let ty = self.btf.get(id);
            matches!(ty.kind, Kind::Int { size: 1, encoding: Encoding::Char | Encoding::Signed, .. })
                && self.btf.name(ty.name) == "char"
        });
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        let text = &bytes[..end];
        let zeroes = bytes[end..].iter().all(|&b| b == 0);
        if is_char && end > 0 && zeroes && text.iter().all(|&b| printable(u128::from(b))) {
            return self.quoted(&String::from_utf8_lossy(text));
        }
        self.out.push('[');
        for i in 0..len as usize {
            if self.out.len() >= TEXT_MAX {
                break;
            }
            self.out.push_str(if i > 0 { "," } else { "" });
            self.value(element, bytes.get(i * size..).unwrap_or_default(), depth);
        }
        self.out.push(']');
    }

    fn push(&mut self, value: impl std::fmt::Display) {
        let _ = write!(self.out, "{value}");
    }

    fn character(&mut self, number: u128) {
        self.quoted(&char::from(number as u8).to_string());
    }

    fn quoted(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            if matches!(c, '"' | '\\') {
                self.out.push('\\');
            }
            self.out.push(c);
        }
        self.out.push('"');
    }
}

fn printable(number: u128) -> bool {
    (0x20..0x7f).contains(&number)
}
