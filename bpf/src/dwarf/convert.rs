//! BTF out of DWARF.
//!
//! Types come in the order of their entries, functions behind them. What C has and BTF lacks keeps its layout: a base
//! type that is neither integer nor floating point becomes an array of bytes, an atomic type the type itself.

use gimli::constants as dw;

use super::entries::{Entry, entries, is_type};
use super::{DwarfError, Sections};
use crate::btf::build::Builder;
use crate::btf::{Btf, BtfError, Encoding, EnumValue, FuncLinkage, Kind, Member, NameOff, Param, TypeId};
use crate::insn::Endian;

/// Longest chain of instances of one another that is followed.
const ORIGINS: usize = 8;
/// Name of the integer that indexes arrays, as clang calls it.
const INDEX: &str = "__ARRAY_SIZE_TYPE__";

impl From<BtfError> for DwarfError {
    fn from(e: BtfError) -> Self {
        DwarfError { reason: e.reason }
    }
}

/// The types, and the functions with code, that the debug sections describe.
///
/// Functions with a parameter that has no name are left out, as `pahole` does: Linux refuses them. So are variables,
/// which `pahole` takes only from the kernel itself, and tags (`btf_decl_tag`, `btf_type_tag`).
///
/// # Errors
/// Damaged sections; what is larger than BTF can say.
pub fn types(sections: &Sections<'_>) -> Result<Btf, DwarfError> {
    let entries = entries(sections)?;
    let mut convert = Convert {
        entries: &entries,
        order: sections.order,
        ids: Vec::new(),
        out: Builder::default(),
        index: None,
        byte: None,
    };
    convert.number();
    for (at, entry) in entries.iter().enumerate().filter(|(_, entry)| is_type(entry.tag)) {
        convert.one(at, entry)?;
    }
    for entry in &entries {
        if entry.tag == dw::DW_TAG_subprogram {
            convert.function(entry)?;
        }
    }
    Ok(convert.out.finish().unified())
}

struct Convert<'a> {
    entries: &'a [Entry],
    order: Endian,
    /// Types by place of their entry; `void` for entries that are none.
    ids: Vec<TypeId>,
    out: Builder,
    /// What indexes arrays that do not say it.
    index: Option<TypeId>,
    /// A byte.
    byte: Option<TypeId>,
}

impl<'a> Convert<'a> {
    /// Gives every type its number, so that those before can refer to it.
    fn number(&mut self) {
        for entry in self.entries {
            let id = if is_type(entry.tag) { self.out.push(NameOff::NONE, Kind::Void) } else { TypeId::VOID };
            self.ids.push(id);
        }
    }

    fn find(&self, offset: Option<u64>) -> Option<usize> {
        self.entries.binary_search_by_key(&offset?, |e| e.offset).ok()
    }

    /// The type that an entry is of.
    fn of(&self, offset: Option<u64>) -> TypeId {
        self.find(offset).map_or(TypeId::VOID, |at| self.ids[at])
    }

    fn children(&self, entry: &'a Entry) -> impl Iterator<Item = &'a Entry> + use<'a> {
        let entries = self.entries;
        entry.children.iter().map(move |&at| &entries[at as usize])
    }

    fn one(&mut self, at: usize, entry: &'a Entry) -> Result<(), DwarfError> {
        let (id, to) = (self.ids[at], self.of(entry.ty));
        let unnamed = |kind: Kind| (NameOff::NONE, kind);
        let (name, kind) = match entry.tag {
            dw::DW_TAG_base_type => {
                let kind = self.base(entry)?;
                let name =
                    if matches!(kind, Kind::Array { .. }) { NameOff::NONE } else { self.out.name(&entry.name)? };
                (name, kind)
            }
            dw::DW_TAG_typedef => (self.out.name(&entry.name)?, Kind::Typedef(to)),
            dw::DW_TAG_const_type => unnamed(Kind::Const(to)),
            dw::DW_TAG_volatile_type => unnamed(Kind::Volatile(to)),
            dw::DW_TAG_restrict_type => unnamed(Kind::Restrict(to)),
            // BTF has none: the qualifier that says least stands for it.
            dw::DW_TAG_atomic_type => unnamed(Kind::Volatile(to)),
            dw::DW_TAG_array_type => unnamed(self.array(entry, to)?),
            dw::DW_TAG_structure_type | dw::DW_TAG_class_type | dw::DW_TAG_union_type => {
                let is_union = entry.tag == dw::DW_TAG_union_type;
                let kind = if entry.declaration { Kind::Fwd { is_union } } else { self.composite(entry, is_union)? };
                (self.out.name(&entry.name)?, kind)
            }
            dw::DW_TAG_enumeration_type => (self.out.name(&entry.name)?, self.enumeration(entry)?),
            dw::DW_TAG_subroutine_type => unnamed(self.prototype(entry, to, false)?),
            _ => unnamed(Kind::Ptr(to)),
        };
        self.out.set(id, name, kind);
        Ok(())
    }

