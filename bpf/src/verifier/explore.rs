//! Walks every path, depth first, sparing those that lead where an earlier one has been.

use super::Options;
use super::cfg::{self, Point};
use super::demand::{Demand, demands};
use super::explored::{Explored, Kind};
use super::liveness::{CheckpointId, Segment};
use super::log::{self, Log, Shown};
use super::observe::Observer;
use super::prove::{Setting, prove};
use super::prune::Compare;
use super::stack_depth;
use super::state::{State, Value};
use super::transfer::{Next, Walk};
use super::verdict::Stop;
use crate::errno::Errno;
use crate::insn::{Insn, Reg, encode};
use crate::program::Program;

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
    pub processed: u32,
    pub log: String,
}

impl Ended {
    /// Before anything was walked.
    pub(super) fn early(stop: Stop) -> Self {
        Self { stop, slot: None, processed: 0, log: String::new() }
    }
}

/// A path put off.
struct Waiting {
    slot: usize,
    state: Box<State>,
    segment: Segment,
    jumps_since: u32,
    /// The branch it comes from.
    from: usize,
    /// Where the log stood.
    log: usize,
}

/// A state to compare with.
struct Remembered {
    id: CheckpointId,
    state: State,
    hits: u32,
    misses: u32,
}

/// Walks a program whose functions are complete.
pub(super) fn explore(program: &Program, options: &Options) -> Result<(Explored, String), Ended> {
    let setting = Setting { program, options };
    let points = cfg::check(program).map_err(Ended::early)?;
    let mut explorer = Explorer {
        setting,
        walk: Walk::new(setting),
        points,
        demands: program.insns.iter().map(|insn| demands(program, insn)).collect(),
        opcodes: if options.log_level > 0 { opcodes(program) } else { Vec::new() },
        remembered: (0..program.insns.len()).map(|_| Vec::new()).collect(),
        ctx_access: vec![None; program.insns.len()],
        observer: Observer::new(program),
        waiting: Vec::new(),
        compare: Compare::default(),
        processed: 0,
        jumps: 0,
        jumps_since: 0,
        last: (0, 0),
    };
    let mut slot = 0;
    let walked = explorer.run(&mut slot);
    let Explorer { mut walk, observer, processed, .. } = explorer;
    let log = std::mem::replace(&mut walk.log, Log::new(0)).into_text();
    if let Err(stop) = walked {
        return Err(Ended { stop, slot: Some(slot), processed, log });
    }
    if let Err(stop) = stack_depth::check(program, &walk.depths) {
        return Err(Ended { stop, slot: None, processed, log });
    }
    Ok((observer.finish(&walk, processed), log))
}

struct Explorer<'a> {
    setting: Setting<'a>,
    walk: Walk<'a>,
    points: Vec<Point>,
    demands: Vec<Vec<Demand>>,
    /// By slot, for the log.
    opcodes: Vec<u8>,
    remembered: Vec<Vec<Remembered>>,
    /// By slot of a load or store, whether its pointer was the context.
    ctx_access: Vec<Option<bool>>,
    observer: Observer,
    waiting: Vec<Waiting>,
    compare: Compare,
    processed: u32,
    jumps: u32,
    /// Places since the last checkpoint that backtracking would have to remember.
    jumps_since: u32,
    /// Instructions and jumps walked when the last checkpoint was made.
    last: (u32, u32),
}

/// First bytes of the instructions; none where one has no encoding.
fn opcodes(program: &Program) -> Vec<u8> {
    encode(&program.insns).map_or_else(|_| Vec::new(), |raw| raw.iter().map(|r| r.opcode).collect())
}

