//! Facts: what holds before each instruction of an accepted program, on every run.
//!
//! The verifier decides whether a program is safe by walking paths; what it saw there is not true of all of them. Facts
//! come from a dataflow over the program that runs ([`VerifiedProgram::xlated`]), which joins what is known wherever
//! paths meet. They rely on the verdict in one respect only: an instruction that the verifier proved safe does what it
//! does safely, so that an access to the stack stays in its frame, and nothing undefined is read. What kind of pointer an
//! instruction meets is part of that: no state is pruned into one whose pointers are of other kinds.
//!
//! JITs and engines that specialise read these and nothing else.

mod called_back;
mod flow;
mod liveness;
mod proved;
mod state;
mod transfer;
mod value;

pub use value::{Kinds, Maps, RegFacts};

use crate::helpers::signature::{Arg, signature};
use crate::insn::{Callee, Insn, Reg, RegSet};
use crate::program::Program;
use crate::verifier::VerifiedProgram;
use flow::Flow;
use liveness::Live;
use state::State;
use transfer::stack_reach;

/// What holds on every run, by slot of [`VerifiedProgram::xlated`].
#[derive(Debug, Clone)]
pub struct Facts {
    before: Vec<[RegFacts; Reg::COUNT]>,
    live: Vec<Live>,
    stack: Vec<u32>,
    packet_reach: u32,
}

/// Where a load, store or atomic operation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccessFacts {
    /// What the base register may be.
    pub kinds: Kinds,
    /// The first byte, counted from where a pointer of its kind starts: no lower than this.
    pub min: i64,
    /// And no higher than this.
    pub max: i64,
    /// The largest power of two up to 4096 that divides that distance.
    pub alignment: u32,
    /// The maps it may go to.
    pub maps: Maps,
}

/// The farthest byte of packet data that any proved access can reach: a variable and a constant part of at most 65,535
/// each.
const FARTHEST: u64 = 2 * 0xffff;

impl Facts {
    /// The facts of an accepted program.
    pub fn of(verified: &VerifiedProgram) -> Facts {
        let program = verified.xlated();
        let never = [RegFacts::NEVER; Reg::COUNT];
        let mut facts = Facts {
            before: vec![never; program.insns.len()],
            live: liveness::live(program),
            stack: vec![0; program.functions.len()],
            packet_reach: 0,
        };
        match Flow::solve(program, verified.device_bound(), &proved::kinds(verified)) {
            Some(flow) => flow.each(|slot, state| facts.see(program, slot, state)),
            None => facts.give_up(),
        }
        facts
    }

    /// Too many chains of calls to tell apart: nothing is known of values.
    fn give_up(&mut self) {
        self.before.fill([RegFacts::ANYTHING; Reg::COUNT]);
        self.stack.fill(state::FRAME as u32);
        self.packet_reach = FARTHEST as u32;
    }

    fn see(&mut self, program: &Program, slot: usize, state: &State) {
        let depth = state.depth();
        for (to, from) in self.before[slot].iter_mut().zip(&state.frames[depth].regs) {
            *to = RegFacts { id: 0, ..to.join(from) };
        }
        let insn = &program.insns[slot];
        match *insn {
            Insn::Load { base, off, size, .. }
            | Insn::LoadAcquire { base, off, size, .. }
            | Insn::Store { base, off, size, .. }
            | Insn::StoreRelease { base, off, size, .. } => {
                self.touch(program, slot, state, base, i64::from(off), u64::from(size.bytes()));
            }
            Insn::Atomic { base, off, size, .. } => {
                self.touch(program, slot, state, base, i64::from(off), u64::from(size.bytes()));
            }
            Insn::Call { callee: Callee::Helper(id) } => self.touch_arguments(program, slot, state, id),
            _ => {}
        }
    }

