//! One run: bursts of a program, and between them what needs the whole machine: calls, callbacks, tail calls, returns.
//!
//! A frame is a function of a program. A call puts one on top of its caller's; a tail call puts a program in the place of
//! the running function, whose caller is returned to at its end. A helper that calls back stays between two frames as
//! [`Rounds`], which say what the next call gets.

use std::sync::Arc;

use super::burst::{Cpu, MAX_PASSES, Stop, burst};
use super::decode::{Code, row};
use super::engine::EngineConfig;
use super::helper_call::{Call, Transfer};
use super::machine::Machine;
use super::observer::{HelperCall, Observer};
use super::rounds::{Round, Rounds};
use crate::env::Env;
use crate::helpers::HELPERS;
use crate::helpers::signature::signature;
use crate::memory::{Fault, FaultKind};
use crate::program::{Endian, ProgId, ProgType};

/// Bytes of a stack frame (kernel: `MAX_BPF_STACK`).
pub const STACK_FRAME: u32 = 512;
/// Frames that may be live in one program, the main function's included (kernel: `MAX_CALL_FRAMES`).
pub const MAX_FRAMES: usize = 8;
/// Tail calls that a run may make (kernel: `MAX_TAIL_CALL_CNT`).
pub const MAX_TAIL_CALLS: u32 = 33;
/// Frames that may be live at all: each tail call may leave the callers of the function it replaces.
pub(super) const MAX_DEPTH: usize = MAX_FRAMES + MAX_TAIL_CALLS as usize * (MAX_FRAMES - 1);

/// A caller's place, to come back to.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// Its program; `None` for the one the run began with.
    program: Option<ProgId>,
    /// Depth of the frame that its program began in.
    first: usize,
    pc: usize,
    /// R6 to R9.
    saved: [u64; 4],
    /// Its passes of `may_goto` left.
    passes: u32,
    /// The helper that has called back.
    calling_back: Option<CallingBack>,
}

/// A helper between two calls of a callback.
#[derive(Debug, Clone)]
struct CallingBack {
    call: HelperCall,
    rounds: Rounds,
}

/// A run under way.
pub(super) struct Run<'a, O: Observer> {
    pub config: &'a EngineConfig,
    pub machine: &'a mut Machine,
    /// Callers of the frames in use, the first one's first.
    pub callers: &'a mut Vec<Caller>,
    pub programs: &'a [Arc<Code>],
    /// The program the run began with.
    pub main: &'a Code,
    /// The one that runs.
    pub code: &'a Code,
    /// Its number, unless it is `main`.
    pub program: Option<ProgId>,
    /// Depth of the frame that it began in.
    pub first: usize,
    pub tail_calls: u32,
    pub ty: ProgType,
    pub cpu: &'a mut Cpu,
    pub env: &'a mut dyn Env,
    pub observer: &'a mut O,
}

