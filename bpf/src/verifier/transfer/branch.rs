//! Conditional jumps: which way, and what each way teaches.

use super::{Next, Walk};
use crate::insn::{AluOp, Cond, Operand, Reg, Width};
use crate::verifier::bounds::{self, Bounds};
use crate::verifier::explored::Kind;
use crate::verifier::prove::{Setting, operand};
use crate::verifier::state::{Added, MAX_PACKET_OFFSET, PacketRange, State, Value};
use crate::verifier::trail::{Home, Tied};

impl Walk<'_> {
    #[expect(clippy::too_many_arguments, reason = "they are the fields of one instruction")]
    pub(super) fn branch(
        &mut self,
        state: &mut State,
        slot: usize,
        width: Width,
        cond: Cond,
        dst: Reg,
        src: Operand,
        target: usize,
    ) -> Next {
        let (left, right) = (*state.reg(dst), operand(state, src));
        let is_stack = |v: &Value| matches!(v.kind, Kind::Stack { .. });
        if let Operand::Reg(_) = src
            && (is_stack(&left) || is_stack(&right))
        {
            self.tree.note(|step| (step.left_is_stack, step.right_is_stack) = (is_stack(&left), is_stack(&right)));
        }
        if let Some(taken) = decided(width, cond, &left, &right) {
            if left.is_number() {
                self.matters(state, dst);
            }
            if right.is_number() {
                self.operand_matters(state, src);
            }
            let (here, other) = if taken { (target, slot + 1) } else { (slot + 1, target) };
            if self.guards.are_off() {
                return Next::Goto(here);
            }
            // A processor may take the other way for a while, whatever it compared.
            let mut wrong = Box::new(state.clone());
            wrong.speculative = true;
            for reg in [Some(dst), src.reg()].into_iter().flatten() {
                wrong.set(reg, Value::ANY_NUMBER);
            }
            return Next::Speculate { here, slot: other, state: wrong };
        }
        let mut tied = Tied::default();
        if right.is_number() {
            self.collect_tied(state, slot, right.id, &mut tied);
        }
        if left.is_number() {
            self.collect_tied(state, slot, left.id, &mut tied);
        }
        if tied.homes().len() > 1 {
            self.tree.note(|step| step.tied = tied);
        }
        let mut taken = Box::new(state.clone());
        if left.is_number() && right.is_number() {
            for (side, holds) in [(&mut *taken, true), (&mut *state, false)] {
                learn(side, width, cond, holds, dst, src, &left.var, &right.var, &tied);
            }
        } else if width == Width::W64 {
            learn_pointers(self.setting, &mut taken, state, cond, dst, src, &left, &right);
        }
        Next::Fork { here: slot + 1, slot: target, state: taken }
    }

    /// Finds the numbers that share an id, in slots and in registers that may still be read. Those for which there is no
    /// room are cut loose.
    fn collect_tied(&self, state: &mut State, slot: usize, id: u32, tied: &mut Tied) {
        if id == 0 {
            return;
        }
        let mut loose = Vec::new();
        for depth in (0..state.frames.len()).rev() {
            let at = state.frames.get(depth + 1).map_or(slot, |inner| inner.callsite);
            let read = self.live_regs[at].any;
            for (home, value) in state.frames[depth].numbers(depth) {
                let is_live = home.is_slot || read >> home.index & 1 == 1;
                if value.id == id && is_live && !tied.push(home) {
                    loose.push(home);
                }
            }
        }
        for home in loose {
            state.at_home(home).untie();
        }
    }
}

/// Whether the comparison is decided by what is known.
pub(in crate::verifier) fn decided(width: Width, cond: Cond, left: &Value, right: &Value) -> Option<bool> {
    if left.kind.is_packet_bound() && right.kind.is_packet_bound() && width == Width::W64 {
        return packet_decided(cond, left, right);
    }
    if left.is_pointer() || right.is_pointer() {
        let is_zero = |v: &Value| match width {
            Width::W64 => v.constant() == Some(0),
            Width::W32 => v.is_number() && v.var.low_constant() == Some(0),
        };
        let pointer = if is_zero(right) {
            left
        } else if is_zero(left) {
            right
        } else {
            return None;
        };
        return match cond {
            Cond::Eq if pointer.kind.is_never_null() => Some(false),
            Cond::Ne if pointer.kind.is_never_null() => Some(true),
            _ => None,
        };
    }
    bounds::taken(width, cond, &left.var, &right.var)
}

