//! BTF made here: types and names put together, and the section's bytes.

use std::collections::BTreeMap;

use super::{Btf, BtfError, FuncLinkage, Kind, Member, NameOff, Type, TypeId, VarLinkage};
use crate::insn::Endian;

/// Types and strings being put together; `void` is there from the start.
#[derive(Debug, Clone)]
pub struct Builder {
    types: Vec<Type>,
    strings: Vec<u8>,
    known: BTreeMap<String, NameOff>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            types: vec![Type { name: NameOff(0), kind: Kind::Void }],
            strings: vec![0],
            known: BTreeMap::from([(String::new(), NameOff(0))]),
        }
    }
}

/// Largest section of strings, in bytes (`BTF_MAX_NAME_OFFSET`).
const STRINGS_MAX: usize = 0xff_ffff;

impl Builder {
    /// The name of that text, up to a zero byte; each text is kept once.
    ///
    /// # Errors
    /// More than 16 MiB of names.
    pub fn name(&mut self, text: &str) -> Result<NameOff, BtfError> {
        let text = text.split('\0').next().unwrap_or_default();
        if let Some(&known) = self.known.get(text) {
            return Ok(known);
        }
        let name = NameOff(self.strings.len() as u32);
        if self.strings.len() + text.len() >= STRINGS_MAX {
            return Err(too_large("names", STRINGS_MAX));
        }
        self.strings.extend(text.bytes().chain([0]));
        self.known.insert(text.to_owned(), name);
        Ok(name)
    }

    /// The number that the next type gets.
    pub fn next(&self) -> TypeId {
        TypeId(self.types.len() as u32)
    }

    /// Adds a type.
    pub fn push(&mut self, name: NameOff, kind: Kind) -> TypeId {
        let id = self.next();
        self.types.push(Type { name, kind });
        id
    }

    /// Gives a type that was added another meaning.
    pub fn set(&mut self, id: TypeId, name: NameOff, kind: Kind) {
        if let Some(ty) = self.types.get_mut(id.0 as usize) {
            *ty = Type { name, kind };
        }
    }

    /// The types, each once: see [`Btf::unified`].
    pub fn finish(self) -> Btf {
        Btf { types: self.types, strings: self.strings }
    }
}

fn too_large(what: &str, most: usize) -> BtfError {
    BtfError { section: ".BTF", offset: 0, reason: format!("more {what} than a section of types holds, {most}") }
}

/// Most members, values or parameters of one type.
const VLEN_MAX: usize = 0xffff;

impl Btf {
    /// The bytes of a `.BTF` section.
    ///
    /// # Errors
    /// A type with more members, values or parameters than fit, or with bit-fields beyond the first 2 MiB.
    pub fn to_bytes(&self, order: Endian) -> Result<Vec<u8>, BtfError> {
        let mut words = Vec::new();
        for ty in self.types.iter().skip(1) {
            one(ty, &mut words)?;
        }
        let len = words.len() as u32 * 4;
        let write = |out: &mut Vec<u8>, word: u32| match order {
            Endian::Little => out.extend(word.to_le_bytes()),
            Endian::Big => out.extend(word.to_be_bytes()),
        };
        let mut out = match order {
            Endian::Little => vec![0x9f, 0xeb, 1, 0],
            Endian::Big => vec![0xeb, 0x9f, 1, 0],
        };
        [24, 0, len, len, self.strings.len() as u32].into_iter().chain(words).for_each(|w| write(&mut out, w));
        out.extend(&self.strings);
        Ok(out)
    }
}

/// `struct btf_type` and what follows it.
fn one(ty: &Type, words: &mut Vec<u32>) -> Result<(), BtfError> {
    let mut head = |kind: u32, count: usize, flag: bool, word: u32| {
        if count > VLEN_MAX {
            return Err(too_large("members of a type", VLEN_MAX));
        }
        words.extend([ty.name.0, kind << 24 | count as u32 | u32::from(flag) << 31, word]);
        Ok(())
    };
    match &ty.kind {
        Kind::Void => {}
        Kind::Int { size, encoding, bit_offset, bits } => {
            head(1, 0, false, *size)?;
            let encoding = match encoding {
                super::Encoding::Unsigned => 0,
                super::Encoding::Signed => 1,
                super::Encoding::Char => 2,
                super::Encoding::Bool => 4,
            };
            words.push(encoding << 24 | u32::from(*bit_offset) << 16 | u32::from(*bits));
        }
        Kind::Ptr(to) => head(2, 0, false, to.0)?,
        Kind::Array { element, index, len } => {
            head(3, 0, false, 0)?;
            words.extend([element.0, index.0, *len]);
        }
        Kind::Struct { size, members } | Kind::Union { size, members } => {
            let has_bits = members.iter().any(|m| m.bits != 0);
            let kind = if matches!(ty.kind, Kind::Struct { .. }) { 4 } else { 5 };
            head(kind, members.len(), has_bits, *size)?;
            for Member { name, ty, bit_offset, bits } in members {
                if has_bits && *bit_offset > 0xff_ffff {
                    return Err(too_large("bits before a bit-field", 0xff_ffff));
                }
                words.extend([name.0, ty.0, bit_offset | u32::from(*bits) << 24]);
            }
        }
        Kind::Enum { size, signed, values } => {
            let wide = *size == 8;
            head(if wide { 19 } else { 6 }, values.len(), *signed, *size)?;
            for value in values {
                words.extend([value.name.0, value.value as u32]);
                words.extend(wide.then_some((value.value >> 32) as u32));
            }
        }
        Kind::Fwd { is_union } => head(7, 0, *is_union, 0)?,
        Kind::Typedef(to) => head(8, 0, false, to.0)?,
        Kind::Volatile(to) => head(9, 0, false, to.0)?,
        Kind::Const(to) => head(10, 0, false, to.0)?,
        Kind::Restrict(to) => head(11, 0, false, to.0)?,
        Kind::Func { linkage, proto } => {
            let linkage = match linkage {
                FuncLinkage::Static => 0,
                FuncLinkage::Global => 1,
                FuncLinkage::Extern => 2,
            };
            head(12, linkage, false, proto.0)?;
        }
        Kind::FuncProto { result, params } => {
            head(13, params.len(), false, result.0)?;
            words.extend(params.iter().flat_map(|p| [p.name.0, p.ty.0]));
        }
        Kind::Var { linkage, ty } => {
            head(14, 0, false, ty.0)?;
            words.push(match linkage {
                VarLinkage::Static => 0,
                VarLinkage::Global => 1,
                VarLinkage::Extern => 2,
            });
        }
        Kind::DataSec { size, vars } => {
            head(15, vars.len(), false, *size)?;
            words.extend(vars.iter().flat_map(|v| [v.var.0, v.offset, v.size]));
        }
        Kind::Float { size } => head(16, 0, false, *size)?,
        Kind::DeclTag { ty, component } => {
            head(17, 0, false, ty.0)?;
            words.push(component.unwrap_or(u32::MAX));
        }
        Kind::TypeTag(to) => head(18, 0, false, to.0)?,
    }
    Ok(())
}
