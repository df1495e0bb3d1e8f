//! Arguments of helpers.

use super::dynptr;
use super::memory::{self, Region};
use super::value_fields::ValueFields;
use super::{Setting, readable};
use crate::errno::Errno;
use crate::helpers;
use crate::helpers::signature::{Arg, DYNPTR_FROM_MEM, Returns, Signature, TAIL_CALL};
use crate::insn::Reg;
use crate::program::{MapIndex, MapType, ProgType};
use crate::verifier::class::Class;
use crate::verifier::demand::Direction;
use crate::verifier::explored::{Kind, Lender};
use crate::verifier::log::kind_name;
use crate::verifier::state::{MAX_OFFSET, StackByte, StackPlace, State, Value};
use crate::verifier::trail::Home;
use crate::verifier::verdict::{Proof, Stop};

/// The register of an argument, counted from 0.
pub(in crate::verifier) fn register(index: usize) -> Reg {
    Reg::new(index as u8 + 1).expect("a helper has at most five arguments")
}

/// What a call was given, for what its result is and what it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::verifier) struct Given {
    /// The map, and which look-up found it.
    pub map: Option<(MapIndex, u32)>,
    /// The reference among the arguments.
    pub reference: u32,
    /// The bytes asked for.
    pub size: u32,
    /// The dynamic pointer.
    pub dynptr: u32,
    /// The function called back.
    pub function: Option<u32>,
}

/// What a call that was proved is given.
pub(in crate::verifier) fn given(state: &State, signature: &Signature) -> Given {
    let mut out = Given::default();
    for (index, arg) in signature.args.iter().enumerate() {
        let value = state.reg(register(index));
        match (arg, value.kind) {
            (Arg::Map, Kind::MapPtr(map)) => out.map = Some((map, value.owner)),
            (Arg::Timer, Kind::MapValue(map)) => out.map = Some((map, value.owner)),
            (Arg::Func, Kind::Func(function)) => out.function = Some(function),
            (Arg::Dynptr | Arg::DynptrReleased, _) => {
                if let Ok(half) = dynptr::initialised(state, index, value) {
                    (out.dynptr, out.reference) = (half.id, half.reference);
                }
            }
            // Linux keeps 32 bits of it.
            (Arg::AllocSize, _) => out.size = value.constant().map_or(0, |v| v as u32),
            _ => {}
        }
        if value.reference != 0 && *arg != Arg::Any {
            out.reference = value.reference;
        }
    }
    out
}

/// Kinds that memory arguments may have, as Linux lists them.
const MEMORY_KINDS: &str = "fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_";
const SOCK_KINDS: &str = "sock_common, sock, tcp_sock, xdp_sock";
const SOCK_BTF_KINDS: &str = "sock_common, sock, tcp_sock, xdp_sock, ptr_, trusted_ptr_";

/// Proves that a helper may be called.
pub(super) fn call(setting: Setting<'_>, state: &State, signature: &Signature) -> Proof {
    let mut so_far = Given::default();
    for (index, arg) in signature.args.iter().enumerate() {
        fits(setting, state, signature, index, *arg, &mut so_far)
            .map_err(|stop| stop.about_if_none(register(index)))?;
    }
    after_arguments(setting, state, signature, &so_far)
}

/// Proves that argument `index` is what the helper takes.
fn fits(
    setting: Setting<'_>,
    state: &State,
    signature: &Signature,
    index: usize,
    arg: Arg,
    so_far: &mut Given,
) -> Proof {
    let reg = register(index);
    let value = state.reg(reg);
    let r = reg.index();
    readable(state, reg)?;
    if arg == Arg::Any {
        if !setting.options.privileges.leaks_pointers() && value.is_pointer() {
            return Err(Stop::denied(Class::Secret, format!("R{r} leaks addr into helper function")));
        }
        return Ok(());
    }
    if value.kind.is_packet() && (setting.program.ty == ProgType::SocketFilter || !signature.packet_args) {
        return Err(Stop::denied(Class::Argument, "helper access to the packet is not allowed"));
    }
    let nullable =
        matches!(arg, Arg::CtxOrNull | Arg::ValueOrNull | Arg::MemOrNull | Arg::MemInOutOrNull | Arg::StackOrNull);
    if !(nullable && value.is_zero()) {
        of_kind(setting, reg, value, arg, nullable)?;
        offset(reg, value, arg)?;
    }
    if matches!(arg, Arg::SockReleased | Arg::Lent) && value.reference == 0 && !value.is_zero() {
        return Err(Stop::invalid(
            Class::Reference,
            format!("R{r} must be referenced when passed to release function"),
        ));
    }
    if value.reference != 0 {
        if so_far.reference != 0 {
            let (mine, other) = (value.reference, so_far.reference);
            return Err(Stop::denied(
                Class::Argument,
                format!("more than one arg with ref_obj_id R{r} {mine} {other}"),
            ));
        }
        so_far.reference = value.reference;
    }
    contents(setting, state, signature, index, arg, so_far)
}

