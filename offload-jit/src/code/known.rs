//! Bits that are known, wherever control comes from, and what follows from them.
//!
//! The state at each block is what holds at the end of every block that leads there. Over it each instruction is made
//! simpler: a result that is known is loaded, an operand that is known stands in the instruction, a branch that is decided
//! goes or stays.

use std::collections::VecDeque;

use nic_model::isa::{
    Alu, AluMove, AluOp, Bank, Cond, CondCodes, Dst, Effect, Idle, Immed, ImmedShift, LoadCc, Move, One, Op, Pair, Reg,
    Shift, ShiftMove, ShiftOp, Source, WordLane,
};

use super::bits::Bits;
use super::dead::live_out;
use super::mirror::Mirrored;
use super::touch::{BANK, Places, register};
use super::{Block, Code, Inst, dead};
use crate::asm::{External, Goal, Origin, once};

/// What is known of registers before slots, from the facts of the program.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hints {
    /// Where each slot's begin; those of slots behind the last are none.
    starts: Vec<u32>,
    hints: Vec<Hint>,
}

impl Hints {
    /// Goes on to a slot behind all those before.
    pub(crate) fn begin(&mut self, slot: u32) {
        self.starts.resize(slot as usize + 1, self.hints.len() as u32);
    }

    /// Adds what is known before the slot that was begun last.
    pub(crate) fn push(&mut self, hint: Hint) {
        self.hints.push(hint);
    }

    fn before(&self, slot: u32) -> &[Hint] {
        let start = |slot: u32| self.starts.get(slot as usize).map_or(self.hints.len(), |start| *start as usize);
        &self.hints[start(slot)..start(slot.saturating_add(1))]
    }
}

/// What is known of a register before a slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hint {
    /// The register's number; the value lies in both banks.
    pub register: u8,
    /// Its bits.
    pub bits: Bits,
}

/// Visits of a block after which what still changes is given up.
const PATIENCE: u32 = 6;

/// What is known at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    registers: [Bits; 2 * BANK as usize],
    /// The carry, where it is certain.
    carry: Option<bool>,
    zero: Option<bool>,
}

impl State {
    const NOTHING: State = State { registers: [Bits::UNKNOWN; 2 * BANK as usize], carry: None, zero: None };

    fn source(&self, source: Source) -> Bits {
        match source {
            Source::Imm(value) => Bits::constant(value.into()),
            Source::Reg(Reg::Gpr(bank, n)) => self.registers[register(bank, n)],
            Source::Reg(_) => Bits::UNKNOWN,
        }
    }

    fn write(&mut self, dst: Dst, bits: Bits) {
        if let Some(Reg::Gpr(bank, n)) = dst.reg {
            self.registers[register(bank, n)] = bits;
            if dst.both {
                self.registers[register(bank.other(), n)] = bits;
            }
        }
    }

    fn forget(&mut self, places: Places) {
        places.registers().for_each(|n| self.registers[n] = Bits::UNKNOWN);
        if places.meets(Places::FLAGS) {
            (self.carry, self.zero) = (None, None);
        }
    }

    /// Joins another way of coming here; whether anything was lost by it.
    fn join(&mut self, other: &State, give_up: bool) -> bool {
        let mut lost = false;
        for (to, from) in self.registers.iter_mut().zip(&other.registers) {
            let joined = to.join(*from);
            if joined != *to {
                *to = if give_up { Bits::UNKNOWN } else { joined };
                lost = true;
            }
        }
        for (to, from) in [(&mut self.carry, other.carry), (&mut self.zero, other.zero)] {
            if to.is_some() && *to != from {
                *to = None;
                lost = true;
            }
        }
        lost
    }

    fn take(&mut self, inst: &Inst, hints: &Hints) {
        let (true, Origin::Slot(slot)) = (inst.first, inst.origin) else { return };
        for hint in hints.before(slot) {
            for bank in [Bank::A, Bank::B] {
                let register = &mut self.registers[register(bank, hint.register)];
                *register = register.meet(hint.bits);
            }
        }
    }

    /// What an instruction makes of it. `loaded` says that an `immed` receives a local CSR.
    fn step(&mut self, inst: &Inst, loaded: bool) {
        if let Some((_, clobbers)) = inst.called() {
            return self.forget(clobbers);
        }
        let result = self.result(&inst.op).filter(|_| !loaded);
        let carry = self.carry_out(&inst.op);
        self.forget(inst.defs);
        if let Some((dst, bits)) = result {
            self.write(dst, bits);
            if inst.defs.meets(Places::FLAGS) {
                self.zero = match bits {
                    Bits { one: 1.., .. } => Some(false),
                    Bits { zero: u32::MAX, .. } => Some(true),
                    _ => None,
                };
                self.carry = carry;
            }
        }
    }

