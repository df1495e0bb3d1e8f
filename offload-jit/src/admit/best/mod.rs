//! Admission of mode best: what holds in every run decides ([`bpf::facts`]), never what the exploration saw.
//!
//! The program that runs is looked at, without what the verifier removed; its instructions keep the slots of the original
//! one. What has no translation is refused by name.

mod alu;
mod call;
mod helpers;
mod memory;

use bpf::facts::Facts;
use bpf::insn::{AtomicOp, Callee, Insn, Operand, Reg, Wide, Width};
use bpf::program::{ProgType, Program};
use bpf::verifier::{Explored, VerifiedProgram};
use nic_model::profile::Capabilities;

use super::frames::of_functions;
use super::{Admission, Hook, Visit, newer, opcode};
use crate::action::{Action, PacketAt, Sink, Source, Step};
use crate::refusal::{Refusal, Rule};

/// Holds a program against a card by what is known of every run.
pub(crate) fn admit(program: &VerifiedProgram, facts: &Facts, card: &Capabilities) -> Admission {
    let running = program.xlated();
    let origin = program.origin();
    let callees = running.functions.get(1).map_or(usize::MAX, |second| second.start);
    let mut visit = Visit::new(program.program(), card, callees);
    visit.best = true;
    let calls = Calls::of(running);
    let explored = program.explored();
    let mut best = Best { visit, running, origin, facts, explored, calls, atomics_called: false, updates: Vec::new() };
    best.visit.check_type();
    let mut steps = vec![Step { action: Action::Nothing, target: false }; program.program().insns.len()];
    for index in 0..running.insns.len() {
        steps[origin[index]].action = best.action(index);
    }
    for (index, insn) in running.insns.iter().enumerate() {
        let called = matches!(insn, Insn::Call { callee: Callee::Local(_) }).then(|| insn.function(index)).flatten();
        if let Some(to) = insn.target(index).or(called) {
            let to = best.slot(to);
            if let Some(step) = steps.get_mut(to) {
                step.target = true;
            }
        }
    }
    best.settle_atomics(&mut steps);
    name_packet_pointers(&mut steps);
    let redirects = best.calls.redirects;
    let functions: Vec<_> =
        running.functions.iter().enumerate().map(|(n, function)| (function.start, facts.stack_depth(n))).collect();
    let frames = of_functions(running, &functions);
    let mut admission = best.visit.finish(running, steps, frames, facts.packet_reach());
    if let Some(admitted) = &mut admission.admitted {
        admitted.redirects = redirects;
        for (n, frame) in admitted.frames.iter_mut().enumerate() {
            frame.start = if n == 0 { 0 } else { origin[frame.start] };
        }
    }
    admission
}

/// An admission under way.
struct Best<'a> {
    visit: Visit<'a>,
    /// The program that runs.
    running: &'a Program,
    /// Its instructions' slots in the original one.
    origin: &'a [usize],
    facts: &'a Facts,
    explored: &'a Explored,
    calls: Calls,
    /// Some atomic operation is one that the firmware's routine alone has.
    atomics_called: bool,
    /// Additions that the card's engine may do, as the routine would.
    updates: Vec<(usize, Action)>,
}

/// What a program calls, as far as other instructions are translated by it.
#[derive(Debug, Clone, Copy, Default)]
struct Calls {
    /// Redirects.
    redirects: bool,
    /// Metadata in front of the packet.
    metadata: bool,
    /// Other programs.
    tail_calls: bool,
}

impl Calls {
    fn of(program: &Program) -> Self {
        let mut calls = Calls::default();
        for insn in &program.insns {
            match insn {
                Insn::Call { callee: Callee::Helper(23 | 51 | 152 | 155) } => calls.redirects = true,
                Insn::Call { callee: Callee::Helper(54) } => calls.metadata = true,
                Insn::Call { callee: Callee::Helper(12) } => calls.tail_calls = true,
                _ => {}
            }
        }
        calls
    }
}