    fn base(&mut self, entry: &Entry) -> Result<Kind, DwarfError> {
        let size = small(entry.size.unwrap_or(0), "a base type", "bytes")?;
        let int = |encoding| Kind::Int { size, encoding, bit_offset: 0, bits: (size * 8) as u8 };
        let is_number = matches!(size, 1 | 2 | 4 | 8 | 16);
        Ok(match dw::DwAte(entry.encoding.unwrap_or(0)) {
            dw::DW_ATE_boolean if is_number => int(Encoding::Bool),
            dw::DW_ATE_signed | dw::DW_ATE_signed_char if is_number => int(Encoding::Signed),
            dw::DW_ATE_unsigned | dw::DW_ATE_unsigned_char | dw::DW_ATE_UTF | dw::DW_ATE_address if is_number => {
                int(Encoding::Unsigned)
            }
            dw::DW_ATE_float if matches!(size, 2 | 4 | 8 | 12 | 16) => Kind::Float { size },
            _ => Kind::Array { element: self.byte()?, index: self.index()?, len: size },
        })
    }

    fn byte(&mut self) -> Result<TypeId, DwarfError> {
        if let Some(byte) = self.byte {
            return Ok(byte);
        }
        let name = self.out.name("unsigned char")?;
        let kind = Kind::Int { size: 1, encoding: Encoding::Unsigned, bit_offset: 0, bits: 8 };
        Ok(*self.byte.insert(self.out.push(name, kind)))
    }

    fn index(&mut self) -> Result<TypeId, DwarfError> {
        if let Some(index) = self.index {
            return Ok(index);
        }
        let name = self.out.name(INDEX)?;
        let kind = Kind::Int { size: 4, encoding: Encoding::Unsigned, bit_offset: 0, bits: 32 };
        Ok(*self.index.insert(self.out.push(name, kind)))
    }

    /// An array, with one of its own for each dimension but the first.
    fn array(&mut self, entry: &'a Entry, element: TypeId) -> Result<Kind, DwarfError> {
        let index = self.index()?;
        let mut lens = Vec::new();
        for dimension in self.children(entry).filter(|c| c.tag == dw::DW_TAG_subrange_type) {
            lens.push(small(dimension.value.map_or(0, |(len, _)| len), "an array", "elements")?);
        }
        let first = if lens.is_empty() { 0 } else { lens.remove(0) };
        let mut element = element;
        for len in lens.into_iter().rev() {
            element = self.out.push(NameOff::NONE, Kind::Array { element, index, len });
        }
        Ok(Kind::Array { element, index, len: first })
    }

    fn composite(&mut self, entry: &'a Entry, is_union: bool) -> Result<Kind, DwarfError> {
        let size = small(entry.size.unwrap_or(0), "a structure", "bytes")?;
        let mut members = Vec::new();
        // A static member of another language's is no part of a value.
        for member in self.children(entry).filter(|c| c.tag == dw::DW_TAG_member && !c.external && !c.declaration) {
            let bits = member.place.width.unwrap_or(0);
            let first = self.first_bit(member, bits);
            let bit_offset = small(first, "a structure", "bits before a member")?;
            let bits = u8::try_from(bits).map_err(|_| too_large("a bit-field", bits, "bits"))?;
            members.push(Member { name: self.out.name(&member.name)?, ty: self.of(member.ty), bit_offset, bits });
        }
        Ok(if is_union { Kind::Union { size, members } } else { Kind::Struct { size, members } })
    }

    /// A member's first bit from the start of the structure, counted as the machine's order of bytes does.
    fn first_bit(&self, member: &Entry, bits: u64) -> u64 {
        let place = member.place;
        let start = place.bytes.saturating_mul(8);
        match (place.data_bits, place.high_bits) {
            (Some(bits), _) => start.saturating_add(bits),
            (None, Some(high)) if self.order == Endian::Little => {
                let unit = member.size.or_else(|| self.size(member.ty)).unwrap_or(4).saturating_mul(8);
                start.saturating_add(unit).saturating_sub(bits).saturating_add_signed(high.saturating_neg())
            }
            (None, high) => start.saturating_add_signed(high.unwrap_or(0)),
        }
    }

