//! Where paths may meet: whether an earlier state covers the one that the walk is in.

use super::Explorer;
use crate::insn::Reg;
use crate::verifier::class::Class;
use crate::verifier::log::{self, Shown};
use crate::verifier::prune::{Compare, Exactness};
use crate::verifier::state::{Frame, StackByte, State, Value};
use crate::verifier::trail::{self, Backedge, NodeId};
use crate::verifier::transfer::Walk;
use crate::verifier::verdict::Stop;

impl Explorer<'_> {
    /// Whether what is known of a loop the state is in is incomplete: a path ended in it that may still teach it.
    pub(super) fn is_incomplete(&self, id: NodeId) -> bool {
        let node = self.walk.tree.node(id);
        trail::loop_of(&node.state, node.trail.at, &self.cycles)
            .and_then(|key| self.visits.get(&key))
            .is_some_and(|visit| !visit.backedges.is_empty())
    }

    /// Takes out of a finished state what is not read from it on.
    fn clean(&mut self, id: NodeId) {
        let node = self.walk.tree.node(id);
        if node.cleaned || self.is_incomplete(id) {
            return;
        }
        let Explorer { walk: Walk { tree, live: live_stack, .. }, points, live, .. } = self;
        let node = tree.node_mut(id);
        node.cleaned = true;
        let at = node.trail.at;
        let before = node.state.clone();
        for depth in 0..before.frames.len() {
            let slot = before.frames.get(depth + 1).map_or(at, |inner| inner.callsite);
            let regs = live[slot].any;
            let frame = node.state.frame_at_mut(depth);
            for (i, value) in frame.regs.iter_mut().enumerate().take(Reg::R10.index()) {
                if regs >> i & 1 == 0 {
                    *value = Value::UNINIT;
                }
            }
            for i in 0..frame.stack.len() {
                let empty = frame.slot(i).bytes == [StackByte::Invalid; 8];
                if !empty && !live_stack.alive(&before, at, depth, i, |s| points[s].calls_back) {
                    frame.slot_mut(i).clear();
                }
            }
        }
    }

    /// Whether an earlier state covers this one. If none does, it may be remembered.
    pub(super) fn seen_before(&mut self, slot: usize, state: &State) -> Result<bool, Stop> {
        let (walked, jumped) = (self.processed - self.last.0, self.jumps - self.last.1);
        self.compare.exact_numbers = self.walk.guards.exact_numbers;
        let point = self.points[slot];
        let forced = point.forced || self.walk.tree.trail.steps.len() > 40;
        let mut remember = forced || jumped >= 2 && walked >= 8;
        let callsite = (state.depth() > 0).then_some(state.frame().callsite);
        let place = self.walk.tree.place(slot, callsite);
        let candidates = self.walk.tree.at(place);
        for id in &candidates {
            let node = self.walk.tree.node(*id);
            if node.trail.at == slot && node.open == 0 && same_calls(&node.state, state) {
                self.clean(*id);
            }
        }
        let mut states = 0;
        for id in candidates {
            states += 1;
            if self.walk.tree.node(id).trail.at != slot {
                continue;
            }
            let hit = if self.walk.tree.node(id).open > 0 {
                let hit = self.in_unfinished(id, slot, state)?;
                if hit.is_none() && !forced && jumped < 20 && walked < 100 {
                    // States in the middle of a long loop seldom cover later ones.
                    remember = false;
                }
                hit
            } else {
                let incomplete = self.is_incomplete(id);
                let node = self.walk.tree.node(id);
                let covers = self.compare.covers(&node.state, state, slot, &self.live, trail::in_loop(incomplete));
                covers.then_some(incomplete)
            };
            if let Some(in_loop) = hit {
                self.hit(id, state, in_loop);
                return Ok(true);
            }
            let node = self.walk.tree.node_mut(id);
            if remember {
                node.misses += 1;
            }
            let patience = if point.forced && node.open > 0 { 64 } else { 3 };
            if node.misses > node.hits * patience + patience {
                self.walk.tree.evict(place, id);
            }
        }
        let most = &mut self.walk.tree.statistics.max_states_per_insn;
        *most = (*most).max(states);
        if !remember {
            return Ok(false);
        }
        self.last = (self.processed, self.jumps);
        let mut kept = state.clone();
        kept.set_precise(false);
        let id = self.walk.tree.remember(place, kept);
        if let Some(key) = trail::loop_of(state, slot, &self.cycles) {
            if self.walk.log.has_everything() && self.visits.get(&key).is_none_or(|visit| visit.entry.is_none()) {
                self.walk.log.line(&format!("SCC enter {key}"));
            }
            self.visits.entry(key).or_default().entry.get_or_insert(id);
        }
        Ok(false)
    }

    /// Compares with a state of the path being walked, or one from which paths still wait. Tells whether the walked path
    /// may end here because it goes round in a loop.
    fn in_unfinished(&mut self, id: NodeId, slot: usize, state: &State) -> Result<Option<bool>, Stop> {
        let old = &self.walk.tree.node(id).state;
        let is_async = old.frame().is_async && old.frame().async_entries != state.frame().async_entries;
        if is_async {
            return Ok(None);
        }
        let point = self.points[slot];
        if point.may_goto || point.calls_back {
            let turns = !point.may_goto || old.may_goto_depth != state.may_goto_depth;
            if turns && self.compare.covers(old, state, slot, &self.live, Exactness::Within) {
                return Ok(Some(point.may_goto));
            }
            if point.calls_back {
                return Ok(None);
            }
        }
        if Compare::may_loop(old, state)
            && self.compare.covers(old, state, slot, &self.live, Exactness::Same)
            && old.may_goto_depth == state.may_goto_depth
            && old.unrolled == state.unrolled
        {
            let setting = self.setting;
            return Err(Stop::invalid(Class::EndlessLoop, format!("infinite loop detected at insn {slot}"))
                .and(format!("cur state:{}", log::state(state, Shown::ALL, setting)))
                .and(format!("old state:{}", log::state(old, Shown::ALL, setting))));
        }
        Ok(None)
    }

    /// The walked path ends in a remembered state.
    fn hit(&mut self, id: NodeId, state: &State, in_loop: bool) {
        self.walk.tree.node_mut(id).hits += 1;
        if self.points[self.walk.tree.trail.at].jump {
            self.walk.tree.note(|_| {});
        }
        self.zero_extend(state);
        self.pass_on(id, state.depth(), None);
        if !in_loop {
            return;
        }
        let trail = self.walk.tree.trail.clone();
        let node = self.walk.tree.node(id);
        if let Some(key) = trail::loop_of(&node.state, node.trail.at, &self.cycles) {
            if self.walk.log.has_everything() {
                self.walk.log.line(&format!("SCC backedge {key}"));
            }
            let edge = Backedge { equal: id, depth: state.depth(), trail };
            self.visits.entry(key).or_default().backedges.push(edge);
            self.walk.tree.backedges += 1;
            self.walk.tree.peak();
        }
    }

    /// Results of 32 bits whose upper half may be read after the state must be zero-extended.
    fn zero_extend(&mut self, state: &State) {
        for (depth, frame) in state.frames.iter().enumerate() {
            let at = state.frames.get(depth + 1).map_or(self.walk.tree.trail.at, |inner| inner.callsite + 1);
            let wide = self.live[at].wide;
            for (i, value) in frame.regs.iter().enumerate() {
                if wide >> i & 1 == 1 && value.def32 != 0 {
                    self.walk.zext[value.def32 as usize - 1] = true;
                }
            }
        }
    }
}

/// The same calls on the way.
pub(super) fn same_calls(old: &State, new: &State) -> bool {
    let calls = |f: &std::rc::Rc<Frame>| f.callsite;
    old.frames.len() == new.frames.len()
        && old.frames.iter().map(calls).skip(1).eq(new.frames.iter().map(calls).skip(1))
}
