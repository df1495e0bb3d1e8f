//! What is known after an instruction, from what is known before it.

use super::state::{FRAME, Slot, State};
use super::value::{Kinds, Maps, RegFacts};
use crate::helpers::signature::{Arg, DYNPTR_BYTES, Returns, TAIL_CALL, signature};
use crate::insn::{AluOp, AtomicOp, Callee, Cond, Insn, Operand, PacketMode, Reg, Size, Wide, Width};
use crate::maps::BPF_F_RDONLY_PROG;
use crate::program::{MapIndex, MapType, Program};
use crate::verifier::{Bounds, CtxAccess, Holds, Kind, access, assume, assume_of_itself, taken};

/// Bytes of stack an access may touch, in frames given as bits: from `min` to before `end`, counted from a frame's top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StackReach {
    pub frames: u8,
    pub min: i64,
    pub end: i64,
}

/// The stack an access of up to `size` bytes at `base + off` may touch; `None` if it touches none.
pub(super) fn stack_reach(base: &RegFacts, off: i64, size: u64) -> Option<StackReach> {
    if !base.kinds.contains(Kinds::STACK) || size == 0 {
        return None;
    }
    let (smin, smax) = (base.offset.wide.smin, base.offset.wide.smax);
    // An access that was proved lies in its frame, whatever is known here.
    let min = smin.saturating_add(off).clamp(-FRAME, -1);
    let end = smax.saturating_add(off).saturating_add(i64::try_from(size).unwrap_or(FRAME)).clamp(min + 1, 0);
    Some(StackReach { frames: base.frames, min, end })
}

/// The frames of a state that the bits name.
fn frames(bits: u8, state: &State) -> impl Iterator<Item = usize> + use<> {
    (0..state.frames.len()).filter(move |f| bits >> f & 1 == 1)
}

/// The slot a byte is in, and its place there, lowest address first.
fn place(off: i64) -> (usize, usize) {
    (((-off - 1) / 8) as usize, off.rem_euclid(8) as usize)
}

fn operand(state: &State, src: Operand) -> RegFacts {
    match src {
        Operand::Reg(r) => *state.reg(r),
        Operand::Imm(imm) => RegFacts::number(Bounds::known(i64::from(imm) as u64)),
    }
}

/// The number a value may be, if it may be one.
fn number(v: &RegFacts) -> Option<Bounds> {
    v.kinds.contains(Kinds::NUMBER).then_some(v.number)
}

/// A result of `width` bits of which nothing is known.
fn any(width: Width) -> RegFacts {
    match width {
        Width::W64 => RegFacts::ANY_NUMBER,
        Width::W32 => RegFacts::number(Bounds::UNKNOWN.zero_extended()),
    }
}

fn alu(width: Width, op: AluOp, left: &RegFacts, right: &RegFacts) -> RegFacts {
    let mut out = RegFacts::NEVER;
    if let (Some(a), Some(b)) = (number(left), number(right)) {
        out = RegFacts::number(a.alu(width, op, &b));
    }
    let moved = |ptr: &RegFacts, by: &Bounds| RegFacts {
        kinds: ptr.kinds.pointers(),
        offset: ptr.offset.alu(Width::W64, op, by),
        id: 0,
        ..*ptr
    };
    let (lp, rp) = (!left.kinds.pointers().is_empty(), !right.kinds.pointers().is_empty());
    let wide_sum = width == Width::W64 && matches!(op, AluOp::Add | AluOp::Sub);
    if let (true, Some(by)) = (lp, number(right)) {
        out = out.join(&if wide_sum { moved(left, &by) } else { any(width) });
    }
    if let (true, Some(by)) = (rp, number(left)) {
        out = out.join(&if width == Width::W64 && op == AluOp::Add { moved(right, &by) } else { any(width) });
    }
    if lp && rp || out.kinds.is_empty() {
        out = out.join(&any(width));
    }
    out
}

/// Applies `f` to what is a number; a pointer becomes any number of that width.
fn on_number(v: &RegFacts, width: Width, f: impl FnOnce(&Bounds) -> Bounds) -> RegFacts {
    match number(v) {
        Some(n) if v.kinds.pointers().is_empty() => RegFacts::number(f(&n)),
        _ => any(width),
    }
}

/// What a load of part of a value brings.
fn part(v: &RegFacts, bytes: u32) -> RegFacts {
    match number(v) {
        Some(n) if v.kinds.pointers().is_empty() => RegFacts::number(n.truncated(bytes)),
        _ => RegFacts::number(Bounds::UNKNOWN.truncated(bytes)),
    }
}

