//! Whether a state proves a demand. Nothing here changes a state.

mod argument;
mod callee;
pub(super) mod dynptr;
mod memory;
mod sock;
mod value_fields;

pub(super) use argument::{Given, constant_key, given, register};
pub(super) use callee::{ArgTags, GlobalArg, dynptr_args, global_args, is_static, unlike_prototype};
pub(super) use memory::byte_of_value;
pub(super) use value_fields::ValueFields;

use super::Options;
use super::bounds::Bounds;
use super::class::Class;
use super::demand::Demand;
use super::explored::{Kind, SockKind};
use super::guards::{Guards, Moving};
use super::log::kind_name;
use super::pointer::{self, Math};
use super::state::{Callback, MAX_FRAMES, Reference, State, Value};
use super::transfer::{bounds_packet, decided};
use super::verdict::{Proof, Stop};
use crate::errno::Errno;
use crate::insn::{AluOp, Cond, Operand, Reg, Width};
use crate::program::{MapIndex, MapSpec, Program};

/// What holds for the whole of a verification.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub program: &'a Program,
    pub options: &'a Options,
    /// By map, those found in maps behind the program's.
    pub fields: &'a [ValueFields],
    /// Of parameters.
    pub tags: &'a ArgTags,
}

impl<'a> Setting<'a> {
    /// A map that an instruction names, or one found in such a map; the static checks saw to it that there is one.
    pub(super) fn map(&self, map: MapIndex) -> &'a MapSpec {
        map_spec(self.program, map)
            .expect("maps that instructions name, and templates, were found by the static checks")
    }

    /// The map that a look-up in a map of maps finds.
    pub(super) fn inner(&self, outer: MapIndex) -> MapIndex {
        MapIndex(outer.0 + self.program.maps.len() as u32)
    }

    /// Whether every number matters, as it does where the loader may not have states compared by what is needed.
    pub(super) fn everything_matters(&self) -> bool {
        !self.options.privileges.bpf
    }

    /// What the values of a map hold besides data.
    pub(super) fn value_fields(&self, map: MapIndex) -> ValueFields {
        self.fields.get(map.0 as usize).copied().unwrap_or_default()
    }

    /// What a pointer that may be null is once it is known not to be.
    pub(super) fn not_null(&self, value: &mut Value) {
        value.kind = match value.kind {
            Kind::MapValueOrNull(map) => {
                let spec = self.map(map);
                match spec.ty.0 {
                    12 | 13 => {
                        if self.value_fields(self.inner(map)).timer.is_some() {
                            value.owner = value.id;
                        }
                        Kind::MapPtr(self.inner(map))
                    }
                    17 => Kind::Sock(SockKind::Xdp),
                    15 | 18 => Kind::Sock(SockKind::Full),
                    _ => Kind::MapValue(map),
                }
            }
            Kind::MemOrNull { size, lender } => Kind::Mem { size, lender },
            Kind::SockOrNull(kind) => Kind::Sock(kind),
            other => other,
        };
    }
}

/// A map of the program, or what a map of maps of the program holds: those are numbered behind the program's.
pub(super) fn map_spec(program: &Program, map: MapIndex) -> Option<&MapSpec> {
    let (index, count) = (map.0 as usize, program.maps.len());
    match program.maps.get(index) {
        Some(spec) => Some(spec),
        None => program.maps.get(index - count).and_then(|outer| outer.inner.as_deref()),
    }
}

/// The value of an operand.
pub(super) fn operand(state: &State, src: Operand) -> Value {
    match src {
        Operand::Reg(r) => *state.reg(r),
        Operand::Imm(imm) => Value::number(Bounds::known(i64::from(imm) as u64)),
    }
}

