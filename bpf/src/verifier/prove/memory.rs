//! Memory: is every byte an access may reach one that it may touch?

use super::Setting;
use crate::errno::Errno;
use crate::insn::Reg;
use crate::maps::{BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG};
use crate::program::{MapIndex, ProgType};
use crate::verifier::class::Class;
use crate::verifier::ctx::{self, CtxAccess};
use crate::verifier::demand::{Access, Direction, Stored};
use crate::verifier::explored::Kind;
use crate::verifier::log::kind_name;
use crate::verifier::state::{MAX_OFFSET, MAX_STACK, SLOT_BYTES, StackByte, StackPlace, State, Value};
use crate::verifier::tnum::Tnum;
use crate::verifier::verdict::{Proof, Stop};

/// A map read or written as the kernel's own structure: a privileged program may read it, which is not modelled.
fn map_structure(setting: Setting<'_>, map: MapIndex, access: &Access) -> Proof {
    // `struct bpf_htab` stands behind hashes of every kind, `struct bpf_array` behind arrays.
    let name = match setting.map(map).ty.0 {
        1 | 5 | 9 | 10 => "bpf_htab",
        2 | 3 | 4 | 6 | 12 => "bpf_array",
        _ => "",
    };
    if !setting.options.privileges.leaks_pointers() && !name.is_empty() {
        let line = format!("'struct {name}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN");
        return Err(Stop::refused(Class::Privilege, Errno::EPERM, line));
    }
    if access.dir == Direction::Write && !name.is_empty() && access.off >= 0 {
        return Err(Stop::denied(Class::Access, format!("only read from {name} is supported")));
    }
    let reason = format!("R{} is a map and is accessed as the kernel's own structure", access.base.index());
    Err(Stop::unsupported("verifier-map-struct", reason))
}

/// An access through something that is no pointer to memory.
fn invalid(base: Reg, kind: Kind) -> Stop {
    let class = if kind.may_be_null() { Class::NullPointer } else { Class::Access };
    Stop::denied(class, format!("R{} invalid mem access '{}'", base.index(), kind_name(kind)))
}

/// Proves a load's, store's or atomic operation's access.
pub(super) fn accessible(setting: Setting<'_>, state: &State, access: &Access) -> Proof {
    let ptr = state.reg(access.base);
    aligned(setting, ptr, access)?;
    let off = access.off + i64::from(ptr.off);
    match ptr.kind {
        Kind::MapValue(map) => {
            kept_secret(setting, state, access, "map")?;
            map_permits(setting, map, off, access.size, access.dir)?;
            let len = setting.map(map).value_size;
            map_value(setting, access.base, ptr, map, off, access.size, len, false)
        }
        Kind::MapKey(map) => {
            if access.dir == Direction::Write {
                return Err(Stop::denied(
                    Class::Access,
                    format!("write to change key R{} not allowed", access.base.index()),
                ));
            }
            region(access.base, ptr, off, access.size, setting.map(map).key_size, false, Region::MapKey)
        }
        Kind::Sock(kind) => super::sock::accessible(kind, ptr, access),
        Kind::Mem { size, .. } => {
            kept_secret(setting, state, access, "mem")?;
            region(access.base, ptr, off, access.size, size, false, Region::Memory)
        }
        Kind::Ctx => {
            kept_secret(setting, state, access, "ctx")?;
            context(setting, ptr, access)
        }
        Kind::Stack { .. } => stack(setting, state, ptr, access),
        Kind::Packet | Kind::PacketMeta => {
            if access.dir == Direction::Write && setting.program.ty == ProgType::SocketFilter {
                return Err(Stop::denied(Class::Access, "cannot write into packet"));
            }
            kept_secret(setting, state, access, "packet")?;
            packet(access.base, ptr, off, access.size, false)
        }
        Kind::MapPtr(map) => map_structure(setting, map, access),
        kind => Err(invalid(access.base, kind)),
    }
}

/// Who must not see addresses may not store one where somebody else can read it.
fn kept_secret(setting: Setting<'_>, state: &State, access: &Access, place: &str) -> Proof {
    match access.stored {
        Stored::Reg(reg) if !setting.options.privileges.leaks_pointers() && state.reg(reg).is_pointer() => {
            Err(Stop::denied(Class::Secret, format!("R{} leaks addr into {place}", reg.index())))
        }
        _ => Ok(()),
    }
}

