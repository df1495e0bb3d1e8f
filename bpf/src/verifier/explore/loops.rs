//! Loops: what changes from turn to turn, and what matters in all of them.

use super::Explorer;
use super::compare::same_calls;
use crate::verifier::precision::Marks;
use crate::verifier::prune;
use crate::verifier::state::State;
use crate::verifier::trail::{self, NodeId, Trail};

/// Rounds in which what matters in a loop is passed on along its backward edges, before everything does
/// (`MAX_BACKEDGE_ITERS`).
const MAX_ROUNDS: u32 = 64;

impl Explorer<'_> {
    /// The remembered state of the loop being walked that stands before the newest one at a place.
    fn before_this_turn(&self, slot: usize, state: &State, depth: u32) -> Option<NodeId> {
        let callsite = (state.depth() > 0).then_some(state.frame().callsite);
        let place = self.walk.tree.place(slot, callsite);
        self.walk.tree.at(place).into_iter().find(|id| {
            let node = self.walk.tree.node(*id);
            node.trail.at == slot && node.open > 0 && node.trail.depth < depth && same_calls(&node.state, state)
        })
    }

    /// Numbers that change from turn to turn of a bounded loop, and did not matter so far, may be any.
    pub(super) fn widen(&mut self, slot: usize, state: &State, theirs: &mut State) {
        let depth = self.walk.tree.trail.depth.saturating_sub(1);
        if let Some(id) = self.before_this_turn(slot, state, depth) {
            prune::widen(&self.walk.tree.node(id).state, theirs);
        }
    }

    /// The same where a function that was called back returns.
    pub(super) fn widen_from_first(&mut self, slot: usize, state: &mut State) {
        let depth = self.walk.tree.trail.depth;
        if let Some(id) = self.before_this_turn(slot, state, depth) {
            prune::widen(&self.walk.tree.node(id).state, state);
        }
    }

    /// The walked path ended: remembered states of which it was the last have no open path any more.
    pub(super) fn finish_path(&mut self) {
        let mut from = self.walk.tree.trail.parent;
        while let Some(id) = from {
            let node = self.walk.tree.node_mut(id);
            node.open -= 1;
            if node.open > 0 {
                return;
            }
            from = node.trail.parent;
            self.leave_loop(id);
            self.walk.tree.forget_if_done(id);
        }
    }

    /// If a state is the one through which a loop was entered, all of the loop was walked: what matters in it is passed
    /// on along its backward edges.
    fn leave_loop(&mut self, id: NodeId) {
        let node = self.walk.tree.node(id);
        let Some(key) = trail::loop_of(&node.state, node.trail.at, &self.cycles) else { return };
        let Some(visit) = self.visits.get_mut(&key) else { return };
        if visit.entry != Some(id) {
            return;
        }
        visit.entry = None;
        let backedges = std::mem::take(&mut visit.backedges);
        if self.walk.log.has_everything() {
            self.walk.log.line(&format!("SCC exit {key}"));
        }
        for round in 0.. {
            if round > MAX_ROUNDS {
                if self.walk.log.has_everything() {
                    self.walk.log.line("propagate_backedges: too many iterations");
                }
                for edge in &backedges {
                    self.walk.tree.all_matter(edge.trail.parent);
                }
                break;
            }
            let mut changed = false;
            for edge in backedges.iter().rev() {
                changed |= self.pass_on(edge.equal, edge.depth, Some(&edge.trail));
            }
            if !changed {
                break;
            }
        }
        self.walk.tree.backedges -= backedges.len() as u32;
    }

    /// What matters in a remembered state matters on a path that ended in it.
    pub(super) fn pass_on(&mut self, id: NodeId, depth: usize, trail: Option<&Trail>) -> bool {
        let mut marks = Marks::new(depth);
        for (frame, f) in self.walk.tree.node(id).state.frames.iter().enumerate().rev() {
            let mut first = true;
            let mut names = String::new();
            for (home, _) in f.numbers(frame).filter(|(_, value)| value.precise) {
                marks.add(home);
                if self.walk.log.has_everything() {
                    let name = if home.is_slot {
                        format!("fp-{}", (u32::from(home.index) + 1) * 8)
                    } else {
                        format!("r{}", home.index)
                    };
                    names += &if first { format!("frame {frame}: propagating {name}") } else { format!(",{name}") };
                    first = false;
                }
            }
            if !names.is_empty() {
                self.walk.log.line(&names);
            }
        }
        self.walk.mark(marks, trail)
    }
}
