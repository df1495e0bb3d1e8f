//! Dynamic pointers: made, read, given back, and lost to a store.

use super::Walk;
use crate::helpers::signature::DynptrKind;
use crate::insn::Reg;
use crate::verifier::explored::{Kind, Lender};
use crate::verifier::prove::dynptr::{self, Place};
use crate::verifier::state::{Reference, StackByte, StackPlace, StackSlot, State, Value};

impl Walk<'_> {
    /// A helper makes a dynamic pointer where a register points, which was proved.
    pub(super) fn make_dynptr(&mut self, state: &mut State, reg: Reg, kind: DynptrKind) {
        let ptr = *state.reg(reg);
        let (Ok(Place { frame, slot }), Some(off)) = (dynptr::place(&ptr), ptr.fixed_offset()) else { return };
        self.touch_stack(state, frame, off);
        for slot in [slot, slot - 1] {
            self.bar_behind_store(state, frame, StackPlace { slot, byte: 0 }, 8, false);
        }
        for slot in [slot, slot - 1] {
            self.lose_dynptr(state, frame, slot);
        }
        let id = self.fresh_id();
        let reference = if kind == DynptrKind::RingBuffer { self.fresh_id() } else { 0 };
        if reference != 0 {
            state.references.push(Reference { id: reference, slot: self.tree.trail.at });
        }
        for (slot, off) in [(slot, 0), (slot - 1, 8)] {
            self.show_slot(state, frame, slot);
            self.live.wrote(frame, slot);
            let spilled = Value { off, id, reference, ..Value::pointer(Kind::Dynptr(kind)) };
            *state.frame_at_mut(frame).slot_mut(slot) = StackSlot { bytes: [StackByte::Dynptr; 8], spilled };
        }
    }

    /// What a function gets that is handed a dynamic pointer: an address of one that it may not change.
    pub(super) fn dynptr_lent(&mut self) -> Value {
        Value { id: self.fresh_id(), ..Value::pointer(Kind::Dynptr(DynptrKind::Local)) }
    }

    /// A helper uses the dynamic pointer that a register points to.
    pub(super) fn read_dynptr(&mut self, state: &State, reg: Reg) {
        let Ok(Place { frame, slot }) = dynptr::place(state.reg(reg)) else { return };
        for slot in [slot, slot - 1] {
            self.live.read(frame, slot);
            self.show_slot(state, frame, slot);
        }
    }

    /// A record was given back: the dynamic pointers to it are none any more.
    pub(super) fn lose_dynptrs(&mut self, state: &mut State, reference: u32) {
        for frame in 0..state.frames.len() {
            for slot in 0..state.frames[frame].stack.len() {
                let half = state.frames[frame].slot(slot).dynptr();
                if half.is_some_and(|half| half.reference == reference) {
                    self.live.wrote(frame, slot);
                    state.frame_at_mut(frame).slot_mut(slot).clear();
                }
            }
        }
    }

    /// A slot is stored to: if it holds half a dynamic pointer, that is none any more, nor is the memory it lent.
    pub(super) fn lose_dynptr(&mut self, state: &mut State, frame: usize, slot: usize) {
        let Some(half) = state.frames[frame].slot(slot).dynptr().copied() else { return };
        let low = if half.off == 0 { slot } else { slot + 1 };
        for slot in [low, low - 1] {
            self.show_slot(state, frame, slot);
            self.live.wrote(frame, slot);
            state.frame_at_mut(frame).slot_mut(slot).clear();
        }
        let gone = self.gone();
        let lent = |v: &Value| {
            matches!(v.kind, Kind::Mem { lender: Lender::Dynptr, .. } | Kind::MemOrNull { lender: Lender::Dynptr, .. })
                && v.owner == half.id
        };
        state.update_where(lent, |v| *v = gone);
    }

    fn show_slot(&mut self, state: &State, frame: usize, slot: usize) {
        if frame == state.depth() {
            self.log.touched.slots |= 1 << slot;
        }
    }
}