impl Explorer<'_> {
    /// Walks all paths; `at` is where the walk is.
    fn run(&mut self, at: &mut usize) -> Result<(), Stop> {
        let insns = &self.setting.program.insns;
        let mut state = State::entry();
        // The branch that a path taken up just now comes from.
        let mut came_from = None;
        loop {
            let slot = *at;
            self.processed += 1;
            if self.processed > MAX_WALKED {
                let line = format!("BPF program is too large. Processed {} insn", self.processed);
                return Err(Stop::refused(Errno::E2BIG, line));
            }
            let point = self.points[slot];
            if point.prune && self.seen_before(slot, &state)? {
                self.log_safe(slot, came_from.take());
                if !self.next_path(at, &mut state, &mut came_from) {
                    return Ok(());
                }
                continue;
            }
            if point.jump {
                self.jumps_since += 1;
            }
            let insn = &insns[slot];
            self.log_insn(slot, came_from.take(), &state);
            self.observer.visit(self.setting, slot, insn, &state);
            for demand in &self.demands[slot] {
                prove(self.setting, &state, demand)?;
            }
            self.one_kind_of_pointer(slot, insn, &state)?;
            if matches!(insn, Insn::Jump { .. } | Insn::Branch { .. } | Insn::Call { .. } | Insn::Exit) {
                self.jumps += 1;
            }
            match self.walk.step(&mut state, slot, insn) {
                Next::Goto(next) => *at = next,
                Next::Fork { here, slot: other, state: theirs } => {
                    self.put_off(slot, other, theirs)?;
                    self.walk.log.state(slot, &state, self.setting.program);
                    *at = here;
                }
                Next::End => {
                    if !self.next_path(at, &mut state, &mut came_from) {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn put_off(&mut self, from: usize, slot: usize, state: Box<State>) -> Result<(), Stop> {
        let segment = self.walk.live.fork();
        let log = self.walk.log.position();
        self.waiting.push(Waiting { slot, state, segment, jumps_since: self.jumps_since, from, log });
        if self.waiting.len() > MAX_WAITING {
            let line = format!("The sequence of {} jumps is too complex.", self.waiting.len());
            return Err(Stop::refused(Errno::EFAULT, line));
        }
        Ok(())
    }

    /// Ends the current path and takes up the one put off last, if there is one.
    fn next_path(&mut self, at: &mut usize, state: &mut State, came_from: &mut Option<usize>) -> bool {
        self.walk.live.finish();
        let Some(next) = self.waiting.pop() else {
            self.walk.log.rewind(0);
            return false;
        };
        self.walk.log.rewind(next.log);
        *came_from = Some(next.from);
        *at = next.slot;
        *state = *next.state;
        self.walk.live.resume(next.segment);
        self.jumps_since = next.jumps_since;
        true
    }

    fn log_insn(&mut self, slot: usize, came_from: Option<usize>, state: &State) {
        if !self.walk.log.is_on() {
            return;
        }
        let program = self.setting.program;
        if let Some(from) = came_from {
            self.walk.log.resumed(from, slot, state, program);
        }
        let opcode = self.opcodes.get(slot).copied().unwrap_or(0);
        self.walk.log.insn(slot, opcode, state, program);
    }

    fn log_safe(&mut self, slot: usize, came_from: Option<usize>) {
        self.walk.log.line(&match came_from {
            Some(from) => format!("\nfrom {from} to {slot}: safe"),
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

    /// Whether an earlier state covers this one. If none does, it may be remembered.
    fn seen_before(&mut self, slot: usize, state: &State) -> Result<bool, Stop> {
        let (walked, jumped) = (self.processed - self.last.0, self.jumps - self.last.1);
        let forced = self.jumps_since > 40;
        let mut remember = forced || jumped >= 2 && walked >= 8;
        let mut index = 0;
        while index < self.remembered[slot].len() {
            let old = &mut self.remembered[slot][index];
            if self.walk.live.is_complete(old.id) {
                let reads = self.walk.live.reads(old.id);
                if self.compare.covers(&old.state, state, reads) {
                    old.hits += 1;
                    let id = old.id;
                    self.inherit(id, state);
                    return Ok(true);
                }
            } else {
                if self.compare.no_progress(&old.state, state) {
                    let program = self.setting.program;
                    return Err(Stop::invalid(format!("infinite loop detected at insn {slot}"))
                        .and(format!("cur state:{}", log::state(state, Shown::ALL, program)))
                        .and(format!("old state:{}", log::state(&old.state, Shown::ALL, program))));
                }
                // States in the middle of a long loop seldom cover later ones.
                if !forced && jumped < 20 && walked < 100 {
                    remember = false;
                }
            }
            if remember {
                old.misses += 1;
            }
            if old.misses > old.hits * 3 + 3 {
                self.remembered[slot].swap_remove(index);
            } else {
                index += 1;
            }
        }
        if remember {
            self.last = (self.processed, self.jumps);
            self.jumps_since = 0;
            let id = self.walk.live.checkpoint();
            self.remembered[slot].push(Remembered { id, state: state.clone(), hits: 0, misses: 0 });
        }
        Ok(false)
    }

    /// The path ends in a state that was walked on from before: what is read there is read from here.
    fn inherit(&mut self, id: CheckpointId, state: &State) {
        let reads = self.walk.live.reads(id).clone();
        for (depth, frame) in state.frames.iter().enumerate() {
            for reg in Reg::all().filter(|r| reads.regs[depth] & 1 << r.index() != 0) {
                let wide = reads.wide[depth] & 1 << reg.index() != 0;
                self.walk.live.read(depth, reg, wide);
                self.zero_extend_if(wide, frame.reg(reg));
            }
            for slot in (0..64).filter(|s| reads.slots[depth] >> s & 1 == 1) {
                self.walk.live.read_slot(depth, slot);
            }
        }
    }

    fn zero_extend_if(&mut self, wide: bool, value: &Value) {
        if wide && value.def32 != 0 {
            self.walk.zext[value.def32 as usize - 1] = true;
        }
    }
}
