//! Types as JSON, with bpftool's fields in bpftool's order.

use bpf::btf::dump::{Piece, offsets};
use bpf::btf::{Btf, Encoding, EnumValue, FuncLinkage, Kind, Member, NameOff, Type, TypeId, VarLinkage};
use serde_json::{Map, Value, json};

/// The text, with a newline behind it where it has several lines.
pub fn text(value: &Value, pretty: bool) -> String {
    match pretty {
        true => format!("{value:#}\n"),
        false => format!("{value}\n"),
    }
}

/// All types, as `bpftool -j btf dump` writes them.
pub fn dump(btf: &Btf) -> Value {
    json!({ "types": btf.iter().skip(1).map(|(id, ty)| one(btf, id, ty)).collect::<Vec<_>>() })
}

fn name(btf: &Btf, name: NameOff) -> String {
    let name = btf.name(name);
    if name.is_empty() { "(anon)".to_owned() } else { name.into_owned() }
}

fn one(btf: &Btf, id: TypeId, ty: &Type) -> Value {
    let named = |of| name(btf, of);
    let members = |members: &[Member]| {
        let one = |m: &Member| {
            let mut member = json!({"name": named(m.name), "type_id": m.ty.0, "bits_offset": m.bit_offset});
            if m.bits != 0 {
                member["bitfield_size"] = json!(m.bits);
            }
            member
        };
        members.iter().map(one).collect::<Vec<_>>()
    };
    let (kind, fields) = match &ty.kind {
        Kind::Void => ("UNKNOWN", json!({})),
        Kind::Int { size, encoding, bit_offset, bits } => {
            let encoding = match encoding {
                Encoding::Unsigned => "(none)",
                Encoding::Signed => "SIGNED",
                Encoding::Char => "CHAR",
                Encoding::Bool => "BOOL",
            };
            ("INT", json!({"size": size, "bits_offset": bit_offset, "nr_bits": bits, "encoding": encoding}))
        }
        Kind::Ptr(to) => ("PTR", json!({"type_id": to.0})),
        Kind::Typedef(to) => ("TYPEDEF", json!({"type_id": to.0})),
        Kind::Volatile(to) => ("VOLATILE", json!({"type_id": to.0})),
        Kind::Const(to) => ("CONST", json!({"type_id": to.0})),
        Kind::Restrict(to) => ("RESTRICT", json!({"type_id": to.0})),
        Kind::TypeTag(to) => ("TYPE_TAG", json!({"type_id": to.0})),
        Kind::Array { element, index, len } => {
            ("ARRAY", json!({"type_id": element.0, "index_type_id": index.0, "nr_elems": len}))
        }
        Kind::Struct { size, members: list } => {
            ("STRUCT", json!({"size": size, "vlen": list.len(), "members": members(list)}))
        }
        Kind::Union { size, members: list } => {
            ("UNION", json!({"size": size, "vlen": list.len(), "members": members(list)}))
        }
        Kind::Enum { size, signed, values } => {
            let number = |v: &EnumValue| if *signed { json!(v.value as i64) } else { json!(v.value) };
            let one = |v: &EnumValue| json!({"name": named(v.name), "val": number(v)});
            let values: Vec<Value> = values.iter().map(one).collect();
            let encoding = if *signed { "SIGNED" } else { "UNSIGNED" };
            let kind = if *size == 8 { "ENUM64" } else { "ENUM" };
            (kind, json!({"encoding": encoding, "size": size, "vlen": values.len(), "values": values}))
        }
        Kind::Fwd { is_union } => ("FWD", json!({"fwd_kind": if *is_union { "union" } else { "struct" }})),
        Kind::Func { linkage, proto } => {
            let linkage = match linkage {
                FuncLinkage::Static => "static",
                FuncLinkage::Global => "global",
                FuncLinkage::Extern => "extern",
            };
            ("FUNC", json!({"type_id": proto.0, "linkage": linkage}))
        }
        Kind::FuncProto { result, params } => {
            let one = |p: &bpf::btf::Param| json!({"name": named(p.name), "type_id": p.ty.0});
            let params: Vec<Value> = params.iter().map(one).collect();
            ("FUNC_PROTO", json!({"ret_type_id": result.0, "vlen": params.len(), "params": params}))
        }
        Kind::Var { linkage, ty } => {
            let linkage = match linkage {
                VarLinkage::Static => "static",
                VarLinkage::Global => "global",
                VarLinkage::Extern => "extern",
            };
            ("VAR", json!({"type_id": ty.0, "linkage": linkage}))
        }
        Kind::DataSec { size, vars } => {
            let one = |v: &bpf::btf::DataVar| json!({"type_id": v.var.0, "offset": v.offset, "size": v.size});
            let vars: Vec<Value> = vars.iter().map(one).collect();
            ("DATASEC", json!({"size": size, "vlen": vars.len(), "vars": vars}))
        }
        Kind::Float { size } => ("FLOAT", json!({"size": size})),
        Kind::DeclTag { ty, component } => {
            let component = component.map_or(-1, i64::from);
            ("DECL_TAG", json!({"type_id": ty.0, "component_idx": component}))
        }
    };
    let mut out = Map::new();
    out.insert("id".to_owned(), json!(id.0));
    out.insert("kind".to_owned(), json!(kind));
    out.insert("name".to_owned(), json!(named(ty.name)));
    if let Value::Object(fields) = fields {
        out.extend(fields);
    }
    Value::Object(out)
}

/// Structures with their parts: members with their places, holes, padding.
pub fn layouts(btf: &Btf, ids: &[TypeId]) -> Value {
    let one = |&id: &TypeId| {
        let parts = offsets(btf, id)?;
        let members = btf.members(id)?;
        let piece = |piece: &Piece| match *piece {
            Piece::Member { number, offset, size, bits } => {
                let mut member = json!({"name": name(btf, members[number].name), "offset": offset, "size": size});
                if let Some((first, bits)) = bits {
                    member["bit_offset"] = json!(first);
                    member["bitfield_size"] = json!(bits);
                }
                member
            }
            Piece::Hole(bytes) => json!({"hole_bytes": bytes}),
            Piece::BitHole(bits) => json!({"hole_bits": bits}),
        };
        Some(json!({
            "id": id.0,
            "name": name(btf, btf.get(id).name),
            "size": parts.size,
            "pieces": parts.pieces.iter().map(piece).collect::<Vec<_>>(),
            "padding": parts.padding,
            "bit_padding": parts.bit_padding,
        }))
    };
    Value::Array(ids.iter().filter_map(one).collect())
}
