//! Which stack slots may be read from a place on before they are written whole, in each chain of calls.
//!
//! While paths are walked, each instruction collects the slots it read on some visit and those it wrote whole on every
//! visit. From these a dataflow over the function's shape tells what is alive before each slot. A called function's
//! needs are those of the call in the calling function.

use std::collections::BTreeMap;

use super::cfg;
use super::live_regs::successors;
use super::state::{MAX_FRAMES, State};
use crate::program::Program;

/// A function in one chain of calls, by number.
pub(super) type InstanceId = usize;

/// Slots of one frame, a bit each.
#[derive(Debug, Clone, Copy, Default)]
struct Masks {
    may_read: u64,
    must_write: u64,
    live_before: u64,
    /// Written whole on every way from here to the function's end.
    writes_after: u64,
}

#[derive(Debug)]
struct Instance {
    outer: Option<(InstanceId, usize)>,
    depth: usize,
    start: usize,
    len: usize,
    /// By frame up to its own, by slot from the function's start; empty for a frame nothing was marked of.
    masks: Vec<Vec<Masks>>,
    visited: Vec<bool>,
    changed: bool,
}

/// The marks of all instances.
#[derive(Debug)]
pub(super) struct LiveStack {
    instances: Vec<Instance>,
    by_call: BTreeMap<(Option<InstanceId>, usize, usize), InstanceId>,
    /// By function, its part of the postorder.
    orders: Vec<Vec<usize>>,
    /// Slots written whole by the instruction being walked.
    writes: [u64; MAX_FRAMES],
    /// Where it is.
    at: (InstanceId, usize),
}

impl LiveStack {
    pub(super) fn new(program: &Program, postorder: &[usize]) -> Self {
        let mut orders = vec![Vec::new(); program.functions.len()];
        for &slot in postorder {
            orders[cfg::function_at(program, slot)].push(slot);
        }
        Self { instances: Vec::new(), by_call: BTreeMap::new(), orders, writes: [0; MAX_FRAMES], at: (0, 0) }
    }

    /// The instance of a function that is entered at `callsite` from another instance.
    pub(super) fn instance(
        &mut self,
        program: &Program,
        outer: Option<InstanceId>,
        callsite: usize,
        function: usize,
    ) -> InstanceId {
        if let Some(id) = self.by_call.get(&(outer, callsite, function)) {
            return *id;
        }
        let depth = outer.map_or(0, |o| self.instances[o].depth + 1);
        let range = cfg::extent(program, function);
        let id = self.instances.len();
        self.instances.push(Instance {
            outer: outer.map(|o| (o, callsite)),
            depth,
            start: range.start,
            len: range.len(),
            masks: vec![Vec::new(); depth + 1],
            visited: vec![false; range.len()],
            changed: false,
        });
        self.by_call.insert((outer, callsite, function), id);
        id
    }

    /// An instruction is about to be walked.
    pub(super) fn start(&mut self, instance: InstanceId, slot: usize) {
        self.at = (instance, slot);
        self.writes = [0; MAX_FRAMES];
    }

    /// It writes a slot whole.
    pub(super) fn wrote(&mut self, frame: usize, slot: usize) {
        self.writes[frame] |= 1 << slot;
    }

    /// It reads a slot.
    pub(super) fn read(&mut self, frame: usize, slot: usize) {
        let (id, at) = self.at;
        self.instances[id].read(frame, at, 1 << slot);
    }

    /// It was walked.
    pub(super) fn commit(&mut self) {
        let (id, at) = self.at;
        let writes = self.writes;
        self.instances[id].wrote(at, &writes);
    }

    /// A path ended, or a function returned: brings the instances of the state's frames up to date.
    pub(super) fn update(&mut self, program: &Program, state: &State) {
        for frame in state.frames.iter().rev() {
            self.solve(program, frame.function, frame.instance);
        }
    }

    fn solve(&mut self, program: &Program, function: usize, id: InstanceId) {
        let instance = &mut self.instances[id];
        if !std::mem::replace(&mut instance.changed, false) {
            return;
        }
        for masks in instance.masks.iter_mut().filter(|m| !m.is_empty()) {
            solve_frame(program, &self.orders[function], instance.start, masks);
        }
        let Some((outer, callsite)) = instance.outer else { return };
        let entry: Vec<_> = instance.masks.iter().map(|m| m.first().copied().unwrap_or_default()).collect();
        let mut writes = [0; MAX_FRAMES];
        let depth = instance.depth;
        for frame in 0..depth {
            writes[frame] = entry[frame].writes_after;
            let read = entry[frame].live_before;
            self.instances[outer].read(frame, callsite, read);
        }
        self.instances[outer].wrote(callsite, &writes);
    }

    /// Whether a slot of a frame may be read from where a state is on. `calls_back` is true of calls that may call a
    /// function of the program any number of times.
    pub(super) fn alive(
        &self,
        state: &State,
        at: usize,
        frame: usize,
        slot: usize,
        calls_back: impl Fn(usize) -> bool,
    ) -> bool {
        let bit = 1u64 << slot;
        let top = state.depth();
        let live = |depth: usize, at: usize| self.instances[state.frames[depth].instance].live(frame, at) & bit != 0;
        live(top, at)
            || (frame..top).any(|depth| {
                let callsite = state.frames[depth + 1].callsite;
                live(depth, if calls_back(callsite) { callsite } else { callsite + 1 })
            })
    }
}

impl Instance {
    fn frame(&mut self, frame: usize) -> &mut Vec<Masks> {
        let masks = &mut self.masks[frame];
        if masks.is_empty() {
            masks.resize(self.len, Masks::default());
        }
        masks
    }

    fn read(&mut self, frame: usize, at: usize, bits: u64) {
        if bits == 0 || frame > self.depth {
            return;
        }
        let at = at - self.start;
        let masks = &mut self.frame(frame)[at];
        if masks.may_read | bits != masks.may_read {
            masks.may_read |= bits;
            self.changed = true;
        }
    }

    fn wrote(&mut self, at: usize, writes: &[u64; MAX_FRAMES]) {
        let at = at - self.start;
        let again = std::mem::replace(&mut self.visited[at], true);
        for (frame, written) in writes.iter().enumerate().take(self.depth + 1) {
            if self.masks[frame].is_empty() && *written == 0 {
                continue;
            }
            let masks = &mut self.frame(frame)[at];
            let now = if again { masks.must_write & written } else { *written };
            if now != masks.must_write {
                masks.must_write = now;
                self.changed = true;
            }
        }
    }

    fn live(&self, frame: usize, at: usize) -> u64 {
        self.masks.get(frame).and_then(|m| m.get(at.wrapping_sub(self.start))).map_or(0, |m| m.live_before)
    }
}

fn solve_frame(program: &Program, order: &[usize], start: usize, masks: &mut [Masks]) {
    // A write that turned out not to be on every visit makes what was derived from it too small or too large; both are
    // found anew.
    for m in masks.iter_mut() {
        m.live_before = 0;
        m.writes_after = 0;
    }
    let mut changed = true;
    while changed {
        changed = false;
        for &slot in order {
            let (mut live, mut written, mut any) = (0, u64::MAX, false);
            for next in successors(&program.insns[slot], slot) {
                let Some(m) = masks.get(next - start) else { continue };
                live |= m.live_before;
                written &= m.writes_after;
                any = true;
            }
            let m = &mut masks[slot - start];
            let written = if any { written } else { 0 } | m.must_write;
            let before = live & !m.must_write | m.may_read;
            if before != m.live_before || written != m.writes_after {
                m.live_before = before;
                m.writes_after = written;
                changed = true;
            }
        }
    }
}
