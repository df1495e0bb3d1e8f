//! What is known at one place: registers and stack of the running function and its callers.

use std::rc::Rc;

use super::value::{Kinds, RegFacts};
use crate::insn::Reg;

/// Slots of a stack frame.
pub(super) const SLOTS: usize = 64;
/// Bytes of a stack frame.
pub(super) const FRAME: i64 = 512;

/// What eight aligned bytes of stack hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// The value of the lowest `size` bytes, zero-extended.
    pub value: RegFacts,
    /// 8, or 4, 2, 1 for a number of that size; the other bytes are numbers nobody knows.
    pub size: u8,
}

impl Slot {
    /// Bytes nobody knows.
    pub const UNKNOWN: Slot = Slot { value: RegFacts::ANY_NUMBER, size: 8 };

    fn join(&self, other: &Slot) -> Slot {
        if self.size == other.size {
            return Slot { value: self.value.join(&other.value), size: self.size };
        }
        // One whole value and one in part: what the whole one may be besides a number stays.
        let whole = |s: &Slot| if s.size == 8 { s.value } else { RegFacts::ANY_NUMBER };
        Slot { value: whole(self).join(&whole(other)), size: 8 }
    }
}

/// One function's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub regs: [RegFacts; Reg::COUNT],
    /// By slot, the highest bytes first.
    pub stack: Rc<[Slot; SLOTS]>,
}

impl Frame {
    pub(super) fn new(depth: usize) -> Self {
        let mut regs = [RegFacts::UNDEFINED; Reg::COUNT];
        regs[Reg::R10.index()] = RegFacts::stack(depth);
        Self { regs, stack: Rc::new([Slot::UNKNOWN; SLOTS]) }
    }
}

/// At one place, from the main function's frame down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub frames: Vec<Rc<Frame>>,
}

impl State {
    pub(super) fn entry() -> Self {
        let mut frame = Frame::new(0);
        frame.regs[Reg::R1.index()] = RegFacts::of(Kinds::CTX);
        Self { frames: vec![Rc::new(frame)] }
    }

    pub(super) fn depth(&self) -> usize {
        self.frames.len() - 1
    }

    pub(super) fn reg(&self, reg: Reg) -> &RegFacts {
        &self.frames[self.depth()].regs[reg.index()]
    }

    pub(super) fn frame_mut(&mut self, depth: usize) -> &mut Frame {
        Rc::make_mut(&mut self.frames[depth])
    }

    pub(super) fn set(&mut self, reg: Reg, value: RegFacts) {
        let depth = self.depth();
        self.frame_mut(depth).regs[reg.index()] = value;
    }

    pub(super) fn slot(&self, frame: usize, slot: usize) -> &Slot {
        &self.frames[frame].stack[slot]
    }

    pub(super) fn set_slot(&mut self, frame: usize, slot: usize, value: Slot) {
        if self.frames[frame].stack[slot] != value {
            Rc::make_mut(&mut self.frame_mut(frame).stack)[slot] = value;
        }
    }

    /// Changes every register and slot for which `pick` is true.
    pub(super) fn update_where(&mut self, pick: impl Fn(&RegFacts) -> bool, change: impl Fn(&mut RegFacts)) {
        for frame in &mut self.frames {
            if frame.regs.iter().any(&pick) {
                Rc::make_mut(frame).regs.iter_mut().filter(|v| pick(v)).for_each(&change);
            }
            if frame.stack.iter().any(|s| pick(&s.value)) {
                let slots = Rc::make_mut(&mut Rc::make_mut(frame).stack);
                slots.iter_mut().filter(|s| pick(&s.value)).for_each(|s| change(&mut s.value));
            }
        }
    }

    /// What holds where control may come with this state or another; `widen` sees the value before and after, and may
    /// give up more.
    pub(super) fn join(&self, other: &State, widen: impl Fn(&RegFacts, RegFacts) -> RegFacts) -> State {
        let frames = self.frames.iter().zip(&other.frames).map(|(a, b)| {
            if Rc::ptr_eq(a, b) {
                return a.clone();
            }
            let mut out = Frame { regs: a.regs, stack: a.stack.clone() };
            for (to, from) in out.regs.iter_mut().zip(&b.regs) {
                *to = widen(to, to.join(from));
            }
            if !Rc::ptr_eq(&a.stack, &b.stack) && a.stack != b.stack {
                for (to, from) in Rc::make_mut(&mut out.stack).iter_mut().zip(b.stack.iter()) {
                    let joined = to.join(from);
                    *to = Slot { value: widen(&to.value, joined.value), ..joined };
                }
            }
            Rc::new(out)
        });
        State { frames: frames.collect() }
    }
}
