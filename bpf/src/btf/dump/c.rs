//! Types as C that a compiler takes, as `bpftool btf dump … format c` prints them.
//!
//! Two walks, libbpf's: the first puts definitions into an order in which what is embedded stands before what embeds
//! it; the second writes them, and a forward declaration where only a pointer leads to a type that comes later.

use std::collections::BTreeMap;

use crate::btf::{Btf, BtfError, Kind, TypeId};

const HEAD: &str = "#ifndef __VMLINUX_H__\n#define __VMLINUX_H__\n\n#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n\
    #pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)\n#endif\n\n";
const TAIL: &str = "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n#pragma clang attribute pop\n#endif\n\n\
    #endif /* __VMLINUX_H__ */\n";

/// Most types that are followed into one another.
const DEPTH: u32 = 200;
/// Most steps for each type: hostile types hold others many times over.
const STEPS_EACH: u64 = 1000;

/// All types as a header.
///
/// # Errors
/// Types that hold themselves, or are nested too deeply.
pub fn c(btf: &Btf) -> Result<String, BtfError> {
    let mut dump = Dump::new(btf);
    for id in 1..btf.types().len() {
        let mut queue = Vec::new();
        dump.order(TypeId(id as u32), false, &mut queue, DEPTH)?;
        for id in queue {
            dump.emit(id, TypeId::VOID, DEPTH)?;
        }
    }
    dump.out.push_str(TAIL);
    Ok(dump.out)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    None,
    Ordering,
    Ordered,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Emit {
    None,
    Emitting,
    Emitted,
}

#[derive(Clone, Copy)]
struct State {
    order: Order,
    emit: Emit,
    /// Declared ahead.
    forward: bool,
    /// Something refers to it.
    referenced: bool,
}

pub(super) struct Dump<'a> {
    pub btf: &'a Btf,
    pub out: String,
    states: Vec<State>,
    steps: u64,
    /// Names as they were given out: a second type of a name gets `___2`.
    given: BTreeMap<u32, String>,
    tags: BTreeMap<String, usize>,
    idents: BTreeMap<String, usize>,
}

impl<'a> Dump<'a> {
    pub fn new(btf: &'a Btf) -> Self {
        let count = btf.types().len();
        let state = State { order: Order::None, emit: Emit::None, forward: false, referenced: false };
        let mut dump = Dump {
            btf,
            out: HEAD.to_owned(),
            states: vec![state; count],
            steps: STEPS_EACH * count as u64,
            given: BTreeMap::new(),
            tags: BTreeMap::new(),
            idents: BTreeMap::new(),
        };
        for (_, ty) in btf.iter() {
            for to in referred(&ty.kind) {
                dump.states[to.0 as usize].referenced = true;
            }
        }
        dump
    }

    pub fn step(&mut self, depth: u32) -> Result<u32, BtfError> {
        let fail = || BtfError { section: ".BTF", offset: 0, reason: "types are nested too deeply".to_owned() };
        self.steps = self.steps.checked_sub(1).ok_or_else(fail)?;
        depth.checked_sub(1).ok_or_else(fail)
    }

    fn is_named(&self, id: TypeId) -> bool {
        !self.btf.type_name(id).is_empty()
    }

    /// Name of a structure, union, enumeration or declaration; a name that another has gets a number.
    pub fn tag(&mut self, id: TypeId) -> String {
        let name = self.btf.type_name(id).into_owned();
        unique(&mut self.given, &mut self.tags, Some(id), name)
    }

    /// Name of a typedef.
    pub fn ident(&mut self, id: TypeId) -> String {
        let name = self.btf.type_name(id).into_owned();
        unique(&mut self.given, &mut self.idents, Some(id), name)
    }

    /// Name of an enumerator: they share names with typedefs.
    pub fn enumerator(&mut self, name: String) -> String {
        unique(&mut self.given, &mut self.idents, None, name)
    }

    /// Queues what must be defined, and says whether the type must be whole for who asks.
    fn order(&mut self, id: TypeId, behind: bool, queue: &mut Vec<TypeId>, depth: u32) -> Result<bool, BtfError> {
        let depth = self.step(depth)?;
        let at = id.0 as usize;
        let btf = self.btf;
        let (named, kind) = (self.is_named(id), &btf.get(id).kind);
        match self.states[at].order {
            Order::Ordered => return Ok(true),
            Order::Ordering if behind && named && matches!(kind, Kind::Struct { .. } | Kind::Union { .. }) => {
                return Ok(false);
            }
            Order::Ordering => {
                let reason = format!("type {} holds itself", id.0);
                return Err(BtfError { section: ".BTF", offset: 0, reason });
            }
            Order::None => {}
        }
        let strong = match kind {
            Kind::Ptr(to) => {
                let strong = self.order(*to, true, queue, depth);
                self.states[at].order = Order::Ordered;
                return strong;
            }
            Kind::Array { element, .. } => return self.order(*element, false, queue, depth),
            Kind::Struct { members, .. } | Kind::Union { members, .. } => {
                if behind && named {
                    return Ok(false);
                }
                self.states[at].order = Order::Ordering;
                for member in members {
                    self.order(member.ty, false, queue, depth)?;
                }
                queue.extend(named.then_some(id));
                true
            }
            Kind::Enum { .. } | Kind::Fwd { .. } => {
                queue.extend((named || !self.states[at].referenced).then_some(id));
                true
            }
            Kind::Typedef(to) => {
                if !self.order(*to, behind, queue, depth)? && behind {
                    return Ok(false);
                }
                queue.push(id);
                true
            }
            Kind::Volatile(to) | Kind::Const(to) | Kind::Restrict(to) | Kind::TypeTag(to) => {
                return self.order(*to, behind, queue, depth);
            }
            Kind::FuncProto { result, params } => {
                let mut strong = self.order(*result, behind, queue, depth)?;
                for param in params {
                    strong |= self.order(param.ty, behind, queue, depth)?;
                }
                return Ok(strong);
            }
            _ => false,
        };
        self.states[at].order = Order::Ordered;
        Ok(strong)
    }

