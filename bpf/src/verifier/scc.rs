//! Cycles in the shape of a program: its strongly connected components, function by function.

use super::live_regs::successors;
use crate::program::Program;

/// The slots in an order in which all that follow one come before it, but for cycles.
pub(super) fn postorder(program: &Program) -> Vec<usize> {
    let insns = &program.insns;
    let mut seen = vec![false; insns.len()];
    let mut out = Vec::with_capacity(insns.len());
    let mut stack: Vec<(usize, Vec<usize>)> = Vec::new();
    for function in &program.functions {
        if std::mem::replace(&mut seen[function.start], true) {
            continue;
        }
        stack.push((function.start, successors(&insns[function.start], function.start).collect()));
        while let Some((slot, rest)) = stack.last_mut() {
            let Some(next) = rest.pop() else {
                out.push(*slot);
                stack.pop();
                continue;
            };
            if !std::mem::replace(&mut seen[next], true) {
                stack.push((next, successors(&insns[next], next).collect()));
            }
        }
    }
    out
}

/// By slot the number of the cycle it lies on, from 1; 0 for slots on none. A call whose callee calls a function of the
/// program any number of times is none.
pub(super) fn cycles(program: &Program) -> Vec<u32> {
    const NEW: u32 = 0;
    const DONE: u32 = u32::MAX;
    let insns = &program.insns;
    let mut number = vec![NEW; insns.len()];
    let mut low = vec![NEW; insns.len()];
    let mut cycle = vec![0; insns.len()];
    let (mut next_number, mut next_cycle) = (1, 1);
    let mut open: Vec<usize> = Vec::new();
    let mut walk: Vec<(usize, Vec<usize>)> = Vec::new();
    for start in 0..insns.len() {
        if number[start] != NEW || matches!(insns[start], crate::insn::Insn::Pad) {
            continue;
        }
        let mut enter = |slot: usize, walk: &mut Vec<_>, open: &mut Vec<usize>, low: &mut [u32], number: &mut [u32]| {
            number[slot] = next_number;
            low[slot] = next_number;
            next_number += 1;
            open.push(slot);
            walk.push((slot, successors(&insns[slot], slot).collect::<Vec<_>>()));
        };
        enter(start, &mut walk, &mut open, &mut low, &mut number);
        while let Some((slot, rest)) = walk.last_mut() {
            let slot = *slot;
            if let Some(next) = rest.pop() {
                if number[next] == NEW {
                    enter(next, &mut walk, &mut open, &mut low, &mut number);
                } else if low[next] != DONE {
                    low[slot] = low[slot].min(number[next]);
                }
                continue;
            }
            walk.pop();
            if let Some((above, _)) = walk.last() {
                low[*above] = low[*above].min(low[slot]);
            }
            if low[slot] != number[slot] {
                continue;
            }
            let alone = open.last() == Some(&slot);
            let is_cycle = !alone || successors(&insns[slot], slot).any(|s| s == slot);
            while let Some(member) = open.pop() {
                low[member] = DONE;
                if is_cycle {
                    cycle[member] = next_cycle;
                }
                if member == slot {
                    break;
                }
            }
            if is_cycle {
                next_cycle += 1;
            }
        }
    }
    cycle
}
