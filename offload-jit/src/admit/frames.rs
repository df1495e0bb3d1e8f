//! Functions and their stack frames.

use bpf::insn::{Callee, Insn, Reg};
use bpf::program::Program;
use bpf::verifier::Explored;

use super::Visit;
use crate::refusal::{Refusal, Rule};

/// What frames are aligned to, in bytes (Linux nfp driver, `STACK_FRAME_ALIGN`).
pub(crate) const FRAME_ALIGN: u32 = 64;

/// A called function keeps its return address in its frame.
const RETURN_ADDRESS: u32 = 4;
/// What the verifier counts stack depths in (Linux, `BPF_REG_SIZE`).
const STACK_SLOT: u32 = 8;
/// R6 to R9.
const SAVED_REGISTERS: u32 = 4 * 8;
/// Deepest chain of calls the verifier allows (Linux, `MAX_CALL_FRAMES`).
const MAX_FRAMES: usize = 8;

/// A function's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// First slot of the function.
    pub start: usize,
    /// Bytes, from the frame's base to its top; a multiple of 4.
    pub depth: u32,
    /// It writes one of R6 to R9, so they are saved in the frame.
    pub saves: bool,
}

/// Frames by first slot; the first is the main function's.
pub(super) fn frames(program: &Program, explored: &Explored) -> Vec<Frame> {
    let functions: Vec<_> =
        explored.functions().iter().map(|function| (function.start, function.stack_depth)).collect();
    of_functions(program, &functions)
}

/// Frames of functions, each with its first slot and the bytes of stack that it uses.
pub(super) fn of_functions(program: &Program, functions: &[(usize, u32)]) -> Vec<Frame> {
    let frame = |(n, &(start, stack)): (usize, &(usize, u32))| {
        let end = functions.get(n + 1).map_or(program.insns.len(), |(next, _)| *next);
        let body = program.insns.get(start..end).unwrap_or(&[]);
        let saves = body.iter().any(names_saved_register);
        let own = match (n, saves) {
            (0, _) => 0,
            (_, false) => RETURN_ADDRESS,
            (_, true) => RETURN_ADDRESS + SAVED_REGISTERS,
        };
        Frame { start, depth: stack.next_multiple_of(STACK_SLOT) + own, saves }
    };
    functions.iter().enumerate().map(frame).collect()
}

/// Whether the instruction's destination field is one of R6 to R9. The driver looks at the field alone, so the address
/// register of a store counts too.
fn names_saved_register(insn: &Insn) -> bool {
    let dst = match *insn {
        Insn::Alu { dst, .. }
        | Insn::Mov { dst, .. }
        | Insn::Neg { dst, .. }
        | Insn::End { dst, .. }
        | Insn::LoadImm64 { dst, .. }
        | Insn::Load { dst, .. }
        | Insn::LoadAcquire { dst, .. }
        | Insn::AddrSpaceCast { dst, .. }
        | Insn::Branch { dst, .. } => dst,
        Insn::Store { base, .. } | Insn::StoreRelease { base, .. } | Insn::Atomic { base, .. } => base,
        // Of a call by register the driver would look at the field too, but it has no code for one.
        Insn::Pad
        | Insn::LoadPacket { .. }
        | Insn::Jump { .. }
        | Insn::MayGoto { .. }
        | Insn::Call { .. }
        | Insn::Exit => return false,
    };
    [Reg::R6, Reg::R7, Reg::R8, Reg::R9].contains(&dst)
}

impl Visit<'_> {
    /// Bytes of the deepest chain of calls, frames aligned.
    pub(super) fn check_stack(&mut self, program: &Program, frames: &[Frame]) -> u32 {
        let deepest = if frames.is_empty() { 0 } else { deepest(program, frames, 0, MAX_FRAMES) };
        let limit = self.card.stack.value.0;
        if u64::from(deepest) > limit {
            self.refusals.push(
                Refusal::new(Rule::StackSize, "the card's stack is too small")
                    .named(&self.program.name)
                    .limit(format!("{limit} B"), format!("{deepest} B in frames of 64 B"))
                    .help("keep less on the stack, or inline functions so that frames share it"),
            );
        }
        deepest
    }
}

/// Depth of `frames[function]` and the deepest of its callees.
fn deepest(program: &Program, frames: &[Frame], function: usize, levels: usize) -> u32 {
    let end = frames.get(function + 1).map_or(program.insns.len(), |next| next.start);
    let own = frames[function].depth.next_multiple_of(FRAME_ALIGN);
    if levels == 0 {
        return own;
    }
    let callees = (frames[function].start..end).filter_map(|slot| match program.insns.get(slot) {
        Some(insn @ Insn::Call { callee: Callee::Local(_) }) => insn.function(slot),
        _ => None,
    });
    let below = callees
        .filter_map(|start| frames.iter().position(|frame| i64::try_from(frame.start) == Ok(start)))
        .map(|callee| deepest(program, frames, callee, levels - 1))
        .max();
    own + below.unwrap_or(0)
}
