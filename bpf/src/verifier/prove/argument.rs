//! Arguments of helpers.

use super::memory::{self, Region};
use super::{Setting, readable};
use crate::helpers::{ArgKind, HelperProto};
use crate::insn::Reg;
use crate::maps::Map;
use crate::program::{MapIndex, MapType, ProgType};
use crate::verifier::demand::Direction;
use crate::verifier::explored::Kind;
use crate::verifier::log::kind_name;
use crate::verifier::state::{MAX_OFFSET, StackByte, StackPlace, State, Value};
use crate::verifier::verdict::{Proof, Stop};

/// The register of an argument, counted from 0.
fn register(index: usize) -> Reg {
    Reg::new(index as u8 + 1).expect("a helper has at most five arguments")
}

/// The map a helper is given.
fn map_argument(state: &State, proto: &HelperProto) -> Option<MapIndex> {
    let index = proto.args.iter().position(|k| *k == ArgKind::ConstMap)?;
    match state.reg(register(index)).kind {
        Kind::MapPtr(map) => Some(map),
        _ => None,
    }
}

/// Kinds that memory arguments may have, as Linux lists them.
const MEMORY_KINDS: &str = "fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_";

/// Proves that argument `index` is what the helper takes.
pub(super) fn fits(setting: Setting<'_>, state: &State, proto: &HelperProto, index: usize) -> Proof {
    let reg = register(index);
    let (kind, value) = (proto.args[index], state.reg(reg));
    readable(state, reg)?;
    if kind == ArgKind::Anything {
        return Ok(());
    }
    if value.kind.is_packet() && (setting.program.ty == ProgType::SocketFilter || !proto.packet_args) {
        return Err(Stop::denied("helper access to the packet is not allowed"));
    }
    match kind {
        ArgKind::None | ArgKind::Anything => Ok(()),
        ArgKind::Context => {
            of_kind(reg, value, value.kind == Kind::Ctx, "ctx")?;
            memory::unmoved(reg, value)
        }
        ArgKind::ConstMap => {
            of_kind(reg, value, matches!(value.kind, Kind::MapPtr(_)), "map_ptr")?;
            memory::unmoved(reg, value)
        }
        ArgKind::MapKey | ArgKind::MapValue => {
            of_kind(reg, value, is_memory(value.kind), MEMORY_KINDS)?;
            let Some(map) = map_argument(state, proto) else {
                let what = if kind == ArgKind::MapKey { "key" } else { "value" };
                return Err(Stop::denied(format!("invalid map_ptr to access map->{what}")));
            };
            let spec = setting.map(map);
            let size = if kind == ArgKind::MapKey { spec.key_size } else { spec.value_size };
            memory_of(setting, state, reg, u64::from(size), Direction::Read, false, false)
        }
        ArgKind::MemOrNull if value.is_zero() => Ok(()),
        ArgKind::Mem | ArgKind::MemOrNull | ArgKind::UninitMem => {
            of_kind(reg, value, is_memory(value.kind), MEMORY_KINDS)
        }
        ArgKind::UninitMapValue | ArgKind::ConstSize | ArgKind::RingRecord | ArgKind::SpinLock => {
            Err(Stop::unsupported("verifier-argument", "a helper takes an argument of a kind that is not modelled"))
        }
        ArgKind::Callback | ArgKind::StackOrNull => {
            Err(Stop::unsupported("verifier-callback", "a helper calls a function of the program back"))
        }
        ArgKind::Size | ArgKind::SizeOrZero => {
            of_kind(reg, value, value.is_number(), "scalar")?;
            size(setting, state, proto, index, value)
        }
    }
}

fn of_kind(reg: Reg, value: &Value, fits: bool, expected: &str) -> Proof {
    if fits {
        return Ok(());
    }
    let (r, name) = (reg.index(), kind_name(value.kind));
    Err(Stop::denied(format!("R{r} type={name} expected={expected}")))
}

