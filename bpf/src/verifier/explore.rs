//! Walks every path, depth first, sparing those that lead where an earlier one has been.

use std::collections::BTreeMap;

use super::Options;
use super::cfg::{self, Point};
use super::demand::{Demand, demands};
use super::explored::{Explored, Kind};
use super::guards::{self, Guard, Guards};
use super::live_regs::{LiveRegs, live_regs};
use super::live_stack::LiveStack;
use super::log::{self, Log, Shown};
use super::observe::Observer;
use super::precision::Marks;
use super::prove::{Setting, ValueFields, prove};
use super::prune::{self, Compare, Exactness};
use super::scc;
use super::stack_depth;
use super::state::{Frame, StackByte, State, Value};
use super::trail::{self, Backedge, LoopKey, NodeId, Statistics, Trail, Visit};
use super::transfer::{Next, Walk};
use super::verdict::Stop;
use crate::errno::Errno;
use crate::insn::{Insn, Reg, encode};
use crate::program::{Function, Program};

/// Instructions that may be walked (`BPF_COMPLEXITY_LIMIT_INSNS`).
const MAX_WALKED: u32 = 1_000_000;
/// Paths that may wait to be walked (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`).
const MAX_WAITING: usize = 8192;
/// Rounds in which what matters in a loop is passed on along its backward edges, before everything does
/// (`MAX_BACKEDGE_ITERS`).
const MAX_ROUNDS: u32 = 64;

/// Why exploration ended early, and where.
#[derive(Debug)]
pub(super) struct Ended {
    pub stop: Stop,
    /// The instruction it ended at, if it was one.
    pub slot: Option<usize>,
    pub statistics: Statistics,
    pub log: String,
}

impl Ended {
    /// Before anything was walked.
    pub(super) fn early(stop: Stop) -> Self {
        Self { stop, slot: None, statistics: Statistics::default(), log: String::new() }
    }
}

/// A path put off.
struct Waiting {
    slot: usize,
    state: Box<State>,
    trail: Trail,
    /// The branch it comes from.
    from: usize,
    /// Where the log stood.
    log: usize,
}

/// A program that may be loaded.
pub(super) struct Walked {
    pub explored: Explored,
    pub guards: Vec<Guard>,
    pub log: String,
}

/// Walks a program whose functions are complete.
pub(super) fn explore(program: &Program, options: &Options) -> Result<Walked, Ended> {
    let fields = ValueFields::of(program);
    let setting = Setting { program, options, fields: &fields };
    let points = cfg::check(program, options.privileges).map_err(Ended::early)?;
    let postorder = scc::postorder(program);
    let live = live_regs(program, &postorder);
    let live_stack = LiveStack::new(program, &postorder);
    let cycles = scc::cycles(program, |slot| points[slot].calls_back);
    let mut explorer = Explorer {
        setting,
        walk: Walk::new(setting, live_stack),
        points,
        live,
        cycles,
        demands: (0..program.insns.len()).map(|slot| demands(program, options.privileges, slot)).collect(),
        opcodes: if options.log_level > 0 { opcodes(program) } else { Vec::new() },
        ctx_access: vec![None; program.insns.len()],
        observer: Observer::new(program),
        waiting: Vec::new(),
        visits: BTreeMap::new(),
        compare: Compare::new(options.privileges),
        processed: 0,
        jumps: 0,
        last: (0, 0),
    };
    let Explorer { walk, live, cycles, opcodes, .. } = &mut explorer;
    walk.log.header(setting, live, cycles, opcodes);
    let mut slot = 0;
    let walked = explorer.run(State::entry(), &mut slot).and_then(|()| explorer.run_globals(&mut slot));
    explorer.walk.tree.statistics.processed = explorer.processed;
    let Explorer { mut walk, observer, .. } = explorer;
    let statistics = walk.tree.statistics;
    let log = std::mem::replace(&mut walk.log, Log::new(0)).into_text();
    if let Err(stop) = walked {
        return Err(Ended { stop, slot: Some(slot), statistics, log });
    }
    if let Err(stop) = stack_depth::check(program, &walk.depths, &walk.asynchronous) {
        return Err(Ended { stop, slot: None, statistics, log });
    }
    if let Err(stop) = walk.one_map_for_tail_calls() {
        return Err(Ended { stop, slot: None, statistics, log });
    }
    let guards = std::mem::replace(&mut walk.guards, Guards::new(0, options)).into_slots();
    Ok(Walked { explored: observer.finish(&walk, statistics), guards, log })
}

