//! Functions that are verified on their own: what their types say of arguments, and whether a call keeps to it.

use super::{Setting, dynptr, memory};
use crate::btf::dump::kind_name;
use crate::btf::{Btf, FuncLinkage, Kind as Type, Param, TypeId};
use crate::errno::Errno;
use crate::helpers::signature::Arg;
use crate::insn::Reg;
use crate::program::{ProgType, Program};
use crate::verifier::class::Class;
use crate::verifier::demand::Direction;
use crate::verifier::explored::Kind;
use crate::verifier::log;
use crate::verifier::state::State;
use crate::verifier::verdict::{Proof, Stop};

/// What a function that is verified on its own takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verifier) enum GlobalArg {
    /// A number.
    Number,
    /// The program's context.
    Context,
    /// A dynamic pointer that it may not change.
    Dynptr,
    /// Memory of so many bytes, or null.
    Memory {
        /// Bytes.
        size: u32,
        /// Never null (`__arg_nonnull`).
        never_null: bool,
    },
}

/// A tag of a parameter (`btf_decl_tag("arg:...")`): what its type does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ArgTag {
    /// It is the program's context.
    Context,
    /// It is never null.
    NeverNull,
    /// It may be null, said of the kernel's own pointers.
    MayBeNull,
    /// It is what only the kernel's own types describe.
    Kernel,
    /// Linux knows none of this name.
    Unknown,
}

/// The tags of all parameters of functions.
#[derive(Debug, Default)]
pub(in crate::verifier) struct ArgTags(Vec<(TypeId, usize, ArgTag)>);

impl ArgTags {
    /// Those in a program's types.
    pub(in crate::verifier) fn of(program: &Program) -> Self {
        let Some(btf) = program.btf.as_deref() else { return Self::default() };
        let tag = |ty: &crate::btf::Type| {
            let Type::DeclTag { ty: function, component: Some(index) } = ty.kind else { return None };
            let tag = match btf.name(ty.name).strip_prefix("arg:")? {
                "ctx" => ArgTag::Context,
                "nonnull" => ArgTag::NeverNull,
                "nullable" => ArgTag::MayBeNull,
                "trusted" | "untrusted" | "arena" => ArgTag::Kernel,
                _ => ArgTag::Unknown,
            };
            Some((function, index as usize, tag))
        };
        Self(btf.types().iter().filter_map(tag).collect())
    }

    fn on(&self, function: TypeId, index: usize) -> Vec<ArgTag> {
        self.0.iter().filter(|(f, i, _)| (*f, *i) == (function, index)).map(|(_, _, tag)| *tag).collect()
    }
}

/// Whether a function's types say that it is static. One without types is, as it can only be checked with its callers.
pub(in crate::verifier) fn is_static(program: &Program, function: usize) -> bool {
    let linkage = program
        .functions
        .get(function)
        .and_then(|f| f.btf)
        .zip(program.btf.as_deref())
        .map(|(id, btf)| matches!(btf.get(id).kind, Type::Func { linkage: FuncLinkage::Static, .. }));
    linkage.unwrap_or(true)
}

fn name(btf: &Btf, mut id: TypeId) -> Option<String> {
    for _ in 0..32 {
        let ty = btf.get(id);
        match ty.kind {
            Type::Volatile(t) | Type::Const(t) | Type::Restrict(t) | Type::TypeTag(t) => id = t,
            _ => return Some(btf.name(ty.name).into_owned()),
        }
    }
    None
}

/// The structure that stands for a program type's context in prototypes.
const fn context_name(ty: ProgType) -> &'static str {
    match ty {
        ProgType::Xdp => "xdp_md",
        _ => "__sk_buff",
    }
}

/// What a function takes, by its prototype.
pub(in crate::verifier) fn global_args(setting: Setting<'_>, function: usize) -> Result<Vec<GlobalArg>, Stop> {
    let program = setting.program;
    let f = &program.functions[function];
    let (Some(btf), Some(id)) = (program.btf.as_deref(), f.btf) else {
        return Err(Stop::invalid(
            Class::TypeInformation,
            "Verifier bug: a function without types is not verified on its own",
        ));
    };
    let Type::Func { proto, .. } = btf.get(id).kind else {
        return Err(Stop::invalid(Class::TypeInformation, format!("Invalid BTF of func {}", f.name)));
    };
    let Type::FuncProto { result, params } = &btf.get(proto).kind else {
        return Err(Stop::invalid(Class::TypeInformation, format!("Invalid BTF of func {}", f.name)));
    };
    if params.len() > 5 {
        let line = format!("Global function {}() with {} > 5 args. Buggy compiler.", f.name, params.len());
        return Err(Stop::invalid(Class::TypeInformation, line));
    }
    if !is_number(btf, *result) {
        let line = format!("Global function {}() doesn't return scalar. Only those are supported.", f.name);
        return Err(Stop::invalid(Class::TypeInformation, line));
    }
    let of = |(i, param): (usize, &Param)| argument(program, btf, i, param.ty, &f.name, &setting.tags.on(id, i));
    params.iter().enumerate().map(of).collect()
}