    /// Writes a definition, or what another needs to be declared before it: `inside` is the definition that asks.
    fn emit(&mut self, id: TypeId, inside: TypeId, depth: u32) -> Result<(), BtfError> {
        let depth = self.step(depth)?;
        let at = id.0 as usize;
        let btf = self.btf;
        let (named, kind, top) = (self.is_named(id), &btf.get(id).kind, inside == TypeId::VOID);
        match self.states[at].emit {
            Emit::Emitted => return Ok(()),
            Emit::Emitting => {
                if !self.states[at].forward {
                    match kind {
                        Kind::Struct { .. } | Kind::Union { .. } if id != inside && named => self.forward(id),
                        Kind::Typedef(to) => self.typedef(id, *to, depth)?,
                        _ => {}
                    }
                }
                return Ok(());
            }
            Emit::None => {}
        }
        match kind {
            Kind::Enum { .. } => {
                if top {
                    self.enumeration(id, 0);
                    self.out.push_str(";\n\n");
                }
                self.states[at].emit = Emit::Emitted;
            }
            Kind::Ptr(to) | Kind::Volatile(to) | Kind::Const(to) | Kind::Restrict(to) | Kind::TypeTag(to) => {
                self.emit(*to, inside, depth)?;
            }
            Kind::Array { element, .. } => self.emit(*element, inside, depth)?,
            Kind::Fwd { .. } => {
                self.forward_name(id);
                self.out.push_str(";\n\n");
                self.states[at].emit = Emit::Emitted;
            }
            Kind::Typedef(to) => {
                self.states[at].emit = Emit::Emitting;
                self.emit(*to, id, depth)?;
                if !self.states[at].forward {
                    self.typedef(id, *to, depth)?;
                }
                self.states[at].emit = Emit::Emitted;
            }
            Kind::Struct { members, .. } | Kind::Union { members, .. } => {
                self.states[at].emit = Emit::Emitting;
                if top || !named {
                    let holder = if named { id } else { inside };
                    for member in members {
                        self.emit(member.ty, holder, depth)?;
                    }
                } else if !self.states[at].forward && id != inside {
                    self.forward(id);
                }
                self.states[at].emit = Emit::None;
                if top {
                    self.composite(id, 0, depth)?;
                    self.out.push_str(";\n\n");
                    self.states[at].emit = Emit::Emitted;
                }
            }
            Kind::FuncProto { result, params } => {
                self.emit(*result, inside, depth)?;
                for param in params {
                    self.emit(param.ty, inside, depth)?;
                }
            }
            _ => self.states[at].emit = Emit::Emitted,
        }
        Ok(())
    }

    fn forward(&mut self, id: TypeId) {
        self.forward_name(id);
        self.out.push_str(";\n\n");
        self.states[id.0 as usize].forward = true;
    }

    fn typedef(&mut self, id: TypeId, to: TypeId, depth: u32) -> Result<(), BtfError> {
        self.states[id.0 as usize].forward = true;
        // The compiler has this one.
        if self.btf.type_name(id) == "__builtin_va_list" {
            return Ok(());
        }
        let name = self.ident(id);
        self.out.push_str("typedef ");
        // Old compilers say that this one is void.
        if to == TypeId::VOID && name == "__gnuc_va_list" {
            self.out.push_str("__builtin_va_list __gnuc_va_list");
        } else {
            self.declaration(to, &name, 0, depth)?;
        }
        self.out.push_str(";\n\n");
        Ok(())
    }
}

fn unique(
    given: &mut BTreeMap<u32, String>,
    used: &mut BTreeMap<String, usize>,
    id: Option<TypeId>,
    name: String,
) -> String {
    if name.is_empty() {
        return name;
    }
    if let Some(known) = id.and_then(|id| given.get(&id.0)) {
        return known.clone();
    }
    let count = used.entry(name.clone()).or_default();
    *count += 1;
    let name = if *count > 1 { format!("{name}___{count}") } else { name };
    if let Some(id) = id {
        given.insert(id.0, name.clone());
    }
    name
}

/// What counts as a reference to a type; a prototype's result does not.
fn referred(kind: &Kind) -> Vec<TypeId> {
    match kind {
        Kind::Ptr(to)
        | Kind::Typedef(to)
        | Kind::Volatile(to)
        | Kind::Const(to)
        | Kind::Restrict(to)
        | Kind::TypeTag(to)
        | Kind::Func { proto: to, .. }
        | Kind::Var { ty: to, .. }
        | Kind::DeclTag { ty: to, .. } => vec![*to],
        Kind::Array { element, index, .. } => vec![*element, *index],
        Kind::Struct { members, .. } | Kind::Union { members, .. } => members.iter().map(|m| m.ty).collect(),
        Kind::FuncProto { params, .. } => params.iter().map(|p| p.ty).collect(),
        Kind::DataSec { vars, .. } => vars.iter().map(|v| v.var).collect(),
        _ => Vec::new(),
    }
}
