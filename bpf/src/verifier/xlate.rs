//! Dead code: what exploration never reached is taken out, as Linux does before it translates a program. And loads of parts of
//! the context read what Linux's own do.

use super::ctx;
use super::explored::{Detail, Fate, Kind, SlotSeen};
use crate::insn::{Callee, Insn, Wide};
use crate::program::{Function, LineEntry, Program};

/// Decides what becomes of each slot from which were walked.
pub(super) fn fates(program: &Program, slots: &mut [SlotSeen]) {
    for slot in 0..slots.len() {
        let insn = &program.insns[slot];
        slots[slot].fate = if !slots[slot].visited() {
            Fate::Removed
        } else if let (Insn::Branch { .. }, Some(target)) = (insn, insn.target(slot)) {
            let target = target as usize;
            if !slots[slot + 1].visited() {
                Fate::HardWired { taken: true, removed: false }
            } else if !slots[target].visited() {
                Fate::HardWired { taken: false, removed: true }
            } else {
                Fate::Kept
            }
        } else {
            Fate::Kept
        };
    }
    // Jumps that lead to the next instruction once the dead code between is gone.
    let next_kept = next_kept(slots);
    for slot in 0..slots.len() {
        let lands = program.insns[slot].target(slot).map(|t| next_kept[t as usize]);
        let jumps = matches!(program.insns[slot], Insn::Jump { long: false, .. });
        let falls = lands == Some(next_kept[slot + 1]);
        match &mut slots[slot].fate {
            fate @ Fate::Kept if jumps && falls => *fate = Fate::Removed,
            Fate::HardWired { taken: true, removed } => *removed = falls,
            _ => {}
        }
    }
}

/// For each slot, and the end, the first slot from it on that was walked.
fn next_kept(slots: &[SlotSeen]) -> Vec<usize> {
    let mut next = vec![slots.len(); slots.len() + 1];
    for slot in (0..slots.len()).rev() {
        next[slot] = if slots[slot].visited() { slot } else { next[slot + 1] };
    }
    next
}

/// The first slot that takes the address of a function which was taken out: nothing calls it, yet Linux does not find what
/// to compile and refuses the program, unless only the main function is left.
pub(super) fn function_gone(xlated: &Program) -> Option<usize> {
    let there = |start: i64| xlated.functions.iter().any(|f| f.start as i64 == start);
    let gone = |(slot, insn): (usize, &Insn)| match insn {
        Insn::LoadImm64 { value: Wide::Func { .. }, .. } => insn.function(slot).is_some_and(|start| !there(start)),
        _ => false,
    };
    if xlated.functions.len() < 2 {
        return None;
    }
    xlated.insns.iter().enumerate().position(gone)
}

fn reads_context(slot: &SlotSeen) -> bool {
    matches!(&slot.detail, Detail::Load(pointer) if pointer.last.kind == Kind::Ctx)
}

/// The program without its dead code, with loads of the context as Linux makes them, and for each of its slots the slot it was.
pub(super) fn xlate(program: &Program, slots: &[SlotSeen]) -> (Program, Vec<usize>) {
    let stays = |slot: usize| match slots[slot].fate {
        Fate::Kept => true,
        Fate::HardWired { removed, .. } => !removed,
        Fate::Removed => false,
    };
    let origin: Vec<usize> = (0..slots.len()).filter(|s| stays(*s)).collect();
    // Where control that comes to a slot goes on: at the first slot from it on that stays.
    let place = |slot: usize| origin.partition_point(|o| *o < slot);
    let distance = |at: usize, target: usize| target as i64 - at as i64 - 1;
    let insns = origin
        .iter()
        .enumerate()
        .map(|(at, slot)| {
            let insn = program.insns[*slot];
            let jump = |target: i64| distance(at, place(target as usize));
            match (insn, insn.target(*slot), insn.function(*slot)) {
                (Insn::Branch { .. }, Some(t), _) if slots[*slot].fate != Fate::Kept => {
                    Insn::Jump { off: jump(t) as i32, long: false }
                }
                (Insn::Branch { width, cond, dst, src, .. }, Some(t), _) => {
                    Insn::Branch { width, cond, dst, src, off: jump(t) as i16 }
                }
                (Insn::MayGoto { .. }, Some(t), _) => Insn::MayGoto { off: jump(t) as i16 },
                (Insn::Jump { long, .. }, Some(t), _) => Insn::Jump { off: jump(t) as i32, long },
                (Insn::Call { .. }, _, Some(f)) => Insn::Call { callee: Callee::Local(jump(f) as i32) },
                (Insn::LoadImm64 { dst, value: Wide::Func { .. } }, _, Some(f)) => {
                    Insn::LoadImm64 { dst, value: Wide::Func { off: jump(f) as i32 } }
                }
                (Insn::Load { size, sext, dst, base, off }, ..) if reads_context(&slots[*slot]) => {
                    let off = ctx::found_at(program.ty, program.byte_order, off, size.bytes());
                    Insn::Load { size, sext, dst, base, off }
                }
                _ => insn,
            }
        })
        .collect();
    let mut functions: Vec<Function> = Vec::new();
    for f in &program.functions {
        let start = place(f.start);
        // A function of which nothing was walked is gone: the next begins where it would.
        if start < origin.len() && functions.last().is_none_or(|last| last.start != start) {
            functions.push(Function { start, ..f.clone() });
        }
    }
    let mut lines: Vec<LineEntry> = Vec::new();
    for l in &program.lines {
        let slot = place(l.slot);
        if lines.last().is_some_and(|last| last.slot == slot) {
            lines.pop();
        }
        if slot < origin.len() {
            lines.push(LineEntry { slot, line: l.line.clone() });
        }
    }
    // What the kernel was told holds for the slots before.
    (Program { insns, functions, lines, info: None, ..program.clone() }, origin)
}
