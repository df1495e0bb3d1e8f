//! Which encodings are instructions: the opcode table of RFC 9669 (appendix A), row by row, and what Linux 6.18 and the
//! compilers have beyond it.
//!
//! An opcode may have several rows, told apart by source, offset or immediate. What is in no row is no instruction.
//! The table adds to the appendix what its text leaves to the sections:
//!
//! - the sign-extending loads 0x81, 0x89 and 0x91 (§5.2);
//! - the destination register, which must be 0 where the instruction has none (§3: unused fields are cleared);
//! - for the packet instructions, which the appendix calls implementation-specific, the fields Linux asks to be zero.
//!
//! Rows of the groups [`Group::Linux`] and [`Group::Compiler`] are not the RFC's. Two of Linux's are offsets: it does not
//! look at the one of `exit`, and takes the one of a kernel function's call for a module.

use super::raw::RawInsn;

/// What a field may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Anything; for a register, 0 to 10.
    Any,
    /// This value only; 0 for a reserved field.
    Is(i32),
    /// Anything but 0.
    Nonzero,
    /// The number of a register, 1 to 10, in a field that is not a register's.
    Number,
}

impl Rule {
    /// Whether a field may hold the value.
    pub const fn allows(self, value: i32) -> bool {
        match self {
            Rule::Any => true,
            Rule::Is(only) => value == only,
            Rule::Nonzero => value != 0,
            Rule::Number => 1 <= value && value <= 10,
        }
    }
}

/// Conformance group (RFC 9669 §2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// `base32`
    Base32,
    /// `base64`
    Base64,
    /// `divmul32`: multiplication, division and remainder.
    DivMul32,
    /// `divmul64`
    DivMul64,
    /// `atomic32`
    Atomic32,
    /// `atomic64`
    Atomic64,
    /// `packet`, historical.
    Packet,
    /// Not the RFC's: Linux has it.
    Linux,
    /// Not the RFC's: compilers emit it, Linux refuses it.
    Compiler,
}

impl Group {
    /// The registry's name; for what is in none, where it comes from.
    pub const fn name(self) -> &'static str {
        match self {
            Group::Base32 => "base32",
            Group::Base64 => "base64",
            Group::DivMul32 => "divmul32",
            Group::DivMul64 => "divmul64",
            Group::Atomic32 => "atomic32",
            Group::Atomic64 => "atomic64",
            Group::Packet => "packet",
            Group::Linux => "linux",
            Group::Compiler => "compiler",
        }
    }
}

/// A row of the table; its columns are the appendix's, in its order, after the destination's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Opcode.
    pub opcode: u8,
    /// Destination register.
    pub dst: Rule,
    /// Source register, or pseudo source.
    pub src: Rule,
    /// Offset.
    pub off: Rule,
    /// Immediate.
    pub imm: Rule,
    /// Conformance group.
    pub group: Group,
}

/// A field of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// Destination register.
    Dst,
    /// Source register.
    Src,
    /// Offset.
    Off,
    /// Immediate.
    Imm,
}

impl Field {
    /// RFC 9669's name.
    pub const fn name(self) -> &'static str {
        match self {
            Field::Dst => "dst_reg",
            Field::Src => "src_reg",
            Field::Off => "offset",
            Field::Imm => "imm",
        }
    }
}

/// Why an encoding is no instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Illegal {
    /// No row has the opcode.
    Opcode,
    /// A register above R10.
    Register(Field),
    /// A field holds a value that no row of this opcode allows.
    Reserved(Field),
}

