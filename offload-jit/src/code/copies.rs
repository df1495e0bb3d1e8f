//! Readers of a copy read the original, so that the copy may go.

use nic_model::isa::{
    Address, AddressMode, Alu, AluMove, AluShf, Bank, Beside, BitTest, BrBit, BrByte, CsrWrite, DblShf, Merge, Move,
    MulStart, MulStep, One, Op, Pair, Reg, ShfMove, Source,
};

use super::known::encodes;
use super::mirror::Mirrored;
use super::touch::{BANK, Places};
use super::{Code, Inst};

/// What each register of both banks holds, by the number of the value. Equal numbers are equal values.
struct Values {
    of: [u32; 2 * BANK as usize],
    /// Since when: the register that has held a value longest is the original.
    since: [u32; 2 * BANK as usize],
    next: u32,
}

fn at(bank: Bank, n: u8) -> usize {
    usize::from(n % BANK as u8) + if bank == Bank::B { BANK as usize } else { 0 }
}

impl Values {
    fn new(mirrored: Mirrored) -> Self {
        let mut of = std::array::from_fn(|register| register as u32);
        for n in (0..BANK as u8).filter(|n| mirrored.holds(*n)) {
            of[at(Bank::B, n)] = of[at(Bank::A, n)];
        }
        Values { of, since: [0; 2 * BANK as usize], next: 2 * BANK }
    }

    fn set(&mut self, bank: Bank, n: u8, value: u32) {
        self.of[at(bank, n)] = value;
        self.since[at(bank, n)] = self.next;
    }

    /// Registers that held what a register holds before it did, the first of them first.
    fn originals(&self, bank: Bank, n: u8) -> Vec<Reg> {
        let (value, since) = (self.of[at(bank, n)], self.since[at(bank, n)]);
        let holds = |at: &usize| self.of[*at] == value && self.since[*at] < since;
        let mut found: Vec<_> = (0..2 * BANK as usize).filter(holds).collect();
        found.sort_by_key(|at| self.since[*at]);
        let bank = |at: usize| if at < BANK as usize { Bank::A } else { Bank::B };
        found.into_iter().map(|at| Reg::Gpr(bank(at), (at % BANK as usize) as u8)).collect()
    }

    fn step(&mut self, inst: &Inst) {
        let copied = match inst.op {
            Op::Move(Move { op: AluMove::Copy, dst, rhs, .. }) => match (dst.reg, rhs.src) {
                (Some(Reg::Gpr(..)), Source::Reg(Reg::Gpr(bank, n))) => Some(self.of[at(bank, n)]),
                _ => None,
            },
            _ => None,
        };
        let defs = inst.called().map_or(inst.defs, |(_, clobbers)| clobbers);
        self.next += 1;
        let result = copied.unwrap_or(self.next);
        for n in 0..BANK as u8 {
            for bank in [Bank::A, Bank::B].into_iter().filter(|bank| defs.meets(Places::gpr(*bank, n))) {
                if inst.called().is_some() {
                    self.next += 1;
                    self.set(bank, n, self.next);
                } else {
                    self.set(bank, n, result);
                }
            }
        }
        if inst.called().is_some() {
            for n in 0..2 {
                self.of[at(Bank::B, n)] = self.of[at(Bank::A, n)];
            }
        }
    }
}

/// Lets every instruction read originals.
pub(super) fn forward(code: &mut Code) {
    let mirrored = Mirrored::at_entries(code);
    for (block, mirrored) in code.blocks.iter_mut().zip(mirrored) {
        let mut values = Values::new(mirrored);
        for inst in &mut block.insts {
            if inst.uses.meets(Places::GPRS) {
                *inst = rewritten(inst, &values);
            }
            values.step(inst);
        }
    }
}

fn rewritten(inst: &Inst, values: &Values) -> Inst {
    let mut now = inst.clone();
    for n in 0..BANK as u8 {
        for bank in [Bank::A, Bank::B] {
            if !now.uses.meets(Places::gpr(bank, n)) {
                continue;
            }
            let originals = values.originals(bank, n).into_iter();
            let better = originals.filter_map(|reg| replaced(&now, Reg::Gpr(bank, n), reg));
            if let Some(better) = better.into_iter().find(|better| !better.uses.meets(Places::gpr(bank, n))) {
                now = better;
            }
        }
    }
    now
}

/// The instruction reading another register instead of one, if there is such.
fn replaced(inst: &Inst, from: Reg, to: Reg) -> Option<Inst> {
    let source = |source: Source| if source == Source::Reg(from) { Source::Reg(to) } else { source };
    let pair = |pair: Pair| Pair::new(source(pair.lhs), source(pair.rhs));
    let now = match inst.op {
        Op::Alu(op) => inst.with(Alu { src: pair(op.src), ..op }),
        Op::AluShf(op) => inst.with(AluShf { src: pair(op.src), ..op }),
        Op::DblShf(op) => inst.with(DblShf { src: pair(op.src), ..op }),
        Op::MulStart(op) => inst.with(MulStart { src: pair(op.src), ..op }),
        Op::MulStep(op) => inst.with(MulStep { src: pair(op.src), ..op }),
        Op::Move(op) => inst.with(Move { rhs: One::new(source(op.rhs.src), op.rhs.beside), ..op }),
        Op::ShfMove(op) => inst.with(ShfMove { rhs: One::new(source(op.rhs.src), op.rhs.beside), ..op }),
        Op::LdFieldClear(mut op) => {
            op.merge = Merge::new(op.merge.target(), source(op.merge.src))?;
            inst.with(op)
        }
        Op::BrBit(op) => {
            inst.with(BrBit { test: BitTest::new(source(op.test.reg.into()).reg()?, op.test.bit()), ..op })
        }
        Op::BrByte(op) => {
            inst.with(BrByte { src: Beside::new(source(op.src.reg.into()).reg()?, op.src.constant), ..op })
        }
        Op::CsrWrite(op) => {
            inst.with(CsrWrite { src: Beside::new(source(op.src.reg.into()).reg()?, op.src.constant), ..op })
        }
        Op::Cmd(mut op) => {
            let (high, low) = (source(op.address.high), source(op.address.low));
            op.address = match op.address.mode {
                AddressMode::Sum32 => Address::sum(high, low),
                AddressMode::Ab40 | AddressMode::Ba40 => Address::wide(high, low),
            };
            inst.with(op)
        }
        _ => return None,
    };
    encodes(&now).then_some(now)
}
