//! The stack of a chain of calls: what each function uses, rounded, together.

use super::class::Class;
use super::state::{MAX_FRAMES, MAX_STACK};
use super::verdict::{Proof, Stop};
use crate::errno::Errno;
use crate::helpers::signature::TAIL_CALL;
use crate::insn::{Callee, Insn};
use crate::program::Program;

/// A frame takes a multiple of this many bytes, and at least one (x86-64, whose JIT keeps private stacks).
const ROUND: u32 = 16;

/// Bytes a frame takes on the stack.
fn rounded(depth: u32) -> u32 {
    depth.max(1).next_multiple_of(ROUND)
}

/// Bytes above a function that makes a tail call: the program it goes to has the rest.
const ABOVE_TAIL_CALL: u32 = 256;

/// What is known of a function.
struct Function {
    /// Bytes of its own stack that it touches.
    depth: u32,
    tail_call: bool,
    /// The functions it calls, and those whose address it takes: whoever gets it may call it at once.
    calls: Vec<usize>,
}

/// Checks every chain of calls that the instructions allow; `depths` are by function, and so is which a timer calls: for
/// these, taking the address is no call.
pub(super) fn check(program: &Program, depths: &[u32], asynchronous: &[bool]) -> Proof {
    let functions = functions(program, depths, asynchronous);
    let mut deepest = vec![None; depths.len()];
    walk(&functions, 0, 0, 1, &mut deepest)
}

fn functions(program: &Program, depths: &[u32], asynchronous: &[bool]) -> Vec<Function> {
    // The first function starts at slot 0: `cfg::functions` made the list.
    let index = |slot: usize| program.functions.partition_point(|f| f.start <= slot) - 1;
    let of = |&depth: &u32| Function { depth, tail_call: false, calls: Vec::new() };
    let mut functions: Vec<Function> = depths.iter().map(of).collect();
    for (slot, insn) in program.insns.iter().enumerate() {
        let own = &mut functions[index(slot)];
        own.tail_call |= *insn == Insn::Call { callee: Callee::Helper(TAIL_CALL) };
        if let Some(target) = insn.function(slot) {
            let callee = index(target as usize);
            if matches!(insn, Insn::Call { .. }) || !asynchronous[callee] {
                own.calls.push(callee);
            }
        }
    }
    for function in &mut functions {
        function.calls.sort_unstable();
        function.calls.dedup();
    }
    functions
}

/// Enters `function` with `above` bytes already taken by `frames - 1` frames. A function that was entered before with as
/// much stack above it and as many frames needs no second walk.
fn walk(
    functions: &[Function],
    function: usize,
    above: u32,
    frames: usize,
    deepest: &mut [Option<(u32, usize)>],
) -> Proof {
    if frames > MAX_FRAMES {
        return Err(Stop::refused(
            Class::Limit,
            Errno::E2BIG,
            format!("the call stack of {frames} frames is too deep"),
        ));
    }
    let own = &functions[function];
    if function != 0 && own.tail_call && above >= ABOVE_TAIL_CALL {
        let line = format!("tail_calls are not allowed when call stack of previous frames is {above} bytes. Too large");
        let stop = Stop::denied(Class::Limit, line);
        return Err(
            stop.limit(format!("less than {ABOVE_TAIL_CALL} bytes above a tail call"), format!("{above} bytes"))
        );
    }
    let total = above + rounded(own.depth);
    if i64::from(total) > MAX_STACK {
        let line = format!("combined stack size of {frames} calls is {total}. Too large");
        let stop = Stop::denied(Class::Limit, line);
        return Err(stop.limit(format!("{MAX_STACK} bytes"), format!("{total} bytes")));
    }
    if deepest[function].is_some_and(|(a, f)| a >= above && f >= frames) {
        return Ok(());
    }
    deepest[function] = Some((above, frames));
    own.calls.iter().try_for_each(|&callee| walk(functions, callee, total, frames + 1, deepest))
}