/// Proves what is behind an argument of the right kind.
fn contents(
    setting: Setting<'_>,
    state: &State,
    signature: &Signature,
    index: usize,
    arg: Arg,
    so_far: &mut Given,
) -> Proof {
    let reg = register(index);
    let (value, r) = (state.reg(reg), reg.index());
    let privileged = setting.options.privileges.leaks_pointers();
    match arg {
        Arg::Map => {
            let Kind::MapPtr(map) = value.kind else { return Ok(()) };
            if let Some((timer_map, id)) = so_far.map
                && (timer_map, id) != (map, value.owner)
            {
                if value.owner != 0 || id != 0 {
                    let line = format!(
                        "timer pointer in R1 map_uid={id} doesn't match map pointer in R2 map_uid={}",
                        value.owner
                    );
                    return Err(Stop::invalid(Class::Argument, line));
                }
                return Err(Stop::invalid(Class::Argument, "timer pointer in R1 doesn't match map pointer in R2"));
            }
            so_far.map = Some((map, value.owner));
            Ok(())
        }
        Arg::Key | Arg::Value | Arg::ValueOrNull | Arg::ValueOut => {
            if arg == Arg::ValueOrNull && value.is_zero() {
                return Ok(());
            }
            let Some((map, _)) = so_far.map else {
                let what = if arg == Arg::Key { "key" } else { "value" };
                return Err(Stop::denied(Class::Argument, format!("invalid map_ptr to access map->{what}")));
            };
            let spec = setting.map(map);
            let size = if arg == Arg::Key { spec.key_size } else { spec.value_size };
            let out = arg == Arg::ValueOut;
            let dir = if out { Direction::Write } else { Direction::Read };
            memory_of(setting, state, reg, u64::from(size), dir, false, out)
        }
        Arg::Fixed(size) => memory_of(setting, state, reg, u64::from(size), Direction::Read, false, false),
        Arg::FixedOut(size) | Arg::FixedInOut(size) => {
            let raw = matches!(arg, Arg::FixedOut(_));
            memory_of(setting, state, reg, u64::from(size), Direction::Write, false, raw)?;
            memory::aligned_argument(setting, value, size)
        }
        Arg::Size | Arg::SizeOrZero => size(setting, state, signature, index, value),
        Arg::AllocSize => match value.constant() {
            None => Err(Stop::denied(Class::Size, format!("R{r} is not a known constant'"))),
            Some(bytes) => {
                so_far.size = u32::try_from(bytes).unwrap_or(u32::MAX);
                Ok(())
            }
        },
        Arg::SpinLock => spin_lock(setting, state, signature.id == SPIN_LOCK, value, r),
        Arg::Timer => timer(setting, value, r, so_far),
        Arg::Func => {
            if let Kind::Func(function) = value.kind {
                so_far.function = Some(function);
            }
            Ok(())
        }
        Arg::ConstStr => const_str(setting, value, r),
        Arg::Dynptr => dynptr::initialised(state, index, value).map(drop),
        Arg::DynptrOut(_) => dynptr::may_be_made(setting, state, reg, value),
        Arg::DynptrReleased if matches!(value.kind, Kind::Dynptr(_)) => {
            Err(Stop::invalid(Class::Argument, "cannot release unowned const bpf_dynptr"))
        }
        Arg::DynptrReleased => {
            so_far.reference = dynptr::held(state, index, value)?;
            Ok(())
        }
        Arg::Unmodelled => {
            let name = helpers::name(signature.id).unwrap_or_default();
            let reason = format!("{name} takes what only the kernel's own types describe");
            Err(Stop::unsupported("verifier-kernel-types", reason))
        }
        // Their memory is proved with the size that follows.
        _ if !privileged && matches!(value.kind, Kind::Func(_)) => {
            Err(Stop::denied(Class::Secret, format!("R{r} leaks addr into helper function")))
        }
        _ => Ok(()),
    }
}

