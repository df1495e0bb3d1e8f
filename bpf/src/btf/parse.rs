//! Reading a `.BTF` section.

use super::BtfError;
use super::types::{
    Btf, DataVar, Encoding, EnumValue, FuncLinkage, Kind, Member, NameOff, Param, Type, TypeId, VarLinkage,
};
use crate::insn::Endian;

/// First two bytes, in the file's byte order.
const MAGIC: u16 = 0xeb9f;

/// Bytes not yet read of one of the two sections.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    section: &'static str,
    rest: &'a [u8],
    offset: usize,
    order: Endian,
}

impl<'a> Reader<'a> {
    pub(super) fn new(section: &'static str, bytes: &'a [u8]) -> Self {
        Self { section, rest: bytes, offset: 0, order: Endian::Little }
    }

    pub(super) fn fail<T>(&self, reason: impl Into<String>) -> Result<T, BtfError> {
        Err(BtfError { section: self.section, offset: self.offset, reason: reason.into() })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Whether all that is left is zeroes.
    pub(super) fn is_zero(&self) -> bool {
        self.rest.iter().all(|&b| b == 0)
    }

    pub(super) fn take(&mut self, len: usize) -> Result<Reader<'a>, BtfError> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return self.fail(format!("{len} bytes are needed and {} are left", self.rest.len()));
        };
        let taken = Reader { rest: taken, ..*self };
        self.rest = rest;
        self.offset += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BtfError> {
        let taken = self.take(N)?;
        Ok(*taken.rest.first_chunk().expect("take gave N bytes"))
    }

    pub(super) fn u8(&mut self) -> Result<u8, BtfError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, BtfError> {
        let from = if self.order == Endian::Big { u16::from_be_bytes } else { u16::from_le_bytes };
        self.array().map(from)
    }

    pub(super) fn u32(&mut self) -> Result<u32, BtfError> {
        let from = if self.order == Endian::Big { u32::from_be_bytes } else { u32::from_le_bytes };
        self.array().map(from)
    }

    /// Magic number, version, flags and length of the header; leaves the reader inside the header.
    ///
    /// The sections that the header places count from its end.
    pub(super) fn header(&mut self) -> Result<(Reader<'a>, Reader<'a>), BtfError> {
        let mut whole = *self;
        match self.u16()? {
            MAGIC => {}
            magic if magic.swap_bytes() == MAGIC => {
                self.order = Endian::Big;
                whole.order = Endian::Big;
            }
            magic => return whole.fail(format!("the magic number is {magic:#06x} and must be {MAGIC:#06x}")),
        }
        match self.u8()? {
            1 => {}
            version => return whole.fail(format!("BTF version {version} is not known, only 1 is")),
        }
        let _flags = self.u8()?;
        let header_len = self.u32()? as usize;
        let mut body = whole;
        let mut header = body.take(header_len)?;
        header.take(8)?;
        Ok((header, body))
    }

    /// The bytes at an offset that a header gives.
    pub(super) fn part(&self, offset: u32, len: u32) -> Result<Reader<'a>, BtfError> {
        let mut reader = *self;
        reader.take(offset as usize)?;
        reader.take(len as usize)
    }
}

impl Btf {
    /// Reads a `.BTF` section.
    ///
    /// # Errors
    /// Where a length, an offset or the number of a type leaves the section, or a kind is not known.
    pub fn parse(bytes: &[u8]) -> Result<Btf, BtfError> {
        let (mut header, body) = Reader::new(".BTF", bytes).header()?;
        let (type_off, type_len) = (header.u32()?, header.u32()?);
        let (string_off, string_len) = (header.u32()?, header.u32()?);
        let mut reader = body.part(type_off, type_len)?;
        let strings = body.part(string_off, string_len)?;
        if strings.rest.first() != Some(&0) || strings.rest.last() != Some(&0) {
            return strings.fail("the strings must begin and end with a zero byte");
        }
        let mut types = vec![Type { name: NameOff(0), kind: Kind::Void }];
        let mut places = vec![reader];
        while !reader.is_empty() {
            places.push(reader);
            types.push(read_type(&mut reader)?);
        }
        let count = types.len() as u64;
        for (ty, at) in types.iter().zip(&places) {
            for name in names(ty) {
                if name.0 as usize >= strings.rest.len() {
                    return at.fail(format!("a name lies at byte {} of {} of strings", name.0, strings.rest.len()));
                }
            }
            for id in references(ty) {
                if u64::from(id.0) >= count {
                    return at.fail(format!("type {} does not exist, the last is {}", id.0, count - 1));
                }
            }
        }
        Ok(Btf { types, strings: strings.rest.to_vec() })
    }
}