impl Best<'_> {
    /// The original slot of where a jump of the running program goes.
    fn slot(&self, to: i64) -> usize {
        let end = self.visit.program.insns.len();
        usize::try_from(to).ok().and_then(|to| self.origin.get(to)).copied().unwrap_or(end)
    }

    fn refuse(&mut self, index: usize, refusal: Refusal) -> Action {
        self.visit.refuse(self.origin[index], refusal)
    }

    /// Whether an instruction is the main function's.
    fn in_main(&self, index: usize) -> bool {
        index < self.visit.callees
    }

    /// What an instruction of the running program asks for.
    fn action(&mut self, index: usize) -> Action {
        let slot = self.origin[index];
        match self.running.insns[index] {
            Insn::Alu { width, op, dst, src } => self.alu(index, width, op, dst, src),
            Insn::Mov { width, dst, src, sext: None } => self.visit.mov(slot, width, dst, src, None),
            Insn::Mov { width, dst, src, sext: Some(bits) } => self.extend(index, width, dst, src, bits),
            Insn::Neg { width, dst } => Action::Negate { width, dst, zext: true },
            Insn::End { order, dst, bits } => self.byte_order(order, dst, bits),
            Insn::LoadImm64 { dst, value: Wide::Value(value) } => Action::Constant { dst, value },
            Insn::LoadImm64 { dst, value: Wide::MapValue { map, off } } if *self.visit.card.map_value_addresses => {
                Action::ValueAddress { dst, map, offset: off }
            }
            Insn::LoadImm64 { dst, value } => self.visit.wide(slot, dst, value),
            Insn::Pad => Action::Nothing,
            Insn::Load { size, sext, dst, base, off } => self.load(index, size, sext, dst, base, off),
            Insn::Store { size, base, off, src } => self.store(index, size, base, off, src),
            Insn::LoadPacket { size, mode, imm } => self.visit.classic(slot, size, mode, imm, true),
            Insn::Atomic { op, fetch, size, base, off, src } => self.atomic(index, (op, fetch), size, base, off, src),
            // A context waits for each of its accesses before it goes on, so any load acquires and any store releases.
            Insn::LoadAcquire { size, dst, base, off } => self.load(index, size, false, dst, base, off),
            Insn::StoreRelease { size, base, off, src } => self.store(index, size, base, off, Operand::Reg(src)),
            Insn::AddrSpaceCast { .. } => self.refuse(index, newer("addr_space_cast")),
            Insn::MayGoto { .. } => self.refuse(index, newer("may_goto")),
            Insn::Jump { .. } => Action::Jump { to: self.target(index) },
            Insn::Branch { width, cond, dst, src, .. } => match self.visit.operands(slot, dst, src) {
                Some(()) => Action::Branch { width, cond, dst, src, negated: false, to: self.target(index) },
                None => Action::Nothing,
            },
            Insn::Call { callee } => self.call(index, callee),
            Insn::Exit => self.exit(index),
        }
    }

    fn target(&self, index: usize) -> usize {
        self.slot(self.running.insns[index].target(index).unwrap_or(index as i64 + 1))
    }

    /// XDP takes any return code; of tc's, those that the card's verdict says rightly.
    fn exit(&mut self, index: usize) -> Action {
        if self.visit.hook == Hook::Xdp || !self.in_main(index) {
            return Action::Exit;
        }
        let code = self.facts.before(index, Reg::R0).number;
        let possible = |value: &u64| {
            let low = code.bits.low32();
            (code.low.umin..=code.low.umax).contains(value) && low.contains(*value)
        };
        // Reclassify, repeat and redirect ask for what only the host's stack does.
        // A classifier's verdict that is none means none (cls_bpf); a redirect to nowhere is aborted.
        let classifier = self.visit.program.ty == ProgType::SchedCls;
        self.calls.redirects |= possible(&7);
        let refused: &[u64] = if classifier { &[] } else { &[1, 6] };
        match refused.iter().copied().find(possible) {
            None => Action::Exit,
            Some(value) => self.refuse(
                index,
                Refusal::new(Rule::TcExit, "the card cannot tell the stack this tc verdict")
                    .limit("0 (ok), 2 (shot), 3 (pipe), 4 (stolen), 5 (queued), or above 7 (unspecified)", value)
                    .help("return a verdict that neither classifies again nor redirects"),
            ),
        }
    }

    /// A value that instructions cannot hold as a constant takes registers of its own.
    fn constant(imm: i32) -> u64 {
        i64::from(imm) as u64
    }
}

