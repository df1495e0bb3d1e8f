//! Declarations of C: a type around a name.

use std::fmt::Write;

use super::c::Dump;
use crate::btf::{Btf, BtfError, Kind, TypeId};

fn indent(level: usize) -> String {
    "\t".repeat(level)
}

impl Dump<'_> {
    /// `struct name`, `union name` or `enum name`.
    pub fn forward_name(&mut self, id: TypeId) {
        let word = match self.btf.get(id).kind {
            Kind::Union { .. } | Kind::Fwd { is_union: true } => "union",
            Kind::Enum { .. } => "enum",
            _ => "struct",
        };
        let name = self.tag(id);
        let space = if name.is_empty() { "" } else { " " };
        self.out.extend([word, space, &name]);
    }

    pub fn enumeration(&mut self, id: TypeId, level: usize) {
        self.forward_name(id);
        let btf = self.btf;
        let Kind::Enum { size, signed, values } = &btf.get(id).kind else { return };
        if values.is_empty() {
            return;
        }
        self.out.push_str(" {");
        for value in values {
            let name = self.enumerator(btf.name(value.name).into_owned());
            let number = match (*signed, *size == 8) {
                (true, true) => format!("{}LL", value.value as i64),
                (true, false) => (value.value as i32).to_string(),
                (false, true) => format!("{}ULL", value.value),
                (false, false) => (value.value as u32).to_string(),
            };
            self.out.extend(["\n", &indent(level + 1), &name, " = ", &number, ","]);
        }
        self.out.extend(["\n", &indent(level), "}"]);
    }

    /// A structure or union with its members.
    pub fn composite(&mut self, id: TypeId, level: usize, depth: u32) -> Result<(), BtfError> {
        self.forward_name(id);
        let btf = self.btf;
        let (Kind::Struct { size, members } | Kind::Union { size, members }) = &btf.get(id).kind else { return Ok(()) };
        let is_struct = matches!(btf.get(id).kind, Kind::Struct { .. });
        let packed = is_struct && is_packed(btf, id);
        self.out.push_str(" {");
        let (mut end, mut in_bits) = (0u64, false);
        for member in members {
            let at = u64::from(member.bit_offset);
            let align = if packed { 1 } else { btf.align_of(member.ty).unwrap_or(0) };
            if is_struct {
                self.padding(end, at, align, in_bits && member.bits != 0, level + 1)?;
            }
            self.out.extend(["\n", &indent(level + 1)]);
            self.declaration(member.ty, &btf.name(member.name), level + 1, depth)?;
            in_bits = member.bits != 0;
            if in_bits {
                let _ = write!(self.out, ": {}", member.bits);
                end = at + u64::from(member.bits);
            } else {
                end = at + 8 * u64::from(btf.size_of(member.ty).unwrap_or(0));
            }
            self.out.push(';');
        }
        if is_struct {
            let align = btf.align_of(id).unwrap_or(1);
            self.padding(end, 8 * u64::from(*size), align, false, level + 1)?;
        }
        if !members.is_empty() || *size != 0 {
            self.out.extend(["\n", &indent(level)]);
        }
        self.out.push('}');
        if packed {
            self.out.push_str(" __attribute__((packed))");
        }
        Ok(())
    }

    /// Fills a gap with bit-fields without a name, as few as the compiler's own alignment leaves necessary.
    fn padding(&mut self, from: u64, to: u64, align: u32, in_bits: bool, level: usize) -> Result<(), BtfError> {
        /// Types of padding and their bits.
        const PADS: [(&str, u64); 4] = [("long", 64), ("int", 32), ("short", 16), ("char", 8)];
        if from >= to {
            return Ok(());
        }
        let next = |bits: u64| from.next_multiple_of(bits);
        let (name, bits) = PADS.into_iter().find(|&(_, bits)| next(bits) <= to).unwrap_or(PADS[3]);
        let (mut at, there) = (from, next(bits));
        if there > from && there <= to {
            let natural = from.next_multiple_of(8 * u64::from(align.max(1)));
            let needed = there == to && natural != there || there != to && to - there <= there - from;
            if in_bits || needed {
                let width = if in_bits { there - from } else { 0 };
                let _ = write!(self.out, "\n{}{name}: {width};", indent(level));
            }
            at = there;
        }
        while at < to {
            self.step(2)?;
            let left = (to - at).min(bits);
            let name = if left == bits { name } else { PADS.iter().rev().find(|p| p.1 >= left).map_or(name, |p| p.0) };
            let _ = write!(self.out, "\n{}{name}: {left};", indent(level));
            at += left;
        }
        Ok(())
    }

    /// A type around a name, which may be empty.
    pub fn declaration(&mut self, mut id: TypeId, name: &str, level: usize, depth: u32) -> Result<(), BtfError> {
        let depth = self.step(depth)?;
        let mut chain = vec![id];
        while id != TypeId::VOID {
            id = match &self.btf.get(id).kind {
                Kind::Ptr(to) | Kind::Volatile(to) | Kind::Const(to) | Kind::Restrict(to) | Kind::TypeTag(to) => *to,
                Kind::Array { element, .. } => *element,
                Kind::FuncProto { result, .. } => *result,
                _ => break,
            };
            self.step(depth)?;
            chain.push(id);
        }
        self.chain(&mut chain, name, level, depth)
    }

    fn chain(&mut self, chain: &mut Vec<TypeId>, name: &str, level: usize, depth: u32) -> Result<(), BtfError> {
        let depth = self.step(depth)?;
        let btf = self.btf;
        let mut after_pointer = true;
        while let Some(id) = chain.pop() {
            let kind = &btf.get(id).kind;
            let anonymous = btf.type_name(id).is_empty();
            match kind {
                Kind::Void => {
                    self.qualifiers(chain);
                    self.out.push_str("void");
                }
                Kind::Struct { .. } | Kind::Union { .. } => {
                    self.qualifiers(chain);
                    if anonymous { self.composite(id, level, depth)? } else { self.forward_name(id) }
                }
                Kind::Enum { .. } => {
                    self.qualifiers(chain);
                    if anonymous { self.enumeration(id, level) } else { self.forward_name(id) }
                }
                Kind::Fwd { .. } => {
                    self.qualifiers(chain);
                    self.forward_name(id);
                }
                Kind::Typedef(_) => {
                    self.qualifiers(chain);
                    let name = self.ident(id);
                    self.out.push_str(&name);
                }
                Kind::Ptr(_) => self.out.push_str(if after_pointer { "*" } else { " *" }),
                Kind::Volatile(_) => self.out.push_str(" volatile"),
                Kind::Const(_) => self.out.push_str(" const"),
                Kind::Restrict(_) => self.out.push_str(" restrict"),
                Kind::TypeTag(_) => {
                    self.qualifiers(chain);
                    let _ = write!(self.out, " __attribute__((btf_type_tag(\"{}\")))", btf.type_name(id));
                }
                Kind::Array { len, .. } => {
                    drop_qualifiers(btf, chain);
                    match chain.last() {
                        None => self.name(name, after_pointer),
                        Some(&next) => {
                            let again = matches!(btf.get(next).kind, Kind::Array { .. });
                            if !name.is_empty() && !after_pointer {
                                self.out.push(' ');
                            }
                            self.out.push_str(if again { "" } else { "(" });
                            self.chain(chain, name, level, depth)?;
                            self.out.push_str(if again { "" } else { ")" });
                        }
                    }
                    let _ = write!(self.out, "[{len}]");
                    return Ok(());
                }
                Kind::FuncProto { params, .. } => {
                    drop_qualifiers(btf, chain);
                    if chain.is_empty() {
                        self.name(name, after_pointer);
                    } else {
                        self.out.push_str(" (");
                        self.chain(chain, name, level, depth)?;
                        self.out.push(')');
                    }
                    self.out.push('(');
                    if params.is_empty() || params.len() == 1 && params[0].ty == TypeId::VOID {
                        self.out.push_str("void");
                    } else {
                        for (i, param) in params.iter().enumerate() {
                            self.out.push_str(if i > 0 { ", " } else { "" });
                            if i + 1 == params.len() && param.ty == TypeId::VOID {
                                self.out.push_str("...");
                                break;
                            }
                            self.declaration(param.ty, &btf.name(param.name), level, depth)?;
                        }
                    }
                    self.out.push(')');
                    return Ok(());
                }
                _ => {
                    self.qualifiers(chain);
                    self.out.push_str(&btf.type_name(id));
                }
            }
            after_pointer = matches!(kind, Kind::Ptr(_));
        }
        self.name(name, after_pointer);
        Ok(())
    }

    fn name(&mut self, name: &str, after_pointer: bool) {
        let space = if name.is_empty() || after_pointer { "" } else { " " };
        self.out.extend([space, name]);
    }

    /// Qualifiers of what comes next stand before it.
    fn qualifiers(&mut self, chain: &mut Vec<TypeId>) {
        while let Some(id) = chain.last() {
            self.out.push_str(match self.btf.get(*id).kind {
                Kind::Volatile(_) => "volatile ",
                Kind::Const(_) => "const ",
                Kind::Restrict(_) => "restrict ",
                _ => return,
            });
            chain.pop();
        }
    }
}

/// Of arrays and functions qualifiers mean nothing, and some compilers write them.
fn drop_qualifiers(btf: &Btf, chain: &mut Vec<TypeId>) {
    let is_one = |id: &TypeId| matches!(btf.get(*id).kind, Kind::Volatile(_) | Kind::Const(_) | Kind::Restrict(_));
    while chain.last().is_some_and(is_one) {
        chain.pop();
    }
}

/// Whether members lie closer than their types allow, or the size is no multiple of the alignment.
fn is_packed(btf: &Btf, id: TypeId) -> bool {
    let Kind::Struct { size, members } = &btf.get(id).kind else { return false };
    let mut largest = 1;
    for member in members {
        let align = btf.align_of(member.ty).unwrap_or(1);
        if member.bits == 0 && !member.bit_offset.is_multiple_of(8 * align) {
            return true;
        }
        largest = largest.max(align);
    }
    !size.is_multiple_of(largest)
}