impl<O: Observer> Run<'_, O> {
    /// Runs to the end.
    pub fn execute(&mut self) -> Result<(), Fault> {
        loop {
            let (view, budget) = (self.machine.view(), self.config.budget);
            let stop = match self.code.byte_order {
                Endian::Little => burst::<O, false>(self.code, self.cpu, view, budget, self.observer),
                Endian::Big => burst::<O, true>(self.code, self.cpu, view, budget, self.observer),
            };
            match stop {
                Stop::Exit => {
                    if self.leave()? {
                        return Ok(());
                    }
                }
                Stop::Call(target) => self.enter(target as usize, None)?,
                Stop::Helper(row) => self.helper(row as usize)?,
                Stop::HelperIn(register) => {
                    let id = self.cpu.r[register as usize];
                    let row = u32::try_from(id).ok().and_then(row);
                    let row = row.ok_or_else(|| self.fault(FaultKind::UnknownHelper(id as u32)))?;
                    self.helper(row as usize)?;
                }
                Stop::Fault(fault) => return Err(fault),
            }
        }
    }

    /// A fault of the instruction that has just been executed.
    fn fault(&self, kind: FaultKind) -> Fault {
        Fault::of(kind).at(self.code.slot_of(self.cpu.pc.wrapping_sub(1)))
    }

    /// Calls the function at an operation, for a call instruction or for a helper.
    fn enter(&mut self, target: usize, calling_back: Option<CallingBack>) -> Result<(), Fault> {
        let depth = self.callers.len() + 1;
        if depth - self.first >= MAX_FRAMES {
            return Err(self.fault(FaultKind::CallDepth));
        }
        if self.cpu.retired() > self.config.budget {
            return Err(self.fault(FaultKind::Budget));
        }
        let Cpu { r, pc, passes, .. } = *self.cpu;
        let saved = [r[6], r[7], r[8], r[9]];
        self.callers.push(Caller { program: self.program, first: self.first, pc, saved, passes, calling_back });
        self.begin(target);
        Ok(())
    }

    /// Begins a function in the topmost frame.
    pub fn begin(&mut self, target: usize) {
        let depth = self.callers.len();
        self.cpu.r[10] = u64::from(self.machine.frame_pointer(depth));
        self.cpu.passes = MAX_PASSES;
        self.cpu.jump(target);
        self.machine.enter_frame(depth, self.code.uses_stack);
    }

    /// Ends the running function: `true` if it was the run's first.
    fn leave(&mut self) -> Result<bool, Fault> {
        let Some(mut caller) = self.callers.pop() else { return Ok(true) };
        let depth = self.callers.len();
        self.cpu.r[6..10].copy_from_slice(&caller.saved);
        self.cpu.r[10] = u64::from(self.machine.frame_pointer(depth));
        self.cpu.passes = caller.passes;
        self.cpu.jump(caller.pc);
        self.machine.live_frames(depth);
        if caller.program != self.program {
            self.switch(caller.program);
        }
        self.first = caller.first;
        if let Some(mut back) = caller.calling_back.take() {
            back.rounds.answered(self.cpu.r[0]);
            self.go_round(back)?;
        }
        Ok(false)
    }

    fn switch(&mut self, program: Option<ProgId>) {
        self.program = program;
        self.code = program.map_or(self.main, |id| &self.programs[id.0 as usize]);
        self.observer.program(program);
    }

    fn helper(&mut self, row: usize) -> Result<(), Fault> {
        let proto = &HELPERS[row];
        if !signature(proto.id, self.ty).is_some_and(|row| row.allows(self.ty)) {
            return Err(self.fault(FaultKind::WrongContext(proto.id)));
        }
        let slot = self.code.slot_of(self.cpu.pc - 1);
        let r = &self.cpu.r;
        let call = HelperCall { slot, id: proto.id, args: [r[1], r[2], r[3], r[4], r[5]] };
        let mut result = self.observer.answer(&call, &self.machine.arena);
        if result.is_none() {
            self.machine.map_op = None;
            let mut cx = Call {
                machine: self.machine,
                env: self.env,
                retired: self.cpu.retired(),
                ty: self.ty,
                code: self.code,
                transfer: None,
            };
            let own = (proto.body)(&mut cx, call.args).map_err(|fault| fault.at(slot))?;
            let transfer = cx.transfer;
            if let Some(op) = &self.machine.map_op {
                self.observer.map_op(op, &self.machine.log);
            }
            match transfer {
                None => {}
                Some(Transfer::Rounds(rounds)) => return self.go_round(CallingBack { call, rounds }),
                Some(Transfer::Tail(program)) if self.tail_call(program) => return Ok(()),
                // A slot that is empty, or once too often: the call has no effect.
                Some(Transfer::Tail(_)) => {}
            }
            result = Some(own);
        }
        let result = result.unwrap_or_default();
        self.observer.helper(&call, result);
        self.cpu.r[0] = result;
        Ok(())
    }

    /// Puts a program in the place of the running function; `false`, and nothing done, if there were too many before, or if
    /// it is of another type, which Linux sees to when it loads programs. Registers stay as they are: R1 is the context
    /// that the helper was given.
    fn tail_call(&mut self, program: ProgId) -> bool {
        let same_kind = |code: &Arc<Code>| code.prog_type() == self.code.prog_type();
        if self.tail_calls == MAX_TAIL_CALLS || !self.programs.get(program.0 as usize).is_some_and(same_kind) {
            return false;
        }
        self.tail_calls += 1;
        self.switch(Some(program));
        self.first = self.callers.len();
        self.begin(0);
        true
    }

    /// Calls back once more, or ends the helper.
    fn go_round(&mut self, mut back: CallingBack) -> Result<(), Fault> {
        let next = back.rounds.next(self.machine, self.env.cpu());
        if let Some(op) = self.machine.map_op.take() {
            self.observer.map_op(&op, &self.machine.log);
        }
        match next {
            Round::Call(target, args) => {
                self.cpu.r[1..6].copy_from_slice(&args);
                self.enter(target, Some(back))
            }
            Round::Done(result) => {
                self.observer.helper(&back.call, result);
                self.cpu.r[0] = result;
                Ok(())
            }
        }
    }
}