/// Linux does not ask for alignment on machines that have cheap unaligned accesses, but for the stack and for atomic
/// operations.
fn aligned(setting: Setting<'_>, ptr: &Value, access: &Access) -> Proof {
    let on_stack = matches!(ptr.kind, Kind::Stack { .. });
    if access.size == 1 || !(setting.options.strict_alignment || access.aligned || on_stack) {
        return Ok(());
    }
    // Ethernet headers leave the network header aligned to 4 bytes when the packet starts 2 bytes behind.
    let lead = if ptr.kind.is_packet() { 2 } else { 0 };
    let fixed = i64::from(ptr.off) + access.off + lead;
    if ptr.var.bits.add(Tnum::known(fixed as u64)).is_aligned(u64::from(access.size)) {
        return Ok(());
    }
    let (var, own, off, size) = (ptr.var.bits, ptr.off, access.off, access.size);
    if ptr.kind.is_packet() {
        return Err(Stop::denied(
            Class::Alignment,
            format!("misaligned packet access off {lead}+{var}+{own}+{off} size {size}"),
        ));
    }
    let what = match ptr.kind {
        Kind::MapValue(_) => "value ",
        Kind::Ctx => "context ",
        Kind::Stack { .. } => "stack ",
        _ => "",
    };
    Err(Stop::denied(Class::Alignment, format!("misaligned {what}access off {var}+{own}+{off} size {size}")))
}

/// Whether programs may access a map this way at all.
pub(super) fn map_permits(setting: Setting<'_>, map: MapIndex, off: i64, size: u32, dir: Direction) -> Proof {
    let spec = setting.map(map);
    let (barred, what) = match dir {
        Direction::Write => (BPF_F_RDONLY_PROG, "write into"),
        Direction::Read => (BPF_F_WRONLY_PROG, "read from"),
    };
    if spec.flags & barred == 0 {
        return Ok(());
    }
    Err(Stop::denied(
        Class::Access,
        format!("{what} map forbidden, value_size={} off={off} size={size}", spec.value_size),
    ))
}

/// What a bounded piece of memory is called.
#[derive(Clone, Copy)]
pub(super) enum Region {
    MapKey,
    MapValue,
    Packet,
    Memory,
}

impl Region {
    const fn name(self) -> &'static str {
        match self {
            Region::MapKey => "the key",
            Region::MapValue => "the value",
            Region::Packet => "the packet, as far as they were compared with its end",
            Region::Memory => "the memory",
        }
    }

    fn class(self) -> Class {
        match self {
            Region::MapKey | Region::MapValue => Class::MapBounds,
            Region::Packet => Class::PacketBounds,
            Region::Memory => Class::MemoryBounds,
        }
    }
}

/// A range of bytes for people.
fn bytes(off: i64, size: u32) -> String {
    match size {
        0 => "no bytes".to_owned(),
        1 => format!("byte {off}"),
        _ => format!("bytes {off} to {}", off.saturating_add(i64::from(size) - 1)),
    }
}

/// Whether `size` bytes at `off` lie in `len` bytes.
fn inside(base: Reg, ptr: &Value, off: i64, size: u32, len: u32, empty_ok: bool, what: Region) -> Proof {
    if off >= 0 && (size > 0 || empty_ok) && off as u64 + u64::from(size) <= u64::from(len) {
        return Ok(());
    }
    let line = match what {
        Region::MapKey => format!("invalid access to map key, key_size={len} off={off} size={size}"),
        Region::MapValue => format!("invalid access to map value, value_size={len} off={off} size={size}"),
        Region::Memory => format!("invalid access to memory, mem_size={len} off={off} size={size}"),
        Region::Packet => {
            let (r, id) = (base.index(), ptr.id);
            format!("invalid access to packet, off={off} size={size}, R{r}(id={id},off={off},r={len})")
        }
    };
    let stop = Stop::denied(what.class(), line);
    Err(stop.limit(format!("{} of {}", bytes(0, len), what.name()), bytes(off, size)).about(base))
}

/// Proves an access to memory of known length at both ends of the pointer's range.
pub(super) fn region(base: Reg, ptr: &Value, off: i64, size: u32, len: u32, empty_ok: bool, what: Region) -> Proof {
    let r = base.index();
    let (smin, umax) = (ptr.var.wide.smin, ptr.var.wide.umax);
    let lowest = off.checked_add(smin).filter(|v| i32::try_from(*v).is_ok());
    if smin < 0 && lowest.is_none_or(|v| v < 0) {
        return Err(negative(what.class(), base, smin));
    }
    let outside = |which| format!("R{r} {which} value is outside of the allowed memory range");
    inside(base, ptr, lowest.unwrap_or(i64::MAX >> 1), size, len, empty_ok, what).map_err(|s| s.and(outside("min")))?;
    if umax >= MAX_OFFSET as u64 {
        let advice = "make sure to bounds check any such access";
        let stop = Stop::denied(what.class(), format!("R{r} unbounded memory access, {advice}"));
        return Err(stop.limit(format!("offsets below {MAX_OFFSET}"), format!("up to {umax}")).about(base));
    }
    inside(base, ptr, off + umax as i64, size, len, empty_ok, what).map_err(|s| s.and(outside("max")))
}

