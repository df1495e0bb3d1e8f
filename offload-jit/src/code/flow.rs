//! Where control goes: shorter ways, and nothing that no way leads to.

use nic_model::isa::{Cond, Op};

use super::{Block, Code, Inst, Next};
use crate::asm::{Goal, Label};

/// Brings the ways of control into their shortest form.
pub(super) fn tidy(code: &mut Code) {
    loop {
        let before = (code.len(), code.blocks.len());
        thread(code);
        drop_unreached(code);
        turn_round(code);
        drop_needless(code);
        join(code);
        if (code.len(), code.blocks.len()) == before {
            return;
        }
    }
}

/// Where a jump to a label ends up: jumps and empty blocks are passed through.
fn end_of(code: &Code, label: Label) -> Label {
    let mut label = label;
    // A loop of jumps leads nowhere; a few steps are enough for what lowering writes.
    for _ in 0..8 {
        let mut at = code.place(label);
        while code.blocks[at].insts.is_empty() && at + 1 < code.blocks.len() {
            at += 1;
        }
        match code.blocks[at].insts.as_slice() {
            [Inst { op: Op::Br(_), goal: Some(Goal::Label(to)), .. }] => label = *to,
            _ => return code.blocks[at].labels.first().copied().unwrap_or(label),
        }
    }
    label
}

fn thread(code: &mut Code) {
    for at in 0..code.blocks.len() {
        let (Next::To(label) | Next::Either(label)) = code.blocks[at].next() else { continue };
        let to = end_of(code, label);
        let last = code.blocks[at].insts.last_mut().expect("it is a branch");
        if last.goal.replace(Goal::Label(to)) != Some(Goal::Label(to)) {
            code.reroute();
        }
    }
}

fn drop_unreached(code: &mut Code) {
    let ways = code.ways();
    let mut reached = vec![false; code.blocks.len()];
    reached[0] = true;
    let mut open = vec![0];
    while let Some(at) = open.pop() {
        open.extend(ways.of(at).filter(|to| !std::mem::replace(&mut reached[*to], true)));
    }
    if reached.iter().all(|reached| *reached) {
        return;
    }
    let mut reached = reached.into_iter();
    code.blocks.retain(|_| reached.next() == Some(true));
    code.reroute();
    code.index();
}

/// A conditional branch over a jump becomes the opposite branch to the jump's goal.
fn turn_round(code: &mut Code) {
    for at in 0..code.blocks.len().saturating_sub(2) {
        let Next::Either(over) = code.blocks[at].next() else { continue };
        let [Inst { op: Op::Br(_), goal: Some(Goal::Label(to)), .. }] = code.blocks[at + 1].insts.as_slice() else {
            continue;
        };
        let to = *to;
        if !code.blocks[at + 1].labels.is_empty() || code.place(over) != at + 2 {
            continue;
        }
        let last = code.blocks[at].insts.last_mut().expect("it is a branch");
        if let Some(op) = opposite(&last.op) {
            *last = last.with(op);
            last.goal = Some(Goal::Label(to));
            code.blocks[at].changed();
            code.blocks[at + 1].insts.clear();
            code.blocks[at + 1].changed();
            code.reroute();
        }
    }
}

/// The branch that is taken exactly when this one is not.
pub(super) fn opposite(op: &Op) -> Option<Op> {
    Some(match *op {
        Op::BrCond(mut op) => {
            op.cond = match op.cond {
                Cond::Eq => Cond::Ne,
                Cond::Ne => Cond::Eq,
                Cond::Minus => Cond::Plus,
                Cond::Plus => Cond::Minus,
                Cond::CarrySet => Cond::CarryClear,
                Cond::CarryClear => Cond::CarrySet,
                Cond::OverflowSet => Cond::OverflowClear,
                Cond::OverflowClear => Cond::OverflowSet,
                Cond::Ge => Cond::Lt,
                Cond::Lt => Cond::Ge,
                Cond::Le => Cond::Gt,
                Cond::Gt => Cond::Le,
            };
            op.into()
        }
        Op::BrBit(mut op) => {
            op.set = !op.set;
            op.into()
        }
        Op::BrByte(mut op) => {
            op.equal = !op.equal;
            op.into()
        }
        _ => return None,
    })
}

/// Branches to what comes next anyway.
fn drop_needless(code: &mut Code) {
    for at in 0..code.blocks.len() {
        let (Next::To(label) | Next::Either(label)) = code.blocks[at].next() else { continue };
        let to = code.place(label);
        if to > at && (at + 1..to).all(|between| code.blocks[between].insts.is_empty()) {
            code.blocks[at].insts.pop();
            code.blocks[at].changed();
            code.reroute();
        }
    }
}

/// Labels that something goes to, by number.
fn used(code: &mut Code) -> Vec<bool> {
    let mut used = vec![false; code.labels];
    for Block { insts, memo, .. } in &mut code.blocks {
        let names = |inst: &Inst| matches!(inst.goal, Some(Goal::Label(_)));
        let Some((last, before)) = insts.split_last() else { continue };
        let before = if *memo.names_label.get_or_insert_with(|| before.iter().any(names)) { before } else { &[] };
        for inst in before.iter().chain([last]) {
            if let Some(Goal::Label(label)) = inst.goal {
                used[label.number()] = true;
            }
        }
    }
    used
}

/// Joins blocks that nothing else comes between.
fn join(code: &mut Code) {
    let used = used(code);
    code.blocks.iter_mut().for_each(|block| block.labels.retain(|label| used[label.number()]));
    if code.blocks.windows(2).any(|pair| joins(&pair[0], &pair[1])) {
        let mut blocks: Vec<Block> = Vec::new();
        for mut block in std::mem::take(&mut code.blocks) {
            match blocks.last_mut() {
                Some(last) if last.insts.is_empty() => {
                    last.labels.append(&mut block.labels);
                    (last.insts, last.memo) = (block.insts, block.memo);
                }
                Some(last) if joins(last, &block) => {
                    last.insts.append(&mut block.insts);
                    last.changed();
                }
                _ => blocks.push(block),
            }
        }
        code.blocks = blocks;
        code.reroute();
    }
    code.index();
}

/// Whether nothing comes between a block and the one behind it.
fn joins(block: &Block, behind: &Block) -> bool {
    block.insts.is_empty() || behind.labels.is_empty() && matches!(block.next(), Next::On)
}