fn load_slot(slot: &Slot, byte: usize, bytes: u32) -> RegFacts {
    match (byte, bytes, u32::from(slot.size)) {
        (0, 8, 8) => slot.value,
        (0, n, size) if n <= size => part(&slot.value, n),
        _ => RegFacts::number(Bounds::UNKNOWN.truncated(bytes)),
    }
}

fn load_stack(state: &State, base: &RegFacts, off: i64, bytes: u32) -> RegFacts {
    let Some(reach) = stack_reach(base, off, u64::from(bytes)) else { return RegFacts::NEVER };
    let exact = reach.end - reach.min == i64::from(bytes) && place(reach.min).0 == place(reach.end - 1).0;
    if !exact {
        // Loads at a variable offset yield numbers: a pointer comes back only from where it is known to lie.
        return RegFacts::number(Bounds::UNKNOWN.truncated(bytes));
    }
    let (slot, byte) = place(reach.min);
    frames(reach.frames, state)
        .map(|f| load_slot(state.slot(f, slot), byte, bytes))
        .fold(RegFacts::NEVER, |a, b| a.join(&b))
}

fn store_slot(old: &Slot, byte: usize, bytes: u32, value: &RegFacts) -> Slot {
    let start = byte as u32;
    match (start, bytes) {
        (0, 8) => Slot { value: *value, size: 8 },
        (0, n) => Slot { value: part(value, n), size: n as u8 },
        // What lies below stays.
        _ if u32::from(old.size) <= start => *old,
        (1 | 2 | 4, _) => Slot { value: part(&old.value, start), size: byte as u8 },
        _ => Slot::UNKNOWN,
    }
}

fn store_stack(state: &mut State, base: &RegFacts, off: i64, bytes: u64, value: &RegFacts) {
    let Some(reach) = stack_reach(base, off, bytes) else { return };
    let only_stack = base.readable() == Kinds::STACK;
    let exact = reach.end - reach.min == bytes as i64
        && bytes <= 8
        && place(reach.min).0 == place(reach.end - 1).0
        && reach.frames.count_ones() == 1
        && only_stack;
    if !exact {
        return smear(state, reach);
    }
    let (slot, byte) = place(reach.min);
    for frame in frames(reach.frames, state) {
        let new = store_slot(state.slot(frame, slot), byte, bytes as u32, value);
        state.set_slot(frame, slot, new);
    }
}

/// Numbers nobody knows may have been written somewhere in a stretch of stack.
fn smear(state: &mut State, reach: StackReach) {
    for frame in frames(reach.frames, state) {
        for slot in place(reach.end - 1).0..=place(reach.min).0 {
            let old = state.slot(frame, slot);
            let whole = if old.size == 8 { old.value } else { RegFacts::ANY_NUMBER };
            let joined = RegFacts { id: 0, ..whole.join(&RegFacts::ANY_NUMBER) };
            state.set_slot(frame, slot, Slot { value: joined, size: 8 });
        }
    }
}

/// Moves knowledge over instructions of one program.
pub(super) struct Transfer<'a> {
    pub program: &'a Program,
    /// Whether the program is bound to a device.
    pub device_bound: bool,
}

