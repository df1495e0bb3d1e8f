//! How control and values came to the instruction that a program is refused for.
//!
//! The trail of the refused path gives its instructions. They are walked once more from the path's start, which tells what
//! each left, and then read backwards: an instruction matters if it made a value that the refusal is about, or decided a
//! branch that bounded one.

use std::collections::VecDeque;

mod slice;

use super::Options;
use super::live_regs::live_regs;
use super::live_stack::LiveStack;
use super::log;
use super::prove::{Setting, operand};
use super::scc;
use super::state::{State, Value};
use super::trail::{self, Tree};
use super::transfer::{Next, Walk};
use super::verdict::Refusal;
use crate::diag::Step;
use crate::insn::{Insn, Reg};

/// Instructions of a path that are looked at; what lies further back is left out.
const MAX_SEEN: usize = 4096;
/// Instructions of a path that are walked once more. On a longer one nothing is said of the path.
const MAX_WALKED: usize = 200_000;

/// An instruction of the path, and what it did.
struct Seen {
    slot: usize,
    /// The one walked behind it.
    next: usize,
    depth: usize,
    /// What its operands held before it.
    left: Value,
    right: Value,
    /// What it left in the register that it wrote.
    result: Option<(Reg, Value)>,
    /// The stack slot whose spilled register it stored or loaded, by frame and index.
    spill: Option<(u8, u8)>,
    /// Registers of the running function whose kind it changed, a bit each.
    changed: u16,
}

/// The steps that led to a refusal, in the order in which they were walked. None where the path does not begin with
/// `entry`, or cannot be walked again.
pub(super) fn path(setting: Setting<'_>, tree: &Tree, entry: &State, refusal: &Refusal) -> Vec<Step> {
    let slots = walked(setting, tree);
    let start = setting.program.functions[entry.frame().function].start;
    if slots.first() != Some(&start) || slots.len() > MAX_WALKED {
        return Vec::new();
    }
    let quiet = Options { log_level: 0, ..setting.options.clone() };
    let setting = Setting { options: &quiet, ..setting };
    match again(setting, &slots, entry.clone()) {
        Some((seen, end)) => slice::slice(setting, &seen, &end, slots[slots.len() - 1], refusal),
        None => Vec::new(),
    }
}

/// The slots of the walked path, from its start to the instruction it is at.
fn walked(setting: Setting<'_>, tree: &Tree) -> Vec<usize> {
    let mut out = Vec::new();
    let mut trail = &tree.trail;
    let mut last = Some(trail.at);
    while let Some(mut slot) = last {
        let mut left = trail.steps.len();
        loop {
            if setting.program.insns[slot] != Insn::Pad {
                out.push(slot);
            }
            match trail.previous(slot, &mut left) {
                Some(before) => slot = before,
                None => break,
            }
        }
        let Some(id) = trail.parent else { break };
        trail = &tree.node(id).trail;
        last = trail.last;
    }
    out.reverse();
    out
}

/// Walks a path once more: its last instructions, and the state before the one it ends at.
fn again(setting: Setting<'_>, slots: &[usize], mut state: State) -> Option<(VecDeque<Seen>, State)> {
    let program = setting.program;
    let postorder = scc::postorder(program);
    let (live, regs) =
        (LiveStack::new(program, &postorder), live_regs(program, setting.options.privileges, &postorder));
    let mut walk = Walk::new(setting, live, regs);
    walk.is_again = true;
    let function = state.frame().function;
    state.frame_mut().instance = walk.live.instance(program, None, 0, function);
    let mut seen = VecDeque::new();
    for pair in slots.windows(2) {
        let (slot, next) = (pair[0], pair[1]);
        let insn = &program.insns[slot];
        walk.tree.trail.steps.clear();
        (walk.tree.trail.at, walk.tree.trail.last, walk.tree.has_step) = (slot, Some(slot), false);
        walk.live.start(trail::instance(&state), slot);
        let before = state.clone();
        let way = walk.step(&mut state, slot, insn);
        walk.live.commit();
        if walk.refused.is_some() {
            return None;
        }
        state = chosen(way, state, slot, next)?;
        if seen.len() == MAX_SEEN {
            seen.pop_front();
        }
        let spill = walk.tree.trail.steps.last().and_then(|step| step.spill);
        seen.push_back(what_it_did(&before, &state, slot, next, insn, spill));
    }
    Some((seen, state))
}

/// The state with which the path goes on at `next`.
fn chosen(way: Next, state: State, slot: usize, next: usize) -> Option<State> {
    let stayed = |stays: Option<Box<State>>| stays.filter(|_| next == slot + 1).map(|state| *state);
    match way {
        Next::Goto(here) => (here == next).then_some(state),
        Next::Later { .. } => (next == slot + 1).then_some(state),
        Next::Fork { here, slot: other, state: theirs }
        | Next::Speculate { here, slot: other, state: theirs }
        | Next::CallBack { here, slot: other, state: theirs }
        | Next::Turn { here, slot: other, state: theirs } => match next {
            _ if next == here => Some(state),
            _ if next == other => Some(*theirs),
            _ => None,
        },
        Next::Return { slot: to, stays } | Next::Again { slot: to, stays } => {
            if to == next {
                Some(state)
            } else {
                stayed(stays)
            }
        }
        Next::End => None,
    }
}

fn what_it_did(before: &State, after: &State, slot: usize, next: usize, insn: &Insn, spill: Option<(u8, u8)>) -> Seen {
    let (left, right) = match *insn {
        Insn::Alu { dst, src, .. } | Insn::Branch { dst, src, .. } => (*before.reg(dst), operand(before, src)),
        Insn::Mov { src, .. } => (Value::UNINIT, operand(before, src)),
        Insn::Load { base, .. } => (Value::UNINIT, *before.reg(base)),
        Insn::Store { base, src, .. } => (*before.reg(base), operand(before, src)),
        _ => (Value::UNINIT, Value::UNINIT),
    };
    let same_frame = before.depth() == after.depth();
    let written = match insn {
        Insn::Call { .. } => Some(Reg::R0).filter(|_| same_frame),
        Insn::Exit => Some(Reg::R0),
        _ => insn.defs().iter().next(),
    };
    let kind = |state: &State, i: usize| std::mem::discriminant(&state.frame().regs[i].kind);
    let changed = (0..Reg::COUNT).filter(|i| same_frame && kind(before, *i) != kind(after, *i));
    Seen {
        slot,
        next,
        depth: before.depth(),
        left,
        right,
        result: written.map(|reg| (reg, *after.reg(reg))),
        spill,
        changed: changed.fold(0, |bits, i| bits | 1 << i),
    }
}

impl Seen {
    /// As a step of a diagnostic.
    fn step(&self, setting: Setting<'_>, note: String) -> Step {
        let program = setting.program;
        Step {
            slot: self.slot,
            text: log::text(program, self.slot),
            note,
            function: program.functions[super::cfg::function_at(program, self.slot)].name.clone(),
            source: program.line_of(self.slot).cloned(),
        }
    }

    /// What it left in a register, as the log has it.
    fn result(&self, setting: Setting<'_>) -> String {
        match &self.result {
            Some((reg, value)) if value.is_number() || value.is_pointer() => {
                format!("R{}={}", reg.index(), log::value(value, self.depth, setting))
            }
            _ => String::new(),
        }
    }
}
