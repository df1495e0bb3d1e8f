//! Bits that are known, wherever control comes from, and what follows from them.
//!
//! The state at each block is what holds at the end of every block that leads there. Over it each instruction is made
//! simpler: a result that is known is loaded, an operand that is known stands in the instruction, a branch that is decided
//! goes or stays.

use std::collections::{BTreeMap, VecDeque};

use nic_model::isa::{
    Alu, AluMove, AluOp, Bank, Cond, CondCodes, Dst, Idle, Immed, ImmedShift, LoadCc, Move, One, Op, Pair, Reg, Shift,
    ShiftMove, ShiftOp, Source, WordLane,
};

use super::bits::Bits;
use super::dead::live_out;
use super::mirror::Mirrored;
use super::touch::{BANK, Places};
use super::{Code, Inst, dead};
use crate::asm::{External, Goal, Origin, once};

/// What is known of a register before a slot, from the facts of the program.
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
struct State {
    registers: [Bits; 2 * BANK as usize],
    /// The carry, where it is certain.
    carry: Option<bool>,
    zero: Option<bool>,
}

impl State {
    const NOTHING: State = State { registers: [Bits::UNKNOWN; 2 * BANK as usize], carry: None, zero: None };

    fn at(bank: Bank, n: u8) -> usize {
        usize::from(n % BANK as u8) + if bank == Bank::B { BANK as usize } else { 0 }
    }

    fn source(&self, source: Source) -> Bits {
        match source {
            Source::Imm(value) => Bits::constant(value.into()),
            Source::Reg(Reg::Gpr(bank, n)) => self.registers[State::at(bank, n)],
            Source::Reg(_) => Bits::UNKNOWN,
        }
    }

    fn write(&mut self, dst: Dst, bits: Bits) {
        if let Some(Reg::Gpr(bank, n)) = dst.reg {
            self.registers[State::at(bank, n)] = bits;
            if dst.both {
                self.registers[State::at(bank.other(), n)] = bits;
            }
        }
    }

    fn forget(&mut self, places: Places) {
        for n in 0..BANK as u8 {
            for bank in [Bank::A, Bank::B] {
                if places.meets(Places::gpr(bank, n)) {
                    self.registers[State::at(bank, n)] = Bits::UNKNOWN;
                }
            }
        }
        if places.meets(Places::FLAGS) {
            (self.carry, self.zero) = (None, None);
        }
    }

    /// Joins another way of coming here; whether anything was lost by it.
    fn join(&mut self, other: &State, give_up: bool) -> bool {
        let before = self.clone();
        for (to, from) in self.registers.iter_mut().zip(&other.registers) {
            let joined = to.join(*from);
            *to = if give_up && joined != *to { Bits::UNKNOWN } else { joined };
        }
        let same = |a: Option<bool>, b: Option<bool>| if a == b { a } else { None };
        self.carry = same(self.carry, other.carry);
        self.zero = same(self.zero, other.zero);
        *self != before
    }