fn is_number(btf: &Btf, id: TypeId) -> bool {
    btf.resolve(id).is_some_and(|id| matches!(btf.get(id).kind, Type::Int { .. } | Type::Enum { .. }))
}

fn argument(
    program: &Program,
    btf: &Btf,
    index: usize,
    id: TypeId,
    function: &str,
    tags: &[ArgTag],
) -> Result<GlobalArg, Stop> {
    let refused = |line: String| Err(Stop::invalid(Class::TypeInformation, line));
    if tags.contains(&ArgTag::Unknown) {
        let line = format!("arg#{index} has unsupported set of tags");
        return Err(Stop::refused(Class::TypeInformation, Errno::EOPNOTSUPP, line));
    }
    let resolved = btf.resolve(id).unwrap_or(id);
    let Type::Ptr(to) = btf.get(resolved).kind else {
        if !tags.is_empty() {
            return refused(format!("arg#{index} has pointer tag, but is not a pointer type"));
        }
        if is_number(btf, id) {
            return Ok(GlobalArg::Number);
        }
        let kind = kind_name(&btf.get(resolved).kind);
        return refused(format!("Arg#{index} type {kind} in {function}() is not supported yet."));
    };
    let target = btf.resolve(to).unwrap_or(to);
    let is_struct = matches!(btf.get(target).kind, Type::Struct { .. });
    let named = |wanted: &str| name(btf, target).as_deref() == Some(wanted);
    let combination = format!("arg#{index} has invalid combination of tags");
    let tagged = tags.contains(&ArgTag::Context);
    if tagged || is_struct && named(context_name(program.ty)) {
        if tags.iter().any(|tag| *tag != ArgTag::Context) {
            return refused(combination);
        }
        let is_void = matches!(btf.get(target).kind, Type::Void);
        if is_void || is_struct && named(context_name(program.ty)) {
            return Ok(GlobalArg::Context);
        }
        return match name(btf, target).filter(|name| !name.is_empty()) {
            None => refused(format!("arg#{index} type doesn't have a name")),
            Some(_) => refused(format!("arg#{index} should be `struct {} *`", context_name(program.ty))),
        };
    }
    let may_be_struct = is_struct || matches!(btf.get(target).kind, Type::Fwd { is_union: false });
    if may_be_struct && named("bpf_dynptr") {
        return if tags.is_empty() { Ok(GlobalArg::Dynptr) } else { refused(combination) };
    }
    if tags.contains(&ArgTag::Kernel) {
        let reason = format!("argument {index} of {function} is tagged as one of the kernel's own pointers");
        return Err(Stop::unsupported("verifier-kernel-types", reason));
    }
    if tags.contains(&ArgTag::MayBeNull) {
        return refused(combination);
    }
    match btf.size_of(target) {
        Some(size) if !matches!(btf.get(target).kind, Type::Void | Type::Func { .. } | Type::FuncProto { .. }) => {
            Ok(GlobalArg::Memory { size, never_null: tags.contains(&ArgTag::NeverNull) })
        }
        _ => {
            let target = btf.get(target);
            let (kind, ty) = (kind_name(&target.kind), btf.name(target.name));
            refused(format!("arg#{index} reference type('{kind} {ty}') size cannot be determined: -22"))
        }
    }
}

/// The registers in which a function's prototype has dynamic pointers.
pub(in crate::verifier) fn dynptr_args(setting: Setting<'_>, function: usize) -> Vec<Reg> {
    let program = setting.program;
    let Some((btf, id)) = program.btf.as_deref().zip(program.functions[function].btf) else { return Vec::new() };
    let Type::Func { proto, .. } = btf.get(id).kind else { return Vec::new() };
    let Type::FuncProto { params, .. } = &btf.get(proto).kind else { return Vec::new() };
    let takes = |(index, param): (usize, &Param)| {
        let arg = argument(program, btf, index, param.ty, "", &[]).ok()?;
        if arg == GlobalArg::Dynptr { Reg::new(index as u8 + 1) } else { None }
    };
    params.iter().take(5).enumerate().filter_map(takes).collect()
}

