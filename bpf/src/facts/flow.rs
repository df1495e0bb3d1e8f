//! The fixed point: what is known where control may come, for every chain of calls.
//!
//! A chain of calls is the list of call instructions that led into the running function; a function is looked at anew
//! for each. A helper that calls a function back stands in that list like a call; between two turns of it lies a place of
//! its own, where what the turns leave is joined. Functions that timers call are looked at as the main function is, with
//! nothing that went before. Knowledge is joined wherever paths meet, and gives up its ranges step by step where a loop keeps changing it.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::state::{Frame, State};
use super::transfer::{Transfer, clobber};
use super::value::{Kinds, RegFacts, join_bounds};
use crate::helpers::signature::{TIMER_SET_CALLBACK, signature};
use crate::insn::{Callee, Insn, Operand, Reg, Wide};
use crate::program::Program;
use crate::verifier::{Bounds, Range, Tnum};

/// Frames a chain of calls may have, the main function's included.
const MAX_FRAMES: usize = 8;
/// Chains of calls that are told apart; a program with more gets no facts about values.
const MAX_CHAINS: usize = 512;
/// Joins at one place before ranges that still grow jump to the program's own constants.
const PLAIN_JOINS: u32 = 3;
/// Joins at one place before what still changes is given up.
const MAX_JOINS: u32 = 48;

/// A chain of calls, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Chain(usize);

/// A place in a chain.
type Place = (Chain, usize);

/// Control may come here from several places, or from elsewhere than the slot before.
struct Leader {
    state: State,
    joins: u32,
}

pub(super) struct Flow<'a> {
    transfer: Transfer<'a>,
    leaders: BTreeMap<Place, Leader>,
    todo: BTreeSet<Place>,
    /// By number, the calling chain and call; the main function has none.
    chains: Vec<Option<(Chain, usize)>>,
    numbers: BTreeMap<(Chain, usize), Chain>,
    thresholds: Vec<i64>,
    is_leader: Vec<bool>,
    /// First slots of the functions whose address the program takes.
    addressed: Vec<usize>,
    /// By slot, registers that the instruction takes pointers from, with the kinds they are of whenever it runs.
    proved: &'a [Vec<(Reg, Kinds)>],
}

