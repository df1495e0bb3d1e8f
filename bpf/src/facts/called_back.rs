//! What a function finds that a helper or a timer calls.

use std::rc::Rc;

use super::state::{Frame, State};
use super::transfer::Transfer;
use super::value::{Kinds, Maps, RegFacts};
use crate::helpers::signature::{LOOP, USER_RINGBUF_DRAIN};
use crate::insn::{Callee, Insn, Reg};
use crate::verifier::Bounds;

/// Most turns of `bpf_loop` (`BPF_MAX_LOOPS`).
const MAX_LOOPS: u64 = 8 << 20;

impl Transfer<'_> {
    /// What a function finds that a helper calls back.
    pub(super) fn called_back(&self, state: &State, call: &Insn) -> State {
        let mut out = state.clone();
        let mut callee = Frame::new(state.depth() + 1);
        let context = *state.reg(Reg::R3);
        match call {
            Insn::Call { callee: Callee::Helper(LOOP) } => {
                callee.regs[Reg::R1.index()] = RegFacts::number(turn(state.reg(Reg::R1)));
                callee.regs[Reg::R2.index()] = context;
            }
            Insn::Call { callee: Callee::Helper(USER_RINGBUF_DRAIN) } => {
                callee.regs[Reg::R1.index()] = RegFacts::of(Kinds::OTHER);
                callee.regs[Reg::R2.index()] = context;
            }
            _ => {
                self.entry_arguments(&mut callee, state.reg(Reg::R1).maps);
                callee.regs[Reg::R4.index()] = context;
            }
        }
        out.frames.push(Rc::new(callee));
        out
    }

    /// What a function finds that a timer calls.
    pub(super) fn called_later(&self, state: &State) -> State {
        let mut callee = Frame::new(0);
        self.entry_arguments(&mut callee, state.reg(Reg::R1).maps);
        State { frames: vec![Rc::new(callee)] }
    }

    /// R1 to R3 of a function called for an entry: the map, its key, its value.
    fn entry_arguments(&self, callee: &mut Frame, maps: Maps) {
        let known = match maps {
            Maps::One(map) => self.program.maps.get(map.0 as usize).is_some_and(|spec| spec.ty.holds_values()),
            _ => false,
        };
        let of = |kinds| if known { RegFacts { maps, ..RegFacts::of(kinds) } } else { RegFacts::ANYTHING };
        callee.regs[Reg::R1.index()] = of(Kinds::MAP);
        callee.regs[Reg::R2.index()] = RegFacts::of(Kinds::OTHER);
        callee.regs[Reg::R3.index()] = of(Kinds::MAP_VALUE);
    }
}

/// The number of a turn of `bpf_loop`, given how many there are.
fn turn(turns: &RegFacts) -> Bounds {
    let most = turns.number.wide.umax.min(MAX_LOOPS);
    let mut out = Bounds::UNKNOWN;
    out.limit(0, most.saturating_sub(1) as i64);
    out
}
