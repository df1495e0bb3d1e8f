//! Folds what a driver's hook would be told, visit by visit, into [`Explored`].

use super::bounds::Bounds;
use super::explored::{
    AluSeen, ArgSeen, AtomicSeen, CallSeen, Conflict, Detail, ExitSeen, Explored, FunctionSeen, Kind, Pointer,
    PointerSeen, SlotSeen, Span,
};
use super::prove::{Setting, operand};
use super::state::{MAX_STACK, StackByte, State, Value};
use super::trail::Statistics;
use super::transfer::Walk;
use super::xlate;
use crate::insn::{Callee, Insn, Operand, Reg};
use crate::program::Program;

/// `bpf_map_update_elem`.
const UPDATE: u32 = 2;

/// The records so far, by slot.
pub(super) struct Observer {
    slots: Vec<SlotSeen>,
}

impl Observer {
    pub(super) fn new(program: &Program) -> Self {
        Self { slots: vec![SlotSeen::default(); program.insns.len()] }
    }

    /// The instruction at `slot` is about to be walked in this state.
    pub(super) fn visit(&mut self, setting: Setting<'_>, slot: usize, insn: &Insn, state: &State) {
        let seen = &mut self.slots[slot];
        seen.visits += 1;
        let detail = &mut seen.detail;
        match *insn {
            Insn::Load { base, .. } => match detail {
                Detail::Load(seen) => again(seen, state, base),
                _ => *detail = Detail::Load(first(state, base)),
            },
            Insn::Store { base, src: Operand::Reg(_), .. } => match detail {
                Detail::Store(seen) => again(seen, state, base),
                _ => *detail = Detail::Store(first(state, base)),
            },
            Insn::Atomic { base, src, .. } => {
                let value = state.reg(src);
                if let Detail::Atomic(seen) = detail {
                    again(&mut seen.pointer, state, base);
                } else {
                    let pointer = first(state, base);
                    *detail =
                        Detail::Atomic(AtomicSeen { pointer, scalar: true, over_16bit: false, maybe_16bit: false });
                }
                if let Detail::Atomic(seen) = detail {
                    let bits = value.var.bits;
                    seen.scalar &= value.is_number();
                    seen.over_16bit |= bits.value() > 0xffff || bits.mask() > 0xffff;
                    seen.maybe_16bit |= bits.value() <= 0xffff;
                }
            }
            Insn::Alu { dst, src, .. } | Insn::Mov { dst, src, .. } => {
                fold_alu(detail, &state.reg(dst).var, &operand(state, src).var);
            }
            Insn::Neg { dst, .. } | Insn::End { dst, .. } => {
                fold_alu(detail, &state.reg(dst).var, &Bounds::ZERO);
            }
            Insn::Call { callee: Callee::Helper(id) } => {
                if !matches!(detail, Detail::Call(_)) {
                    *detail = Detail::Call(Box::new(first_call(id, state)));
                }
                if let Detail::Call(seen) = detail {
                    fold_call(setting, seen, state);
                }
            }
            Insn::Exit => {
                if !matches!(detail, Detail::Exit(_)) {
                    *detail = Detail::Exit(ExitSeen::default());
                }
                if let Detail::Exit(seen) = detail {
                    match state.reg(Reg::R0).constant() {
                        Some(code) => drop(seen.constants.insert(code)),
                        None => seen.variable = true,
                    }
                }
            }
            Insn::LoadImm64 { .. } => self.slots[slot + 1].visits += 1,
            Insn::Pad
            | Insn::Store { .. }
            | Insn::LoadPacket { .. }
            | Insn::Jump { .. }
            | Insn::Branch { .. }
            | Insn::LoadAcquire { .. }
            | Insn::StoreRelease { .. }
            | Insn::AddrSpaceCast { .. }
            | Insn::MayGoto { .. }
            | Insn::Call { .. } => {}
        }
    }

    /// Exploration ended well: adds what is only known at the end.
    pub(super) fn finish(mut self, walk: &Walk<'_>, statistics: Statistics) -> Explored {
        let program = walk.setting.program;
        for (seen, zext) in self.slots.iter_mut().zip(&walk.zext) {
            seen.zext = *zext;
        }
        xlate::fates(program, &mut self.slots);
        let functions = program.functions.iter().zip(&walk.depths);
        Explored {
            slots: self.slots,
            functions: functions.map(|(f, d)| FunctionSeen { start: f.start, stack_depth: *d }).collect(),
            max_packet_offset: walk.max_packet_offset,
            statistics,
        }
    }
}

