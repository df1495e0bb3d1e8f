//! Which numbers matter: found by walking a path backwards from where a number's exact value was relied upon.
//!
//! A state that was remembered need cover a later one only in the numbers that mattered on the paths from it. When a
//! number is found to matter, the registers and slots it came from do too, in every remembered state of the path.

use super::log::Log;
use super::state::{MAX_FRAMES, State};
use super::trail::{Home, NodeId, Step, Trail, Tree};
use crate::helpers::signature::TAIL_CALL;
use crate::insn::{Callee, Insn, Operand, Reg};

/// Registers and slots that are looked for, by frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks {
    frame: usize,
    regs: [u16; MAX_FRAMES],
    slots: [u64; MAX_FRAMES],
}

const ARGUMENTS: u16 = 0b11_1110;

/// The path cannot be followed back.
enum Lost {
    /// So everything matters.
    Foreseen,
    /// Linux did not expect that, and refuses the program with this line.
    Refused(String),
}

impl Marks {
    pub(super) fn new(depth: usize) -> Self {
        Self { frame: depth, regs: [0; MAX_FRAMES], slots: [0; MAX_FRAMES] }
    }

    pub(super) fn of(depth: usize, reg: Reg) -> Self {
        let mut marks = Self::new(depth);
        marks.set(reg);
        marks
    }

    pub(super) fn add(&mut self, home: Home) {
        let frame = usize::from(home.frame);
        if home.is_slot {
            self.slots[frame] |= 1 << home.index;
        } else {
            self.regs[frame] |= 1 << home.index;
        }
    }

    fn has_home(&self, home: Home) -> bool {
        let frame = usize::from(home.frame);
        if home.is_slot { self.slots[frame] >> home.index & 1 == 1 } else { self.regs[frame] >> home.index & 1 == 1 }
    }

    fn is_empty(&self) -> bool {
        self.regs.iter().all(|r| *r == 0) && self.slots.iter().all(|s| *s == 0)
    }

    fn has(&self, reg: Reg) -> bool {
        self.regs[self.frame] >> reg.index() & 1 == 1
    }

    fn set(&mut self, reg: Reg) {
        self.regs[self.frame] |= 1 << reg.index();
    }

    fn clear(&mut self, reg: Reg) {
        self.regs[self.frame] &= !(1 << reg.index());
    }

    fn set_operand(&mut self, src: Operand) {
        if let Operand::Reg(reg) = src
            && reg != Reg::R10
        {
            self.set(reg);
        }
    }

    /// If one of the numbers tied together matters, all do.
    fn sync(&mut self, step: Option<&Step>) {
        let Some(step) = step else { return };
        let homes = step.tied.homes();
        if homes.iter().any(|home| self.has_home(*home)) {
            homes.iter().for_each(|home| self.add(*home));
        }
    }

    fn names(&self, frame: usize) -> (String, String) {
        let list = |bits: u64, name: &dyn Fn(u32) -> String| {
            (0..64).filter(|i| bits >> i & 1 == 1).map(name).collect::<Vec<_>>().join(",")
        };
        let regs = list(u64::from(self.regs[frame]), &|i| format!("r{i}"));
        let slots = list(self.slots[frame], &|i| format!("-{}", (i + 1) * 8));
        (regs, slots)
    }
}

/// What backtracking needs to know of the program.
pub(super) struct Program<'a> {
    pub insns: &'a [Insn],
    /// Calls whose callee may call a function of the program at once.
    pub calls_back: &'a dyn Fn(usize) -> bool,
    /// Whether the function called at a slot is verified on its own.
    pub is_global_call: &'a dyn Fn(usize) -> bool,
    /// An instruction as the log shows it.
    pub text: &'a dyn Fn(usize) -> String,
    /// A frame of a state as the log shows it.
    pub show: &'a dyn Fn(&State, usize) -> String,
}

/// Finds where `marks` came from on a path that ends in `start`, or in the trail of `tree` if it is none. Tells whether a
/// remembered state changed, or with what line Linux refuses a program whose path it cannot follow.
pub(super) fn mark(
    tree: &mut Tree,
    start: Option<&Trail>,
    mut marks: Marks,
    program: &Program<'_>,
    log: &mut Log,
) -> Result<bool, String> {
    let mut changed = false;
    if marks.is_empty() {
        return Ok(false);
    }
    let trail = start.unwrap_or(&tree.trail);
    let (origin, mut at, mut last) = (trail.parent, None, Some(trail.at));
    let mut first = trail.first;
    let mut later: Option<usize> = None;
    let mut skip = true;
    loop {
        let trail = match at {
            None => start.unwrap_or(&tree.trail),
            Some(id) => &tree.node(id).trail,
        };
        if log.has_everything() {
            let number = |n: Option<usize>| n.map_or(-1, |n| n as i64);
            let (frame, last, later) = (marks.frame, number(last), number(later));
            log.line(&format!("mark_precise: frame{frame}: last_idx {last} first_idx {first} subseq_idx {later} "));
        }
        let Some(mut slot) = last else {
            // The entry of a function that is verified on its own: its arguments are any.
            return Ok(changed | arguments_matter(tree, at, &marks));
        };
        let mut left = trail.steps.len();
        let followed = loop {
            if !std::mem::take(&mut skip) {
                let step = trail.step(slot, left);
                match back(slot, later, step, &mut marks, program, log) {
                    Ok(()) => {}
                    Err(Lost::Foreseen) => break false,
                    Err(Lost::Refused(line)) => return Err(line),
                }
            }
            if marks.is_empty() {
                return Ok(changed);
            }
            later = Some(slot);
            match trail.previous(slot, &mut left) {
                Some(before) => slot = before,
                None => break true,
            }
        };
        let parent = trail.parent;
        if !followed {
            tree.all_matter(origin);
            return Ok(true);
        }
        let Some(id) = parent else { break };
        changed |= matter(tree, id, &mut marks, program, log);
        if marks.is_empty() {
            return Ok(changed);
        }
        let trail = &tree.node(id).trail;
        later = Some(first);
        (at, last, first) = (Some(id), trail.last, trail.first);
    }
    // A number was stored in a way that is not followed.
    tree.all_matter(origin);
    Ok(true)
}