/// `bpf_spin_lock`.
const SPIN_LOCK: u32 = 93;

/// Whether the argument's kind is one that the helper takes.
fn of_kind(setting: Setting<'_>, reg: Reg, value: &Value, arg: Arg, nullable: bool) -> Proof {
    let mut sure = *value;
    if nullable {
        setting.not_null(&mut sure);
    }
    let kind = sure.kind;
    let sock = matches!(kind, Kind::Sock(_));
    let (fits, expected) = match arg {
        Arg::Ctx | Arg::CtxOrNull => (kind == Kind::Ctx, "ctx"),
        Arg::Map => (matches!(kind, Kind::MapPtr(_)), "map_ptr"),
        Arg::Key
        | Arg::Value
        | Arg::ValueOrNull
        | Arg::ValueOut
        | Arg::Mem
        | Arg::MemOrNull
        | Arg::MemInOut
        | Arg::MemInOutOrNull
        | Arg::MemOut
        | Arg::Fixed(_)
        | Arg::FixedOut(_)
        | Arg::FixedInOut(_) => (is_memory(kind), MEMORY_KINDS),
        Arg::Size | Arg::SizeOrZero | Arg::AllocSize => (value.is_number(), "scalar"),
        Arg::Sock => (sock, SOCK_KINDS),
        Arg::SockOrBtf | Arg::SockReleased => (sock, SOCK_BTF_KINDS),
        Arg::Lent => (matches!(kind, Kind::Mem { lender: Lender::RingBuffer, .. }), "ringbuf_mem"),
        Arg::SpinLock => (matches!(kind, Kind::MapValue(_)), "map_value, ptr_"),
        Arg::Timer | Arg::ConstStr => (matches!(kind, Kind::MapValue(_)), "map_value"),
        Arg::Func => (matches!(kind, Kind::Func(_)), "func"),
        Arg::StackOrNull => (matches!(kind, Kind::Stack { .. }), "fp"),
        Arg::Dynptr | Arg::DynptrOut(_) | Arg::DynptrReleased => {
            (matches!(kind, Kind::Stack { .. } | Kind::Dynptr(_)), "fp, dynptr_ptr")
        }
        Arg::Any | Arg::Unmodelled => (true, ""),
    };
    if fits {
        return Ok(());
    }
    let (r, name) = (reg.index(), kind_name(value.kind));
    let class = if value.kind.may_be_null() { Class::NullPointer } else { Class::Argument };
    Err(Stop::denied(class, format!("R{r} type={name} expected={expected}")))
}

/// Pointers other than to memory may not have been moved.
pub(super) fn offset(reg: Reg, value: &Value, arg: Arg) -> Proof {
    if matches!(arg, Arg::SockReleased | Arg::Lent) && value.off != 0 {
        let r = reg.index();
        let line = format!("R{r} must have zero offset when passed to release func or trusted arg to kfunc");
        return Err(Stop::invalid(Class::Argument, line));
    }
    let released = matches!(arg, Arg::SockReleased | Arg::Lent);
    if value.is_number() || (is_memory(value.kind) || value.kind.may_be_null()) && !released {
        return Ok(());
    }
    memory::unmoved(reg, value)
}

fn is_memory(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Stack { .. } | Kind::Packet | Kind::PacketMeta | Kind::MapKey(_) | Kind::MapValue(_) | Kind::Mem { .. }
    )
}