impl<'a> Flow<'a> {
    /// The fixed point, or `None` for a program with too many chains of calls.
    pub(super) fn solve(program: &'a Program, device_bound: bool, proved: &'a [Vec<(Reg, Kinds)>]) -> Option<Flow<'a>> {
        let mut flow = Flow {
            transfer: Transfer { program, device_bound },
            leaders: BTreeMap::new(),
            todo: BTreeSet::new(),
            chains: vec![None],
            numbers: BTreeMap::new(),
            thresholds: thresholds(program),
            is_leader: leaders(program),
            addressed: addressed(program),
            proved,
        };
        flow.arrive((Chain(0), 0), State::entry());
        while let Some(place) = flow.todo.pop_first() {
            let state = flow.leaders[&place].state.clone();
            let mut arrivals = Vec::new();
            let mut go = |to, state| arrivals.push((to, state));
            match flow.turn_of(place) {
                Some((_, call)) => flow.turn(call, state, &mut go),
                None => flow.block(place, state, &mut |_, _| {}, &mut go),
            }
            for (to, state) in arrivals {
                let place = match to {
                    To::Slot(slot) => (place.0, slot),
                    To::Function { call, start } => (flow.chain(place.0, call)?, start),
                    To::Turn { call } => (flow.chain(place.0, call)?, call),
                    To::Later { start } => (Chain(0), start),
                    To::Caller => match flow.chains[place.0.0] {
                        Some((_, call)) if calls_back(program, call) => (place.0, call),
                        Some((caller, call)) => (caller, call + 1),
                        None => continue,
                    },
                    To::Behind => match flow.chains[place.0.0] {
                        Some((caller, call)) => (caller, call + 1),
                        None => continue,
                    },
                };
                flow.arrive(place, state);
            }
        }
        Some(flow)
    }

    /// Shows every slot with what is known before it, once for each chain it is reached in.
    pub(super) fn each(&self, mut see: impl FnMut(usize, &State)) {
        for (place, leader) in self.leaders.iter().filter(|(place, _)| self.turn_of(**place).is_none()) {
            self.block(*place, leader.state.clone(), &mut see, &mut |_, _| {});
        }
    }

    /// By depth of a state, the call that entered each frame but the first.
    fn chain(&mut self, caller: Chain, call: usize) -> Option<Chain> {
        if let Some(chain) = self.numbers.get(&(caller, call)) {
            return Some(*chain);
        }
        if self.chains.len() >= MAX_CHAINS {
            return None;
        }
        let chain = Chain(self.chains.len());
        self.chains.push(Some((caller, call)));
        self.numbers.insert((caller, call), chain);
        Some(chain)
    }

    fn arrive(&mut self, place: Place, state: State) {
        let Some(leader) = self.leaders.get_mut(&place) else {
            self.leaders.insert(place, Leader { state, joins: 0 });
            self.todo.insert(place);
            return;
        };
        let (joins, thresholds) = (leader.joins, &self.thresholds);
        let joined = leader.state.join(&state, |old, new| widen(old, new, joins, thresholds));
        if joined != leader.state {
            leader.state = joined;
            leader.joins += 1;
            self.todo.insert(place);
        }
    }

    /// The caller and the call, if a place lies between two turns of a helper that calls back.
    fn turn_of(&self, (chain, slot): Place) -> Option<(Chain, usize)> {
        self.chains[chain.0].filter(|(_, call)| *call == slot)
    }

    /// The functions that a register may name.
    fn functions(&self, value: &RegFacts) -> Vec<usize> {
        let named = |start: &usize| value.kinds.contains(Kinds::FUNCTION) && value.offset.contains(*start as u64);
        let found: Vec<usize> = self.addressed.iter().copied().filter(named).collect();
        if found.is_empty() { self.addressed.clone() } else { found }
    }

    /// Between two turns of a helper that calls back: one more, or on behind the call.
    fn turn(&self, call: usize, state: State, go: &mut dyn FnMut(To, State)) {
        let insn = &self.transfer.program.insns[call];
        if state.depth() + 1 < MAX_FRAMES {
            for start in self.functions(state.reg(Reg::R2)) {
                go(To::Slot(start), self.transfer.called_back(&state, insn));
            }
        }
        let mut behind = state;
        self.transfer.step(&mut behind, call, insn);
        go(To::Behind, behind);
    }

    /// Follows control from a place to the next ones where it may meet other control.
    fn block(
        &self,
        (_, mut slot): Place,
        mut state: State,
        see: &mut dyn FnMut(usize, &State),
        go: &mut dyn FnMut(To, State),
    ) {
        let insns = &self.transfer.program.insns;
        loop {
            let insn = &insns[slot];
            for (reg, kinds) in &self.proved[slot] {
                let known = *state.reg(*reg);
                let left = known.kinds.intersection(*kinds);
                if left != known.kinds && !left.is_empty() {
                    state.set(*reg, RegFacts { kinds: left, ..known });
                }
            }
            see(slot, &state);
            let target = insn.target(slot).map(|t| t as usize);
            match (*insn, target) {
                (Insn::Jump { .. }, Some(target)) => return go(To::Slot(target), state),
                (Insn::Branch { width, cond, dst, src, .. }, Some(target)) => {
                    let (taken, fallen) = self.transfer.branch(&state, width, cond, dst, src);
                    for (to, state) in [(target, taken), (slot + 1, fallen)] {
                        if let Some(state) = state {
                            go(To::Slot(to), state);
                        }
                    }
                    return;
                }
                (Insn::MayGoto { .. }, Some(target)) => {
                    go(To::Slot(target), state.clone());
                    return go(To::Slot(slot + 1), state);
                }
                (Insn::Call { callee: Callee::Local(_) }, _) => {
                    let start = insn.function(slot).unwrap_or(0) as usize;
                    return go(To::Function { call: slot, start }, entered(state));
                }
                (Insn::Call { callee: Callee::Helper(_) }, _) if calls_back(self.transfer.program, slot) => {
                    return go(To::Turn { call: slot }, state);
                }
                (Insn::Exit, _) => {
                    if state.depth() > 0 {
                        go(To::Caller, returned(state));
                    }
                    return;
                }
                _ => {
                    if let Insn::Call { callee: Callee::Helper(TIMER_SET_CALLBACK) } = insn {
                        for start in self.functions(state.reg(Reg::R2)) {
                            go(To::Later { start }, self.transfer.called_later(&state));
                        }
                    }
                    self.transfer.step(&mut state, slot, insn);
                    if let Some(early) = self.transfer.left_early(&state, insn) {
                        go(To::Caller, returned(early));
                    }
                }
            }
            slot += insn.slots();
            if self.is_leader[slot] {
                return go(To::Slot(slot), state);
            }
        }
    }
}