/// What is looked for is marked in a remembered state; what is no number there, or marked before, need not be looked for
/// further back.
fn matter(tree: &mut Tree, id: NodeId, marks: &mut Marks, program: &Program<'_>, log: &mut Log) -> bool {
    let mut changed = false;
    for frame in (0..=marks.frame).rev() {
        let (mut regs, mut slots) = (marks.regs[frame], marks.slots[frame]);
        let node = tree.node_mut(id);
        if regs != 0 || slots != 0 {
            let f = node.state.frame_at_mut(frame);
            for (i, value) in f.regs.iter_mut().enumerate().filter(|(i, _)| marks.regs[frame] >> i & 1 == 1) {
                if !value.is_number() || value.precise {
                    regs &= !(1 << i);
                } else {
                    value.precise = true;
                    changed = true;
                }
            }
            for i in (0..64).filter(|i| marks.slots[frame] >> i & 1 == 1) {
                let found = f.slot(i).is_number_spill() && !f.slot(i).spilled.precise;
                if found {
                    f.slot_mut(i).spilled.precise = true;
                    changed = true;
                } else {
                    slots &= !(1 << i);
                }
            }
        }
        (marks.regs[frame], marks.slots[frame]) = (regs, slots);
        if log.has_everything() {
            let (regs, slots) = marks.names(frame);
            let state = (program.show)(&tree.node(id).state, frame);
            log.line(&format!("mark_precise: frame{frame}: parent state regs={regs} stack={slots}: {state}"));
        }
    }
    changed
}

/// Marks arguments of a function that is verified on its own, at its entry.
fn arguments_matter(tree: &mut Tree, at: Option<NodeId>, marks: &Marks) -> bool {
    let Some(id) = at else { return false };
    let frame = tree.node_mut(id).state.frame_at_mut(0);
    let mut changed = false;
    for (i, value) in frame.regs.iter_mut().enumerate() {
        if marks.regs[0] >> i & 1 == 1 && value.is_number() && !value.precise {
            value.precise = true;
            changed = true;
        }
    }
    changed
}

