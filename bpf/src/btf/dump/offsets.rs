//! Structures with the place and the size of every member, and the holes between them, as `pahole` shows them.

use std::fmt::Write;

use super::c::Dump;
use crate::btf::{Btf, BtfError, Kind, Member, TypeId};

/// Bytes of a cache line, for the count that stands under a structure.
const LINE: u32 = 64;
/// Deepest nesting that is followed.
const DEPTH: u32 = 32;
/// Most bytes of text about one structure.
const TEXT_MAX: usize = 16 << 20;

/// A part of a structure, in the order of their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// A member.
    Member {
        /// Place in the list of members.
        number: usize,
        /// First byte; of a bit-field, first byte of the unit of its type that it lies in.
        offset: u32,
        /// Bytes of its type.
        size: u32,
        /// Of a bit-field, its first bit in the unit, and its bits.
        bits: Option<(u32, u32)>,
    },
    /// Bytes that nothing uses.
    Hole(u32),
    /// Bits behind a bit-field that nothing uses.
    BitHole(u32),
}

/// A structure or union taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offsets {
    /// Bytes.
    pub size: u32,
    /// Members and holes. Those of a union all begin at its start, and it has no holes.
    pub pieces: Vec<Piece>,
    /// Bytes behind the last member.
    pub padding: u32,
    /// Bits behind it where that is a bit-field, up to the end of its unit.
    pub bit_padding: u32,
}

/// The parts of a structure or union; `None` for other types.
pub fn offsets(btf: &Btf, id: TypeId) -> Option<Offsets> {
    let (size, members, is_struct) = match &btf.get(id).kind {
        Kind::Struct { size, members } => (*size, members, true),
        Kind::Union { size, members } => (*size, members, false),
        _ => return None,
    };
    let mut pieces = Vec::with_capacity(members.len());
    // Where the last member ends, and the unit of its type if it is a bit-field, in bits.
    let (mut end, mut unit_end) = (0u64, 0u64);
    for (number, member) in members.iter().enumerate() {
        let start = u64::from(member.bit_offset);
        if is_struct {
            let bits = start.min(unit_end).saturating_sub(end);
            pieces.extend((bits > 0).then_some(Piece::BitHole(bits as u32)));
            let bytes = start.saturating_sub(end + bits) / 8;
            pieces.extend((bytes > 0).then_some(Piece::Hole(bytes as u32)));
        }
        let bytes = btf.size_of(member.ty).unwrap_or(0);
        let unit = 8 * u64::from(bytes.max(1));
        let (offset, bits) = if member.bits == 0 {
            (end, unit_end) = (end.max(start + 8 * u64::from(bytes)), 0);
            (start / 8, None)
        } else {
            let first = start - start % unit;
            end = end.max(start + u64::from(member.bits));
            unit_end = first + unit;
            (first / 8, Some(((start - first) as u32, u32::from(member.bits))))
        };
        pieces.push(Piece::Member { number, offset: offset as u32, size: bytes, bits });
    }
    let (mut padding, mut bit_padding) = (0, 0);
    if is_struct {
        let whole = 8 * u64::from(size);
        let bits = whole.min(unit_end).saturating_sub(end);
        bit_padding = bits as u32;
        padding = (whole.saturating_sub(end + bits) / 8) as u32;
    }
    Some(Offsets { size, pieces, padding, bit_padding })
}

/// A structure or union in C, with offsets, sizes and holes in comments, and what they come to under it.
///
/// # Errors
/// Types that are nested too deeply.
pub fn offsets_text(btf: &Btf, id: TypeId) -> Result<String, BtfError> {
    let mut dump = Dump::new(btf);
    dump.out.clear();
    dump.forward_name(id);
    let head = std::mem::take(&mut dump.out);
    let mut text = Text { dump, out: head };
    text.body(id, 0, 1, DEPTH)?;
    text.out.push_str("};\n");
    Ok(text.out)
}

struct Text<'a> {
    dump: Dump<'a>,
    out: String,
}