    /// The carry that a sum or difference of known words leaves; of logic it is clear.
    fn carry_out(&self, op: &Op) -> Option<bool> {
        let Op::Alu(Alu { op, src, .. }) = op else { return Some(false) };
        let (lhs, rhs) = (self.source(src.lhs), self.source(src.rhs));
        let sum = |a: u32, b: u32, carry: bool| u64::from(a) + u64::from(b) + u64::from(carry) > u64::from(u32::MAX);
        match op {
            AluOp::Add => match (lhs.value(), rhs.value()) {
                (Some(a), Some(b)) => Some(sum(a, b, false)),
                _ if u64::from(lhs.most()) + u64::from(rhs.most()) <= u64::from(u32::MAX) => Some(false),
                _ => None,
            },
            AluOp::Sub if lhs.one >= rhs.most() => Some(true),
            AluOp::Sub if lhs.most() < rhs.one => Some(false),
            AluOp::AddCarry => Some(sum(lhs.value()?, rhs.value()?, self.carry?)),
            AluOp::SubCarry => Some(sum(lhs.value()?, !rhs.value()?, self.carry?)),
            AluOp::Sub | AluOp::SubReverse | AluOp::Add16 | AluOp::Add8 => None,
            AluOp::And | AluOp::NotAnd | AluOp::AndNot | AluOp::Or | AluOp::Xor => Some(false),
        }
    }

    /// Where an instruction's result goes, and what is known of it.
    fn result(&self, op: &Op) -> Option<(Dst, Bits)> {
        Some(match op {
            Op::Immed(op) => (op.load.dst, Bits::constant(constant(op))),
            Op::ImmedW(op) if !op.invert => {
                let shift = if op.lane == WordLane::Low { 0 } else { 16 };
                let before = op.load.dst.reg.map_or(Bits::UNKNOWN, |reg| self.source(reg.into()));
                (op.load.dst, before.with(0xffff << shift, Bits::constant(u32::from(op.load.value) << shift)))
            }
            Op::Move(op) => {
                let bits = self.source(op.rhs.src);
                (op.dst, if op.op == AluMove::Not { bits.not() } else { bits })
            }
            Op::Alu(op) => (op.dst, self.alu(op)),
            Op::ShfMove(op) => {
                let bits = shifted(self.source(op.rhs.src), op.shift)?;
                (op.dst, if op.op == ShiftMove::Not { bits.not() } else { bits })
            }
            Op::AluShf(op) => {
                let (lhs, rhs) = (self.source(op.src.lhs), shifted(self.source(op.src.rhs), op.shift)?);
                let bits = match op.op {
                    ShiftOp::And => lhs.and(rhs),
                    ShiftOp::NotAnd => lhs.not().and(rhs),
                    ShiftOp::AndNot => lhs.and(rhs.not()),
                    ShiftOp::Or => lhs.or(rhs),
                };
                (op.dst, bits)
            }
            Op::DblShf(op) => {
                let nic_model::isa::Amount::By(by) = op.amount else { return None };
                let (high, low) = (self.source(op.src.lhs), self.source(op.src.rhs));
                let by = u32::from(by);
                (op.dst, low.right(by).with(!(u32::MAX >> by), high.left(32 - by)))
            }
            Op::LdFieldClear(op) => {
                let bits = shifted(self.source(op.merge.src), op.shift)?;
                (op.merge.target(), Bits::constant(0).with(bytes(op.bytes), bits))
            }
            Op::LdField(op) => {
                let bits = shifted(self.source(op.merge.src), op.shift)?;
                (op.merge.target(), self.source(op.merge.dst.into()).with(bytes(op.bytes), bits))
            }
            _ => return None,
        })
    }