    fn touch_arguments(&mut self, program: &Program, slot: usize, state: &State, id: u32) {
        let Some(signature) = signature(id, program.ty) else { return };
        let map = match state.reg(Reg::R1).maps {
            Maps::One(map) => program.maps.get(map.0 as usize),
            _ => None,
        };
        for (arg, n) in signature.args.iter().zip(1u8..) {
            let Some(reg) = Reg::new(n) else { continue };
            let size = match *arg {
                Arg::Key => map.map_or(FARTHEST, |m| u64::from(m.key_size)),
                Arg::Value | Arg::ValueOrNull | Arg::ValueOut => map.map_or(FARTHEST, |m| u64::from(m.value_size)),
                Arg::Mem | Arg::MemOrNull | Arg::MemInOut | Arg::MemInOutOrNull | Arg::MemOut => {
                    Reg::new(n + 1).map_or(FARTHEST, |r| state.reg(r).number.wide.umax)
                }
                Arg::Fixed(size) | Arg::FixedOut(size) | Arg::FixedInOut(size) => u64::from(size),
                _ => continue,
            };
            self.touch(program, slot, state, reg, 0, size);
        }
    }

    /// Notes how deep into a stack and how far into the packet an access may reach.
    fn touch(&mut self, program: &Program, slot: usize, state: &State, base: Reg, off: i64, size: u64) {
        let ptr = state.reg(base);
        if let Some(reach) = stack_reach(ptr, off, size) {
            let own = program.functions.partition_point(|f| f.start <= slot).saturating_sub(1);
            let depth = u32::try_from(-reach.min).unwrap_or(state::FRAME as u32);
            // A caller's frame is the caller's to account for; which function that is does not show here.
            let is_own = reach.frames == 1 << state.depth();
            let mine = if is_own { own..own + 1 } else { 0..self.stack.len() };
            for function in mine {
                self.stack[function] = self.stack[function].max(depth);
            }
        }
        if ptr.kinds.intersects(Kinds::PACKET.union(Kinds::PACKET_META)) && size > 0 {
            let last = i128::from(ptr.offset.wide.umax) + i128::from(off) + i128::from(size) - 1;
            let last = last.clamp(0, i128::from(FARTHEST)) as u32;
            self.packet_reach = self.packet_reach.max(last);
        }
    }

    /// What holds of a register before a slot. A slot that no run reaches has [`Kinds::NONE`].
    ///
    /// # Panics
    /// If the program has no such slot.
    pub fn before(&self, slot: usize, reg: Reg) -> &RegFacts {
        &self.before[slot][reg.index()]
    }

    /// What holds of the operands of an access: of the register it goes through, `off` bytes further.
    ///
    /// # Panics
    /// If the program has no such slot.
    pub fn access(&self, slot: usize, base: Reg, off: i16) -> AccessFacts {
        let ptr = self.before(slot, base);
        let off = i64::from(off);
        let shifted = RegFacts { offset: ptr.offset.shifted(off), ..*ptr };
        AccessFacts {
            kinds: ptr.readable(),
            min: ptr.offset.wide.smin.saturating_add(off),
            max: ptr.offset.wide.smax.saturating_add(off),
            alignment: shifted.alignment(),
            maps: ptr.maps,
        }
    }

    /// Registers that are read, after reaching a slot, before they are written.
    ///
    /// # Panics
    /// If the program has no such slot.
    pub fn live(&self, slot: usize) -> RegSet {
        self.live[slot].any
    }

    /// Registers whose upper 32 bits are.
    ///
    /// # Panics
    /// If the program has no such slot.
    pub fn live_high(&self, slot: usize) -> RegSet {
        self.live[slot].high
    }

    /// Bytes of its own stack frame that a function, by index into [`Program::functions`], uses at most.
    ///
    /// # Panics
    /// If the program has no such function.
    pub fn stack_depth(&self, function: usize) -> u32 {
        self.stack[function]
    }

    /// The largest offset of a byte of packet data, from the packet's start, that an instruction or helper accesses through
    /// a pointer; 0 if none does. Accesses of classic heritage and of helpers that take offsets are not counted.
    pub fn packet_reach(&self) -> u32 {
        self.packet_reach
    }
}