    fn take(&mut self, inst: &Inst, hints: &BTreeMap<u32, Vec<Hint>>) {
        let (true, Origin::Slot(slot)) = (inst.first, inst.origin) else { return };
        for hint in hints.get(&slot).into_iter().flatten() {
            for bank in [Bank::A, Bank::B] {
                let register = &mut self.registers[State::at(bank, hint.register)];
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

/// What is known where each block begins; nothing for what is not reached.
fn solve(code: &Code, hints: &BTreeMap<u32, Vec<Hint>>) -> Vec<Option<State>> {
    let successors = code.successors();
    let mut known: Vec<Option<State>> = vec![None; code.blocks.len()];
    let mut visits = vec![0; code.blocks.len()];
    if let Some(first) = known.first_mut() {
        *first = Some(State::NOTHING);
    }
    let mut open = VecDeque::from([0]);
    while let Some(at) = open.pop_front() {
        let Some(mut state) = known[at].clone() else { continue };
        let insts = &code.blocks[at].insts;
        for (n, inst) in insts.iter().enumerate() {
            state.take(inst, hints);
            state.step(inst, is_open(inst) || takes_csr(n.checked_sub(1).map(|before| &insts[before])));
        }
        for &to in &successors[at] {
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
            if changed && !open.contains(&to) {
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

/// The operands of each block's instructions.
pub(super) fn operands(code: &Code, hints: &BTreeMap<u32, Vec<Hint>>) -> Vec<Vec<Operands>> {
    let states = solve(code, hints);
    let of = |(block, state): (&super::Block, Option<State>)| {
        let Some(mut state) = state else { return Vec::new() };
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
    };
    code.blocks.iter().zip(states).map(of).collect()
}

/// Makes every instruction as simple as what is known allows.
pub(super) fn simplify(code: &mut Code, hints: &BTreeMap<u32, Vec<Hint>>, verdict: &dyn Fn(u32) -> u32) {
    let known = solve(code, hints);
    let mirrored = Mirrored::at_entries(code);
    let live = live_out(code);
    let out = code.entries.iter().find(|(part, _)| *part == External::Out).map(|(_, label)| *label);
    for (((block, known), mut mirrored), live) in code.blocks.iter_mut().zip(known).zip(mirrored).zip(live) {
        let Some(mut state) = known else { continue };
        let mut after = vec![live; block.insts.len()];
        for at in (1..block.insts.len()).rev() {
            after[at - 1] = dead::before(&block.insts[at], after[at]);
        }
        let mut insts: Vec<Inst> = Vec::with_capacity(block.insts.len());
        let mut first = None;
        for (mut inst, after) in block.insts.drain(..).zip(after) {
            // Where the first instruction of a slot went, the next is the first.
            inst.first |= first.take() == Some(inst.origin);
            state.take(&inst, hints);
            let csr = takes_csr(insts.last());
            let fixed = csr || is_open(&inst);
            match if fixed { Some(inst.clone()) } else { simpler(&state, mirrored, &inst, after) } {
                Some(simple) => {
                    state.step(&simple, fixed);
                    mirrored.step(&simple);
                    insts.push(simple);
                }
                None => first = Some(inst.origin).filter(|_| inst.first),
            }
        }
        if let Some(label) = out {
            leave(&mut insts, &state, label, verdict);
        }
        block.insts = insts;
    }
}

/// A program that ends with a known return code needs no table to find the verdict.
fn leave(insts: &mut Vec<Inst>, state: &State, out: crate::asm::Label, verdict: &dyn Fn(u32) -> u32) {
    let Some(last) = insts.last_mut().filter(|last| last.goal == Some(Goal::Label(out))) else { return };
    if !matches!(last.op, Op::Br(_)) {
        return;
    }
    let Some(load) = state.registers[State::at(Bank::B, 0)].value().and_then(|code| once(verdict(code))) else {
        return;
    };
    let word = last.with(load(Dst::to(Reg::Gpr(Bank::A, 0))));
    last.goal = Some(Goal::External(External::Done));
    last.first = false;
    let at = insts.len() - 1;
    insts.insert(at, Inst { goal: None, ..word });
}

/// The instruction in its simplest form; nothing where it does nothing.
fn simpler(state: &State, mirrored: Mirrored, inst: &Inst, after: Places) -> Option<Inst> {
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
            return Some(load);
        }
    }
    match inst.op {
        Op::Alu(op) => alu(state, mirrored, inst, &op, flags, between),
        // A register copied to itself.
        Op::Move(Move { dst, op: AluMove::Copy, rhs, .. }) if !flags && !between && mirrored.is_own(dst, rhs.src) => {
            None
        }
        _ => Some(inst.clone()),
    }
}

fn decided(inst: &Inst, taken: Option<bool>, to: nic_model::isa::CodeAddress, defer: u8) -> Option<Inst> {
    match taken {
        Some(true) => Some(inst.with(nic_model::isa::Br { to, defer })),
        Some(false) => None,
        None => Some(inst.clone()),
    }
}

pub(super) fn encodes(inst: &Inst) -> bool {
    nic_model::isa::encode(&inst.op).is_ok()
}

fn alu(state: &State, mirrored: Mirrored, inst: &Inst, op: &Alu, flags: bool, between: bool) -> Option<Inst> {
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
            return None;
        }
        let rhs = One::new(kept, Idle::Zero);
        let copy = inst.with(Move { op: AluMove::Copy, dst: op.dst, rhs, cc: op.cc, predicate: false });
        if encodes(&copy) {
            return Some(copy);
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
    Some(if best == *op { inst.clone() } else { inst.with(best) })
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
