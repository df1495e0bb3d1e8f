//! Types, and questions about them.

use std::borrow::Cow;

/// Number of a type in its [`Btf`]; 0 is `void`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(pub u32);

impl TypeId {
    /// `void`.
    pub const VOID: TypeId = TypeId(0);
}

/// Offset of a name in the string section; 0 is the empty name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NameOff(pub(super) u32);

impl NameOff {
    /// No name.
    pub const NONE: NameOff = NameOff(0);
}

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Type {
    /// Its name, empty for many kinds.
    pub name: NameOff,
    /// What it is.
    pub kind: Kind,
}

/// What a type is (`BTF_KIND_*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Type 0.
    Void,
    /// Integer.
    Int {
        /// Bytes.
        size: u32,
        /// How it is read.
        encoding: Encoding,
        /// First bit of the value in the bytes.
        bit_offset: u8,
        /// Bits of the value.
        bits: u8,
    },
    /// Pointer.
    Ptr(TypeId),
    /// Array.
    Array {
        /// Element.
        element: TypeId,
        /// Type of an index.
        index: TypeId,
        /// Elements.
        len: u32,
    },
    /// Structure.
    Struct {
        /// Bytes.
        size: u32,
        /// Members, by position.
        members: Vec<Member>,
    },
    /// Union.
    Union {
        /// Bytes.
        size: u32,
        /// Members.
        members: Vec<Member>,
    },
    /// Enumeration (`ENUM` and `ENUM64`).
    Enum {
        /// Bytes.
        size: u32,
        /// Whether values are signed.
        signed: bool,
        /// Values.
        values: Vec<EnumValue>,
    },
    /// A structure or union declared and not defined.
    Fwd {
        /// Whether it is a union.
        is_union: bool,
    },
    /// `typedef`.
    Typedef(TypeId),
    /// `volatile`.
    Volatile(TypeId),
    /// `const`.
    Const(TypeId),
    /// `restrict`.
    Restrict(TypeId),
    /// `btf_type_tag`; the tag is the name.
    TypeTag(TypeId),
    /// Function.
    Func {
        /// Linkage.
        linkage: FuncLinkage,
        /// Its prototype.
        proto: TypeId,
    },
    /// Prototype.
    FuncProto {
        /// Result.
        result: TypeId,
        /// Parameters; a last one without name and type stands for `...`.
        params: Vec<Param>,
    },
    /// Global or static variable.
    Var {
        /// Linkage.
        linkage: VarLinkage,
        /// Its type.
        ty: TypeId,
    },
    /// A section of variables; the name is the section's.
    DataSec {
        /// Bytes, 0 in an object that is not linked.
        size: u32,
        /// Variables.
        vars: Vec<DataVar>,
    },
    /// Floating point.
    Float {
        /// Bytes.
        size: u32,
    },
    /// `btf_decl_tag`; the tag is the name.
    DeclTag {
        /// What it is on.
        ty: TypeId,
        /// Member or parameter; `None` for the whole.
        component: Option<u32>,
    },
}

/// How an integer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Unsigned.
    Unsigned,
    /// Signed.
    Signed,
    /// A character.
    Char,
    /// A truth value.
    Bool,
}

/// Member of a structure or union.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Name; empty for an anonymous structure or union.
    pub name: NameOff,
    /// Type.
    pub ty: TypeId,
    /// First bit from the start of the structure.
    pub bit_offset: u32,
    /// Bits of a bit-field, else 0.
    pub bits: u8,
}

/// Value of an enumeration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnumValue {
    /// Name.
    pub name: NameOff,
    /// Value, sign- or zero-extended to 64 bits by the enumeration's signedness.
    pub value: u64,
}

/// Parameter of a prototype.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param {
    /// Name; may be empty.
    pub name: NameOff,
    /// Type.
    pub ty: TypeId,
}

/// A variable's place in its section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataVar {
    /// The variable.
    pub var: TypeId,
    /// Byte in the section, 0 in an object that is not linked.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

/// Linkage of a function (`enum btf_func_linkage`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FuncLinkage {
    /// `static`.
    Static,
    /// Defined, visible; the verifier checks it on its own.
    Global,
    /// Defined elsewhere: a kernel function.
    Extern,
}

/// Linkage of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VarLinkage {
    /// `static`.
    Static,
    /// Defined, visible.
    Global,
    /// Defined elsewhere.
    Extern,
}

