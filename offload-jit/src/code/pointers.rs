//! Local memory pointers that stand where they are wanted are not set again.
//!
//! Lowering sets pointer 3 before every access to the stack that pointer 0 does not reach. Windows of the frame are shared
//! out between pointers 2 and 3, the one used most to one of them; then whatever sets a pointer to where it stands on
//! every way that leads there goes.

use std::collections::{BTreeMap, VecDeque};

use nic_model::isa::{
    Alu, AluMove, AluOp, Bank, Csr, Dst, LdField, LdFieldClear, Merge, Move, One, Op, Reg, Source, WordLane,
};

use super::dead::live_out;
use super::known::{constant, is_open, takes_csr};
use super::touch::{BANK, Places, register};
use super::{Code, Inst};

/// The address of the running function's frame, in bank A ([`crate::lower`]'s convention).
const STACK_BASE: u8 = 22;
/// Pointers that lowering leaves to accesses of the stack; firmware's routines leave anything in them.
const FREE: [(usize, Csr); 2] = [(2, Csr::LM_ADDR2), (3, Csr::LM_ADDR3)];

/// What is known of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Unknown,
    Constant(u32),
    /// So many bytes behind the main function's frame.
    Frame(u32),
}

/// What is known at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    registers: [Value; 2 * BANK as usize],
    pointers: [Value; 4],
}

impl State {
    fn at_start() -> Self {
        let mut state = State { registers: [Value::Unknown; 2 * BANK as usize], pointers: [Value::Unknown; 4] };
        state.registers[register(Bank::A, STACK_BASE)] = Value::Frame(0);
        state
    }

    fn source(&self, source: Source) -> Value {
        match source {
            Source::Imm(value) => Value::Constant(value.into()),
            Source::Reg(Reg::Gpr(bank, n)) => self.registers[register(bank, n)],
            Source::Reg(_) => Value::Unknown,
        }
    }

    fn forget(&mut self, places: Places) {
        places.registers().for_each(|n| self.registers[n] = Value::Unknown);
        for (n, pointer) in (0..).zip(&mut self.pointers) {
            if places.meets(Places::pointer(n)) {
                *pointer = Value::Unknown;
            }
        }
    }

    /// Joins another way of coming here; whether anything was lost by it.
    fn join(&mut self, other: &State) -> bool {
        let mut lost = false;
        let mine = self.registers.iter_mut().chain(&mut self.pointers);
        for (to, from) in mine.zip(other.registers.iter().chain(&other.pointers)) {
            if to != from && *to != Value::Unknown {
                *to = Value::Unknown;
                lost = true;
            }
        }
        lost
    }

    /// Where an instruction's result goes, and what it is.
    fn result(&self, op: &Op) -> Option<(Dst, Value)> {
        let sum = |lhs: Value, rhs: Value, minus: bool| {
            let add = |a: u32, b: u32| if minus { a.wrapping_sub(b) } else { a.wrapping_add(b) };
            match (lhs, rhs) {
                (Value::Constant(a), Value::Constant(b)) => Value::Constant(add(a, b)),
                (Value::Frame(a), Value::Constant(b)) => Value::Frame(add(a, b)),
                (Value::Constant(a), Value::Frame(b)) if !minus => Value::Frame(a.wrapping_add(b)),
                _ => Value::Unknown,
            }
        };
        Some(match op {
            Op::Immed(op) => (op.load.dst, Value::Constant(constant(op))),
            Op::ImmedW(op) if !op.invert && op.lane == WordLane::High => {
                let Value::Constant(before) = self.source(op.load.dst.reg?.into()) else { return None };
                (op.load.dst, Value::Constant(before & 0xffff | u32::from(op.load.value) << 16))
            }
            Op::Move(Move { op: AluMove::Copy, dst, rhs, .. }) => (*dst, self.source(rhs.src)),
            Op::Alu(Alu { op: op @ (AluOp::Add | AluOp::Sub), dst, src, .. }) => {
                (*dst, sum(self.source(src.lhs), self.source(src.rhs), *op == AluOp::Sub))
            }
            _ => return None,
        })
    }

    /// Behind an instruction. `loaded` says that its constant is filled in otherwise.
    fn step(&mut self, inst: &Inst, loaded: bool) {
        if let Some((_, clobbers)) = inst.called() {
            self.forget(clobbers);
            return FREE.iter().for_each(|(n, _)| self.pointers[*n] = Value::Unknown);
        }
        let result = self.result(&inst.op).filter(|_| !loaded);
        let pointer = set_pointer(inst).map(|(n, src)| (n, self.source(src.into())));
        self.forget(inst.defs);
        if let Some((Dst { reg: Some(Reg::Gpr(bank, n)), both }, value)) = result {
            self.registers[register(bank, n)] = value;
            if both {
                self.registers[register(bank.other(), n)] = value;
            }
        }
        if let Some((n, value)) = pointer {
            self.pointers[n] = value;
        }
    }
}

/// Which pointer an instruction sets, and from what.
fn set_pointer(inst: &Inst) -> Option<(usize, Reg)> {
    let Op::CsrWrite(op) = inst.op else { return None };
    let pointers = [Csr::LM_ADDR0, Csr::LM_ADDR1, Csr::LM_ADDR2, Csr::LM_ADDR3];
    Some((pointers.iter().position(|csr| *csr == op.csr)?, op.src.reg))
}