fn first(state: &State, base: Reg) -> PointerSeen {
    let mut seen = PointerSeen { last: state.reg(base).seen(), caller_frame: false, moved: false, conflict: None };
    look(&mut seen, state, base);
    seen
}

/// The checks of one visit that need no other.
fn look(seen: &mut PointerSeen, state: &State, base: Reg) {
    let value = state.reg(base);
    if let Kind::Stack { frame } = value.kind {
        seen.caller_frame |= usize::from(frame) != state.depth();
        if !value.var.bits.is_const() {
            seen.conflict.get_or_insert(Conflict::VariableStack);
        }
    }
}

fn again(seen: &mut PointerSeen, state: &State, base: Reg) {
    look(seen, state, base);
    let (was, is) = (seen.last, state.reg(base).seen());
    if let (Kind::Stack { .. }, Some(from), Some(to)) = (is.kind, was.constant(), is.constant()) {
        seen.moved |= from != to;
        // Linux's remainder keeps the sign, so it is the remainder of the truncated division that is compared.
        if seen.moved && from % 4 != to % 4 {
            seen.conflict.get_or_insert(Conflict::StackMoved { was: from, is: to });
        }
    }
    if std::mem::discriminant(&was.kind) != std::mem::discriminant(&is.kind) {
        seen.conflict.get_or_insert(Conflict::KindChanged { was: was.kind, is: is.kind });
    }
    seen.last = is;
}

fn fold_alu(detail: &mut Detail, dst: &Bounds, src: &Bounds) {
    let span = |b: &Bounds| Span { min: b.wide.umin, max: b.wide.umax };
    let join = |a: Span, b: Span| Span { min: a.min.min(b.min), max: a.max.max(b.max) };
    let now = AluSeen { dst: span(dst), src: span(src) };
    *detail = Detail::Alu(match detail {
        Detail::Alu(seen) => AluSeen { dst: join(seen.dst, now.dst), src: join(seen.src, now.src) },
        _ => now,
    });
}

fn first_call(helper: u32, state: &State) -> CallSeen {
    let arg = |n: u8| ArgSeen {
        last: argument(state, n).seen(),
        varies: false,
        variable_stack: false,
        unaligned_stack: false,
        kind_changed: None,
    };
    CallSeen { helper, args: [arg(1), arg(2), arg(3), arg(4), arg(5)], nonzero_words: Vec::new() }
}

fn argument(state: &State, n: u8) -> Value {
    *state.reg(Reg::new(n).expect("arguments are in R1 to R5"))
}

fn fold_call(setting: Setting<'_>, seen: &mut CallSeen, state: &State) {
    for (arg, n) in seen.args.iter_mut().zip(1..) {
        let (was, is) = (arg.last, argument(state, n).seen());
        let fixed = |p: &Pointer| p.constant();
        arg.varies |= fixed(&was).is_none() || fixed(&was) != fixed(&is);
        if matches!(is.kind, Kind::Stack { .. }) {
            match fixed(&is) {
                Some(off) => arg.unaligned_stack |= off % 4 != 0,
                None => arg.variable_stack = true,
            }
        }
        if arg.kind_changed.is_none() && std::mem::discriminant(&was.kind) != std::mem::discriminant(&is.kind) {
            arg.kind_changed = Some((was.kind, is.kind));
        }
        arg.last = is;
    }
    if seen.helper == UPDATE {
        fold_value(setting, &mut seen.nonzero_words, state);
    }
}

/// Which words of a value on the stack may hold something other than zero.
fn fold_value(setting: Setting<'_>, words: &mut Vec<bool>, state: &State) {
    let value = argument(state, 3);
    let (Kind::MapPtr(map), Kind::Stack { frame }) = (argument(state, 1).kind, value.kind) else { return };
    let Some(off) = value.fixed_offset() else { return };
    let size = setting.map(map).value_size as usize;
    words.resize(size.div_ceil(4).max(words.len()), false);
    let stack = &state.frames[usize::from(frame)];
    for i in 0..size {
        let at = off + i as i64;
        // Beyond the stack the call is refused in a moment.
        let known = (-MAX_STACK..0).contains(&at);
        if !known || stack.stack_byte(at) != StackByte::Zero {
            words[i / 4] = true;
        }
    }
}