/// Tells packet pointers apart for those who join accesses: two are of one kind where no instruction between them writes
/// the register.
fn name_packet_pointers(steps: &mut [Step]) {
    let mut names = [0u32; Reg::COUNT];
    let mut next = 0;
    let mut fresh = |names: &mut [u32; Reg::COUNT], reg: Reg| {
        next += 1;
        names[reg.index()] = next;
    };
    for step in steps {
        if step.target {
            registers().for_each(|reg| fresh(&mut names, reg));
        }
        match &mut step.action {
            Action::Load { base, from: Source::Packet(at), .. } => at.id = names[base.index()],
            Action::Store { base, to: Sink::Packet(at), .. }
            | Action::StoreConstant { base, to: Sink::Packet(at), .. } => {
                at.id = names[base.index()];
            }
            _ => {}
        }
        match &step.action {
            Action::Move { width: Width::W64, dst, src } => names[dst.index()] = names[src.index()],
            action => written(action).into_iter().for_each(|reg| fresh(&mut names, reg)),
        }
    }
}

fn registers() -> impl Iterator<Item = Reg> {
    (0..Reg::COUNT as u8).filter_map(Reg::new)
}

/// Registers that a call changes: R0 to R5.
const CLOBBERED: usize = 6;

/// Registers that an action may write.
fn written(action: &Action) -> Vec<Reg> {
    match action {
        Action::Nothing
        | Action::Store { .. }
        | Action::StoreConstant { .. }
        | Action::SelectQueue { .. }
        | Action::AtomicAdd { .. }
        | Action::Jump { .. }
        | Action::Branch { .. }
        | Action::Exit => Vec::new(),
        Action::Move { dst, .. }
        | Action::FrameTop { dst }
        | Action::Constant { dst, .. }
        | Action::Wide { dst, .. }
        | Action::Table { dst, .. }
        | Action::ValueAddress { dst, .. }
        | Action::Alu { dst, .. }
        | Action::Negate { dst, .. }
        | Action::Shift { dst, .. }
        | Action::Multiply { dst, .. }
        | Action::MultiplyLong { dst, .. }
        | Action::Divide { dst, .. }
        | Action::DivideLong { dst, .. }
        | Action::ToBig { dst, .. }
        | Action::Load { dst, .. } => vec![*dst],
        Action::AtomicCall { fetch: false, .. } => Vec::new(),
        Action::AtomicCall { op: AtomicOp::Cmpxchg, .. } => vec![Reg::R0],
        Action::AtomicCall { src, .. } => vec![*src],
        Action::Choose { there, elsewhere, .. } => [there, elsewhere].into_iter().flat_map(|it| written(it)).collect(),
        Action::Sequence(actions) => actions.iter().flat_map(written).collect(),
        Action::Copy(run) => vec![run.through],
        Action::Classic { .. }
        | Action::CallLocal { .. }
        | Action::CallMap { .. }
        | Action::CallHelper { .. }
        | Action::CallRandom
        | Action::CallEvent { .. }
        | Action::AdjustHead { .. }
        | Action::AdjustTail => registers().take(CLOBBERED).collect(),
    }
}

/// A packet pointer that has no name yet.
const UNNAMED: PacketAt = PacketAt { id: 0, off: 0, window: None };