/// Where control goes.
enum To {
    Slot(usize),
    Function {
        call: usize,
        start: usize,
    },
    Caller,
    /// Between two turns of a helper that calls back.
    Turn {
        call: usize,
    },
    /// Behind the call that this is a turn of.
    Behind,
    /// A function that a timer calls.
    Later {
        start: usize,
    },
}

fn entered(mut state: State) -> State {
    let depth = state.depth() + 1;
    let mut callee = Frame::new(depth);
    callee.regs[1..=5].copy_from_slice(&state.frames[depth - 1].regs[1..=5]);
    clobber(&mut state);
    state.frames.push(Rc::new(callee));
    state
}

fn returned(mut state: State) -> State {
    let result = *state.reg(Reg::R0);
    state.frames.pop();
    state.set(Reg::R0, result);
    state
}

/// Slots where control may come from elsewhere than the slot before.
fn leaders(program: &Program) -> Vec<bool> {
    let mut out = vec![false; program.insns.len() + 1];
    for (slot, insn) in program.insns.iter().enumerate() {
        if let Some(target) = insn.target(slot) {
            out[target as usize] = true;
            out[slot + 1] = true;
        }
        if matches!(insn, Insn::Call { callee: Callee::Local(_) }) || calls_back(program, slot) {
            out[slot + 1] = true;
        }
    }
    out
}

/// Whether an instruction calls a helper that calls functions back before it returns.
fn calls_back(program: &Program, slot: usize) -> bool {
    match program.insns[slot] {
        Insn::Call { callee: Callee::Helper(id) } => signature(id, program.ty).is_some_and(|s| s.calls_back()),
        _ => false,
    }
}

/// First slots of the functions whose address a program takes.
fn addressed(program: &Program) -> Vec<usize> {
    let takes = |insn: &Insn| matches!(insn, Insn::LoadImm64 { value: Wide::Func { .. }, .. });
    let taken = program.insns.iter().enumerate().filter(|(_, insn)| takes(insn));
    let mut starts: Vec<usize> =
        taken.filter_map(|(slot, insn)| insn.function(slot).and_then(|start| usize::try_from(start).ok())).collect();
    // One that is never called was taken out with the dead code.
    starts.retain(|start| *start < program.insns.len());
    starts.sort_unstable();
    starts.dedup();
    starts
}

/// Numbers the program compares with, and those beside them: where a growing range probably stops.
fn thresholds(program: &Program) -> Vec<i64> {
    let mut out = vec![0, 1, 0xff, 0xffff, i64::from(i32::MAX), i64::from(u32::MAX), -1, i64::from(i32::MIN)];
    for insn in &program.insns {
        if let Insn::Branch { src: Operand::Imm(imm), .. } = insn {
            let imm = i64::from(*imm);
            out.extend([imm - 1, imm, imm + 1]);
        }
    }
    out.sort_unstable();
    out.dedup();
    out
}