/// A pointer known to lie at the packet's end, or beyond it, compared with that end once more.
fn packet_decided(cond: Cond, left: &Value, right: &Value) -> Option<bool> {
    let (cond, range) = match (left.kind, right.kind) {
        (_, Kind::PacketEnd) => (cond, left.range),
        (Kind::PacketEnd, _) => (mirrored(cond), right.range),
        _ => return None,
    };
    match (range, cond) {
        (PacketRange::BeyondEnd, Cond::Le) | (PacketRange::BeyondEnd, Cond::Lt) => Some(false),
        (PacketRange::BeyondEnd, Cond::Gt) | (PacketRange::BeyondEnd, Cond::Ge) => Some(true),
        (PacketRange::AtEnd, Cond::Lt) => Some(false),
        (PacketRange::AtEnd, Cond::Ge) => Some(true),
        _ => None,
    }
}

/// The comparison with its sides exchanged.
fn mirrored(cond: Cond) -> Cond {
    match cond {
        Cond::Gt => Cond::Lt,
        Cond::Ge => Cond::Le,
        Cond::Lt => Cond::Gt,
        Cond::Le => Cond::Ge,
        Cond::Sgt => Cond::Slt,
        Cond::Sge => Cond::Sle,
        Cond::Slt => Cond::Sgt,
        Cond::Sle => Cond::Sge,
        other => other,
    }
}

#[expect(clippy::too_many_arguments, reason = "a comparison, its outcome, and both of its sides")]
fn learn(
    state: &mut State,
    width: Width,
    cond: Cond,
    holds: bool,
    dst: Reg,
    src: Operand,
    left: &Bounds,
    right: &Bounds,
    tied: &Tied,
) {
    let (mut a, mut b) = (*left, *right);
    if src == Operand::Reg(dst) {
        bounds::assume_of_itself(width, cond, holds, &mut a);
        b = a;
    } else {
        bounds::assume(width, cond, holds, &mut a, &mut b);
    }
    state.frame_mut().regs[dst.index()].var = a;
    if let Operand::Reg(src) = src {
        state.frame_mut().regs[src.index()].var = b;
        teach_tied(state, src, tied);
    }
    teach_tied(state, dst, tied);
}

/// What was learnt of a register holds of all numbers tied to it.
fn teach_tied(state: &mut State, reg: Reg, tied: &Tied) {
    let known = *state.reg(reg);
    if !known.is_number() || known.id == 0 {
        return;
    }
    let own = Home { frame: state.depth() as u8, is_slot: false, index: reg.index() as u8 };
    for home in tied.homes().iter().filter(|home| **home != own) {
        let value = state.at_home(*home);
        if value.is_number()
            && value.id == known.id
            && let Some(var) = at_distance(&known, value)
        {
            value.var = var;
        }
    }
}

/// The bounds of a number tied to `known`, which lies as far from it as their offsets say.
fn at_distance(known: &Value, other: &Value) -> Option<Bounds> {
    if (known.added, known.off) == (other.added, other.off) {
        return Some(known.var);
    }
    let delta = i64::from(other.off) - i64::from(known.off);
    let width = match (known.added, other.added) {
        (Added::No | Added::Wide, Added::No | Added::Wide) => Width::W64,
        // What is behind the low half fits it.
        (Added::Low, Added::No | Added::Low) | (Added::No | Added::Wide, Added::Low) => Width::W32,
        (Added::Low, Added::Wide) => return None,
    };
    let mut out = known.var.alu(width, AluOp::Add, &Bounds::known(delta as u64));
    if !out.is_consistent() {
        out.forget_ranges();
    }
    Some(out)
}

