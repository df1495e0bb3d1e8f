//! Readers of a copy read the original, so that the copy may go.

use nic_model::isa::{
    Address, AddressMode, Alu, AluMove, AluShf, Bank, Beside, BitTest, BrBit, BrByte, CsrWrite, DblShf, Merge, Move,
    MulStart, MulStep, One, Op, Pair, Reg, ShfMove, Source,
};

use super::known::encodes;
use super::mirror::Mirrored;
use super::touch::{BANK, Places, Registers, register};
use super::{Code, Inst};

/// Which registers of both banks hold the same.
struct Values {
    /// For each, those that hold what it holds, a bit each.
    same: [u64; 2 * BANK as usize],
    /// Since when: the register that has held a value longest is the original.
    since: [u32; 2 * BANK as usize],
    now: u32,
}

impl Values {
    fn new(mirrored: Mirrored) -> Self {
        let mut values = Values { same: std::array::from_fn(|at| 1 << at), since: [0; 2 * BANK as usize], now: 0 };
        (0..BANK as u8).filter(|n| mirrored.holds(*n)).for_each(|n| values.mirror(n));
        values
    }

    /// A register holds something else, which no other does.
    fn forget(&mut self, at: usize) {
        Registers::of(self.same[at]).for_each(|other| self.same[other] &= !(1 << at));
        self.same[at] = 1 << at;
        self.since[at] = self.now;
    }

    /// Both banks hold the same at this number; that of bank B as long as it has held what it holds.
    fn mirror(&mut self, n: u8) {
        let (a, b) = (register(Bank::A, n), register(Bank::B, n));
        if self.same[a] >> b & 1 == 0 {
            let since = self.since[b];
            self.forget(b);
            self.since[b] = since;
            let same = self.same[a] | 1 << b;
            Registers::of(same).for_each(|at| self.same[at] = same);
        }
    }

    /// Registers that held what a register holds before it did, the first of them first.
    fn originals(&self, at: usize) -> impl Iterator<Item = Reg> + use<> {
        let since = self.since[at];
        let mut found: Vec<(u32, usize)> = Registers::of(self.same[at])
            .map(|other| (self.since[other], other))
            .filter(|(other, _)| *other < since)
            .collect();
        found.sort_unstable();
        found.into_iter().map(|(_, at)| of(at))
    }

    fn step(&mut self, inst: &Inst) {
        self.now += 1;
        if let Some((_, clobbers)) = inst.called() {
            for at in clobbers.registers() {
                self.forget(at);
                self.now += 1;
            }
            return (0..2).for_each(|n| self.mirror(n));
        }
        let copied = match inst.op {
            Op::Move(Move { op: AluMove::Copy, dst, rhs, .. }) => match (dst.reg, rhs.src) {
                (Some(Reg::Gpr(..)), Source::Reg(Reg::Gpr(bank, n))) => self.same[register(bank, n)],
                _ => 0,
            },
            _ => 0,
        };
        inst.defs.registers().for_each(|at| self.forget(at));
        // All that is written is one result.
        let same = copied | inst.defs.registers().mask();
        Registers::of(same).for_each(|at| self.same[at] = same);
    }
}

/// The register at a place in an array of both banks.
fn of(at: usize) -> Reg {
    let bank = if at < BANK as usize { Bank::A } else { Bank::B };
    Reg::Gpr(bank, (at % BANK as usize) as u8)
}

/// Lets every instruction read originals.
pub(super) fn forward(code: &mut Code) {
    let mirrored = Mirrored::at_entries(code);
    for (block, mirrored) in code.blocks.iter_mut().zip(mirrored) {
        if block.memo.forwarded == Some(mirrored) {
            continue;
        }
        let mut values = Values::new(mirrored);
        let mut changed = false;
        for inst in &mut block.insts {
            if let Some(better) = rewritten(inst, &values) {
                *inst = better;
                changed = true;
            }
            values.step(inst);
        }
        if changed {
            block.changed();
        } else {
            block.memo.forwarded = Some(mirrored);
        }
    }
}

/// The instruction reading originals, if it reads any copy.
fn rewritten(inst: &Inst, values: &Values) -> Option<Inst> {
    let mut now: Option<Inst> = None;
    let mut next = 0;
    loop {
        let uses = now.as_ref().unwrap_or(inst).uses;
        let Some(n) = (next..BANK).find(|n| (uses.bank(Bank::A) | uses.bank(Bank::B)) >> n & 1 != 0) else {
            return now;
        };
        next = n + 1;
        for bank in [Bank::A, Bank::B] {
            let reads = now.as_ref().unwrap_or(inst);
            let place = Places::gpr(bank, n as u8);
            if reads.uses.meets(place) {
                let originals = values.originals(register(bank, n as u8));
                let mut better = originals.filter_map(|reg| replaced(reads, Reg::Gpr(bank, n as u8), reg));
                now = better.find(|better| !better.uses.meets(place)).or(now);
            }
        }
    }
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
