//! The plain list of types, as `bpftool btf dump … format raw` prints it.

use std::borrow::Cow;
use std::fmt::{self, Write};

use crate::btf::{Btf, Encoding, FuncLinkage, Kind, Member, NameOff, Type, TypeId, VarLinkage};

/// All types but `void`, one after the other.
pub fn raw(btf: &Btf) -> String {
    let mut out = String::new();
    for (id, ty) in btf.iter().skip(1) {
        one(btf, id, ty, &mut out).expect("String takes all that is written, and no Display here fails");
    }
    out
}

fn name(btf: &Btf, name: NameOff) -> Cow<'_, str> {
    let name = btf.name(name);
    if name.is_empty() { Cow::Borrowed("(anon)") } else { name }
}

pub(crate) fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Void => "UNKNOWN",
        Kind::Int { .. } => "INT",
        Kind::Ptr(_) => "PTR",
        Kind::Array { .. } => "ARRAY",
        Kind::Struct { .. } => "STRUCT",
        Kind::Union { .. } => "UNION",
        // Compilers write the wide kind where, and only where, values have 8 bytes.
        Kind::Enum { size: 8, .. } => "ENUM64",
        Kind::Enum { .. } => "ENUM",
        Kind::Fwd { .. } => "FWD",
        Kind::Typedef(_) => "TYPEDEF",
        Kind::Volatile(_) => "VOLATILE",
        Kind::Const(_) => "CONST",
        Kind::Restrict(_) => "RESTRICT",
        Kind::TypeTag(_) => "TYPE_TAG",
        Kind::Func { .. } => "FUNC",
        Kind::FuncProto { .. } => "FUNC_PROTO",
        Kind::Var { .. } => "VAR",
        Kind::DataSec { .. } => "DATASEC",
        Kind::Float { .. } => "FLOAT",
        Kind::DeclTag { .. } => "DECL_TAG",
    }
}

fn one(btf: &Btf, id: TypeId, ty: &Type, out: &mut String) -> fmt::Result {
    write!(out, "[{}] {} '{}'", id.0, kind_name(&ty.kind), name(btf, ty.name))?;
    match &ty.kind {
        Kind::Void => {}
        Kind::Int { size, encoding, bit_offset, bits } => {
            let encoding = match encoding {
                Encoding::Unsigned => "(none)",
                Encoding::Signed => "SIGNED",
                Encoding::Char => "CHAR",
                Encoding::Bool => "BOOL",
            };
            write!(out, " size={size} bits_offset={bit_offset} nr_bits={bits} encoding={encoding}")?;
        }
        Kind::Ptr(to)
        | Kind::Typedef(to)
        | Kind::Volatile(to)
        | Kind::Const(to)
        | Kind::Restrict(to)
        | Kind::TypeTag(to) => write!(out, " type_id={}", to.0)?,
        Kind::Array { element, index, len } => {
            write!(out, " type_id={} index_type_id={} nr_elems={len}", element.0, index.0)?;
        }
        Kind::Struct { size, members } | Kind::Union { size, members } => members_of(btf, *size, members, out)?,
        Kind::Enum { size, signed, values } => {
            let encoding = if *signed { "SIGNED" } else { "UNSIGNED" };
            write!(out, " encoding={encoding} size={size} vlen={}", values.len())?;
            for value in values {
                write!(out, "\n\t'{}' val=", name(btf, value.name))?;
                match (*signed, *size == 8) {
                    (true, wide) => write!(out, "{}{}", value.value as i64, if wide { "LL" } else { "" })?,
                    (false, true) => write!(out, "{}ULL", value.value)?,
                    (false, false) => write!(out, "{}", value.value as u32)?,
                }
            }
        }
        Kind::Fwd { is_union } => write!(out, " fwd_kind={}", if *is_union { "union" } else { "struct" })?,
        Kind::Func { linkage, proto } => {
            let linkage = match linkage {
                FuncLinkage::Static => "static",
                FuncLinkage::Global => "global",
                FuncLinkage::Extern => "extern",
            };
            write!(out, " type_id={} linkage={linkage}", proto.0)?;
        }
        Kind::FuncProto { result, params } => {
            write!(out, " ret_type_id={} vlen={}", result.0, params.len())?;
            for param in params {
                write!(out, "\n\t'{}' type_id={}", name(btf, param.name), param.ty.0)?;
            }
        }
        Kind::Var { linkage, ty } => {
            let linkage = match linkage {
                VarLinkage::Static => "static",
                VarLinkage::Global => "global",
                VarLinkage::Extern => "extern",
            };
            write!(out, " type_id={}, linkage={linkage}", ty.0)?;
        }
        Kind::DataSec { size, vars } => {
            write!(out, " size={size} vlen={}", vars.len())?;
            for var in vars {
                let to = btf.get(var.var);
                let (kind, name) = (kind_name(&to.kind), name(btf, to.name));
                write!(out, "\n\ttype_id={} offset={} size={} ({kind} '{name}')", var.var.0, var.offset, var.size)?;
            }
        }
        Kind::Float { size } => write!(out, " size={size}")?,
        Kind::DeclTag { ty, component } => {
            let component = component.map_or(-1, i64::from);
            write!(out, " type_id={} component_idx={component}", ty.0)?;
        }
    }
    out.push('\n');
    Ok(())
}

fn members_of(btf: &Btf, size: u32, members: &[Member], out: &mut String) -> fmt::Result {
    write!(out, " size={size} vlen={}", members.len())?;
    for member in members {
        write!(out, "\n\t'{}' type_id={} bits_offset={}", name(btf, member.name), member.ty.0, member.bit_offset)?;
        if member.bits != 0 {
            write!(out, " bitfield_size={}", member.bits)?;
        }
    }
    Ok(())
}