/// What Linux says, on the side, where a static function is called with other than its prototype has: it goes by what is
/// there, and does not look at that function's types again. None if all fits.
pub(in crate::verifier) fn unlike_prototype(
    setting: Setting<'_>,
    state: &State,
    function: usize,
) -> Option<Vec<String>> {
    let f = &setting.program.functions[function];
    let (btf, id) = setting.program.btf.as_deref().zip(f.btf)?;
    let Type::Func { proto, .. } = btf.get(id).kind else { return None };
    let Type::FuncProto { result, params } = &btf.get(proto).kind else { return None };
    if params.len() > 5 || !is_number(btf, *result) {
        return Some(Vec::new());
    }
    let mut args = Vec::new();
    for (index, param) in params.iter().enumerate() {
        if !setting.tags.on(id, index).is_empty() {
            return Some(vec![format!("arg#{index} type tag is not supported in static functions")]);
        }
        match argument(setting.program, btf, index, param.ty, &f.name, &[]) {
            // Other memory may only be handed to functions that are verified on their own.
            Ok(GlobalArg::Memory { .. }) | Err(_) => return Some(Vec::new()),
            Ok(arg) => args.push(arg),
        }
    }
    let wrong = args.into_iter().enumerate().find_map(|(index, arg)| takes(setting, state, index, arg).err());
    match wrong? {
        Stop::Refused(refusal) => Some(refusal.lines),
        Stop::Unsupported(_) => Some(Vec::new()),
    }
}

/// Proves that a call gives a function that is verified on its own what it takes.
pub(super) fn fits(setting: Setting<'_>, state: &State, function: usize) -> Proof {
    let f = &setting.program.functions[function];
    if state.lock.is_some() {
        return Err(Stop::invalid(Class::Lock, "global function calls are not allowed while holding a lock,")
            .and("use static function instead"));
    }
    let wrong = format!("Caller passes invalid args into func#{function} ('{}')", f.name);
    let fits = |args: Vec<GlobalArg>| {
        args.into_iter().enumerate().try_for_each(|(index, arg)| takes(setting, state, index, arg))
    };
    global_args(setting, function).and_then(fits).map_err(|stop| stop.and(wrong))
}

/// Proves that an argument, counted from 0, is what a function takes.
fn takes(setting: Setting<'_>, state: &State, index: usize, arg: GlobalArg) -> Proof {
    let reg = Reg::new(index as u8 + 1).expect("functions with more than five arguments are refused");
    let (value, r) = (state.reg(reg), reg.index());
    let memory = |state: &State, size: u32| {
        let may = |dir| super::argument::memory_of(setting, state, reg, u64::from(size), dir, true, false);
        may(Direction::Read).and_then(|()| may(Direction::Write)).map_err(Stop::with_errno_of_call)
    };
    match arg {
        GlobalArg::Number if value.is_number() => Ok(()),
        GlobalArg::Number => Err(Stop::invalid(Class::Argument, format!("R{r} is not a scalar"))),
        GlobalArg::Context => {
            memory::unmoved(reg, value)?;
            if value.kind != Kind::Ctx {
                let line = format!("R{r} type={} expected=ctx", log::kind_name(value.kind));
                return Err(Stop::invalid(Class::Argument, line));
            }
            Ok(())
        }
        GlobalArg::Dynptr => {
            super::argument::offset(reg, value, Arg::Dynptr)?;
            if !matches!(value.kind, Kind::Stack { .. } | Kind::Dynptr(_)) {
                let line = format!("arg#{index} expected pointer to stack or const struct bpf_dynptr");
                return Err(Stop::invalid(Class::Argument, line));
            }
            dynptr::initialised(state, index, value).map(drop)
        }
        GlobalArg::Memory { never_null: false, .. } if value.is_zero() => Ok(()),
        GlobalArg::Memory { size, never_null: false } if value.kind.may_be_null() => {
            let mut sure = *value;
            setting.not_null(&mut sure);
            let mut other = state.clone();
            other.set(reg, sure);
            memory(&other, size)
        }
        GlobalArg::Memory { size, .. } => memory(state, size),
    }
}