impl Text<'_> {
    /// What stands between the braces; `base` is the first byte in the outermost structure.
    fn body(&mut self, id: TypeId, base: u32, level: usize, depth: u32) -> Result<(), BtfError> {
        let depth = self.dump.step(depth)?;
        let btf = self.dump.btf;
        self.out.push_str(" {\n");
        let Some(parts) = offsets(btf, id) else { return Ok(()) };
        let members = btf.members(id).unwrap_or_default();
        let indent = "\t".repeat(level);
        for piece in &parts.pieces {
            if self.out.len() > TEXT_MAX {
                return Err(BtfError {
                    section: ".BTF",
                    offset: 0,
                    reason: "the structure is too large to show".to_owned(),
                });
            }
            match *piece {
                Piece::Hole(bytes) => {
                    let _ = write!(self.out, "\n{indent}/* {bytes} byte{} hole */\n\n", plural(bytes));
                }
                Piece::BitHole(bits) => {
                    let _ = write!(self.out, "\n{indent}/* {bits} bit{} hole */\n\n", plural(bits));
                }
                Piece::Member { number, offset, size, bits } => {
                    let Some(member) = members.get(number) else { continue };
                    let offset = base.saturating_add(offset);
                    self.member(member, (offset, size, bits), level, depth)?;
                }
            }
        }
        if level == 1 {
            self.summary(&parts);
        }
        Ok(())
    }

    fn member(
        &mut self,
        member: &Member,
        (offset, size, bits): (u32, u32, Option<(u32, u32)>),
        level: usize,
        depth: u32,
    ) -> Result<(), BtfError> {
        let btf = self.dump.btf;
        let (indent, name) = ("\t".repeat(level), btf.name(member.name));
        let is_composite = matches!(btf.get(member.ty).kind, Kind::Struct { .. } | Kind::Union { .. });
        let start = self.out.len();
        if is_composite && btf.type_name(member.ty).is_empty() {
            // One without a name is shown where it stands.
            self.dump.forward_name(member.ty);
            let head = std::mem::take(&mut self.dump.out);
            self.out.extend([indent.as_str(), &head]);
            self.body(member.ty, offset, level + 1, depth)?;
            let space = if name.is_empty() { "" } else { " " };
            self.out.extend([indent.as_str(), "}", space, &name]);
        } else {
            self.dump.declaration(member.ty, &name, level, depth)?;
            let declared = std::mem::take(&mut self.dump.out);
            self.out.extend([indent.as_str(), &declared]);
        }
        if let Some((_, bits)) = bits {
            let _ = write!(self.out, ":{bits}");
        }
        self.out.push(';');
        let line = self.out[start..].rsplit('\n').next().unwrap_or_default();
        let width = line.chars().map(|c| if c == '\t' { 8 } else { 1 }).sum::<usize>();
        let pad = 56usize.saturating_sub(width).max(1);
        let place = match bits {
            Some((first, _)) => format!("{offset:>5}:{first:>2} {size:>2}"),
            None => format!("{offset:>5} {size:>5}"),
        };
        let _ = writeln!(self.out, "{}/* {place} */", " ".repeat(pad));
        Ok(())
    }

    fn summary(&mut self, parts: &Offsets) {
        let sum = Sum::of(parts);
        let lines = parts.size.div_ceil(LINE);
        let _ = writeln!(self.out, "\n\t/* size: {}, cachelines: {lines}, members: {} */", parts.size, sum.members);
        if sum.holes + sum.bit_holes + sum.bits > 0 {
            let _ = write!(self.out, "\t/* sum members: {}", sum.bytes);
            if sum.holes > 0 {
                let _ = write!(self.out, ", holes: {}, sum holes: {}", sum.holes, sum.hole_bytes);
            }
            self.out.push_str(" */\n");
        }
        if sum.bits > 0 {
            let _ = write!(self.out, "\t/* sum bitfield members: {} bits", sum.bits);
            if sum.bit_holes > 0 {
                let _ = write!(self.out, ", bit holes: {}, sum bit holes: {} bits", sum.bit_holes, sum.hole_bits);
            }
            self.out.push_str(" */\n");
        }
        if parts.padding > 0 {
            let _ = writeln!(self.out, "\t/* padding: {} */", parts.padding);
        }
        if parts.bit_padding > 0 {
            let _ = writeln!(self.out, "\t/* bit_padding: {} bits */", parts.bit_padding);
        }
    }
}

/// What the parts come to.
#[derive(Default)]
struct Sum {
    members: u32,
    bytes: u64,
    bits: u64,
    holes: u64,
    hole_bytes: u64,
    bit_holes: u64,
    hole_bits: u64,
}

impl Sum {
    fn of(parts: &Offsets) -> Sum {
        let mut sum = Sum::default();
        for piece in &parts.pieces {
            match *piece {
                Piece::Member { bits: Some((_, bits)), .. } => {
                    sum.members += 1;
                    sum.bits += u64::from(bits);
                }
                Piece::Member { size, .. } => {
                    sum.members += 1;
                    sum.bytes += u64::from(size);
                }
                Piece::Hole(bytes) => {
                    sum.holes += 1;
                    sum.hole_bytes += u64::from(bytes);
                }
                Piece::BitHole(bits) => {
                    sum.bit_holes += 1;
                    sum.hole_bits += u64::from(bits);
                }
            }
        }
        sum
    }
}

fn plural(n: u32) -> &'static str {
    if n == 1 { "" } else { "s" }
}