fn is_memory(kind: Kind) -> bool {
    matches!(kind, Kind::Stack { .. } | Kind::Packet | Kind::PacketMeta | Kind::MapValue(_) | Kind::Mem { .. })
}

/// Proves a size, and the memory in the argument before it.
fn size(setting: Setting<'_>, state: &State, proto: &HelperProto, index: usize, value: &Value) -> Proof {
    let r = register(index).index();
    let empty_ok = proto.args[index] == ArgKind::SizeOrZero;
    let uninit = proto.args[index - 1] == ArgKind::UninitMem;
    let (smin, umin, umax) = (value.var.wide.smin, value.var.wide.umin, value.var.wide.umax);
    if smin < 0 {
        let advice = "either use unsigned or 'var &= const'";
        return Err(Stop::denied(format!("R{r} min value is negative, {advice}")));
    }
    if umin == 0 && !empty_ok {
        return Err(Stop::denied(format!("R{r} invalid zero-sized read: u64=[{},{}]", umin as i64, umax as i64)));
    }
    if umax >= MAX_OFFSET as u64 {
        let advice = "use 'var &= const' or 'if (var < const)'";
        return Err(Stop::denied(format!("R{r} unbounded memory access, {advice}")));
    }
    let dir = if uninit { Direction::Write } else { Direction::Read };
    let raw = uninit && value.var.bits.is_const();
    memory_of(setting, state, register(index - 1), umax, dir, empty_ok, raw)
}

/// Proves that a helper may access `size` bytes at `reg`. With `raw` it writes all of them and reads none.
fn memory_of(
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
        Kind::MapValue(map) => {
            memory::map_permits(setting, map, off, bytes, dir)?;
            let len = setting.map(map).value_size;
            memory::region(reg, ptr, off, bytes, len, empty_ok, Region::MapValue)
        }
        Kind::Mem { size } => memory::region(reg, ptr, off, bytes, size, empty_ok, Region::Memory),
        Kind::Stack { frame } => {
            if size == 0 && !empty_ok {
                return Err(Stop::denied("invalid zero-sized read"));
            }
            let reach = memory::on_stack(reg, ptr, off, i64::from(bytes), dir)?;
            if raw && ptr.var.bits.is_const() {
                return Ok(());
            }
            memory::initialised(state, reg, ptr, usize::from(frame), reach, i64::from(bytes))
        }
        _ if empty_ok && size == 0 && ptr.is_zero() => Ok(()),
        kind => Err(Stop::denied(format!("R{} type={} expected=fp", reg.index(), kind_name(kind)))),
    }
}

/// `bpf_for_each_map_elem`.
const EACH: u32 = 164;

/// Map types that the lookup, update and delete helpers take as plain keys and values.
const PLAIN: [u32; 7] = [1, 2, 5, 6, 9, 10, 11];

/// Proves that the helper takes maps of this type.
pub(super) fn map_fits(setting: Setting<'_>, state: &State, proto: &HelperProto) -> Proof {
    let Some(map) = map_argument(state, proto) else { return Ok(()) };
    let ty = setting.map(map).ty;
    let takes = Map::kind_of(ty).is_some_and(|kind| kind.helpers.contains(&proto.id)) || proto.id == EACH;
    if PLAIN.contains(&ty.0) && takes {
        return Ok(());
    }
    let reason = format!("map `{}` is a {ty}, which is not modelled", setting.map(map).name);
    Err(Stop::unsupported("verifier-map-type", reason))
}

/// The key that a lookup in an array is given, if it is a constant on the stack. Linux then knows whether there is such
/// an entry.
pub(crate) fn constant_key(setting: Setting<'_>, state: &State, map: MapIndex) -> Option<u64> {
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
        return Some(0);
    }
    let whole = place.byte == 0 && run(StackByte::Spill) == size;
    if slot.is_number_spill() && whole { slot.spilled.constant() } else { None }
}
