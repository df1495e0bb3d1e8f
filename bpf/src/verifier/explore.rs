//! Walks every path, depth first, sparing those that lead where an earlier one has been.

use std::collections::BTreeMap;

mod compare;
mod loops;

use super::Options;
use super::cfg::{self, Point};
use super::class::Class;
use super::demand::{Demand, demands};
use super::explain;
use super::explored::{Explored, Kind};
use super::guards::{self, Guard, Guards};
use super::live_regs::{LiveRegs, live_regs};
use super::live_stack::LiveStack;
use super::log::{self, Log};
use super::observe::Observer;
use super::prove::{ArgTags, Setting, ValueFields, prove};
use super::prune::Compare;
use super::scc;
use super::stack_depth;
use super::state::State;
use super::trail::{self, LoopKey, Statistics, Trail, Visit};
use super::transfer::{Next, Walk};
use super::verdict::Stop;
use crate::diag::Step;
use crate::errno::Errno;
use crate::insn::{Insn, encode};
use crate::program::{Function, Program};

/// Instructions that may be walked (`BPF_COMPLEXITY_LIMIT_INSNS`).
const MAX_WALKED: u32 = 1_000_000;
/// Paths that may wait to be walked (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`).
const MAX_WAITING: usize = 8192;

/// Why exploration ended early, and where.
#[derive(Debug)]
pub(super) struct Ended {
    pub stop: Stop,
    /// The instruction it ended at, if it was one.
    pub slot: Option<usize>,
    pub statistics: Statistics,
    pub log: String,
    /// What led there.
    pub path: Vec<Step>,
}

impl Ended {
    /// Before anything was walked.
    pub(super) fn early(stop: Stop) -> Self {
        Self { stop, slot: None, statistics: Statistics::default(), log: String::new(), path: Vec::new() }
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
    let tags = ArgTags::of(program);
    let setting = Setting { program, options, fields: &fields, tags: &tags };
    let points = cfg::check(program, options.privileges).map_err(|stop| {
        let mut log = Log::new(options.log_level);
        log.functions(program);
        Ended { log: log.into_text(), ..Ended::early(stop) }
    })?;
    let postorder = scc::postorder(program);
    let live = live_regs(program, options.privileges, &postorder);
    let live_stack = LiveStack::new(program, &postorder);
    let cycles = scc::cycles(program);
    let mut explorer = Explorer {
        setting,
        walk: Walk::new(setting, live_stack, live.clone()),
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
        entry: State::entry(),
        processed: 0,
        jumps: 0,
        last: (0, 0),
    };
    let Explorer { walk, live, cycles, opcodes, .. } = &mut explorer;
    walk.log.header(setting, live, cycles, opcodes);
    let mut slot = 0;
    let walked = explorer.run(State::entry(), &mut slot).and_then(|()| explorer.run_globals(&mut slot));
    explorer.walk.tree.statistics.processed = explorer.processed;
    let Explorer { mut walk, observer, entry, .. } = explorer;
    let statistics = walk.tree.statistics;
    let log = std::mem::replace(&mut walk.log, Log::new(0)).into_text();
    if let Err(stop) = walked {
        let path = match &stop {
            Stop::Refused(refusal) if refusal.class != Class::Limit => {
                explain::path(setting, &walk.tree, &entry, refusal)
            }
            _ => Vec::new(),
        };
        return Err(Ended { stop, slot: Some(slot), statistics, log, path });
    }
    if let Err(stop) = stack_depth::check(program, &walk.depths, &walk.asynchronous) {
        return Err(Ended { stop, slot: None, statistics, log, path: Vec::new() });
    }
    if let Err(stop) = walk.one_map_for_tail_calls() {
        return Err(Ended { stop, slot: None, statistics, log, path: Vec::new() });
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
    /// The state all paths being walked began with.
    entry: State,
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
        self.entry = state.clone();
        let mut last = None;
        // The branch that a path taken up just now comes from.
        let mut came_from = None;
        loop {
            let slot = *at;
            self.processed += 1;
            if self.processed > MAX_WALKED {
                let line = format!("BPF program is too large. Processed {} insn", self.processed);
                let stop = Stop::refused(Class::Limit, Errno::E2BIG, line);
                return Err(stop.limit(format!("{MAX_WALKED} instructions walked"), "one more"));
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
                self.walk.log.touch_all();
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
            let stop = Stop::refused(Class::Limit, Errno::EFAULT, line);
            return Err(stop.limit(format!("{MAX_WAITING} paths that wait"), "one more"));
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
            Some(was) if was != is_ctx => {
                Err(Stop::invalid(Class::Access, "same insn cannot be used with different pointers"))
            }
            _ => Ok(()),
        }
    }
}