struct Explorer<'a> {
    setting: Setting<'a>,
    walk: Walk<'a>,
    points: Vec<Point>,
    live: Vec<LiveRegs>,
    /// By slot, the cycle it is on.
    cycles: Vec<u32>,
    demands: Vec<Vec<Demand>>,
    /// By slot, for the log.
    opcodes: Vec<u8>,
    /// By slot of a load or store, whether its pointer was the context.
    ctx_access: Vec<Option<bool>>,
    observer: Observer,
    waiting: Vec<Waiting>,
    visits: BTreeMap<LoopKey, Visit>,
    compare: Compare,
    processed: u32,
    jumps: u32,
    /// Instructions and jumps walked when the last state was remembered.
    last: (u32, u32),
}

/// First bytes of the instructions; none where one has no encoding.
fn opcodes(program: &Program) -> Vec<u8> {
    encode(&program.insns).map_or_else(|_| Vec::new(), |raw| raw.iter().map(|r| r.opcode).collect())
}

impl Explorer<'_> {
    /// Walks all paths from a state at a function's start; `at` is where the walk is.
    fn run(&mut self, mut state: State, at: &mut usize) -> Result<(), Stop> {
        let insns = &self.setting.program.insns;
        let function = state.frame().function;
        let instance = self.walk.live.instance(self.setting.program, None, 0, function);
        state.frame_mut().instance = instance;
        self.walk.tree.trail = Trail::start(*at);
        let mut last = None;
        // The branch that a path taken up just now comes from.
        let mut came_from = None;
        loop {
            let slot = *at;
            self.processed += 1;
            if self.processed > MAX_WALKED {
                let line = format!("BPF program is too large. Processed {} insn", self.processed);
                return Err(Stop::refused(Errno::E2BIG, line));
            }
            (self.walk.tree.trail.at, self.walk.tree.trail.last) = (slot, last);
            self.walk.tree.has_step = false;
            let point = self.points[slot];
            if point.prune && self.seen_before(slot, &state)? {
                self.log_safe(slot, came_from.take(), &state);
                if !self.next_path(at, &mut last, &mut state, &mut came_from) {
                    return Ok(());
                }
                continue;
            }
            if point.jump {
                self.walk.tree.note(|_| {});
            }
            let insn = &insns[slot];
            self.log_insn(slot, came_from.take(), &state);
            if !state.speculative {
                self.observer.visit(self.setting, slot, insn, &state);
            }
            last = Some(slot);
            if state.speculative && self.walk.guards.before(slot) {
                if !self.next_path(at, &mut last, &mut state, &mut came_from) {
                    return Ok(());
                }
                continue;
            }
            self.walk.live.start(trail::instance(&state), slot);
            match self.proved(slot, insn, &state) {
                Err(stop) if state.speculative && guards::is_recoverable(&stop) => {
                    self.walk.live.commit();
                    self.walk.log.stop(&stop);
                    if let Some(unmoved) = self.walk.unmoved(&state, slot, insn) {
                        self.put_off(slot, slot + 1, unmoved)?;
                    }
                    self.walk.guards.bar(slot);
                    if !self.next_path(at, &mut last, &mut state, &mut came_from) {
                        return Ok(());
                    }
                    continue;
                }
                proved => proved?,
            }
            if matches!(insn, Insn::Jump { .. } | Insn::Branch { .. } | Insn::Call { .. } | Insn::Exit) {
                self.jumps += 1;
            }
            let log = self.walk.log.position();
            let next = self.walk.step(&mut state, slot, insn);
            if let Some(stop) = self.walk.refused.take() {
                return Err(stop);
            }
            self.walk.live.commit();
            if state.speculative && self.walk.guards.behind(slot) {
                if !self.next_path(at, &mut last, &mut state, &mut came_from) {
                    return Ok(());
                }
                continue;
            }
            let decided = matches!(insn, Insn::Branch { .. });
            match next {
                Next::Goto(next) => {
                    if decided {
                        self.walk.log.state(slot, &state, self.setting);
                    }
                    *at = next;
                }
                Next::Speculate { here, slot: other, state: theirs } => {
                    self.put_off(slot, other, theirs)?;
                    if decided {
                        self.walk.log.state(slot, &state, self.setting);
                    }
                    *at = here;
                }
                Next::CallBack { here, slot: other, state: theirs } => {
                    self.put_off(slot, other, theirs)?;
                    *at = here;
                }
                Next::Later { slot: other, state: theirs } => {
                    self.put_off_callback(slot, other, theirs)?;
                    *at = slot + 1;
                }
                Next::Turn { here, slot: other, state: mut theirs } => {
                    self.widen(slot, &state, &mut theirs);
                    self.put_off(slot, other, theirs)?;
                    *at = here;
                }
                Next::Return { slot: next, stays } => {
                    came_from = self.stays(slot, stays, log)?;
                    *at = next;
                }
                Next::Again { slot: next, stays } => {
                    came_from = self.stays(slot, stays, log)?;
                    self.widen_from_first(next, &mut state);
                    *at = next;
                }
                Next::Fork { here, slot: other, state: theirs } => {
                    self.put_off(slot, other, theirs)?;
                    self.walk.log.state(slot, &state, self.setting);
                    *at = here;
                }
                Next::End => {
                    if !self.next_path(at, &mut last, &mut state, &mut came_from) {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Whether the instruction may be walked in this state.
    fn proved(&mut self, slot: usize, insn: &Insn, state: &State) -> Result<(), Stop> {
        for demand in &self.demands[slot] {
            prove(self.setting, &self.walk.guards, state, slot, demand)?;
        }
        self.one_kind_of_pointer(slot, insn, state)
    }

    /// Walks the functions that are verified on their own, if they were called, for any arguments their types allow.
    fn run_globals(&mut self, at: &mut usize) -> Result<(), Stop> {
        let program = self.setting.program;
        let mut verified = vec![false; program.functions.len()];
        loop {
            let mut again = false;
            for (function, Function { name, start, .. }) in program.functions.iter().enumerate().skip(1) {
                if verified[function] || !self.walk.called[function] {
                    continue;
                }
                self.walk.tree.restart();
                self.visits.clear();
                *at = *start;
                self.walk.log.line(&format!("Validating {name}() func#{function}..."));
                let state = self.walk.global_entry(function)?;
                self.run(state, at)?;
                self.walk
                    .log
                    .line(&format!("Func#{function} ('{name}') is safe for any args that match its prototype"));
                verified[function] = true;
                again = true;
            }
            if !again {
                return Ok(());
            }
        }
    }

    /// A function returns at `slot`; if it need not, a path waits to stay in it. Gives where the log has the return come
    /// from, which Linux does not show of one that need not be.
    fn stays(&mut self, slot: usize, state: Option<Box<State>>, log: usize) -> Result<Option<usize>, Stop> {
        let Some(state) = state else { return Ok(Some(slot)) };
        self.put_off_at(slot, slot + 1, state, log)?;
        Ok(None)
    }

    fn put_off(&mut self, from: usize, slot: usize, state: Box<State>) -> Result<(), Stop> {
        let log = self.walk.log.position();
        self.put_off_at(from, slot, state, log)
    }

    /// The log is taken back to `log` when the path is taken up.
    fn put_off_at(&mut self, from: usize, slot: usize, state: Box<State>, log: usize) -> Result<(), Stop> {
        self.walk.tree.fork();
        self.waiting.push(Waiting { slot, state, trail: self.walk.tree.trail.clone(), from, log });
        self.too_many()
    }

    fn too_many(&self) -> Result<(), Stop> {
        if self.waiting.len() > MAX_WAITING {
            let line = format!("The sequence of {} jumps is too complex.", self.waiting.len());
            return Err(Stop::refused(Errno::EFAULT, line));
        }
        Ok(())
    }

    /// A function that is called back at a later time is walked on its own, with nothing that went before.
    fn put_off_callback(&mut self, from: usize, slot: usize, mut state: Box<State>) -> Result<(), Stop> {
        let function = state.frame().function;
        state.frame_mut().instance = self.walk.live.instance(self.setting.program, None, 0, function);
        let log = self.walk.log.position();
        self.waiting.push(Waiting { slot, state, trail: Trail::start(slot), from, log });
        self.too_many()
    }

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
    fn widen(&mut self, slot: usize, state: &State, theirs: &mut State) {
        let depth = self.walk.tree.trail.depth.saturating_sub(1);
        if let Some(id) = self.before_this_turn(slot, state, depth) {
            prune::widen(&self.walk.tree.node(id).state, theirs);
        }
    }

    /// The same where a function that was called back returns.
    fn widen_from_first(&mut self, slot: usize, state: &mut State) {
        let depth = self.walk.tree.trail.depth;
        if let Some(id) = self.before_this_turn(slot, state, depth) {
            prune::widen(&self.walk.tree.node(id).state, state);
        }
    }

    /// Ends the current path and takes up the one put off last, if there is one.
    fn next_path(
        &mut self,
        at: &mut usize,
        last: &mut Option<usize>,
        state: &mut State,
        came_from: &mut Option<usize>,
    ) -> bool {
        self.finish_path();
        self.walk.live.update(self.setting.program, state);
        let Some(next) = self.waiting.pop() else {
            self.walk.log.rewind(0);
            return false;
        };
        self.walk.log.rewind(next.log);
        self.walk.log.touch_all();
        *came_from = Some(next.from);
        *last = Some(next.from);
        *at = next.slot;
        *state = *next.state;
        self.walk.tree.trail = next.trail;
        true
    }

    /// The walked path ended: remembered states of which it was the last have no open path any more.
    fn finish_path(&mut self) {
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
        for round in 0.. {
            if round > MAX_ROUNDS {
                for edge in &backedges {
                    self.walk.tree.all_matter(edge.trail.parent);
                }
                break;
            }
            let mut changed = false;
            for edge in &backedges {
                changed |= self.pass_on(edge.equal, edge.depth, Some(&edge.trail));
            }
            if !changed {
                break;
            }
        }
        self.walk.tree.backedges -= backedges.len() as u32;
    }

    /// What matters in a remembered state matters on a path that ended in it.
    fn pass_on(&mut self, id: NodeId, depth: usize, trail: Option<&Trail>) -> bool {
        let mut marks = Marks::new(depth);
        for (frame, f) in self.walk.tree.node(id).state.frames.iter().enumerate() {
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

    fn log_insn(&mut self, slot: usize, came_from: Option<usize>, state: &State) {
        if !self.walk.log.is_on() {
            return;
        }
        if let Some(from) = came_from {
            self.walk.log.resumed(from, slot, state, self.setting);
        }
        let opcode = self.opcodes.get(slot).copied().unwrap_or(0);
        self.walk.log.insn(slot, opcode, state, self.setting);
    }

    fn log_safe(&mut self, slot: usize, came_from: Option<usize>, state: &State) {
        self.walk.log.line(&match came_from {
            Some(from) => format!("\nfrom {from} to {slot}{}: safe", log::speculation(state)),
            None => format!("{slot}: safe"),
        });
    }

    /// Loads and stores through the context are rewritten by Linux, so an instruction may not access it on one path
    /// and other memory on another.
    fn one_kind_of_pointer(&mut self, slot: usize, insn: &Insn, state: &State) -> Result<(), Stop> {
        let (Insn::Load { base, .. } | Insn::Store { base, .. }) = *insn else { return Ok(()) };
        let is_ctx = state.reg(base).kind == Kind::Ctx;
        match self.ctx_access[slot].replace(is_ctx) {
            Some(was) if was != is_ctx => Err(Stop::invalid("same insn cannot be used with different pointers")),
            _ => Ok(()),
        }
    }

    /// Whether what is known of a loop the state is in is incomplete: a path ended in it that may still teach it.
    fn is_incomplete(&self, id: NodeId) -> bool {
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
    fn seen_before(&mut self, slot: usize, state: &State) -> Result<bool, Stop> {
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
        kept.each_number(|value| value.precise = false);
        let id = self.walk.tree.remember(place, kept);
        if let Some(key) = trail::loop_of(state, slot, &self.cycles) {
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
                return Ok(Some(true));
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
            return Err(Stop::invalid(format!("infinite loop detected at insn {slot}"))
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
fn same_calls(old: &State, new: &State) -> bool {
    let calls = |f: &std::rc::Rc<Frame>| f.callsite;
    old.frames.len() == new.frames.len()
        && old.frames.iter().map(calls).skip(1).eq(new.frames.iter().map(calls).skip(1))
}
