//! Reading a `.BTF.ext` section.

use super::parse::Reader;
use super::types::TypeId;
use super::{Btf, BtfError};

/// What a `.BTF.ext` section says of each code section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ext {
    /// Types of functions.
    pub functions: Vec<ExtSection<FuncInfo>>,
    /// Lines of source.
    pub lines: Vec<ExtSection<LineInfo>>,
    /// CO-RE relocations.
    pub relocations: Vec<ExtSection<CoreRelocation>>,
}

/// Records about one code section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtSection<T> {
    /// String: name of the code section.
    pub name: u32,
    /// Bytes of a record in the file; what is behind those that are known is only looked at for being zero.
    pub record_size: u32,
    /// Records, in the file's order.
    pub records: Vec<T>,
    /// Records with something other than zeroes behind the bytes that are known, by place, ascending.
    pub tails: Vec<usize>,
}

/// A function's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FuncInfo {
    /// First byte of the function in its section.
    pub offset: u32,
    /// Its `Func`.
    pub ty: TypeId,
}

/// The line that instructions came from, up to the next record's offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineInfo {
    /// First byte in the section.
    pub offset: u32,
    /// String: file name.
    pub file: u32,
    /// String: text of the line.
    pub text: u32,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1; 0 when unknown.
    pub column: u32,
}

/// A place that depends on the layout of the running kernel's types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoreRelocation {
    /// Byte of the instruction in the section.
    pub offset: u32,
    /// The type the access starts from, as the program was compiled.
    pub ty: TypeId,
    /// String: the path of the access, indices separated by colons.
    pub access: u32,
    /// What is asked.
    pub kind: CoreKind,
}

/// What a CO-RE relocation asks (`enum bpf_core_relo_kind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoreKind {
    /// Byte offset of a field.
    FieldOffset,
    /// Bytes of a field.
    FieldSize,
    /// Whether the field exists.
    FieldExists,
    /// Whether the field is signed.
    FieldSigned,
    /// Left shift that extracts a bit-field.
    FieldLeftShift,
    /// Right shift that extracts a bit-field.
    FieldRightShift,
    /// The type's number in the object.
    TypeIdLocal,
    /// The type's number in the kernel.
    TypeIdTarget,
    /// Whether the type exists.
    TypeExists,
    /// Bytes of the type.
    TypeSize,
    /// Whether the enumeration has the value.
    EnumValueExists,
    /// The value.
    EnumValue,
    /// Whether the type matches.
    TypeMatches,
}

impl CoreKind {
    /// All kinds, by the kernel's number.
    pub const ALL: [CoreKind; 13] = [
        CoreKind::FieldOffset,
        CoreKind::FieldSize,
        CoreKind::FieldExists,
        CoreKind::FieldSigned,
        CoreKind::FieldLeftShift,
        CoreKind::FieldRightShift,
        CoreKind::TypeIdLocal,
        CoreKind::TypeIdTarget,
        CoreKind::TypeExists,
        CoreKind::TypeSize,
        CoreKind::EnumValueExists,
        CoreKind::EnumValue,
        CoreKind::TypeMatches,
    ];

    /// What is asked, in words.
    pub const fn name(self) -> &'static str {
        match self {
            CoreKind::FieldOffset => "offset of field",
            CoreKind::FieldSize => "size of field",
            CoreKind::FieldExists => "existence of field",
            CoreKind::FieldSigned => "signedness of field",
            CoreKind::FieldLeftShift => "left shift of bit-field",
            CoreKind::FieldRightShift => "right shift of bit-field",
            CoreKind::TypeIdLocal => "number in the object of type",
            CoreKind::TypeIdTarget => "number in the kernel of type",
            CoreKind::TypeExists => "existence of type",
            CoreKind::TypeSize => "size of type",
            CoreKind::EnumValueExists => "existence of value of",
            CoreKind::EnumValue => "value of",
            CoreKind::TypeMatches => "match of type",
        }
    }
}

impl Ext {
    /// Reads a `.BTF.ext` section; types and strings are those of `btf`.
    ///
    /// # Errors
    /// Where a length, an offset, a string or the number of a type leaves its section.
    pub fn parse(bytes: &[u8], btf: &Btf) -> Result<Ext, BtfError> {
        let (mut header, body) = Reader::new(".BTF.ext", bytes).header()?;
        let part = |header: &mut Reader<'_>| {
            let (off, len) = (header.u32()?, header.u32()?);
            body.part(off, len)
        };
        let (functions, lines) = (part(&mut header)?, part(&mut header)?);
        // Older compilers write a header without the third.
        let relocations = if header.is_empty() { None } else { Some(part(&mut header)?) };

        let functions = sections(functions, btf, 8, |r| {
            let at = *r;
            let info = FuncInfo { offset: r.u32()?, ty: TypeId(r.u32()?) };
            check_type(at, btf, info.ty)?;
            Ok(info)
        })?;
        let lines = sections(lines, btf, 16, |r| {
            let at = *r;
            let (offset, file, text, place) = (r.u32()?, r.u32()?, r.u32()?, r.u32()?);
            check_string(at, btf, file)?;
            check_string(at, btf, text)?;
            Ok(LineInfo { offset, file, text, line: place >> 10, column: place & 0x3ff })
        })?;
        let relocations = match relocations {
            None => Vec::new(),
            Some(reader) => sections(reader, btf, 16, |r| {
                let at = *r;
                let (offset, ty, access, kind) = (r.u32()?, TypeId(r.u32()?), r.u32()?, r.u32()?);
                check_type(at, btf, ty)?;
                check_string(at, btf, access)?;
                let Some(&kind) = CoreKind::ALL.get(kind as usize) else {
                    return at.fail(format!("CO-RE relocation kind {kind} is not known"));
                };
                Ok(CoreRelocation { offset, ty, access, kind })
            })?,
        };
        Ok(Ext { functions, lines, relocations })
    }
}

fn check_type(at: Reader<'_>, btf: &Btf, id: TypeId) -> Result<(), BtfError> {
    let last = btf.types().len() - 1;
    if id.0 as usize > last { at.fail(format!("type {} does not exist, the last is {last}", id.0)) } else { Ok(()) }
}

fn check_string(at: Reader<'_>, btf: &Btf, off: u32) -> Result<(), BtfError> {
    if off as usize >= btf.strings.len() {
        return at.fail(format!("a string lies at byte {off} of {} of strings", btf.strings.len()));
    }
    Ok(())
}

/// Size of a record, then for each section its name, the number of records, and the records; a record may be longer
/// than what is known of it.
fn sections<'a, T>(
    mut reader: Reader<'a>,
    btf: &Btf,
    known: usize,
    mut one: impl FnMut(&mut Reader<'a>) -> Result<T, BtfError>,
) -> Result<Vec<ExtSection<T>>, BtfError> {
    let mut sections = Vec::new();
    if reader.is_empty() {
        return Ok(sections);
    }
    let size = reader.u32()? as usize;
    if size < known {
        return reader.fail(format!("a record has {size} bytes and needs {known}"));
    }
    while !reader.is_empty() {
        let at = reader;
        let (name, count) = (reader.u32()?, reader.u32()?);
        check_string(at, btf, name)?;
        let (mut records, mut tails) = (Vec::new(), Vec::new());
        for i in 0..count as usize {
            let mut record = reader.take(size)?;
            records.push(one(&mut record)?);
            if !record.is_zero() {
                tails.push(i);
            }
        }
        sections.push(ExtSection { name, record_size: size as u32, records, tails });
    }
    Ok(sections)
}
