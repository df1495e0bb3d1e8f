//! The tree of remembered states, and the trail of instructions from each to the next.
//!
//! A trail holds no more than what cannot be found again by stepping back slot by slot: jumps, accesses of spilled
//! registers, and the numbers that a comparison bounded together.

use std::fmt;

use super::live_stack::InstanceId;
use super::prune::Exactness;
use super::state::State;

/// A remembered state, by number.
pub(super) type NodeId = usize;

/// Most numbers that a comparison bounds together; Linux keeps no more.
pub(super) const MAX_TIED: usize = 6;

/// Where a number is: a register or a stack slot of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Home {
    pub frame: u8,
    pub is_slot: bool,
    pub index: u8,
}

/// Numbers tied together, as they stood at a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tied {
    homes: [Home; MAX_TIED],
    len: u8,
}

impl Tied {
    /// Adds one, if there is room.
    pub(super) fn push(&mut self, home: Home) -> bool {
        let Some(place) = self.homes.get_mut(usize::from(self.len)) else { return false };
        *place = home;
        self.len += 1;
        true
    }

    pub(super) fn homes(&self) -> &[Home] {
        &self.homes[..usize::from(self.len)]
    }
}

/// One entry of a trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// The instruction.
    pub slot: u32,
    /// The one walked before it; for the program's first it is itself.
    pub before: u32,
    /// The stack slot of the frame whose spilled register it stored or loaded.
    pub spill: Option<(u8, u8)>,
    /// A comparison whose left side is a stack pointer.
    pub left_is_stack: bool,
    /// A comparison whose right side is one.
    pub right_is_stack: bool,
    /// Numbers a comparison bounded together.
    pub tied: Tied,
}

/// How a state was reached from the remembered one before it.
#[derive(Debug, Clone)]
pub(super) struct Trail {
    /// The remembered state it started from.
    pub parent: Option<NodeId>,
    /// Its first instruction.
    pub first: usize,
    /// The instruction before the one the state is at; none at a function's entry.
    pub last: Option<usize>,
    /// The instruction the state is at.
    pub at: usize,
    pub steps: Vec<Step>,
    /// Remembered states before it.
    pub depth: u32,
}

impl Trail {
    pub(super) fn start(at: usize) -> Self {
        Self { parent: None, first: at, last: None, at, steps: Vec::new(), depth: 0 }
    }

    /// The instruction walked before the one at `slot`, when `left` steps of the trail are not yet behind.
    pub(super) fn previous(&self, slot: usize, left: &mut usize) -> Option<usize> {
        let is = |step: &Step| step.slot as usize == slot;
        if slot == self.first && (*left == 0 || *left == 1 && is(&self.steps[0])) {
            return None;
        }
        match self.steps[..*left].last() {
            Some(step) if is(step) => {
                *left -= 1;
                Some(step.before as usize)
            }
            _ => slot.checked_sub(1),
        }
    }

    /// The entry of an instruction, if it is the last before `left`.
    pub(super) fn step(&self, slot: usize, left: usize) -> Option<&Step> {
        self.steps[..left].last().filter(|step| step.slot as usize == slot)
    }
}

/// A remembered state.
#[derive(Debug)]
pub(super) struct Node {
    pub state: State,
    pub trail: Trail,
    /// Paths from it that are not walked to their end.
    pub open: u32,
    pub hits: u32,
    pub misses: u32,
    /// What can no longer be read was taken out of it.
    pub cleaned: bool,
    /// Every number in it matters, and in the states before it.
    all_matters: bool,
    /// It is no longer compared with, and forgotten when its last path ends.
    evicted: bool,
}

/// A path that ended in a state of a loop that is still being walked.
#[derive(Debug)]
pub(super) struct Backedge {
    /// The state it is equal to.
    pub equal: NodeId,
    pub depth: usize,
    pub trail: Trail,
}

/// A loop being walked, in a chain of calls.
#[derive(Debug, Default)]
pub(super) struct Visit {
    /// The state through which it was entered.
    pub entry: Option<NodeId>,
    pub backedges: Vec<Backedge>,
}

/// The calls that lead to a loop, and the loop.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LoopKey {
    calls: Vec<usize>,
    cycle: u32,
}

impl fmt::Display for LoopKey {
    /// As Linux's log shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        // Linux takes the call at slot 0 for none.
        for call in self.calls.iter().take_while(|call| **call != 0) {
            write!(f, "{call},")?;
        }
        write!(f, "{})", self.cycle)
    }
}

/// The loop that a state at `at` is in, if it is in one.
pub(super) fn loop_of(state: &State, at: usize, cycles: &[u32]) -> Option<LoopKey> {
    let mut calls = Vec::new();
    for depth in 0..state.frames.len() {
        let slot = state.frames.get(depth + 1).map_or(at, |inner| inner.callsite);
        match cycles[slot] {
            0 => calls.push(slot),
            cycle => return Some(LoopKey { calls, cycle }),
        }
    }
    None
}

/// Counts that the closing line of a log shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Instructions walked.
    pub processed: u32,
    /// Most states remembered in one place of the kernel's table.
    pub max_states_per_insn: u32,
    /// States remembered altogether.
    pub total_states: u32,
    /// Most states remembered at once.
    pub peak_states: u32,
}