/// Proves that a value points to the field of a map's values that is a structure of the kernel's, and gives the map. A
/// pointer to something else was refused before.
fn field(
    setting: Setting<'_>,
    value: &Value,
    r: usize,
    struct_name: &str,
    of: impl Fn(ValueFields) -> Option<u32>,
) -> Result<Option<MapIndex>, Stop> {
    let Kind::MapValue(map) = value.kind else { return Ok(None) };
    let name = &setting.map(map).name;
    let fields = setting.value_fields(map);
    let Some(var) = value.var.constant() else {
        let line = format!("R{r} doesn't have constant offset. {struct_name} has to be at the constant offset");
        return Err(Stop::invalid(Class::Argument, line));
    };
    if !fields.typed {
        return Err(Stop::invalid(
            Class::TypeInformation,
            format!("map '{name}' has to have BTF in order to use {struct_name}"),
        ));
    }
    let Some(at) = of(fields) else {
        return Err(Stop::invalid(Class::TypeInformation, format!("map '{name}' has no valid {struct_name}")));
    };
    let off = (var as i64).wrapping_add(i64::from(value.off));
    if off != i64::from(at) {
        return Err(Stop::invalid(
            Class::Argument,
            format!("off {off} doesn't point to 'struct {struct_name}' that is at {at}"),
        ));
    }
    Ok(Some(map))
}

/// Proves that a lock may be taken or given back.
fn spin_lock(setting: Setting<'_>, state: &State, takes: bool, value: &Value, r: usize) -> Proof {
    let Some(map) = field(setting, value, r, "bpf_spin_lock", |fields| fields.lock)? else { return Ok(()) };
    match (takes, state.lock) {
        (true, Some(_)) => Err(Stop::invalid(Class::Lock, "Locking two bpf_spin_locks are not allowed")),
        (false, None) => Err(Stop::invalid(Class::Lock, "bpf_spin_unlock without taking a lock")),
        (false, Some(lock)) if (lock.id, lock.map) != (value.id, map) => {
            Err(Stop::invalid(Class::Lock, "bpf_spin_unlock of different lock"))
        }
        _ => Ok(()),
    }
}

/// Proves that an argument is a timer.
fn timer(setting: Setting<'_>, value: &Value, r: usize, so_far: &mut Given) -> Proof {
    if let Some(map) = field(setting, value, r, "bpf_timer", |fields| fields.timer)? {
        so_far.map = Some((map, value.owner));
    }
    Ok(())
}

/// Proves that an argument is a string that cannot change.
fn const_str(setting: Setting<'_>, value: &Value, r: usize) -> Proof {
    let Kind::MapValue(map) = value.kind else { return Ok(()) };
    let spec = setting.map(map);
    if spec.flags & crate::maps::BPF_F_RDONLY_PROG == 0 || spec.initial.is_none() {
        return Err(Stop::denied(Class::Argument, format!("R{r} does not point to a readonly map'")));
    }
    let Some(off) = value.fixed_offset() else {
        return Err(Stop::denied(Class::Argument, format!("R{r} is not a constant address'")));
    };
    if spec.ty != MapType::ARRAY {
        return Err(Stop::denied(Class::Argument, "no direct value access support for this map type"));
    }
    memory::region(register(r - 1), value, i64::from(value.off), 1, spec.value_size, false, Region::MapValue)?;
    let bytes = spec.initial.as_deref().unwrap_or_default();
    let rest = usize::try_from(off).ok().and_then(|off| bytes.get(off..)).unwrap_or_default();
    if !rest.contains(&0) {
        return Err(Stop::invalid(Class::Argument, "string is not zero-terminated"));
    }
    Ok(())
}

/// Proves a size, and the memory in the argument before it.
fn size(setting: Setting<'_>, state: &State, signature: &Signature, index: usize, value: &Value) -> Proof {
    let r = register(index).index();
    let empty_ok = signature.args[index] == Arg::SizeOrZero;
    let memory = signature.args[index - 1];
    let (smin, umin, umax) = (value.var.wide.smin, value.var.wide.umin, value.var.wide.umax);
    let limit = || format!("{} to {} bytes", u8::from(!empty_ok), MAX_OFFSET - 1);
    if smin < 0 {
        let advice = "either use unsigned or 'var &= const'";
        let stop = Stop::denied(Class::Size, format!("R{r} min value is negative, {advice}"));
        return Err(stop.limit(limit(), format!("from {smin}")));
    }
    if umin == 0 && !empty_ok {
        let line = format!("R{r} invalid zero-sized read: u64=[{},{}]", umin as i64, umax as i64);
        return Err(Stop::denied(Class::Size, line).limit(limit(), format!("{umin} to {umax}")));
    }
    if umax >= MAX_OFFSET as u64 {
        let advice = "use 'var &= const' or 'if (var < const)'";
        let stop = Stop::denied(Class::Size, format!("R{r} unbounded memory access, {advice}"));
        return Err(stop.limit(limit(), format!("{umin} to {umax}")));
    }
    let uninit = memory == Arg::MemOut;
    let writes = matches!(memory, Arg::MemOut | Arg::MemInOut | Arg::MemInOutOrNull);
    let dir = if writes { Direction::Write } else { Direction::Read };
    let raw = uninit && value.var.bits.is_const();
    memory_of(setting, state, register(index - 1), umax, dir, empty_ok, raw)
}