    fn alu(&self, op: &Alu) -> Bits {
        let (lhs, rhs) = (self.source(op.src.lhs), self.source(op.src.rhs));
        match op.op {
            AluOp::Add => lhs.add(rhs, Some(false)),
            AluOp::AddCarry => lhs.add(rhs, self.carry),
            AluOp::Sub => lhs.add(rhs.not(), Some(true)),
            AluOp::SubCarry => lhs.add(rhs.not(), self.carry),
            AluOp::SubReverse => rhs.add(lhs.not(), Some(true)),
            AluOp::Add16 => lhs.add(rhs.and(Bits::constant(0xffff)), Some(false)),
            AluOp::Add8 => lhs.add(rhs.and(Bits::constant(0xff)), Some(false)),
            AluOp::And => lhs.and(rhs),
            AluOp::NotAnd => lhs.not().and(rhs),
            AluOp::AndNot => lhs.and(rhs.not()),
            AluOp::Or => lhs.or(rhs),
            AluOp::Xor => lhs.xor(rhs),
        }
    }
}

/// The constant of an `immed`.
pub(super) fn constant(op: &Immed) -> u32 {
    let shift = match op.shift {
        ImmedShift::None => 0,
        ImmedShift::One => 8,
        ImmedShift::Two => 16,
    };
    (u32::from(op.load.value) << shift) ^ if op.invert { u32::MAX } else { 0 }
}

fn shifted(bits: Bits, shift: Shift) -> Option<Bits> {
    Some(match shift {
        Shift::Rotate(n) => bits.rotated(n.into()),
        Shift::Left(n) => bits.left(n.into()),
        Shift::Right(n) => bits.right(n.into()),
        Shift::LeftIndirect | Shift::RightIndirect => return None,
    })
}

fn bytes(mask: u8) -> u32 {
    (0..4).filter(|byte| mask >> byte & 1 != 0).fold(0, |bits, byte| bits | 0xff << (8 * byte))
}

/// Whether an instruction takes the value of a local CSR that the one before it read.
pub(super) fn takes_csr(before: Option<&Inst>) -> bool {
    matches!(before.map(|inst| &inst.op), Some(Op::CsrRead(_)))
}

/// An address that is filled in later is no constant.
pub(super) fn is_open(inst: &Inst) -> bool {
    inst.goal.is_some() && matches!(inst.op, Op::Immed(_) | Op::ImmedW(_))
}

/// What is known where each block begins; nothing for what is not reached. Whoever takes it gives it back.
pub(super) fn solved(code: &mut Code, hints: &Hints) -> Vec<Option<State>> {
    let holds = |known: &Vec<Option<State>>| {
        known.len() == code.blocks.len() && code.blocks.iter().all(|block| block.memo.solved)
    };
    if let Some(known) = code.known.take().filter(holds) {
        return known;
    }
    code.blocks.iter_mut().for_each(|block| block.memo.solved = true);
    solve(code, hints)
}