/// Proves an access to a map's value: inside it, and not of what only helpers may touch.
#[expect(clippy::too_many_arguments, reason = "an access, and what is known of the value")]
pub(super) fn map_value(
    setting: Setting<'_>,
    base: Reg,
    ptr: &Value,
    map: MapIndex,
    off: i64,
    size: u32,
    len: u32,
    empty_ok: bool,
) -> Proof {
    region(base, ptr, off, size, len, empty_ok, Region::MapValue)?;
    let fields = setting.value_fields(map);
    let (first, last) = (off.saturating_add(ptr.var.wide.smin), off.saturating_add(ptr.var.wide.umax as i64));
    let touches = |at: u32, bytes: i64| first < i64::from(at) + bytes && i64::from(at) < last + i64::from(size);
    for (at, bytes, name) in [(fields.lock, 4, "bpf_spin_lock"), (fields.timer, 16, "bpf_timer")] {
        if at.is_some_and(|at| touches(at, bytes)) {
            return Err(Stop::denied(Class::Access, format!("{name} cannot be accessed directly by load/store")));
        }
    }
    Ok(())
}

/// Proves that a pointer points to a byte of a map's value, as a helper may access it.
pub(in crate::verifier) fn byte_of_value(setting: Setting<'_>, reg: Reg, ptr: &Value, map: MapIndex) -> Proof {
    map_value(setting, reg, ptr, map, i64::from(ptr.off), 1, setting.map(map).value_size, false)
}

/// Memory a helper accesses by words must be aligned.
pub(super) fn aligned_argument(setting: Setting<'_>, ptr: &Value, size: u32) -> Proof {
    let access = Access {
        base: Reg::R1,
        off: 0,
        size,
        dir: Direction::Write,
        to_register: false,
        stored: Stored::Unknown,
        aligned: true,
        sign_extends: false,
    };
    aligned(setting, ptr, &access)
}

/// Whether a helper may be given stack at an offset that varies.
pub(super) fn variable_stack_allowed(setting: Setting<'_>, base: Reg, ptr: &Value) -> Proof {
    if setting.options.privileges.bypasses_speculation() {
        return Ok(());
    }
    let (r, var) = (base.index(), ptr.var.bits);
    Err(Stop::denied(
        Class::Speculation,
        format!("R{r} indirect variable offset stack access prohibited for !root, var_off={var}"),
    ))
}

pub(super) fn negative(class: Class, base: Reg, smin: i64) -> Stop {
    let advice = "either use unsigned index or do a if (index >=0) check.";
    Stop::denied(class, format!("R{} min value is negative, {advice}", base.index()))
        .limit("offsets from 0", format!("from {smin}"))
        .about(base)
}

/// Proves an access to packet data: what was compared with the packet's end counts from the variable part on.
pub(super) fn packet(base: Reg, ptr: &Value, off: i64, size: u32, empty_ok: bool) -> Proof {
    if ptr.var.wide.smin < 0 {
        return Err(negative(Class::PacketBounds, base, ptr.var.wide.smin));
    }
    let outside = || format!("R{} offset is outside of the packet", base.index());
    match ptr.range.bytes() {
        Some(range) => {
            let range = u32::from(range);
            inside(base, ptr, off, size, range, empty_ok, Region::Packet).map_err(|s| s.and(outside()))
        }
        None => Err(Stop::invalid(Class::PacketBounds, outside())),
    }
}

/// A pointer that may not have been moved.
pub(super) fn unmoved(base: Reg, ptr: &Value) -> Proof {
    let (name, r) = (kind_name(ptr.kind), base.index());
    if ptr.off < 0 {
        return Err(Stop::denied(
            Class::PointerArithmetic,
            format!("negative offset {name} ptr R{r} off={} disallowed", ptr.off),
        ));
    }
    if ptr.off != 0 {
        return Err(Stop::denied(
            Class::PointerArithmetic,
            format!("dereference of modified {name} ptr R{r} off={} disallowed", ptr.off),
        ));
    }
    if ptr.var.constant() != Some(0) {
        return Err(Stop::denied(
            Class::PointerArithmetic,
            format!("variable {name} access var_off={} disallowed", ptr.var.bits),
        ));
    }
    Ok(())
}