impl Transfer<'_> {
    /// After an instruction that is no jump, branch, local call or exit.
    pub(super) fn step(&self, state: &mut State, slot: usize, insn: &Insn) {
        match *insn {
            Insn::Alu { width, op, dst, src } => {
                let out = alu(width, op, state.reg(dst), &operand(state, src));
                state.set(dst, out);
            }
            Insn::Mov { width: Width::W64, dst, src: Operand::Reg(src), sext: None } => {
                let value = *state.reg(src);
                if value.id == 0 {
                    let id = slot as u32 + 1;
                    state.update_where(|v| v.id == id, |v| v.id = 0);
                    state.set(src, RegFacts { id, ..value });
                }
                state.set(dst, *state.reg(src));
            }
            Insn::Mov { width, dst, src, sext } => {
                let extend = |n: &Bounds| match (sext, width) {
                    (Some(bits), _) => n.sign_extended(u32::from(bits), width),
                    (None, Width::W32) => n.zero_extended(),
                    (None, Width::W64) => *n,
                };
                let out = on_number(&operand(state, src), width, extend);
                state.set(dst, out);
            }
            Insn::Neg { width, dst } => {
                let out = on_number(state.reg(dst), width, |n| n.negate(width));
                state.set(dst, out);
            }
            Insn::End { order, dst, bits } => {
                let out = match number(state.reg(dst)) {
                    Some(n) if state.reg(dst).kinds.pointers().is_empty() => n.ordered(order, bits),
                    _ => Bounds::UNKNOWN.truncated(u32::from(bits) / 8),
                };
                state.set(dst, RegFacts::number(out));
            }
            Insn::LoadImm64 { dst, value } => {
                let out = match value {
                    Wide::Value(v) => RegFacts::number(Bounds::known(v)),
                    Wide::Map(map) => RegFacts::of_map(Kinds::MAP, map),
                    Wide::MapValue { map, off } => {
                        RegFacts { offset: Bounds::known(u64::from(off)), ..RegFacts::of_map(Kinds::MAP_VALUE, map) }
                    }
                    Wide::Func { .. } => {
                        let start = insn.function(slot).unwrap_or(0);
                        RegFacts { offset: Bounds::known(start as u64), ..RegFacts::of(Kinds::FUNCTION) }
                    }
                    Wide::Variable { .. } => RegFacts::ANY_NUMBER,
                };
                state.set(dst, out);
            }
            Insn::Load { size, sext, dst, base, off } => {
                let out = self.load(state, base, i64::from(off), size, sext);
                state.set(dst, out);
            }
            Insn::LoadAcquire { size, dst, base, off } => {
                let out = self.load(state, base, i64::from(off), size, false);
                state.set(dst, out);
            }
            Insn::AddrSpaceCast { dst, .. } => state.set(dst, RegFacts::ANYTHING),
            Insn::StoreRelease { size, base, off, src } => {
                let (value, ptr) = (*state.reg(src), *state.reg(base));
                store_stack(state, &ptr, i64::from(off), u64::from(size.bytes()), &value);
            }
            Insn::Store { size, base, off, src } => {
                let value = operand(state, src);
                let ptr = *state.reg(base);
                store_stack(state, &ptr, i64::from(off), u64::from(size.bytes()), &value);
            }
            Insn::Atomic { op, fetch, size, base, off, src } => {
                let old = self.load(state, base, i64::from(off), size, false);
                let ptr = *state.reg(base);
                store_stack(state, &ptr, i64::from(off), u64::from(size.bytes()), &RegFacts::ANY_NUMBER);
                if fetch {
                    state.set(if op == AtomicOp::Cmpxchg { Reg::R0 } else { src }, old);
                }
            }
            Insn::LoadPacket { size, mode, .. } => {
                let (PacketMode::Abs | PacketMode::Ind(_)) = mode;
                clobber(state);
                state.set(Reg::R0, RegFacts::number(Bounds::UNKNOWN.truncated(size.bytes())));
            }
            Insn::Call { callee: Callee::Helper(id) } => self.helper(state, id),
            Insn::Call { .. } => {
                clobber(state);
                state.set(Reg::R0, RegFacts::ANY_NUMBER);
            }
            Insn::Pad | Insn::Jump { .. } | Insn::Branch { .. } | Insn::MayGoto { .. } | Insn::Exit => {}
        }
    }

    fn load(&self, state: &State, base: Reg, off: i64, size: Size, sext: bool) -> RegFacts {
        let ptr = state.reg(base);
        let bytes = size.bytes();
        let mut out = RegFacts::NEVER;
        if ptr.kinds.contains(Kinds::STACK) {
            out = out.join(&load_stack(state, ptr, off, bytes));
        }
        if ptr.readable() == Kinds::CTX && !sext {
            // Pointers in the context are four bytes long there.
            return self.load_context(ptr, off, bytes);
        }
        if ptr.kinds.contains(Kinds::CTX) && !sext {
            out = out.join(&self.load_context(ptr, off, bytes));
        }
        let others = Kinds::NUMBER.union(Kinds::POINTERS).minus(Kinds::STACK);
        if ptr.kinds.intersects(others) || out.kinds.is_empty() {
            let value = self.constant_in(ptr, off, bytes).map_or(Bounds::UNKNOWN.truncated(bytes), Bounds::known);
            out = out.join(&RegFacts::number(value));
        }
        if bytes < 8 && (sext || !ptr.kinds.contains(Kinds::CTX)) {
            // Less than a word is a number, whatever lies there: but for the pointers of the context, which no load
            // extends by sign.
            out = part(&out, bytes);
            if sext {
                out.number = out.number.sign_extended(bytes * 8, Width::W64);
            }
        }
        out
    }

    fn load_context(&self, ptr: &RegFacts, off: i64, bytes: u32) -> RegFacts {
        let wanted = CtxAccess { off, size: bytes, write: false, sign_extends: false };
        let field = ptr.offset.constant().and_then(|o| {
            let wanted = CtxAccess { off: off.wrapping_add(o as i64), ..wanted };
            access(self.program.ty, self.program.attach, self.device_bound, wanted)
        });
        match field.map(|f| f.holds) {
            Some(Holds::Pointer(Kind::Packet)) => RegFacts::of(Kinds::PACKET),
            Some(Holds::Pointer(Kind::PacketEnd)) => RegFacts::of(Kinds::PACKET_END),
            Some(Holds::Pointer(_)) => RegFacts::of(Kinds::PACKET_META),
            Some(Holds::Socket) => RegFacts::of(Kinds::OTHER).join(&RegFacts::number(Bounds::ZERO)),
            _ => RegFacts::number(Bounds::UNKNOWN.truncated(bytes)),
        }
    }

    /// The bytes of a map that neither programs nor, once loaded, user space may change.
    fn constant_in(&self, ptr: &RegFacts, off: i64, bytes: u32) -> Option<u64> {
        let Maps::One(map) = ptr.maps else { return None };
        let spec = &self.program.maps[map.0 as usize];
        let contents = spec.initial.as_ref().filter(|_| spec.flags & BPF_F_RDONLY_PROG != 0)?;
        if ptr.readable() != Kinds::MAP_VALUE {
            return None;
        }
        let from = usize::try_from(ptr.constant_offset()?.checked_add(off)?).ok()?;
        let slice = contents.get(from..from.checked_add(bytes as usize)?)?;
        Some(slice.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b)))
    }

    fn helper(&self, state: &mut State, id: u32) {
        let Some(signature) = signature(id, self.program.ty) else {
            clobber(state);
            state.set(Reg::R0, RegFacts::ANYTHING);
            return;
        };
        let maps = match (signature.args.first(), state.reg(Reg::R1).maps) {
            (Some(Arg::Map), maps) => maps,
            _ => Maps::None,
        };
        let spec = match maps {
            Maps::One(map) => self.program.maps.get(map.0 as usize),
            _ => None,
        };
        for (arg, n) in signature.args.iter().zip(1u8..) {
            let (Some(reg), next) = (Reg::new(n), Reg::new(n + 1)) else { continue };
            let size = match *arg {
                Arg::MemOut | Arg::MemInOut | Arg::MemInOutOrNull => {
                    next.map_or(u64::MAX, |r| state.reg(r).number.wide.umax)
                }
                Arg::FixedOut(size) | Arg::FixedInOut(size) => u64::from(size),
                Arg::DynptrOut(_) | Arg::DynptrReleased => u64::from(DYNPTR_BYTES),
                Arg::ValueOut => spec.map_or(u64::MAX, |s| u64::from(s.value_size)),
                _ => continue,
            };
            if let Some(reach) = stack_reach(state.reg(reg), 0, size.min(FRAME as u64)) {
                smear(state, reach);
            }
        }
        let null = RegFacts::number(Bounds::ZERO);
        let result = match (signature.returns, spec) {
            (Returns::Integer | Returns::Void, _) => RegFacts::ANY_NUMBER,
            // Another map, or the value of one that is not the program's.
            (Returns::ValueOrNull, None) => RegFacts::ANYTHING,
            (Returns::ValueOrNull, Some(spec)) if !spec.ty.holds_values() => RegFacts::ANYTHING,
            (Returns::ValueOrNull, Some(_)) => {
                let value = RegFacts { maps, ..RegFacts::of(Kinds::MAP_VALUE) };
                match maps {
                    Maps::One(map) if id == 1 && self.finds_for_sure(state, map) => value,
                    _ => value.join(&null),
                }
            }
            _ => RegFacts::of(Kinds::OTHER).join(&null),
        };
        let proto = signature;
        clobber(state);
        state.set(Reg::R0, result);
        // A tail call that goes on found no program, and the packet is as it was.
        if proto.changes_packet && id != TAIL_CALL {
            packet_changed(state);
        }
    }

    /// What is known when an instruction that was stepped over ends its function instead: a packet load of what is not
    /// there, or a tail call that finds a program.
    pub(super) fn left_early(&self, state: &State, insn: &Insn) -> Option<State> {
        let tail_call = match insn {
            Insn::LoadPacket { .. } => false,
            Insn::Call { callee: Callee::Helper(TAIL_CALL) } => true,
            _ => return None,
        };
        if state.depth() == 0 {
            return None;
        }
        let mut early = state.clone();
        if tail_call {
            packet_changed(&mut early);
        }
        early.set(Reg::R0, if tail_call { RegFacts::ANY_NUMBER } else { RegFacts::number(Bounds::ZERO) });
        Some(early)
    }

    /// A look-up in an array with a constant key below its size.
    fn finds_for_sure(&self, state: &State, map: MapIndex) -> bool {
        let spec = &self.program.maps[map.0 as usize];
        if spec.key_size != 4 || !matches!(spec.ty, MapType::ARRAY | MapType::PERCPU_ARRAY) {
            return false;
        }
        let key = load_stack(state, state.reg(Reg::R2), 0, 4);
        let on_stack = state.reg(Reg::R2).readable() == Kinds::STACK;
        on_stack && key.constant().is_some_and(|k| k < u64::from(spec.max_entries))
    }

    /// What is known on each side of a branch: where it jumps, and where it falls through. `None` where no run goes.
    pub(super) fn branch(
        &self,
        state: &State,
        width: Width,
        cond: Cond,
        dst: Reg,
        src: Operand,
    ) -> (Option<State>, Option<State>) {
        let (left, right) = (*state.reg(dst), operand(state, src));
        if left.is_number() && right.is_number() {
            return match taken(width, cond, &left.number, &right.number) {
                Some(true) => (Some(state.clone()), None),
                Some(false) => (None, Some(state.clone())),
                None => {
                    let side = |holds| {
                        let mut out = state.clone();
                        let (mut a, mut b) = (left.number, right.number);
                        if src == Operand::Reg(dst) {
                            assume_of_itself(width, cond, holds, &mut a);
                            b = a;
                        } else {
                            assume(width, cond, holds, &mut a, &mut b);
                        }
                        learn(&mut out, dst, |v| v.number = a);
                        if let Operand::Reg(src) = src {
                            learn(&mut out, src, |v| v.number = b);
                        }
                        out
                    };
                    (Some(side(true)), Some(side(false)))
                }
            };
        }
        let null_test = width == Width::W64 && right.constant() == Some(0);
        match cond {
            Cond::Eq if null_test => (Some(null(state, dst)), Some(not_null(state, dst))),
            Cond::Ne if null_test => (Some(not_null(state, dst)), Some(null(state, dst))),
            _ => (Some(state.clone()), Some(state.clone())),
        }
    }
}