/// Proves one demand of the instruction at `slot`.
pub(super) fn prove(setting: Setting<'_>, guards: &Guards, state: &State, slot: usize, demand: &Demand) -> Proof {
    let leaks = setting.options.privileges.leaks_pointers();
    match demand {
        Demand::Readable(reg) => readable(state, *reg),
        Demand::Writable(reg) if *reg == Reg::R10 => Err(Stop::denied(Class::ReadOnly, "frame pointer is read only")),
        Demand::Writable(_) => Ok(()),
        Demand::PointerMath { width, op, dst, src } => {
            pointer_math(setting, guards, state, slot, *width, *op, *dst, *src)
        }
        Demand::NoAddress(reg, what) if !leaks && state.reg(*reg).is_pointer() => {
            Err(Stop::denied(Class::Secret, format!("R{} {what}", reg.index())))
        }
        Demand::NoAddress(..) => Ok(()),
        Demand::Comparison { .. } if leaks => Ok(()),
        Demand::Comparison { width, cond, dst, src } => comparison(state, *width, *cond, *dst, *src),
        Demand::Memory(access) => {
            memory::accessible(setting, state, access).map_err(|stop| stop.about_if_none(access.base))
        }
        Demand::AtomicTarget(reg) => {
            let kind = state.reg(*reg).kind;
            if kind == Kind::Ctx || kind.is_packet() || matches!(kind, Kind::Sock(_)) {
                let name = kind_name(kind);
                return Err(Stop::denied(
                    Class::Access,
                    format!("BPF_ATOMIC stores into R{} {name} is not allowed", reg.index()),
                ));
            }
            Ok(())
        }
        Demand::SkbIn(reg) => {
            let value = state.reg(*reg);
            if value.kind != Kind::Ctx {
                return Err(Stop::invalid(Class::Argument, "at the time of BPF_LD_ABS|IND R6 != pointer to skb"));
            }
            memory::unmoved(*reg, value)
        }
        Demand::Call(signature) => argument::call(setting, state, signature),
        Demand::Unlocked => unlocked(state),
        Demand::NothingHeld(what) => nothing_held(state, what),
        Demand::Global(function) => callee::fits(setting, state, *function),
        Demand::FrameLeft if state.frames.len() >= MAX_FRAMES => {
            let line = format!("the call stack of {} frames is too deep", MAX_FRAMES + 1);
            Err(Stop::refused(Class::Limit, Errno::E2BIG, line))
        }
        Demand::FrameLeft => Ok(()),
        Demand::Return => returns(setting, state),
        Demand::Never(class, errno, line) => Err(Stop::refused(*class, *errno, line.clone())),
        Demand::Unmodelled(code, reason) => Err(Stop::unsupported(code, reason.clone())),
    }
}

#[expect(clippy::too_many_arguments, reason = "one instruction, and what it is held against")]
fn pointer_math(
    setting: Setting<'_>,
    guards: &Guards,
    state: &State,
    slot: usize,
    width: Width,
    op: AluOp,
    dst: Reg,
    src: Operand,
) -> Proof {
    let (left, right) = (state.reg(dst), operand(state, src));
    if left.is_number() && right.is_number() {
        return guards.numbers(slot, op, dst, src);
    }
    let leaks = setting.options.privileges.leaks_pointers();
    let Math::Moves { ptr, by, reversed } = pointer::math(width, op, dst, left, &right, leaks)? else { return Ok(()) };
    let moving = Moving { slot, op, dst, src, ptr, by, reversed, speculative: state.speculative };
    guards.may_move(setting, &moving)?;
    let to = pointer::moved(op, dst, ptr, by, reversed, 0)?;
    guards.may_have_moved(setting, &moving, &to)
}

/// Who must not see addresses may compare pointers only with null, and packet pointers with one another.
fn comparison(state: &State, width: Width, cond: Cond, dst: Reg, src: Operand) -> Proof {
    let prohibited =
        |reg: Reg| Err(Stop::denied(Class::Secret, format!("R{} pointer comparison prohibited", reg.index())));
    let (left, right) = (state.reg(dst), operand(state, src));
    if let Operand::Reg(src) = src
        && right.is_pointer()
        && !(left.kind.is_packet_bound() && right.kind.is_packet_bound())
    {
        return prohibited(src);
    }
    if !left.is_pointer() || decided(width, cond, left, &right).is_some() {
        return Ok(());
    }
    let wide = width == Width::W64;
    let with_null = wide && matches!(cond, Cond::Eq | Cond::Ne) && left.kind.may_be_null() && right.is_zero();
    if with_null || wide && src.reg().is_some() && bounds_packet(cond, left, &right) {
        return Ok(());
    }
    prohibited(dst)
}