fn context(setting: Setting<'_>, ptr: &Value, access: &Access) -> Proof {
    unmoved(access.base, ptr)?;
    let write = access.dir == Direction::Write;
    let wanted = CtxAccess { off: access.off, size: access.size, write, sign_extends: access.sign_extends };
    match ctx::access(setting.program.ty, setting.program.attach, setting.options.device_bound, wanted) {
        Some(_) => Ok(()),
        None => Err(Stop::denied(
            Class::Field,
            format!("invalid bpf_context access off={} size={}", access.off, access.size),
        )),
    }
}

/// Where an access to the stack may start, from the frame's top, and the end of the highest; both ends are the same
/// place for a constant offset.
#[derive(Clone, Copy)]
pub(super) struct StackReach {
    /// The lowest first byte.
    pub min: i64,
    /// The highest first byte.
    pub max: i64,
}

/// Proves that an access stays on the stack, and tells where it may go.
pub(super) fn on_stack(
    setting: Setting<'_>,
    state: &State,
    base: Reg,
    ptr: &Value,
    off: i64,
    size: i64,
    dir: Direction,
) -> Result<StackReach, Stop> {
    let r = base.index();
    let which = match dir {
        Direction::Read => "read from",
        Direction::Write => "write to",
    };
    let reach = match ptr.var.constant() {
        Some(var) => {
            let at = (var as i64).saturating_add(off);
            StackReach { min: at, max: at }
        }
        None => {
            let (smin, smax) = (ptr.var.wide.smin, ptr.var.wide.smax);
            if smax >= MAX_OFFSET || smin <= -MAX_OFFSET {
                return Err(Stop::denied(
                    Class::StackBounds,
                    format!("invalid unbounded variable-offset {which} stack R{r}"),
                ));
            }
            StackReach { min: smin + off, max: smax + off }
        }
    };
    // Who may not read what was never written reads nothing below what was touched.
    let lowest = match (ptr.kind, dir) {
        (Kind::Stack { frame }, Direction::Read) if !setting.options.privileges.leaks_pointers() => {
            -SLOT_BYTES * state.frames[usize::from(frame)].stack.len() as i64
        }
        _ => -MAX_STACK,
    };
    let below = reach.min < lowest || reach.min > -1;
    if !below && reach.max.saturating_add(size) <= 0 {
        return Ok(reach);
    }
    let errno = if below { Errno::EACCES } else { Errno::EINVAL };
    let line = if ptr.var.bits.is_const() {
        format!("invalid {which} stack R{r} off={} size={size}", reach.min)
    } else {
        format!("invalid variable-offset {which} stack R{r} var_off={} off={off} size={size}", ptr.var.bits)
    };
    let last = reach.max.saturating_add(size - 1);
    let stop = Stop::refused(Class::StackBounds, errno, line).about(base);
    Err(stop.limit(format!("bytes {lowest} to -1 from the stack's top"), format!("bytes {} to {last}", reach.min)))
}

fn stack(setting: Setting<'_>, state: &State, ptr: &Value, access: &Access) -> Proof {
    let Kind::Stack { frame } = ptr.kind else { unreachable!("the caller looked at the kind") };
    let off = access.off + i64::from(ptr.off);
    let reach = on_stack(setting, state, access.base, ptr, off, i64::from(access.size), access.dir)?;
    let fixed = ptr.var.bits.is_const();
    let frame_index = usize::from(frame);
    let size = i64::from(access.size);
    if !fixed && !setting.options.privileges.bypasses_speculation() {
        let (r, var) = (access.base.index(), ptr.var.bits);
        return Err(Stop::denied(
            Class::Speculation,
            format!("R{r} variable stack access prohibited for !root, var_off={var} off={off}"),
        ));
    }
    match (access.dir, fixed) {
        (Direction::Read, true) => stack_load(setting, state, frame_index, reach.min, access),
        (Direction::Read, false) if !access.to_register => {
            let why = "variable offset stack pointer cannot be passed into helper function";
            let (var, size) = (ptr.var.bits, access.size);
            Err(Stop::denied(Class::StackBounds, format!("{why}; var_off={var} off={off} size={size}")))
        }
        (Direction::Read, false) => initialised(setting, state, access.base, ptr, frame_index, reach, size),
        (Direction::Write, true) => stack_store(setting, state, frame_index, reach.min, access),
        (Direction::Write, false) => super::dynptr::may_overwrite(state, frame_index, reach.min, reach.max + size),
    }
}