/// What is learnt of a register holds of everything that is the same.
fn learn(state: &mut State, reg: Reg, change: impl Fn(&mut RegFacts)) {
    let id = state.reg(reg).id;
    let mut value = *state.reg(reg);
    change(&mut value);
    state.set(reg, value);
    if id != 0 {
        state.update_where(|v| v.id == id, |v| *v = value);
    }
}

/// The register is 0: no pointer to the start of anything.
fn null(state: &State, reg: Reg) -> State {
    let mut out = state.clone();
    learn(&mut out, reg, |v| {
        v.number = Bounds::ZERO;
        if v.offset.constant() == Some(0) && v.kinds.contains(Kinds::NUMBER) {
            v.kinds = v.kinds.minus(Kinds::POINTERS);
            v.maps = Maps::None;
            v.frames = 0;
        }
    });
    out
}

/// The register is not 0.
fn not_null(state: &State, reg: Reg) -> State {
    let mut out = state.clone();
    learn(&mut out, reg, |v| {
        if v.number.constant() == Some(0) && !v.kinds.pointers().is_empty() {
            v.kinds = v.kinds.minus(Kinds::NUMBER);
        }
    });
    out
}

/// R0 to R5 are undefined after a call.
pub(super) fn clobber(state: &mut State) {
    for reg in [Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5] {
        state.set(reg, RegFacts::UNDEFINED);
    }
}

/// Pointers into the packet point where it was.
fn packet_changed(state: &mut State) {
    let stale = |v: &mut RegFacts| {
        let rest = RegFacts { kinds: v.kinds.minus(Kinds::OF_PACKET), ..*v };
        *v = rest.join(&RegFacts::ANY_NUMBER);
        v.id = 0;
    };
    state.update_where(|v| v.kinds.intersects(Kinds::OF_PACKET), stale);
}