/// One instruction back: what mattered after it, and so what matters before it.
fn back(
    slot: usize,
    later: Option<usize>,
    step: Option<&Step>,
    marks: &mut Marks,
    program: &Program<'_>,
    log: &mut Log,
) -> Result<(), Lost> {
    let insn = &program.insns[slot];
    if matches!(insn, Insn::Pad) {
        return Ok(());
    }
    if log.has_everything() {
        let (regs, slots) = marks.names(marks.frame);
        let (frame, text) = (marks.frame, (program.text)(slot));
        let opcode = crate::insn::encode(&program.insns[slot..slot + insn.slots()]).map_or(0, |raw| raw[0].opcode);
        log.line(&format!(
            "mark_precise: frame{frame}: regs={regs} stack={slots} before {slot}: ({opcode:02x}) {text}"
        ));
    }
    marks.sync(step);
    let spill = step.and_then(|s| s.spill);
    match *insn {
        Insn::Alu { dst, src, .. } if marks.has(dst) => marks.set_operand(src),
        Insn::Mov { dst, src, .. } if marks.has(dst) => {
            marks.clear(dst);
            marks.set_operand(src);
        }
        Insn::Alu { .. } | Insn::Mov { .. } | Insn::Neg { .. } | Insn::End { .. } => {}
        Insn::Load { dst, .. } => loaded(dst, spill, marks),
        Insn::LoadAcquire { dst, .. } => loaded(dst, spill, marks),
        Insn::Store { base, src, .. } => stored(base, src, spill, marks)?,
        Insn::StoreRelease { base, src, .. } => stored(base, Operand::Reg(src), spill, marks)?,
        Insn::Atomic { base, src, fetch, op, .. } => {
            let result = if op == crate::insn::AtomicOp::Cmpxchg { Reg::R0 } else { src };
            if fetch && marks.has(result) {
                marks.clear(result);
                if let Some((frame, index)) = spill {
                    marks.slots[usize::from(frame)] |= 1 << index;
                }
                return Ok(());
            }
            if marks.has(base) {
                return Err(Lost::Foreseen);
            }
            if let Some((frame, index)) = spill
                && marks.slots[usize::from(frame)] >> index & 1 == 1
            {
                marks.slots[usize::from(frame)] &= !(1 << index);
                marks.set(src);
            }
        }
        Insn::LoadImm64 { dst, .. } => marks.clear(dst),
        Insn::LoadPacket { .. } if marks.has(Reg::R0) => return Err(Lost::Foreseen),
        Insn::LoadPacket { .. } => {}
        Insn::Call { callee } => return call(slot, later, callee, marks, program),
        Insn::Exit => {
            if later.is_some_and(|l| (program.calls_back)(l)) {
                marks.regs[marks.frame] &= !ARGUMENTS;
            }
            if marks.regs[marks.frame] & ARGUMENTS != 0 || marks.frame + 1 >= MAX_FRAMES {
                return Err(Lost::Foreseen);
            }
            let call = later.and_then(|l| l.checked_sub(1)).map(|l| &program.insns[l]);
            let result = matches!(call, Some(Insn::Call { callee: Callee::Local(_) })) && marks.has(Reg::R0);
            marks.clear(Reg::R0);
            marks.frame += 1;
            if result {
                marks.set(Reg::R0);
            }
            return Ok(());
        }
        Insn::Branch { dst, src: Operand::Reg(src), .. } => {
            if !marks.has(dst) && !marks.has(src) {
                return Ok(());
            }
            if !step.is_some_and(|s| s.right_is_stack) {
                marks.set(src);
            }
            if !step.is_some_and(|s| s.left_is_stack) {
                marks.set(dst);
            }
        }
        Insn::AddrSpaceCast { dst, src, .. } if marks.has(dst) => {
            marks.clear(dst);
            marks.set(src);
        }
        Insn::Branch { .. } | Insn::Jump { .. } | Insn::MayGoto { .. } | Insn::AddrSpaceCast { .. } | Insn::Pad => {}
    }
    marks.sync(step);
    Ok(())
}

fn loaded(dst: Reg, spill: Option<(u8, u8)>, marks: &mut Marks) {
    if !marks.has(dst) {
        return;
    }
    marks.clear(dst);
    if let Some((frame, index)) = spill {
        marks.slots[usize::from(frame)] |= 1 << index;
    }
}

fn stored(base: Reg, src: Operand, spill: Option<(u8, u8)>, marks: &mut Marks) -> Result<(), Lost> {
    if marks.has(base) {
        // A pointer that was a number later: pointers were subtracted.
        return Err(Lost::Foreseen);
    }
    let Some((frame, index)) = spill else { return Ok(()) };
    let slots = &mut marks.slots[usize::from(frame)];
    if *slots >> index & 1 == 1 {
        *slots &= !(1 << index);
        if let Operand::Reg(reg) = src {
            marks.set(reg);
        }
    }
    Ok(())
}

fn call(
    slot: usize,
    later: Option<usize>,
    callee: Callee,
    marks: &mut Marks,
    program: &Program<'_>,
) -> Result<(), Lost> {
    let own = marks.frame;
    match callee {
        Callee::Local(_) if (program.is_global_call)(slot) => marks.clear(Reg::R0),
        Callee::Local(_) => {
            only_arguments(marks, "static subprog")?;
            marks.regs[own - 1] |= marks.regs[own];
            marks.regs[own] = 0;
            marks.frame -= 1;
        }
        _ if (program.calls_back)(slot) && later != Some(slot + 1) => {
            only_arguments(marks, "callback")?;
            marks.regs[own] = 0;
            marks.frame -= 1;
        }
        _ => {
            marks.clear(Reg::R0);
            if marks.regs[own] & ARGUMENTS != 0 {
                return Err(Lost::Foreseen);
            }
            // One that found a program ended its function. (Linux does not step into the function from a packet load
            // that ended it.)
            if callee == Callee::Helper(TAIL_CALL) && later != Some(slot + 1) {
                if own + 1 >= MAX_FRAMES {
                    return Err(Lost::Foreseen);
                }
                marks.frame += 1;
            }
        }
    }
    Ok(())
}

/// Nothing is looked for at a function's entry but arguments, says Linux, and that there is a function to go back to.
fn only_arguments(marks: &Marks, function: &str) -> Result<(), Lost> {
    let own = marks.frame;
    let what = match (marks.regs[own], marks.slots[own]) {
        (regs, _) if regs & !ARGUMENTS != 0 => format!("{function} unexpected regs {regs:x}"),
        (_, slots) if slots != 0 => format!("{function} leftover stack slots {slots:x}"),
        _ if own == 0 => "subprog exit from frame 0".to_owned(),
        _ => return Ok(()),
    };
    Err(Lost::Refused(format!("verifier bug: {what}")))
}