    /// Bytes of a base type or enumeration behind typedefs and qualifiers.
    fn size(&self, ty: Option<u64>) -> Option<u64> {
        let mut ty = ty;
        for _ in 0..=ORIGINS {
            let entry = &self.entries[self.find(ty)?];
            if entry.size.is_some() {
                return entry.size;
            }
            ty = entry.ty;
        }
        None
    }

    /// Whether a base type behind typedefs has a sign.
    fn is_signed(&self, ty: Option<u64>) -> Option<bool> {
        let mut ty = ty;
        for _ in 0..=ORIGINS {
            let entry = &self.entries[self.find(ty)?];
            match entry.encoding {
                Some(encoding) => {
                    return Some(matches!(dw::DwAte(encoding), dw::DW_ATE_signed | dw::DW_ATE_signed_char));
                }
                None => ty = entry.ty,
            }
        }
        None
    }

    fn enumeration(&mut self, entry: &'a Entry) -> Result<Kind, DwarfError> {
        let size = match entry.size.or_else(|| self.size(entry.ty)).unwrap_or(4) {
            size @ (1 | 2 | 4 | 8) => size as u32,
            size => return Err(too_large("an enumeration", size, "bytes")),
        };
        let values: Vec<&Entry> = self.children(entry).filter(|c| c.tag == dw::DW_TAG_enumerator).collect();
        let negative = || values.iter().any(|v| v.value.is_some_and(|(_, signed)| signed < 0));
        let signed = self.is_signed(entry.ty).unwrap_or_else(negative);
        let shift = 64 - 8 * size;
        let mut list = Vec::with_capacity(values.len());
        for value in values {
            let (plain, with_sign) = value.value.unwrap_or_default();
            let number = if signed { (with_sign << shift >> shift) as u64 } else { plain << shift >> shift };
            list.push(EnumValue { name: self.out.name(&value.name)?, value: number });
        }
        Ok(Kind::Enum { size, signed, values: list })
    }

    fn prototype(&mut self, entry: &'a Entry, result: TypeId, named: bool) -> Result<Kind, DwarfError> {
        let mut params = Vec::new();
        for child in self.children(entry) {
            match child.tag {
                dw::DW_TAG_formal_parameter => {
                    let origin = self.origin(child);
                    let name = if named { self.out.name(&origin.name)? } else { NameOff::NONE };
                    params.push(Param { name, ty: self.of(origin.ty) });
                }
                dw::DW_TAG_unspecified_parameters => params.push(Param { name: NameOff::NONE, ty: TypeId::VOID }),
                _ => {}
            }
        }
        // An old way to write "whatever comes": a single one without type says the same in BTF.
        Ok(Kind::FuncProto { result, params })
    }

    /// The entry that describes what this one is an instance of.
    fn origin(&self, entry: &'a Entry) -> &'a Entry {
        let mut entry = entry;
        for _ in 0..ORIGINS {
            match self.find(entry.origin) {
                Some(at) => entry = &self.entries[at],
                None => break,
            }
        }
        entry
    }

    fn function(&mut self, entry: &'a Entry) -> Result<(), DwarfError> {
        if !entry.has_code {
            return Ok(());
        }
        let described = self.origin(entry);
        let unnamed = |c: &Entry| c.tag == dw::DW_TAG_formal_parameter && c.name.is_empty();
        if described.name.is_empty() || self.children(described).any(unnamed) {
            return Ok(());
        }
        let kind = self.prototype(described, self.of(described.ty), true)?;
        let proto = self.out.push(NameOff::NONE, kind);
        let name = self.out.name(&described.name)?;
        let linkage = if described.external { FuncLinkage::Global } else { FuncLinkage::Static };
        self.out.push(name, Kind::Func { linkage, proto });
        Ok(())
    }
}

fn too_large(what: &str, actual: u64, unit: &str) -> DwarfError {
    DwarfError { reason: format!("{what} has {actual} {unit}, which BTF cannot say") }
}

fn small(number: u64, what: &str, unit: &str) -> Result<u32, DwarfError> {
    u32::try_from(number).map_err(|_| too_large(what, number, unit))
}
