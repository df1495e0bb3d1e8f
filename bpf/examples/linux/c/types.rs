//! Types of values.

use std::rc::Rc;

/// A type of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Int {
    pub bits: u32,
    pub signed: bool,
}

impl Int {
    pub const INT: Int = Int { bits: 32, signed: true };
    pub const UNSIGNED: Int = Int { bits: 32, signed: false };
    pub const LONG: Int = Int { bits: 64, signed: true };
    pub const UNSIGNED_LONG: Int = Int { bits: 64, signed: false };

    /// A value's low bits, extended to a cell as the type says.
    pub fn fit(self, value: u64) -> u64 {
        let unused = 64 - self.bits;
        if self.signed { ((value << unused) as i64 >> unused) as u64 } else { value << unused >> unused }
    }

    /// What it becomes in arithmetic (C11, 6.3.1.1).
    pub fn promoted(self) -> Int {
        if self.bits < 32 { Int::INT } else { self }
    }

    /// What two numbers become together (C11, 6.3.1.8).
    pub fn common(self, other: Int) -> Int {
        let (one, two) = (self.promoted(), other.promoted());
        match one.bits.cmp(&two.bits) {
            std::cmp::Ordering::Less => two,
            std::cmp::Ordering::Greater => one,
            std::cmp::Ordering::Equal => Int { bits: one.bits, signed: one.signed && two.signed },
        }
    }
}

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    Void,
    Int(Int),
    Pointer(Rc<Type>),
    Array(Rc<Type>, usize),
    Struct(Rc<Struct>),
    /// What a pointer to a function points to.
    Function,
}

/// A structure, or a union, whose members lie beside each other here.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Struct {
    pub members: Vec<Member>,
    pub cells: usize,
}

/// A member of a structure.
#[derive(Debug, PartialEq, Eq)]
pub struct Member {
    /// Empty for one whose members are its owner's.
    pub name: String,
    /// Its first cell.
    pub at: usize,
    pub ty: Type,
}

impl Struct {
    pub fn push(&mut self, name: String, ty: Type) {
        let at = self.cells;
        self.cells += ty.cells();
        self.members.push(Member { name, at, ty });
    }

    /// The member of a name, also of members without one.
    pub fn member(&self, name: &str) -> Option<(usize, Type)> {
        self.members.iter().find_map(|member| match &member.ty {
            Type::Struct(inner) if member.name.is_empty() => inner.member(name).map(|(at, ty)| (member.at + at, ty)),
            ty => (member.name == name).then(|| (member.at, ty.clone())),
        })
    }
}

impl Type {
    pub fn cells(&self) -> usize {
        match self {
            Type::Void | Type::Int(_) | Type::Pointer(_) | Type::Function => 1,
            Type::Array(of, count) => of.cells() * count,
            Type::Struct(of) => of.cells,
        }
    }

    pub fn pointer(self) -> Type {
        Type::Pointer(Rc::new(self))
    }

    /// The number type that arithmetic takes it for.
    pub fn int(&self) -> Int {
        if let Type::Int(int) = self { *int } else { Int::UNSIGNED_LONG }
    }

    /// A type of one word.
    pub fn named(name: &str) -> Option<Type> {
        let (bits, signed) = match name {
            "void" => return Some(Type::Void),
            "bool" => (1, false),
            "char" | "s8" | "__s8" => (8, true),
            "u8" | "__u8" | "uint8_t" => (8, false),
            "short" | "s16" | "__s16" => (16, true),
            "u16" | "__u16" | "__be16" => (16, false),
            "int" | "s32" | "__s32" => (32, true),
            "unsigned" | "u32" | "__u32" | "__be32" => (32, false),
            "long" | "s64" | "__s64" => (64, true),
            "u64" | "__u64" | "uint64_t" | "size_t" | "__aligned_u64" => (64, false),
            _ => return None,
        };
        Some(Type::Int(Int { bits, signed }))
    }
}