/// Types by number, and their strings.
#[derive(Clone, PartialEq, Eq)]
pub struct Btf {
    pub(super) types: Vec<Type>,
    pub(super) strings: Vec<u8>,
}

/// Longest chain of typedefs, qualifiers and arrays that is followed; the kernel's limit is 32 (`MAX_RESOLVE_DEPTH`).
const DEPTH: usize = 32;

/// Longest string that is read, in bytes, so that many short records that share a long string stay cheap.
const STRING_MAX: usize = 4096;

/// Counts alone: whatever holds types would print them all.
impl std::fmt::Debug for Btf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Btf({} types, {} bytes of strings)", self.types.len(), self.strings.len())
    }
}

/// A name from a file in one line: control characters are replaced.
pub(crate) fn printable(name: Cow<'_, str>) -> Cow<'_, str> {
    if name.contains(char::is_control) { Cow::Owned(name.replace(char::is_control, "\u{fffd}")) } else { name }
}

impl Btf {
    /// All types, `void` first.
    pub fn types(&self) -> &[Type] {
        &self.types
    }

    /// The type of that number; `void` for a number of another [`Btf`] that this has not.
    pub fn get(&self, id: TypeId) -> &Type {
        self.types.get(id.0 as usize).unwrap_or(&self.types[0])
    }

    /// The string at an offset, if the section has one there; the first 4 KiB of it. Bytes that are not UTF-8 are
    /// replaced.
    pub fn string(&self, off: u32) -> Option<Cow<'_, str>> {
        let rest = self.strings.get(off as usize..)?;
        let rest = &rest[..rest.len().min(STRING_MAX)];
        let end = rest.iter().position(|&b| b == 0).unwrap_or(rest.len());
        Some(String::from_utf8_lossy(&rest[..end]))
    }

    /// A name of something in this [`Btf`]; what would break a line is replaced.
    pub fn name(&self, name: NameOff) -> Cow<'_, str> {
        printable(self.string(name.0).unwrap_or_default())
    }

    /// The name of a type.
    pub fn type_name(&self, id: TypeId) -> Cow<'_, str> {
        self.name(self.get(id).name)
    }

    /// Types with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (TypeId, &Type)> {
        self.types.iter().enumerate().map(|(i, t)| (TypeId(i as u32), t))
    }

    /// What is behind typedefs, qualifiers and type tags; `None` where the chain is longer than 32.
    pub fn resolve(&self, mut id: TypeId) -> Option<TypeId> {
        for _ in 0..=DEPTH {
            match self.get(id).kind {
                Kind::Typedef(t) | Kind::Volatile(t) | Kind::Const(t) | Kind::Restrict(t) | Kind::TypeTag(t) => id = t,
                _ => return Some(id),
            }
        }
        None
    }

    /// Bytes of a value of the type; `None` for what has no size (void, functions, forward declarations), for arrays
    /// above 4 GiB and for chains longer than 32.
    pub fn size_of(&self, mut id: TypeId) -> Option<u32> {
        let mut count = 1u32;
        for _ in 0..=DEPTH {
            id = self.resolve(id)?;
            let one = match self.get(id).kind {
                Kind::Int { size, .. }
                | Kind::Struct { size, .. }
                | Kind::Union { size, .. }
                | Kind::Enum { size, .. }
                | Kind::DataSec { size, .. }
                | Kind::Float { size } => size,
                Kind::Ptr(_) => 8,
                Kind::Array { element, len, .. } => {
                    count = count.checked_mul(len)?;
                    id = element;
                    continue;
                }
                Kind::Var { ty, .. } => {
                    id = ty;
                    continue;
                }
                _ => return None,
            };
            return count.checked_mul(one);
        }
        None
    }

    /// The members of a structure or union, after typedefs and qualifiers; `None` for other types.
    pub fn members(&self, id: TypeId) -> Option<&[Member]> {
        match &self.get(self.resolve(id)?).kind {
            Kind::Struct { members, .. } | Kind::Union { members, .. } => Some(members),
            _ => None,
        }
    }

    /// The section of variables of that name.
    pub fn data_section(&self, name: &str) -> Option<&[DataVar]> {
        self.types.iter().find_map(|t| match &t.kind {
            Kind::DataSec { vars, .. } if self.name(t.name) == name => Some(vars.as_slice()),
            _ => None,
        })
    }
}
