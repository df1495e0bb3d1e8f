//! Functions that are verified on their own: what their types say of arguments, and whether a call keeps to it.

use super::{Setting, memory};
use crate::btf::{Btf, FuncLinkage, Kind as Type, TypeId};
use crate::insn::Reg;
use crate::program::{ProgType, Program};
use crate::verifier::class::Class;
use crate::verifier::demand::Direction;
use crate::verifier::explored::Kind;
use crate::verifier::log::kind_name;
use crate::verifier::state::State;
use crate::verifier::verdict::{Proof, Stop};

/// What a function that is verified on its own takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verifier) enum GlobalArg {
    /// A number.
    Number,
    /// The program's context.
    Context,
    /// Memory of so many bytes, or null.
    Memory {
        /// Bytes.
        size: u32,
        /// Never null (`__arg_nonnull`).
        never_null: bool,
    },
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
pub(in crate::verifier) fn global_args(program: &Program, function: usize) -> Result<Vec<GlobalArg>, Stop> {
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
    params.iter().enumerate().map(|(i, param)| argument(program, btf, i, param.ty, &f.name)).collect()
}

fn is_number(btf: &Btf, id: TypeId) -> bool {
    btf.resolve(id).is_some_and(|id| matches!(btf.get(id).kind, Type::Int { .. } | Type::Enum { .. }))
}

fn argument(program: &Program, btf: &Btf, index: usize, id: TypeId, function: &str) -> Result<GlobalArg, Stop> {
    if is_number(btf, id) {
        return Ok(GlobalArg::Number);
    }
    let resolved = btf.resolve(id).unwrap_or(id);
    if let Type::Ptr(to) = btf.get(resolved).kind {
        let target = btf.resolve(to).unwrap_or(to);
        let is_struct = matches!(btf.get(target).kind, Type::Struct { .. });
        if is_struct && name(btf, target).as_deref() == Some(context_name(program.ty)) {
            return Ok(GlobalArg::Context);
        }
        if is_struct && name(btf, target).as_deref() == Some("bpf_dynptr") {
            let reason = format!("the function {function} takes a dynamic pointer, and those are not modelled");
            return Err(Stop::unsupported("verifier-dynptr", reason));
        }
        match btf.size_of(target) {
            Some(size) if !matches!(btf.get(target).kind, Type::Void | Type::Func { .. } | Type::FuncProto { .. }) => {
                return Ok(GlobalArg::Memory { size, never_null: false });
            }
            _ => {
                let ty = btf.type_name(target);
                let kind = if is_struct { "STRUCT" } else { "UNKNOWN" };
                let line = format!("arg#{index} reference type('{kind} {ty}') size cannot be determined: -22");
                return Err(Stop::invalid(Class::TypeInformation, line));
            }
        }
    }
    Err(Stop::invalid(Class::TypeInformation, format!("Arg#{index} type in {function}() is not supported yet.")))
}

/// Proves that a call gives a function that is verified on its own what it takes.
pub(super) fn fits(setting: Setting<'_>, state: &State, function: usize) -> Proof {
    let f = &setting.program.functions[function];
    if state.lock.is_some() {
        return Err(Stop::invalid(Class::Lock, "global function calls are not allowed while holding a lock,")
            .and("use static function instead"));
    }
    let wrong = format!("Caller passes invalid args into func#{function} ('{}')", f.name);
    let refused = |stop: Stop| stop.with_errno_of_call().and(wrong.clone());
    for (index, arg) in global_args(setting.program, function)?.into_iter().enumerate() {
        let reg = Reg::new(index as u8 + 1).expect("global_args refuses more than five");
        let (value, r) = (state.reg(reg), reg.index());
        match arg {
            GlobalArg::Number if value.is_number() => {}
            GlobalArg::Number => return Err(refused(Stop::invalid(Class::Argument, format!("R{r} is not a scalar")))),
            GlobalArg::Context => {
                memory::unmoved(reg, value).map_err(refused)?;
                if value.kind != Kind::Ctx {
                    let line = format!("R{r} type={} expected=ctx", kind_name(value.kind));
                    return Err(refused(Stop::invalid(Class::Argument, line)));
                }
            }
            GlobalArg::Memory { size, never_null } => {
                if value.is_zero() && !never_null {
                    continue;
                }
                if value.kind.may_be_null() && !never_null {
                    let mut sure = *value;
                    setting.not_null(&mut sure);
                    let mut other = state.clone();
                    other.set(reg, sure);
                    super::argument::memory_of(setting, &other, reg, u64::from(size), Direction::Read, false, false)
                        .map_err(refused)?;
                    super::argument::memory_of(setting, &other, reg, u64::from(size), Direction::Write, false, false)
                        .map_err(refused)?;
                    continue;
                }
                super::argument::memory_of(setting, state, reg, u64::from(size), Direction::Read, false, false)
                    .map_err(refused)?;
                super::argument::memory_of(setting, state, reg, u64::from(size), Direction::Write, false, false)
                    .map_err(refused)?;
            }
        }
    }
    Ok(())
}