/// `struct btf_type` and what follows it.
fn read_type(reader: &mut Reader<'_>) -> Result<Type, BtfError> {
    let start = *reader;
    let name = NameOff(reader.u32()?);
    let info = reader.u32()?;
    // The third word is a size or a type, by kind.
    let word = reader.u32()?;
    let (count, flag) = (info as u16, info >> 31 != 0);
    let size = word;
    let ty = TypeId(word);
    let kind = match info >> 24 & 31 {
        1 => {
            let bits = reader.u32()?;
            let encoding = match bits >> 24 & 15 {
                0 => Encoding::Unsigned,
                1 => Encoding::Signed,
                2 => Encoding::Char,
                4 => Encoding::Bool,
                other => return start.fail(format!("integer encoding {other} is not known")),
            };
            Kind::Int { size, encoding, bit_offset: (bits >> 16) as u8, bits: bits as u8 }
        }
        2 => Kind::Ptr(ty),
        3 => Kind::Array { element: TypeId(reader.u32()?), index: TypeId(reader.u32()?), len: reader.u32()? },
        kind @ (4 | 5) => {
            let members = many(reader, count, |r| {
                let (name, ty, offset) = (NameOff(r.u32()?), TypeId(r.u32()?), r.u32()?);
                // With the kind flag the offset's high byte is the width of a bit-field.
                let (bit_offset, bits) = if flag { (offset & 0xff_ffff, (offset >> 24) as u8) } else { (offset, 0) };
                Ok(Member { name, ty, bit_offset, bits })
            })?;
            if kind == 4 { Kind::Struct { size, members } } else { Kind::Union { size, members } }
        }
        6 => {
            let values = many(reader, count, |r| {
                let (name, value) = (NameOff(r.u32()?), r.u32()?);
                let value = if flag { i64::from(value as i32) as u64 } else { u64::from(value) };
                Ok(EnumValue { name, value })
            })?;
            Kind::Enum { size, signed: flag, values }
        }
        7 => Kind::Fwd { is_union: flag },
        8 => Kind::Typedef(ty),
        9 => Kind::Volatile(ty),
        10 => Kind::Const(ty),
        11 => Kind::Restrict(ty),
        12 => {
            let linkage = match count {
                0 => FuncLinkage::Static,
                1 => FuncLinkage::Global,
                2 => FuncLinkage::Extern,
                other => return start.fail(format!("function linkage {other} is not known")),
            };
            Kind::Func { linkage, proto: ty }
        }
        13 => {
            let params = many(reader, count, |r| Ok(Param { name: NameOff(r.u32()?), ty: TypeId(r.u32()?) }))?;
            Kind::FuncProto { result: ty, params }
        }
        14 => {
            let linkage = match reader.u32()? {
                0 => VarLinkage::Static,
                1 => VarLinkage::Global,
                2 => VarLinkage::Extern,
                other => return start.fail(format!("variable linkage {other} is not known")),
            };
            Kind::Var { linkage, ty }
        }
        15 => {
            let vars =
                many(reader, count, |r| Ok(DataVar { var: TypeId(r.u32()?), offset: r.u32()?, size: r.u32()? }))?;
            Kind::DataSec { size, vars }
        }
        16 => Kind::Float { size },
        17 => {
            let component = reader.u32()?;
            Kind::DeclTag { ty, component: (component != u32::MAX).then_some(component) }
        }
        18 => Kind::TypeTag(ty),
        19 => {
            let values = many(reader, count, |r| {
                let (name, low, high) = (NameOff(r.u32()?), r.u32()?, r.u32()?);
                Ok(EnumValue { name, value: u64::from(high) << 32 | u64::from(low) })
            })?;
            Kind::Enum { size, signed: flag, values }
        }
        other => return start.fail(format!("type kind {other} is not known")),
    };
    Ok(Type { name, kind })
}

fn many<'a, T>(
    reader: &mut Reader<'a>,
    count: u16,
    mut one: impl FnMut(&mut Reader<'a>) -> Result<T, BtfError>,
) -> Result<Vec<T>, BtfError> {
    (0..count).map(|_| one(reader)).collect()
}

fn names(ty: &Type) -> impl Iterator<Item = NameOff> {
    let inner: Vec<NameOff> = match &ty.kind {
        Kind::Struct { members, .. } | Kind::Union { members, .. } => members.iter().map(|m| m.name).collect(),
        Kind::Enum { values, .. } => values.iter().map(|v| v.name).collect(),
        Kind::FuncProto { params, .. } => params.iter().map(|p| p.name).collect(),
        _ => Vec::new(),
    };
    std::iter::once(ty.name).chain(inner)
}

fn references(ty: &Type) -> Vec<TypeId> {
    match &ty.kind {
        Kind::Void | Kind::Int { .. } | Kind::Enum { .. } | Kind::Fwd { .. } | Kind::Float { .. } => Vec::new(),
        Kind::Ptr(t)
        | Kind::Typedef(t)
        | Kind::Volatile(t)
        | Kind::Const(t)
        | Kind::Restrict(t)
        | Kind::TypeTag(t)
        | Kind::Func { proto: t, .. }
        | Kind::Var { ty: t, .. }
        | Kind::DeclTag { ty: t, .. } => vec![*t],
        Kind::Array { element, index, .. } => vec![*element, *index],
        Kind::Struct { members, .. } | Kind::Union { members, .. } => members.iter().map(|m| m.ty).collect(),
        Kind::FuncProto { result, params } => params.iter().map(|p| p.ty).chain([*result]).collect(),
        Kind::DataSec { vars, .. } => vars.iter().map(|v| v.var).collect(),
    }
}