fn solve(code: &mut Code, hints: &Hints) -> Vec<Option<State>> {
    let ways = code.ways();
    let mut known: Vec<Option<State>> = vec![None; code.blocks.len()];
    let mut visits = vec![0; code.blocks.len()];
    let mut waits = vec![false; code.blocks.len()];
    if let Some(first) = known.first_mut() {
        *first = Some(State::NOTHING);
    }
    let mut open = VecDeque::from([0]);
    while let Some(at) = open.pop_front() {
        waits[at] = false;
        let Some(mut state) = known[at].clone() else { continue };
        let insts = &code.blocks[at].insts;
        for (n, inst) in insts.iter().enumerate() {
            state.take(inst, hints);
            state.step(inst, is_open(inst) || takes_csr(n.checked_sub(1).map(|before| &insts[before])));
        }
        for to in ways.of(at) {
            let changed = match &mut known[to] {
                Some(there) => {
                    visits[to] += 1;
                    there.join(&state, visits[to] > PATIENCE)
                }
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

/// What is known of the operands of an instruction just before it; of the only one, if it has one, as the right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operands {
    pub(super) lhs: Bits,
    pub(super) rhs: Bits,
}

/// The operands of a block's instructions, by what is known where it begins.
pub(super) fn operands(block: &Block, mut state: State, hints: &Hints) -> Vec<Operands> {
    let mut found = Vec::with_capacity(block.insts.len());
    for (n, inst) in block.insts.iter().enumerate() {
        state.take(inst, hints);
        let (lhs, rhs) = match inst.op {
            Op::Alu(op) => (state.source(op.src.lhs), state.source(op.src.rhs)),
            Op::Move(op) => (Bits::UNKNOWN, state.source(op.rhs.src)),
            _ => (Bits::UNKNOWN, Bits::UNKNOWN),
        };
        found.push(Operands { lhs, rhs });
        state.step(inst, is_open(inst) || takes_csr(n.checked_sub(1).map(|before| &block.insts[before])));
    }
    found
}

/// Makes every instruction as simple as what is known allows.
pub(super) fn simplify(code: &mut Code, hints: &Hints, verdict: &dyn Fn(u32) -> u32) {
    let known = solved(code, hints);
    let mirrored = Mirrored::at_entries(code);
    let live = live_out(code);
    let out = code.entries.iter().find(|(part, _)| *part == External::Out).map(|(_, label)| *label);
    let (mut after, mut rerouted) = (Vec::new(), false);
    for (((block, known), mirrored), live) in code.blocks.iter_mut().zip(&known).zip(mirrored).zip(live) {
        let Some(known) = known else { continue };
        let same = |memo: &(State, Mirrored, Places)| memo.0 == *known && (memo.1, memo.2) == (mirrored, live);
        if block.memo.simple.as_deref().is_some_and(same) {
            continue;
        }
        let (mut state, mut mirrors, mut changed) = (known.clone(), mirrored, false);
        let end = branch(block);
        after.clear();
        after.resize(block.insts.len(), live);
        for at in (1..block.insts.len()).rev() {
            after[at - 1] = dead::before(&block.insts[at], after[at]);
        }
        let mut gone = Vec::new();
        let mut first = None;
        // The instruction that stays before this one.
        let mut stays: Option<usize> = None;
        for (at, behind) in after.iter().enumerate() {
            let csr = takes_csr(stays.map(|before| &block.insts[before]));
            let inst = &mut block.insts[at];
            // Where the first instruction of a slot went, the next is the first.
            inst.first |= first.take() == Some(inst.origin);
            state.take(inst, hints);
            let fixed = csr || is_open(inst);
            match if fixed { Simpler::Not } else { simpler(&state, mirrors, inst, *behind) } {
                Simpler::Not => {}
                Simpler::Now(simple) => {
                    *inst = simple;
                    changed = true;
                }
                Simpler::Gone => {
                    first = Some(inst.origin).filter(|_| inst.first);
                    gone.push(at);
                    continue;
                }
            }
            state.step(inst, fixed);
            mirrors.step(inst);
            stays = Some(at);
        }
        changed |= !gone.is_empty();
        block.remove_all(gone);
        changed |= out.is_some_and(|label| leave(&mut block.insts, &state, label, verdict));
        rerouted |= branch(block) != end;
        if changed {
            block.changed();
        } else {
            block.memo.simple = Some(Box::new((known.clone(), mirrored, live)));
        }
    }
    code.known = Some(known);
    if rerouted {
        code.reroute();
    }
}

/// The branch at the end of a block, and where it goes.
fn branch(block: &Block) -> Option<(Op, Option<Goal>)> {
    let last = block.insts.last().filter(|inst| inst.op.effect() == Effect::Branch)?;
    Some((last.op, last.goal))
}

/// A program that ends with a known return code needs no table to find the verdict; whether this is the end of one.
fn leave(insts: &mut Vec<Inst>, state: &State, out: crate::asm::Label, verdict: &dyn Fn(u32) -> u32) -> bool {
    let Some(last) = insts.last_mut().filter(|last| last.goal == Some(Goal::Label(out))) else { return false };
    if !matches!(last.op, Op::Br(_)) {
        return false;
    }
    let Some(load) = state.registers[register(Bank::B, 0)].value().and_then(|code| once(verdict(code))) else {
        return false;
    };
    let word = last.with(load(Dst::to(Reg::Gpr(Bank::A, 0))));
    last.goal = Some(Goal::External(External::Done));
    last.first = false;
    let at = insts.len() - 1;
    insts.insert(at, Inst { goal: None, ..word });
    true
}

/// What becomes of an instruction.
enum Simpler {
    /// It is as simple as can be.
    Not,
    /// It does what this one does.
    Now(Inst),
    /// It does nothing.
    Gone,
}

/// The instruction in its simplest form.
fn simpler(state: &State, mirrored: Mirrored, inst: &Inst, after: Places) -> Simpler {
    let flags = inst.defs.meets(Places::FLAGS) && after.meets(Places::FLAGS);
    let between = after.meets(Places::BETWEEN);
    match inst.op {
        Op::BrCond(op) => {
            let taken = match op.cond {
                Cond::Eq => state.zero,
                Cond::Ne => state.zero.map(|zero| !zero),
                Cond::CarrySet => state.carry,
                Cond::CarryClear => state.carry.map(|carry| !carry),
                _ => None,
            };
            return decided(inst, taken, op.to, op.defer);
        }
        Op::BrBit(op) => {
            let (bits, mask) = (state.source(op.test.reg.into()), 1 << op.test.bit());
            let set = if bits.one & mask != 0 {
                Some(true)
            } else if bits.zero & mask != 0 {
                Some(false)
            } else {
                None
            };
            return decided(inst, set.map(|set| set == op.set), op.to, op.defer);
        }
        _ => {}
    }
    let loads = !between && !flags && inst.uses.meets(Places::GPRS.union(Places::FLAGS));
    if loads
        && let Some((dst @ Dst { reg: Some(_), .. }, bits)) = state.result(&inst.op)
        && let Some(load) = bits.value().and_then(once)
    {
        let load = inst.with(load(dst));
        if encodes(&load) {
            return Simpler::Now(load);
        }
    }
    match inst.op {
        Op::Alu(op) => alu(state, mirrored, inst, &op, flags, between),
        // A register copied to itself.
        Op::Move(Move { dst, op: AluMove::Copy, rhs, .. }) if !flags && !between && mirrored.is_own(dst, rhs.src) => {
            Simpler::Gone
        }
        _ => Simpler::Not,
    }
}

fn decided(inst: &Inst, taken: Option<bool>, to: nic_model::isa::CodeAddress, defer: u8) -> Simpler {
    match taken {
        Some(true) => Simpler::Now(inst.with(nic_model::isa::Br { to, defer })),
        Some(false) => Simpler::Gone,
        None => Simpler::Not,
    }
}

pub(super) fn encodes(inst: &Inst) -> bool {
    nic_model::isa::encode(&inst.op).is_ok()
}

fn alu(state: &State, mirrored: Mirrored, inst: &Inst, op: &Alu, flags: bool, between: bool) -> Simpler {
    let (lhs, rhs) = (state.source(op.src.lhs), state.source(op.src.rhs));
    // Which operand the result is equal to.
    let left = match op.op {
        AluOp::Add | AluOp::Sub | AluOp::Or | AluOp::Xor | AluOp::AndNot => rhs.value() == Some(0),
        AluOp::And => lhs.zero | rhs.one == u32::MAX,
        _ => false,
    };
    let right = match op.op {
        AluOp::Add | AluOp::Or | AluOp::Xor | AluOp::NotAnd => lhs.value() == Some(0),
        AluOp::And => rhs.zero | lhs.one == u32::MAX,
        _ => false,
    };
    // A copy's condition codes are those of logic, and an indirect shift behind it sees another left operand.
    let logic = !matches!(op.op, AluOp::Add | AluOp::Sub);
    let kept = if left { Some(op.src.lhs) } else { right.then_some(op.src.rhs) };
    if let Some(kept @ Source::Reg(_)) = kept.filter(|_| !between && (!flags || logic)) {
        if !flags && mirrored.is_own(op.dst, kept) {
            return Simpler::Gone;
        }
        let rhs = One::new(kept, Idle::Zero);
        let copy = inst.with(Move { op: AluMove::Copy, dst: op.dst, rhs, cc: op.cc, predicate: false });
        if encodes(&copy) {
            return Simpler::Now(copy);
        }
    }
    // Constants stand in the instruction.
    let mut best = *op;
    for side in [false, true] {
        let (mine, other) = if side { (best.src.lhs, best.src.rhs) } else { (best.src.rhs, best.src.lhs) };
        let known = state.source(mine).value().and_then(|value| u8::try_from(value).ok());
        if let (Source::Reg(_), Source::Reg(_), Some(value)) = (mine, other, known) {
            let pair = if side { Pair::new(Source::Imm(value), other) } else { Pair::new(other, Source::Imm(value)) };
            let with = Alu { src: pair, ..best };
            if encodes(&inst.with(with)) {
                best = with;
            }
        }
    }
    if best == *op { Simpler::Not } else { Simpler::Now(inst.with(best)) }
}

/// What other passes ask of an instruction's condition codes.
pub(super) fn sets_flags(op: &Op) -> bool {
    match op {
        Op::LdField(op) => op.cc == LoadCc::Set,
        Op::LdFieldClear(op) => op.cc == LoadCc::Set,
        Op::Alu(op) => op.cc == CondCodes::Set,
        Op::Move(op) => op.cc == CondCodes::Set,
        Op::ShfMove(op) => op.cc == CondCodes::Set,
        Op::AluShf(op) => op.cc == CondCodes::Set,
        Op::DblShf(op) => op.cc == CondCodes::Set,
        Op::Asr(op) => op.cc == CondCodes::Set,
        _ => false,
    }
}