/// All rows, by opcode, then source, offset and immediate.
pub static FORMS: [Form; ROWS] = [
    row(0x00, ZERO, ZERO, ANY, Group::Base64),
    row(0x04, ZERO, ZERO, ANY, Group::Base32),
    row(0x05, ZERO, ANY, ZERO, Group::Base32),
    row(0x06, ZERO, ZERO, ANY, Group::Base32),
    row(0x07, ZERO, ZERO, ANY, Group::Base64),
    row(0x0c, ANY, ZERO, ZERO, Group::Base32),
    row(0x0f, ANY, ZERO, ZERO, Group::Base64),
    row(0x14, ZERO, ZERO, ANY, Group::Base32),
    row(0x15, ZERO, ANY, ANY, Group::Base64),
    row(0x16, ZERO, ANY, ANY, Group::Base32),
    row(0x17, ZERO, ZERO, ANY, Group::Base64),
    row(0x18, ZERO, ZERO, ANY, Group::Base64),
    row(0x18, is(1), ZERO, ANY, Group::Base64),
    row(0x18, is(2), ZERO, ANY, Group::Base64),
    row(0x18, is(3), ZERO, ANY, Group::Base64),
    row(0x18, is(4), ZERO, ANY, Group::Base64),
    row(0x18, is(5), ZERO, ANY, Group::Base64),
    row(0x18, is(6), ZERO, ANY, Group::Base64),
    row(0x1c, ANY, ZERO, ZERO, Group::Base32),
    row(0x1d, ANY, ANY, ZERO, Group::Base64),
    row(0x1e, ANY, ANY, ZERO, Group::Base32),
    row(0x1f, ANY, ZERO, ZERO, Group::Base64),
    row(0x20, ZERO, ZERO, ANY, Group::Packet),
    row(0x24, ZERO, ZERO, ANY, Group::DivMul32),
    row(0x25, ZERO, ANY, ANY, Group::Base64),
    row(0x26, ZERO, ANY, ANY, Group::Base32),
    row(0x27, ZERO, ZERO, ANY, Group::DivMul64),
    row(0x28, ZERO, ZERO, ANY, Group::Packet),
    row(0x2c, ANY, ZERO, ZERO, Group::DivMul32),
    row(0x2d, ANY, ANY, ZERO, Group::Base64),
    row(0x2e, ANY, ANY, ZERO, Group::Base32),
    row(0x2f, ANY, ZERO, ZERO, Group::DivMul64),
    row(0x30, ZERO, ZERO, ANY, Group::Packet),
    row(0x34, ZERO, ZERO, ANY, Group::DivMul32),
    row(0x34, ZERO, is(1), ANY, Group::DivMul32),
    row(0x35, ZERO, ANY, ANY, Group::Base64),
    row(0x36, ZERO, ANY, ANY, Group::Base32),
    row(0x37, ZERO, ZERO, ANY, Group::DivMul64),
    row(0x37, ZERO, is(1), ANY, Group::DivMul64),
    row(0x3c, ANY, ZERO, ZERO, Group::DivMul32),
    row(0x3c, ANY, is(1), ZERO, Group::DivMul32),
    row(0x3d, ANY, ANY, ZERO, Group::Base64),
    row(0x3e, ANY, ANY, ZERO, Group::Base32),
    row(0x3f, ANY, ZERO, ZERO, Group::DivMul64),
    row(0x3f, ANY, is(1), ZERO, Group::DivMul64),
    row(0x40, ANY, ZERO, ANY, Group::Packet),
    row(0x44, ZERO, ZERO, ANY, Group::Base32),
    row(0x45, ZERO, ANY, ANY, Group::Base64),
    row(0x46, ZERO, ANY, ANY, Group::Base32),
    row(0x47, ZERO, ZERO, ANY, Group::Base64),
    row(0x48, ANY, ZERO, ANY, Group::Packet),
    row(0x4c, ANY, ZERO, ZERO, Group::Base32),
    row(0x4d, ANY, ANY, ZERO, Group::Base64),
    row(0x4e, ANY, ANY, ZERO, Group::Base32),
    row(0x4f, ANY, ZERO, ZERO, Group::Base64),
    row(0x50, ANY, ZERO, ANY, Group::Packet),
    row(0x54, ZERO, ZERO, ANY, Group::Base32),
    row(0x55, ZERO, ANY, ANY, Group::Base64),
    row(0x56, ZERO, ANY, ANY, Group::Base32),
    row(0x57, ZERO, ZERO, ANY, Group::Base64),
    row(0x5c, ANY, ZERO, ZERO, Group::Base32),
    row(0x5d, ANY, ANY, ZERO, Group::Base64),
    row(0x5e, ANY, ANY, ZERO, Group::Base32),
    row(0x5f, ANY, ZERO, ZERO, Group::Base64),
    row(0x61, ANY, ANY, ZERO, Group::Base32),
    row(0x62, ZERO, ANY, ANY, Group::Base32),
    row(0x63, ANY, ANY, ZERO, Group::Base32),
    row(0x64, ZERO, ZERO, ANY, Group::Base32),
    row(0x65, ZERO, ANY, ANY, Group::Base64),
    row(0x66, ZERO, ANY, ANY, Group::Base32),
    row(0x67, ZERO, ZERO, ANY, Group::Base64),
    row(0x69, ANY, ANY, ZERO, Group::Base32),
    row(0x6a, ZERO, ANY, ANY, Group::Base32),
    row(0x6b, ANY, ANY, ZERO, Group::Base32),
    row(0x6c, ANY, ZERO, ZERO, Group::Base32),
    row(0x6d, ANY, ANY, ZERO, Group::Base64),
    row(0x6e, ANY, ANY, ZERO, Group::Base32),
    row(0x6f, ANY, ZERO, ZERO, Group::Base64),
    row(0x71, ANY, ANY, ZERO, Group::Base32),
    row(0x72, ZERO, ANY, ANY, Group::Base32),
    row(0x73, ANY, ANY, ZERO, Group::Base32),
    row(0x74, ZERO, ZERO, ANY, Group::Base32),
    row(0x75, ZERO, ANY, ANY, Group::Base64),
    row(0x76, ZERO, ANY, ANY, Group::Base32),
    row(0x77, ZERO, ZERO, ANY, Group::Base64),
    row(0x79, ANY, ANY, ZERO, Group::Base64),
    row(0x7a, ZERO, ANY, ANY, Group::Base64),
    row(0x7b, ANY, ANY, ZERO, Group::Base64),
    row(0x7c, ANY, ZERO, ZERO, Group::Base32),
    row(0x7d, ANY, ANY, ZERO, Group::Base64),
    row(0x7e, ANY, ANY, ZERO, Group::Base32),
    row(0x7f, ANY, ZERO, ZERO, Group::Base64),
    row(0x81, ANY, ANY, ZERO, Group::Base64),
    row(0x84, ZERO, ZERO, ZERO, Group::Base32),
    row(0x85, ZERO, ZERO, ANY, Group::Base32),
    row(0x85, is(1), ZERO, ANY, Group::Base32),
    row(0x85, is(2), ZERO, ANY, Group::Base32),
    row(0x85, is(2), Rule::Nonzero, ANY, Group::Linux),
    row(0x87, ZERO, ZERO, ZERO, Group::Base64),
    row(0x89, ANY, ANY, ZERO, Group::Base64),
    row(0x8d, ZERO, ZERO, ZERO, Group::Compiler),
    row(0x8d, ZERO, ZERO, Rule::Number, Group::Compiler),
    row(0x91, ANY, ANY, ZERO, Group::Base64),
    row(0x94, ZERO, ZERO, ANY, Group::DivMul32),
    row(0x94, ZERO, is(1), ANY, Group::DivMul32),
    row(0x95, ZERO, ZERO, ZERO, Group::Base32),
    row(0x95, ZERO, Rule::Nonzero, ZERO, Group::Linux),
    row(0x97, ZERO, ZERO, ANY, Group::DivMul64),
    row(0x97, ZERO, is(1), ANY, Group::DivMul64),
    row(0x9c, ANY, ZERO, ZERO, Group::DivMul32),
    row(0x9c, ANY, is(1), ZERO, Group::DivMul32),
    row(0x9f, ANY, ZERO, ZERO, Group::DivMul64),
    row(0x9f, ANY, is(1), ZERO, Group::DivMul64),
    row(0xa4, ZERO, ZERO, ANY, Group::Base32),
    row(0xa5, ZERO, ANY, ANY, Group::Base64),
    row(0xa6, ZERO, ANY, ANY, Group::Base32),
    row(0xa7, ZERO, ZERO, ANY, Group::Base64),
    row(0xac, ANY, ZERO, ZERO, Group::Base32),
    row(0xad, ANY, ANY, ZERO, Group::Base64),
    row(0xae, ANY, ANY, ZERO, Group::Base32),
    row(0xaf, ANY, ZERO, ZERO, Group::Base64),
    row(0xb4, ZERO, ZERO, ANY, Group::Base32),
    row(0xb5, ZERO, ANY, ANY, Group::Base64),
    row(0xb6, ZERO, ANY, ANY, Group::Base32),
    row(0xb7, ZERO, ZERO, ANY, Group::Base64),
    row(0xbc, ANY, ZERO, ZERO, Group::Base32),
    row(0xbc, ANY, is(8), ZERO, Group::Base32),
    row(0xbc, ANY, is(16), ZERO, Group::Base32),
    row(0xbd, ANY, ANY, ZERO, Group::Base64),
    row(0xbe, ANY, ANY, ZERO, Group::Base32),
    row(0xbf, ANY, ZERO, ZERO, Group::Base64),
    row(0xbf, ANY, is(1), ANY, Group::Linux),
    row(0xbf, ANY, is(8), ZERO, Group::Base64),
    row(0xbf, ANY, is(16), ZERO, Group::Base64),
    row(0xbf, ANY, is(32), ZERO, Group::Base64),
    row(0xc3, ANY, ANY, ZERO, Group::Atomic32),
    row(0xc3, ANY, ANY, is(0x01), Group::Atomic32),
    row(0xc3, ANY, ANY, is(0x40), Group::Atomic32),
    row(0xc3, ANY, ANY, is(0x41), Group::Atomic32),
    row(0xc3, ANY, ANY, is(0x50), Group::Atomic32),
    row(0xc3, ANY, ANY, is(0x51), Group::Atomic32),
    row(0xc3, ANY, ANY, is(0xa0), Group::Atomic32),
    row(0xc3, ANY, ANY, is(0xa1), Group::Atomic32),
    row(0xc3, ANY, ANY, is(0xe1), Group::Atomic32),
    row(0xc3, ANY, ANY, is(0xf1), Group::Atomic32),
    row(0xc3, ANY, ANY, is(0x100), Group::Linux),
    row(0xc3, ANY, ANY, is(0x110), Group::Linux),
    row(0xc4, ZERO, ZERO, ANY, Group::Base32),
    row(0xc5, ZERO, ANY, ANY, Group::Base64),
    row(0xc6, ZERO, ANY, ANY, Group::Base32),
    row(0xc7, ZERO, ZERO, ANY, Group::Base64),
    row(0xcb, ANY, ANY, is(0x100), Group::Linux),
    row(0xcb, ANY, ANY, is(0x110), Group::Linux),
    row(0xcc, ANY, ZERO, ZERO, Group::Base32),
    row(0xcd, ANY, ANY, ZERO, Group::Base64),
    row(0xce, ANY, ANY, ZERO, Group::Base32),
    row(0xcf, ANY, ZERO, ZERO, Group::Base64),
    row(0xd3, ANY, ANY, is(0x100), Group::Linux),
    row(0xd3, ANY, ANY, is(0x110), Group::Linux),
    row(0xd4, ZERO, ZERO, is(16), Group::Base32),
    row(0xd4, ZERO, ZERO, is(32), Group::Base32),
    row(0xd4, ZERO, ZERO, is(64), Group::Base64),
    row(0xd5, ZERO, ANY, ANY, Group::Base64),
    row(0xd6, ZERO, ANY, ANY, Group::Base32),
    row(0xd7, ZERO, ZERO, is(16), Group::Base32),
    row(0xd7, ZERO, ZERO, is(32), Group::Base32),
    row(0xd7, ZERO, ZERO, is(64), Group::Base64),
    row(0xdb, ANY, ANY, ZERO, Group::Atomic64),
    row(0xdb, ANY, ANY, is(0x01), Group::Atomic64),
    row(0xdb, ANY, ANY, is(0x40), Group::Atomic64),
    row(0xdb, ANY, ANY, is(0x41), Group::Atomic64),
    row(0xdb, ANY, ANY, is(0x50), Group::Atomic64),
    row(0xdb, ANY, ANY, is(0x51), Group::Atomic64),
    row(0xdb, ANY, ANY, is(0xa0), Group::Atomic64),
    row(0xdb, ANY, ANY, is(0xa1), Group::Atomic64),
    row(0xdb, ANY, ANY, is(0xe1), Group::Atomic64),
    row(0xdb, ANY, ANY, is(0xf1), Group::Atomic64),
    row(0xdb, ANY, ANY, is(0x100), Group::Linux),
    row(0xdb, ANY, ANY, is(0x110), Group::Linux),
    row(0xdc, ZERO, ZERO, is(16), Group::Base32),
    row(0xdc, ZERO, ZERO, is(32), Group::Base32),
    row(0xdc, ZERO, ZERO, is(64), Group::Base64),
    row(0xdd, ANY, ANY, ZERO, Group::Base64),
    row(0xde, ANY, ANY, ZERO, Group::Base32),
    row(0xe5, ZERO, ANY, ZERO, Group::Linux),
];

