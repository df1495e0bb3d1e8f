//! Typed values and declarations.

use bpf::btf::value;
use bpf::btf::{Btf, Kind, TypeId};
use bpf::insn::Endian;
use bpf::syscall::{MapInfo, System};
use serde_json::Value;

/// Types of a map's keys and values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Typed<'a> {
    btf: &'a Btf,
    key: Option<TypeId>,
    value: TypeId,
    order: Endian,
}

impl<'a> Typed<'a> {
    /// Those of a map, if it has them.
    pub fn of(system: &'a System, info: &MapInfo) -> Option<Typed<'a>> {
        let (btf, key, value) = info.types?;
        Some(Typed { btf: system.btf(btf)?, key, value: value?, order: system.config().byte_order })
    }

    fn shown(&self, ty: TypeId, bytes: &[u8]) -> Value {
        let text = value::text(self.btf, ty, bytes, self.order);
        // What is no number of JSON's stays text.
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    }

    pub fn key(&self, bytes: &[u8]) -> Value {
        match self.key {
            Some(ty) => self.shown(ty, bytes),
            // Of global data: a number.
            None => bytes.try_into().map_or(Value::Null, |word| Value::from(self.order.word(word))),
        }
    }

    pub fn value(&self, bytes: &[u8]) -> Value {
        self.shown(self.value, bytes)
    }
}

/// Most steps from one type to the next.
const DEPTH: usize = 32;

/// A function's declaration as bpftool heads listings with it: `int xdp_firewall(struct xdp_md * ctx)`.
pub(super) fn declaration(btf: &Btf, function: TypeId) -> Option<String> {
    let Kind::Func { proto, .. } = btf.get(function).kind else { return None };
    let Kind::FuncProto { result, params } = &btf.get(proto).kind else { return None };
    let params: Vec<String> = params
        .iter()
        .map(|param| match (param.ty, btf.name(param.name)) {
            (TypeId::VOID, name) if name.is_empty() => "...".to_owned(),
            (ty, name) => format!("{}{name}", type_text(btf, ty, DEPTH)),
        })
        .collect();
    Some(format!("{}{}({})", type_text(btf, *result, DEPTH), btf.type_name(function), params.join(", ")))
}

/// A type's words, each with a space behind it.
fn type_text(btf: &Btf, ty: TypeId, depth: usize) -> String {
    if ty == TypeId::VOID || depth == 0 {
        return "void ".to_owned();
    }
    let name = btf.type_name(ty);
    match &btf.get(ty).kind {
        Kind::Struct { .. } | Kind::Fwd { is_union: false } => format!("struct {name} "),
        Kind::Union { .. } | Kind::Fwd { is_union: true } => format!("union {name} "),
        Kind::Enum { .. } => format!("enum {name} "),
        Kind::Ptr(to) => format!("{}* ", type_text(btf, *to, depth - 1)),
        Kind::Array { element, len, .. } => format!("{}[{len}]", type_text(btf, *element, depth - 1)),
        Kind::Const(to) => format!("const {}", type_text(btf, *to, depth - 1)),
        Kind::Volatile(to) => format!("volatile {}", type_text(btf, *to, depth - 1)),
        Kind::Restrict(to) | Kind::TypeTag(to) => type_text(btf, *to, depth - 1),
        _ => format!("{name} "),
    }
}