/// Proves that a helper may access `size` bytes at `reg`. With `raw` it writes all of them and reads none.
pub(super) fn memory_of(
    setting: Setting<'_>,
    state: &State,
    reg: Reg,
    size: u64,
    dir: Direction,
    empty_ok: bool,
    raw: bool,
) -> Proof {
    let ptr = state.reg(reg);
    let off = i64::from(ptr.off);
    let bytes = u32::try_from(size).expect("sizes are bounded before");
    match ptr.kind {
        Kind::Packet | Kind::PacketMeta => memory::packet(reg, ptr, off, bytes, empty_ok),
        Kind::MapKey(map) => {
            if dir == Direction::Write {
                return Err(Stop::denied(Class::Access, format!("R{} cannot write into map_key", reg.index())));
            }
            memory::region(reg, ptr, off, bytes, setting.map(map).key_size, empty_ok, Region::MapKey)
        }
        Kind::MapValue(map) | Kind::MapValueOrNull(map) => {
            memory::map_permits(setting, map, off, bytes, dir)?;
            let len = setting.map(map).value_size;
            memory::map_value(setting, reg, ptr, map, off, bytes, len, empty_ok)
        }
        Kind::Mem { size, .. } | Kind::MemOrNull { size, .. } => {
            memory::region(reg, ptr, off, bytes, size, empty_ok, Region::Memory)
        }
        Kind::Stack { frame } => {
            if size == 0 && !empty_ok {
                return Err(Stop::denied(Class::Size, "invalid zero-sized read"));
            }
            let reach = memory::on_stack(setting, state, reg, ptr, off, i64::from(bytes), dir)?;
            if !ptr.var.bits.is_const() {
                // Only the root may pass a part of the stack that varies; what it then overwrites is all of it.
                memory::variable_stack_allowed(setting, reg, ptr)?;
            } else if raw {
                return dynptr::spared(state, usize::from(frame), reach.min, i64::from(bytes));
            }
            memory::initialised(setting, state, reg, ptr, usize::from(frame), reach, i64::from(bytes))
        }
        _ if empty_ok && size == 0 && ptr.is_zero() => Ok(()),
        kind => Err(Stop::denied(Class::Argument, format!("R{} type={} expected=fp", reg.index(), kind_name(kind)))),
    }
}

/// What the kernel checks of the call as a whole.
fn after_arguments(setting: Setting<'_>, state: &State, signature: &Signature, given: &Given) -> Proof {
    if signature.args.iter().any(|a| matches!(a, Arg::SockReleased | Arg::Lent)) {
        let held = state.references.iter().any(|r| r.id == given.reference);
        let null = signature
            .args
            .iter()
            .enumerate()
            .any(|(i, a)| matches!(a, Arg::SockReleased | Arg::Lent) && state.reg(register(i)).is_zero());
        if !held && !null {
            let name = helpers::name(signature.id).unwrap_or_default();
            return Err(Stop::invalid(
                Class::Reference,
                format!("func {name}#{} reference has not been acquired before", signature.id),
            ));
        }
    }
    if signature.id == DYNPTR_FROM_MEM && !matches!(state.reg(Reg::R1).kind, Kind::MapValue(_)) {
        let name = kind_name(state.reg(Reg::R1).kind);
        let line = format!("Unsupported reg type {name} for bpf_dynptr_from_mem data");
        return Err(Stop::denied(Class::Argument, line));
    }
    if signature.id == TAIL_CALL {
        super::nothing_held(state, "tail_call")?;
    }
    if signature.id == helpers::signature::FOR_EACH_MAP_ELEM
        && let Some((map, _)) = given.map
        && !matches!(setting.map(map).ty.0, 1 | 2 | 5 | 6 | 9 | 10)
    {
        return Err(Stop::refused(Class::NotAvailable, Errno(524), "callback function not allowed for map"));
    }
    if signature.returns == Returns::Unmodelled {
        let name = helpers::name(signature.id).unwrap_or_default();
        let reason = format!("{name} returns what only the kernel's own types describe");
        return Err(Stop::unsupported("verifier-kernel-types", reason));
    }
    match given.map {
        Some((map, _)) if !signature.args.contains(&Arg::Timer) => map_fits(setting, signature.id, map),
        _ => Ok(()),
    }
}