const ROWS: usize = 185;
const ANY: Rule = Rule::Any;
const ZERO: Rule = Rule::Is(0);

const fn is(value: i32) -> Rule {
    Rule::Is(value)
}

const fn row(opcode: u8, src: Rule, off: Rule, imm: Rule, group: Group) -> Form {
    let no_dst = matches!(opcode, 0x00 | 0x05 | 0x06 | 0x85 | 0x95 | 0xe5)
        || matches!(group, Group::Packet)
        || matches!(imm, Rule::Number);
    Form { opcode, dst: if no_dst { ZERO } else { ANY }, src, off, imm, group }
}

/// First row of each opcode, and one past the last row of the last.
static FIRST: [u16; 257] = {
    let mut first = [0; 257];
    let (mut opcode, mut row) = (0, 0);
    while opcode < 257 {
        while row < ROWS && (FORMS[row].opcode as usize) < opcode {
            row += 1;
        }
        first[opcode] = row as u16;
        opcode += 1;
    }
    first
};

/// The rows of an opcode; none if it is no instruction.
pub fn forms(opcode: u8) -> &'static [Form] {
    let i = usize::from(opcode);
    &FORMS[usize::from(FIRST[i])..usize::from(FIRST[i + 1])]
}

/// The row an encoding belongs to.
///
/// # Errors
/// The first field, in the order source, offset, immediate, destination, that leaves no row to choose.
pub fn form(raw: RawInsn) -> Result<&'static Form, Illegal> {
    let rows = forms(raw.opcode);
    if rows.is_empty() {
        return Err(Illegal::Opcode);
    }
    let src = |f: &&Form| f.src.allows(i32::from(raw.src));
    let off = |f: &&Form| f.off.allows(i32::from(raw.off));
    let imm = |f: &&Form| f.imm.allows(raw.imm);
    let Some(form) = rows.iter().find(|f| src(f) && off(f) && imm(f)) else {
        return Err(Illegal::Reserved(if !rows.iter().any(|f| src(&f)) {
            Field::Src
        } else if !rows.iter().any(|f| src(&f) && off(&f)) {
            Field::Off
        } else {
            Field::Imm
        }));
    };
    if form.src == ANY && raw.src > 10 {
        return Err(Illegal::Register(Field::Src));
    }
    if !form.dst.allows(i32::from(raw.dst)) {
        return Err(Illegal::Reserved(Field::Dst));
    }
    if raw.dst > 10 {
        return Err(Illegal::Register(Field::Dst));
    }
    Ok(form)
}