/// A load of aligned bytes at a constant offset: a pointer comes back whole or not at all.
fn stack_load(setting: Setting<'_>, state: &State, frame: usize, off: i64, access: &Access) -> Proof {
    let privileged = setting.options.privileges.leaks_pointers();
    let place = StackPlace::of(off);
    let slot = state.frames[frame].slot(place.slot);
    let size = access.size as usize;
    let spill = slot.spill_size();
    if slot.is_spill() {
        if size == 8 && spill == 8 {
            if !access.to_register && !privileged && slot.spilled.is_pointer() {
                return Err(Stop::denied(Class::Secret, format!("leaking pointer from stack off {off}")));
            }
            return Ok(());
        }
        if !slot.spilled.is_number() {
            return Err(Stop::denied(Class::Spill, "invalid size of register fill"));
        }
        if !access.to_register || (size <= spill && place.byte == 0) {
            return Ok(());
        }
    }
    for (i, byte) in slot.bytes[place.byte..place.byte + size].iter().enumerate() {
        let readable = match byte {
            StackByte::Misc | StackByte::Zero => true,
            // A privileged program may read what it never wrote.
            StackByte::Invalid => privileged,
            StackByte::Spill => slot.is_spill(),
            StackByte::Dynptr => false,
        };
        if !readable {
            return Err(Stop::denied(
                Class::Uninitialised,
                format!("invalid read from stack off {off}+{i} size {size}"),
            ));
        }
    }
    Ok(())
}

/// A store of aligned bytes at a constant offset: a pointer goes whole, and none into a caller's frame that points to a
/// callee's.
fn stack_store(setting: Setting<'_>, state: &State, frame: usize, off: i64, access: &Access) -> Proof {
    let slot = state.frames[frame].slot(StackPlace::of(off).slot);
    let spilled_pointer = slot.is_spill() && !slot.spilled.is_number();
    if !setting.options.privileges.leaks_pointers() && spilled_pointer && access.size != 8 {
        return Err(Stop::denied(Class::Spill, "attempt to corrupt spilled pointer on stack"));
    }
    super::dynptr::may_overwrite(state, frame, off, off + 1)?;
    let Stored::Reg(src) = access.stored else { return Ok(()) };
    let value = state.reg(src);
    // A dynamic pointer that was handed over is not kept: its bytes are stored.
    if !value.is_pointer() || matches!(value.kind, Kind::Dynptr(_)) {
        return Ok(());
    }
    if access.size != 8 {
        return Err(Stop::denied(Class::Spill, "invalid size of register spill"));
    }
    debug_assert!(off % 8 == 0, "stack accesses are aligned");
    if frame != state.depth() && matches!(value.kind, Kind::Stack { .. }) {
        return Err(Stop::invalid(Class::Spill, "cannot spill pointers to stack into stack frame of the caller"));
    }
    Ok(())
}

/// Proves that every byte from `reach.min` on may be read: all were written, or hold pointers that a privileged program
/// may leak, or were never written, which it may read too.
pub(super) fn initialised(
    setting: Setting<'_>,
    state: &State,
    base: Reg,
    ptr: &Value,
    frame: usize,
    reach: StackReach,
    size: i64,
) -> Proof {
    let privileged = setting.options.privileges.leaks_pointers();
    let frame = &state.frames[frame];
    for (i, off) in (reach.min..reach.max + size).enumerate() {
        let place = StackPlace::of(off);
        let slot = frame.slot(place.slot);
        let readable = match slot.bytes[place.byte] {
            StackByte::Misc | StackByte::Zero => true,
            // Linux asks nothing of bytes beside a spilled number.
            StackByte::Invalid => privileged || slot.is_number_spill(),
            StackByte::Spill => slot.is_spill() && (privileged || slot.spilled.is_number()),
            StackByte::Dynptr => false,
        };
        if readable {
            continue;
        }
        let r = base.index();
        let at = if ptr.var.bits.is_const() {
            format!("off {}+{i}", reach.min)
        } else {
            format!("var_off {}+{i}", ptr.var.bits)
        };
        return Err(Stop::denied(Class::Uninitialised, format!("invalid read from stack R{r} {at} size {size}")));
    }
    Ok(())
}