/// No lock is held, so functions may be called.
fn unlocked(state: &State) -> Proof {
    if state.lock.is_some() {
        return Err(Stop::invalid(Class::Lock, "function calls are not allowed while holding a lock"));
    }
    Ok(())
}

/// Nothing that must be given back is held where the program may end.
fn nothing_held(state: &State, what: &str) -> Proof {
    if let Some(Reference { slot: first, .. }) = state.references.first().filter(|_| state.depth() == 0) {
        let held = state.references.iter();
        let lines = held.map(|r| format!("Unreleased reference id={} alloc_insn={}", r.id, r.slot)).collect();
        let stop = Stop::invalid(Class::Reference, format!("{what} would lead to reference leak")).after(lines);
        return Err(stop.limit("0 references", format!("{} held", state.references.len())).about_call(*first));
    }
    if state.lock.is_some() {
        return Err(Stop::invalid(Class::Lock, format!("{what} cannot be used inside bpf_spin_lock-ed region")));
    }
    Ok(())
}

/// A function may return what is in R0.
fn returns(setting: Setting<'_>, state: &State) -> Proof {
    let (r0, frame) = (state.reg(Reg::R0), state.frame());
    if state.depth() == 0 {
        nothing_held(state, "BPF_EXIT instruction in main prog")?;
        if let Some(range) = frame.callback.filter(|_| frame.is_async) {
            if !r0.is_number() {
                let name = kind_name(r0.kind);
                let line = format!("At async callback return the register R0 is not a known value ({name})");
                return Err(Stop::invalid(Class::ReturnValue, line));
            }
            return in_range(r0, range, "At async callback return");
        }
        readable(state, Reg::R0)?;
        if frame.function > 0 && !r0.is_number() {
            let name = kind_name(r0.kind);
            return Err(Stop::invalid(
                Class::ReturnValue,
                format!("At subprogram exit the register R0 is not a scalar value ({name})"),
            ));
        }
        if !setting.options.privileges.leaks_pointers() && r0.is_pointer() {
            return Err(Stop::denied(Class::Secret, "R0 leaks addr as return value"));
        }
        return Ok(());
    }
    match frame.callback {
        // It would point into a frame that is gone.
        _ if matches!(r0.kind, Kind::Stack { .. }) => {
            Err(Stop::invalid(Class::ReturnValue, "cannot return stack pointer to the caller"))
        }
        Some(_) if !r0.is_number() => Err(Stop::denied(Class::ReturnValue, "R0 not a scalar value")),
        Some(range) => in_range(r0, range, "At callback return"),
        None => Ok(()),
    }
}

pub(super) fn in_range(r0: &Value, range: Callback, place: &str) -> Proof {
    let (smin, smax) = (r0.var.wide.smin, r0.var.wide.smax);
    if range.min <= smin && smax <= range.max {
        return Ok(());
    }
    let mut has = String::new();
    if smin > i64::MIN {
        has += &format!(" smin={smin}");
    }
    if smax < i64::MAX {
        has += &format!(" smax={smax}");
    }
    if has.is_empty() {
        has += " unknown scalar value";
    }
    let Callback { min, max } = range;
    let line = format!("{place} the register R0 has{has} should have been in [{min}, {max}]");
    Err(Stop::invalid(Class::ReturnValue, line).limit(format!("{min} to {max}"), has.trim_start()).about(Reg::R0))
}

fn readable(state: &State, reg: Reg) -> Proof {
    match state.reg(reg).kind {
        Kind::Uninit => Err(Stop::denied(Class::Uninitialised, format!("R{} !read_ok", reg.index())).about(reg)),
        _ => Ok(()),
    }
}