/// What is known where each block begins; nothing for what is not reached.
fn solve(code: &mut Code) -> Vec<Option<State>> {
    let ways = code.ways();
    let mut waits = vec![false; code.blocks.len()];
    let mut known: Vec<Option<State>> = vec![None; code.blocks.len()];
    if let Some(first) = known.first_mut() {
        *first = Some(State::at_start());
    }
    let mut open = VecDeque::from([0]);
    while let Some(at) = open.pop_front() {
        waits[at] = false;
        let Some(mut state) = known[at].clone() else { continue };
        walk(&code.blocks[at].insts, &mut state, |_, _| {});
        for to in ways.of(at) {
            let changed = match &mut known[to] {
                Some(there) => there.join(&state),
                none => {
                    *none = Some(state.clone());
                    true
                }
            };
            if changed && !std::mem::replace(&mut waits[to], true) {
                open.push_back(to);
            }
        }
    }
    known
}

/// Shows what is known before each instruction.
fn walk(insts: &[Inst], state: &mut State, mut see: impl FnMut(usize, &State)) {
    for (n, inst) in insts.iter().enumerate() {
        see(n, state);
        state.step(inst, is_open(inst) || takes_csr(n.checked_sub(1).map(|before| &insts[before])));
    }
}

/// Shares the frame's windows out between the pointers. Comes before anything that lets an access do without setting its
/// pointer.
pub(super) fn share(code: &mut Code) {
    if !sets_any(code) {
        return;
    }
    let states = solve(code);
    let live = live_out(code);
    let mut groups: Vec<(usize, usize, u32)> = Vec::new();
    let mut weights: BTreeMap<u32, usize> = BTreeMap::new();
    for (at, state) in states.into_iter().enumerate() {
        let Some(mut state) = state else { continue };
        walk(&code.blocks[at].insts, &mut state, |n, state| {
            if let Some((3, src)) = set_pointer(&code.blocks[at].insts[n])
                && let Value::Frame(window) = state.source(src.into())
            {
                groups.push((at, n, window));
                *weights.entry(window).or_default() += 1;
            }
        });
    }
    let mut ranked: Vec<(usize, u32)> = weights.into_iter().map(|(window, weight)| (weight, window)).collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    let rank: BTreeMap<u32, usize> = ranked.into_iter().map(|(_, window)| window).zip(0..).collect();
    for (block, at, window) in groups {
        if pointer_of(rank[&window]) == 2 && !live[block].meets(Places::pointer(3)) {
            move_over(&mut code.blocks[block].insts, at);
            code.blocks[block].changed();
        }
    }
}

fn pointer_of(rank: usize) -> usize {
    FREE[rank % FREE.len()].0
}

/// Lets the accesses behind the setting of pointer 3 at `at` go by pointer 2.
fn move_over(insts: &mut [Inst], at: usize) {
    let three = Places::pointer(3);
    let end =
        (at + 1..insts.len()).find(|n| set_pointer(&insts[*n]).is_some_and(|(n, _)| n == 3)).unwrap_or(insts.len());
    let Some(last) = (at + 1..end).rev().find(|n| insts[*n].uses.meets(three)) else { return };
    let mut moved = Vec::new();
    for (n, inst) in insts.iter().enumerate().take(last + 1).skip(at + 1) {
        if inst.called().is_some() || inst.defs.meets(three.union(Places::pointer(2))) {
            return;
        }
        if inst.uses.meets(three) {
            let Some(inst) = by_second(inst) else { return };
            moved.push((n, inst));
        }
    }
    if let Op::CsrWrite(mut op) = insts[at].op {
        op.csr = Csr::LM_ADDR2;
        insts[at] = insts[at].with(op);
    }
    moved.into_iter().for_each(|(n, inst)| insts[n] = inst);
}

/// The instruction with pointer 2 in the place of 3.
fn by_second(inst: &Inst) -> Option<Inst> {
    let reg = |reg: Reg| match reg {
        Reg::Local { pointer: 3, offset } => Reg::Local { pointer: 2, offset },
        other => other,
    };
    let source = |source: Source| source.reg().map_or(source, |r| reg(r).into());
    let dst = |dst: Dst| Dst { reg: dst.reg.map(reg), both: dst.both };
    let merge = |merge: Merge| Merge::new(dst(merge.target()), source(merge.src));
    let now = match inst.op {
        Op::Move(op) => inst.with(Move { dst: dst(op.dst), rhs: One::new(source(op.rhs.src), op.rhs.beside), ..op }),
        Op::LdField(op) => inst.with(LdField { merge: merge(op.merge)?, ..op }),
        Op::LdFieldClear(op) => inst.with(LdFieldClear { merge: merge(op.merge)?, ..op }),
        _ => return None,
    };
    (super::known::encodes(&now) && !now.uses.meets(Places::pointer(3))).then_some(now)
}

/// Whether any instruction sets a pointer.
fn sets_any(code: &Code) -> bool {
    code.blocks.iter().flat_map(|block| &block.insts).any(|inst| set_pointer(inst).is_some())
}

/// Drops what sets a pointer to where it stands.
pub(super) fn drop_needless(code: &mut Code) {
    if !sets_any(code) {
        return;
    }
    for (at, state) in solve(code).into_iter().enumerate() {
        let Some(mut state) = state else { continue };
        let mut needless = Vec::new();
        walk(&code.blocks[at].insts, &mut state, |n, state| {
            if let Some((pointer, src)) = set_pointer(&code.blocks[at].insts[n])
                && let value @ Value::Frame(_) = state.source(src.into())
                && state.pointers[pointer] == value
            {
                needless.push(n);
            }
        });
        let block = &mut code.blocks[at];
        for &n in needless.iter().rev() {
            // What was known before the slot holds before the next of its instructions as well.
            let (first, origin) = (block.insts[n].first, block.insts[n].origin);
            if let Some(next) = block.insts.get_mut(n + 1).filter(|next| first && next.origin == origin) {
                next.first = true;
            }
        }
        block.remove_all(needless);
    }
}