impl fmt::Display for Statistics {
    /// As the closing line of Linux's log begins.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processed, max_states_per_insn, total_states, peak_states } = self;
        write!(
            f,
            "processed {processed} insns (limit 1000000) max_states_per_insn {max_states_per_insn} total_states \
             {total_states} peak_states {peak_states}"
        )
    }
}

/// All remembered states.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Option<Box<Node>>>,
    free: Vec<NodeId>,
    /// Evicted states that will be freed.
    done: Vec<NodeId>,
    /// By place in the kernel's table, oldest first.
    places: Vec<Vec<NodeId>>,
    /// Of the path being walked.
    pub trail: Trail,
    /// Whether the instruction being walked has an entry in the trail.
    pub has_step: bool,
    kept: u32,
    evicted: u32,
    pub backedges: u32,
    pub statistics: Statistics,
}

impl Tree {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            nodes: Vec::new(),
            free: Vec::new(),
            done: Vec::new(),
            places: vec![Vec::new(); slots],
            trail: Trail::start(0),
            has_step: false,
            kept: 0,
            evicted: 0,
            backedges: 0,
            statistics: Statistics::default(),
        }
    }

    /// Forgets all states: another function is walked on its own. Linux goes on counting them.
    pub(super) fn restart(&mut self) {
        self.nodes.clear();
        self.free.clear();
        self.done.clear();
        self.places.iter_mut().for_each(Vec::clear);
        self.backedges = 0;
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        self.nodes[id]
            .as_ref()
            .expect("freed only without open paths and backward edges, and nothing else keeps its number")
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes[id]
            .as_mut()
            .expect("freed only without open paths and backward edges, and nothing else keeps its number")
    }

    /// Adds to the trail that the current instruction is not found by stepping back, or what must be known of it then.
    pub(super) fn note(&mut self, change: impl FnOnce(&mut Step)) {
        if !self.has_step {
            let slot = self.trail.at as u32;
            let before = self.trail.last.map_or(slot, |l| l as u32);
            self.trail.steps.push(Step {
                slot,
                before,
                spill: None,
                left_is_stack: false,
                right_is_stack: false,
                tied: Tied::default(),
            });
            self.has_step = true;
        }
        change(self.trail.steps.last_mut().expect("has_step is false, or an entry was pushed since the trail began"));
    }

    /// The place of states at `slot` in a frame entered by the call at `callsite`, as the kernel spreads them.
    pub(super) fn place(&self, slot: usize, callsite: Option<usize>) -> usize {
        let callsite = callsite.map_or(u32::MAX, |c| c as u32);
        (slot as u32 ^ callsite) as usize % self.places.len()
    }

    /// The states of a place, newest first.
    pub(super) fn at(&self, place: usize) -> Vec<NodeId> {
        self.places[place].iter().rev().copied().collect()
    }

    /// Remembers the state of the path being walked, which goes on from it.
    pub(super) fn remember(&mut self, place: usize, state: State) -> NodeId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            self.nodes.len() - 1
        });
        let next = Trail {
            parent: Some(id),
            first: self.trail.at,
            last: self.trail.last,
            at: self.trail.at,
            steps: Vec::new(),
            depth: self.trail.depth + 1,
        };
        let trail = std::mem::replace(&mut self.trail, next);
        let node =
            Node { state, trail, open: 1, hits: 0, misses: 0, cleaned: false, all_matters: false, evicted: false };
        self.nodes[id] = Some(Box::new(node));
        self.places[place].push(id);
        self.statistics.total_states += 1;
        self.kept += 1;
        self.peak();
        id
    }

    pub(super) fn peak(&mut self) {
        let now = self.kept + self.evicted + self.backedges;
        self.statistics.peak_states = self.statistics.peak_states.max(now);
    }

    /// Another path goes on from where the walked one is.
    pub(super) fn fork(&mut self) {
        if let Some(id) = self.trail.parent {
            self.node_mut(id).open += 1;
        }
    }

    /// A state will not be compared with any more.
    pub(super) fn evict(&mut self, place: usize, id: NodeId) {
        self.places[place].retain(|other| *other != id);
        self.kept -= 1;
        self.evicted += 1;
        self.node_mut(id).evicted = true;
        self.forget_if_done(id);
    }

    /// Frees an evicted state without open paths, once no backward edge of a loop can lead to it.
    pub(super) fn forget_if_done(&mut self, id: NodeId) {
        let node = self.node(id);
        if node.evicted && node.open == 0 {
            self.evicted -= 1;
            self.done.push(id);
        }
        if self.backedges == 0 {
            for id in self.done.drain(..) {
                self.nodes[id] = None;
                self.free.push(id);
            }
        }
    }

    /// Marks every number of the states from `from` up as one that matters.
    pub(super) fn all_matter(&mut self, mut from: Option<NodeId>) {
        while let Some(id) = from {
            let node = self.node_mut(id);
            if std::mem::replace(&mut node.all_matters, true) {
                // So it does in those before it.
                return;
            }
            node.state.set_precise(true);
            from = node.trail.parent;
        }
    }
}

/// How exactly two states must agree where a loop is not walked to its end.
pub(super) const fn in_loop(incomplete: bool) -> Exactness {
    if incomplete { Exactness::Within } else { Exactness::Needed }
}

/// The instance of the running function.
pub(super) fn instance(state: &State) -> InstanceId {
    state.frame().instance
}