/// Helpers that take maps of one type only, and the types.
const HELPERS_OF_MAPS: [(&[u32], &[u32]); 13] = [
    (&[12], &[3]),
    (&[22, 25, 55], &[4]),
    (&[130, 131, 134, 198], &[27]),
    (&[209], &[31]),
    (&[27], &[7]),
    (&[33, 37], &[8]),
    (&[51], &[14, 25, 16, 17]),
    (&[88], &[22, 23]),
    (&[87, 89], &[22, 23, 30]),
    (&[195], &[5, 6, 10]),
    (&[107, 108], &[24]),
    (&[156, 157], &[29]),
    (&[210, 211], &[32]),
];

/// Map types that only some helpers take, and the helpers.
const MAPS_OF_HELPERS: [(u32, &[u32]); 24] = [
    (3, &[12]),
    (4, &[22, 25, 55]),
    (27, &[130, 131, 134, 198, 199, 200]),
    (31, &[209]),
    (7, &[27]),
    (8, &[33, 37]),
    (19, &[81]),
    (21, &[81]),
    (14, &[51, 1]),
    (25, &[51, 1]),
    (16, &[51]),
    (17, &[51, 1]),
    (12, &[1]),
    (13, &[1]),
    (15, &[1, 2, 3]),
    (18, &[1, 2, 3]),
    (20, &[]),
    (22, &[87, 88, 89]),
    (23, &[87, 88, 89]),
    (30, &[87, 89]),
    (24, &[107, 108, 194]),
    (28, &[]),
    (29, &[156, 157]),
    (32, &[210, 211]),
];

/// Proves that the helper takes maps of this type.
fn map_fits(setting: Setting<'_>, helper: u32, map: MapIndex) -> Proof {
    let ty = setting.map(map).ty.0;
    if helper == TAIL_CALL && setting.program.functions.len() > 1 && !setting.options.tail_calls_in_functions {
        return Err(Stop::invalid(Class::NotAvailable, "mixing of tail_calls and bpf-to-bpf calls is not supported"));
    }
    let map_takes = MAPS_OF_HELPERS.iter().find(|(t, _)| *t == ty).is_none_or(|(_, h)| h.contains(&helper));
    let helper_takes = HELPERS_OF_MAPS.iter().find(|(h, _)| h.contains(&helper)).is_none_or(|(_, t)| t.contains(&ty));
    if map_takes && helper_takes {
        return Ok(());
    }
    let name = helpers::name(helper).unwrap_or_default();
    Err(Stop::invalid(Class::NotAvailable, format!("cannot pass map_type {ty} into func {name}#{helper}")))
}

/// The key that a lookup in an array is given, if it is a constant on the stack, and where it is spilled, if it is. Linux
/// then knows whether there is such an entry.
pub(in crate::verifier) fn constant_key(
    setting: Setting<'_>,
    state: &State,
    map: MapIndex,
) -> Option<(u64, Option<Home>)> {
    let spec = setting.map(map);
    if spec.ty != MapType::ARRAY && spec.ty != MapType::PERCPU_ARRAY {
        return None;
    }
    let key = state.reg(Reg::R2);
    let Kind::Stack { frame } = key.kind else { return None };
    let place = StackPlace::of(key.fixed_offset()?);
    let slot = state.frames[usize::from(frame)].slot(place.slot);
    let size = spec.key_size as usize;
    let run = |what| slot.bytes[place.byte..].iter().take_while(|b| **b == what).count();
    if run(StackByte::Zero) >= size {
        return Some((0, None));
    }
    let whole = place.byte == 0 && run(StackByte::Spill) == size;
    let key = slot.spilled.constant().filter(|_| slot.is_number_spill() && whole)?;
    Some((key, Some(Home { frame, is_slot: true, index: place.slot as u8 })))
}