/// Comparisons in which a pointer takes part: with null, and of the packet with its end.
#[expect(clippy::too_many_arguments, reason = "a comparison, its two sides and its two outcomes")]
fn learn_pointers(
    setting: Setting<'_>,
    taken: &mut State,
    fallen: &mut State,
    cond: Cond,
    dst: Reg,
    src: Operand,
    left: &Value,
    right: &Value,
) {
    let equality = matches!(cond, Cond::Eq | Cond::Ne);
    if equality && left.kind.may_be_null() && right.is_zero() {
        resolve_null(setting, taken, left, cond == Cond::Eq);
        resolve_null(setting, fallen, left, cond == Cond::Ne);
        return;
    }
    if let Operand::Reg(src_reg) = src {
        if left.is_pointer() && right.is_pointer() && left.kind.may_be_null() != right.kind.may_be_null() && equality {
            let equal = if cond == Cond::Eq { taken } else { fallen };
            let maybe = if left.kind.may_be_null() { dst } else { src_reg };
            setting.not_null(&mut equal.frame_mut().regs[maybe.index()]);
            return;
        }
        learn_packet(taken, fallen, cond, left, right, dst, src_reg);
    }
}

/// All pointers that are null together turn out to be null, or not to be. A reference to null is none.
fn resolve_null(setting: Setting<'_>, state: &mut State, value: &Value, is_null: bool) {
    let id = value.id;
    if is_null && value.reference != 0 && value.reference == id {
        state.references.retain(|r| r.id != id);
    }
    state.update_where(
        |v| v.kind.may_be_null() && v.id == id,
        |v| {
            if is_null {
                v.kind = Kind::Scalar;
                v.reference = 0;
                v.owner = 0;
                v.id = 0;
                return;
            }
            setting.not_null(v);
            // The id tells one lock from another.
            let has_lock = matches!(v.kind, Kind::MapValue(map) if setting.value_fields(map).lock.is_some());
            if !has_lock {
                v.id = 0;
            }
        },
    );
}

/// `packet < end` and its seven relatives, and the same between metadata and packet: on the side where the pointer does
/// not lie beyond, the bytes before it may be accessed.
fn learn_packet(taken: &mut State, fallen: &mut State, cond: Cond, left: &Value, right: &Value, dst: Reg, src: Reg) {
    // Written as `pointer cond end`.
    let (cond, pointer, reg) = if bounded_by(left, right) {
        (cond, left, dst)
    } else if bounded_by(right, left) {
        (mirrored(cond), right, src)
    } else {
        return;
    };
    // The side on which the pointer is not beyond the end, and whether it is then strictly below it.
    let (within, beyond, strictly) = match cond {
        Cond::Gt => (fallen, taken, false),
        Cond::Ge => (fallen, taken, true),
        Cond::Lt => (taken, fallen, true),
        Cond::Le => (taken, fallen, false),
        _ => return,
    };
    vouch(within, pointer, strictly);
    let value = &mut beyond.frame_mut().regs[reg.index()];
    if value.kind == Kind::Packet {
        value.range = if strictly { PacketRange::AtEnd } else { PacketRange::BeyondEnd };
    }
}

/// Whether a comparison tells how far the packet, or its metadata, goes.
pub(in crate::verifier) fn bounds_packet(cond: Cond, left: &Value, right: &Value) -> bool {
    matches!(cond, Cond::Gt | Cond::Ge | Cond::Lt | Cond::Le) && (bounded_by(left, right) || bounded_by(right, left))
}

/// Whether `end` ends what `pointer` points into: the packet's end, or for metadata the packet's own start.
fn bounded_by(pointer: &Value, end: &Value) -> bool {
    match pointer.kind {
        Kind::Packet => end.kind == Kind::PacketEnd,
        Kind::PacketMeta => end.kind == Kind::Packet && end.fixed_offset() == Some(0) && end.id == 0,
        _ => false,
    }
}

/// The bytes before `pointer` exist, and the one at it where it is strictly below the end.
fn vouch(state: &mut State, pointer: &Value, strictly: bool) {
    if pointer.off < 0 || (pointer.off == 0 && strictly) {
        return;
    }
    let umax = pointer.var.wide.umax;
    if umax > MAX_PACKET_OFFSET || umax + pointer.off as u64 > MAX_PACKET_OFFSET {
        return;
    }
    let range = (pointer.off as u64 + u64::from(strictly)).min(u64::from(u16::MAX)) as u16;
    state.update_where(
        |v| v.kind == pointer.kind && v.id == pointer.id,
        |v| {
            // One that was found to be at the end or beyond is not on this path, but for other registers' sake.
            let before = v.range.bytes().unwrap_or(0);
            v.range = PacketRange::Bytes(before.max(range));
        },
    );
}
