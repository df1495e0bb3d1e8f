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
        let deepest = deepest(program, frames);
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

/// Depth of the main function's frame and the deepest chain of calls below it. Each function is looked at once for each
/// level at which it is called, however often it is.
fn deepest(program: &Program, frames: &[Frame]) -> u32 {
    let callees: Vec<Vec<usize>> = (0..frames.len()).map(|function| callees(program, frames, function)).collect();
    let own = |function: usize| frames[function].depth.next_multiple_of(FRAME_ALIGN);
    // From the deepest level that the verifier allows up.
    let mut below: Vec<u32> = (0..frames.len()).map(own).collect();
    for _ in 1..MAX_FRAMES {
        let of = |function: usize| callees[function].iter().map(|callee| below[*callee]).max().unwrap_or(0);
        below = (0..frames.len()).map(|function| own(function) + of(function)).collect();
    }
    below.first().copied().unwrap_or(0)
}

/// Functions that a function calls, each once.
fn callees(program: &Program, frames: &[Frame], function: usize) -> Vec<usize> {
    let end = frames.get(function + 1).map_or(program.insns.len(), |next| next.start);
    let called = (frames[function].start..end).filter_map(|slot| match program.insns.get(slot) {
        Some(insn @ Insn::Call { callee: Callee::Local(_) }) => usize::try_from(insn.function(slot)?).ok(),
        _ => None,
    });
    let mut callees: Vec<usize> =
        called.filter_map(|start| frames.binary_search_by_key(&start, |frame| frame.start).ok()).collect();
    callees.sort_unstable();
    callees.dedup();
    callees
}

#[cfg(test)]
mod tests {
    use bpf::insn::{Callee, Insn};
    use bpf::program::{ProgType, Program};

    use super::{Frame, deepest};

    /// Functions that each call the next many times: as many chains as no machine walks.
    #[test]
    fn many_calls_are_looked_at_once() {
        let (functions, calls) = (8, 100);
        let mut insns = Vec::new();
        let mut frames = Vec::new();
        for function in 0..functions {
            let start = function * (calls + 1);
            frames.push(Frame { start, depth: 8 + function as u32, saves: false });
            let next = (function + 1) % functions * (calls + 1);
            let call = |slot: usize| Callee::Local(next as i32 - (start + slot) as i32 - 1);
            let called = if function + 1 < functions { calls } else { 0 };
            insns.extend((0..called).map(|slot| Insn::Call { callee: call(slot) }));
            insns.resize(start + calls + 1, Insn::Exit);
        }
        let program = Program::from_insns("calls", ProgType::Xdp, insns, Vec::new());
        assert_eq!(deepest(&program, &frames), 8 * 64);
    }
}