/// What stands in for `new`, the join of `old` and another, after so many joins.
fn widen(old: &RegFacts, new: RegFacts, joins: u32, thresholds: &[i64]) -> RegFacts {
    let grown = |old: &Bounds, new: Bounds| match (old == &new, joins) {
        (true, _) | (_, 0..=PLAIN_JOINS) => new,
        (_, ..=MAX_JOINS) => widen_bounds(old, &new, thresholds),
        _ => Bounds::UNKNOWN,
    };
    RegFacts { number: grown(&old.number, new.number), offset: grown(&old.offset, new.offset), ..new }
}

/// The range without ends that the known low bits rule out: steps of 2 from 0 that stay below 16 end at 14.
fn ends_on_step(range: &Range<64>, bits: Tnum) -> Range<64> {
    let step = bits.mask() & bits.mask().wrapping_neg();
    if step < 2 {
        return *range;
    }
    let (step, rest) = (i128::from(step), i128::from(bits.value() & (step - 1)));
    let down = |v: i128| (v - rest).div_euclid(step) * step + rest;
    let up = |v: i128| down(v + step - 1);
    Range {
        umin: u64::try_from(up(range.umin.into())).unwrap_or(range.umin),
        umax: u64::try_from(down(range.umax.into())).unwrap_or(range.umax),
        smin: i64::try_from(up(range.smin.into())).unwrap_or(range.smin),
        smax: i64::try_from(down(range.smax.into())).unwrap_or(range.smax),
    }
}

fn widen_bounds(old: &Bounds, new: &Bounds, thresholds: &[i64]) -> Bounds {
    fn widen<const BITS: u32>(old: &Range<BITS>, new: &Range<BITS>, thresholds: &[i64]) -> Range<BITS> {
        let below = |v: i64| thresholds.iter().rev().find(|t| **t <= v).copied();
        let above = |v: i64| thresholds.iter().find(|t| **t >= v).copied();
        let fits = |t: &i64| (Range::<BITS>::SMIN..=Range::<BITS>::SMAX).contains(t);
        let unsigned = |t: Option<i64>| t.and_then(|t| u64::try_from(t).ok()).filter(|t| *t <= Range::<BITS>::UMAX);
        let least = |v: u64| i64::try_from(v).ok().and_then(below);
        let most = |v: u64| i64::try_from(v).ok().and_then(above);
        Range {
            umin: if new.umin < old.umin { unsigned(least(new.umin)).unwrap_or(0) } else { new.umin },
            umax: if new.umax > old.umax { unsigned(most(new.umax)).unwrap_or(Range::<BITS>::UMAX) } else { new.umax },
            smin: if new.smin < old.smin {
                below(new.smin).filter(fits).unwrap_or(Range::<BITS>::SMIN)
            } else {
                new.smin
            },
            smax: if new.smax > old.smax {
                above(new.smax).filter(fits).unwrap_or(Range::<BITS>::SMAX)
            } else {
                new.smax
            },
        }
    }
    let joined = join_bounds(old, new);
    let wide = widen(&old.wide, &joined.wide, thresholds);
    // Bits that begin to vary are given up together, but for those below all of them: they are what is known of
    // alignment.
    let varying = Tnum::range(wide.umin, wide.umax).mask();
    let aligned = joined.bits.mask() & joined.bits.mask().wrapping_neg();
    let bits = match joined.bits.mask() == old.bits.mask() {
        true => joined.bits,
        false => Tnum::new(joined.bits.value(), joined.bits.mask() | varying & !aligned.wrapping_sub(1)),
    };
    Bounds { bits, wide: ends_on_step(&wide, bits), low: widen(&old.low, &joined.low, thresholds) }
}
