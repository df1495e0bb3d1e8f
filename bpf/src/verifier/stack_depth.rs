//! The stack of a chain of calls: what each function uses, rounded, together.

use super::state::{MAX_FRAMES, MAX_STACK};
use super::verdict::{Proof, Stop};
use crate::errno::Errno;
use crate::insn::{Callee, Insn};
use crate::program::Program;

/// A frame takes a multiple of this many bytes, and at least one (x86-64, whose JIT keeps private stacks).
const ROUND: u32 = 16;

/// Bytes a frame takes on the stack.
fn rounded(depth: u32) -> u32 {
    depth.max(1).next_multiple_of(ROUND)
}

/// Checks every chain of calls that the instructions allow; `depths` are by function.
pub(super) fn check(program: &Program, depths: &[u32]) -> Proof {
    let calls = calls(program);
    let mut deepest = vec![None; depths.len()];
    walk(&calls, depths, 0, 0, 1, &mut deepest)
}

/// By function, the functions it calls.
fn calls(program: &Program) -> Vec<Vec<usize>> {
    let index = |slot: usize| program.functions.partition_point(|f| f.start <= slot) - 1;
    let mut calls = vec![Vec::new(); program.functions.len()];
    for (slot, insn) in program.insns.iter().enumerate() {
        if let Insn::Call { callee: Callee::Local(_) } = insn
            && let Some(target) = insn.function(slot)
        {
            calls[index(slot)].push(index(target as usize));
        }
    }
    for callees in &mut calls {
        callees.sort_unstable();
        callees.dedup();
    }
    calls
}

/// Enters `function` with `above` bytes already taken by `frames - 1` frames. A function that was entered before with as
/// much stack above it and as many frames needs no second walk.
fn walk(
    calls: &[Vec<usize>],
    depths: &[u32],
    function: usize,
    above: u32,
    frames: usize,
    deepest: &mut [Option<(u32, usize)>],
) -> Proof {
    if frames > MAX_FRAMES {
        return Err(Stop::refused(Errno::E2BIG, format!("the call stack of {frames} frames is too deep")));
    }
    let total = above + rounded(depths[function]);
    if i64::from(total) > MAX_STACK {
        let line = format!("combined stack size of {frames} calls is {total}. Too large");
        return Err(Stop::denied(line));
    }
    if deepest[function].is_some_and(|(a, f)| a >= above && f >= frames) {
        return Ok(());
    }
    deepest[function] = Some((above, frames));
    calls[function].iter().try_for_each(|callee| walk(calls, depths, *callee, total, frames + 1, deepest))
}
