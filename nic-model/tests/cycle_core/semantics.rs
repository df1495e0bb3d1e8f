//! What instructions do, written down a second time: plainly, without regard to speed.

use nic_model::core::TrapKind;
use nic_model::isa::*;

use super::{Context, Shared};

/// What an instruction asks of the core beyond registers.
pub enum Effect {
    None,
    Jump {
        to: u16,
        defer: u8,
        bubble: Bubble,
    },
    /// Give the core away until these signals.
    Wait {
        signals: u16,
        any: bool,
        defer: u8,
        resume: Option<u16>,
    },
    Command(Box<Request>),
}

pub enum Bubble {
    Branch,
    Bit,
    Register,
}

/// A command as the instruction words it.
pub struct Request {
    pub op: Cmd,
    pub address: u64,
    pub length: u32,
    pub immediate: Option<u16>,
}

pub type Outcome = Result<Effect, TrapKind>;

const fn unsupported<T>() -> Result<T, TrapKind> {
    Err(TrapKind::Unsupported { what: "something" })
}

impl Context {
    fn local(&mut self, pointer: u8, offset: u8) -> Result<usize, TrapKind> {
        self.settle();
        let address = self.pointers[usize::from(pointer)];
        let word = (address >> 2 | u32::from(offset)) as usize;
        if word >= 1024 { Err(TrapKind::LocalMemory { address }) } else { Ok(word) }
    }

    fn read(&mut self, shared: &Shared, source: Source) -> Result<u32, TrapKind> {
        let reg = match source {
            Source::Imm(value) => return Ok(value.into()),
            Source::Reg(reg) => reg,
        };
        Ok(match reg {
            Reg::Gpr(Bank::A, n) => self.a[usize::from(n)],
            Reg::Gpr(Bank::B, n) => self.b[usize::from(n)],
            Reg::Xfer(n) => self.transfer_in[usize::from(n)],
            Reg::Local { pointer, offset } => shared.local[self.local(pointer, offset)?],
            Reg::LocalIncrement { pointer } => {
                let value = shared.local[self.local(pointer, 0)?];
                self.pointers[usize::from(pointer)] = self.pointers[usize::from(pointer)].wrapping_add(4);
                value
            }
            Reg::LocalDecrement { pointer } => {
                let value = shared.local[self.local(pointer, 0)?];
                self.pointers[usize::from(pointer)] = self.pointers[usize::from(pointer)].wrapping_sub(4);
                value
            }
            _ => return unsupported(),
        })
    }

    fn write(&mut self, shared: &mut Shared, dst: Dst, value: u32) -> Result<(), TrapKind> {
        match dst.reg {
            None => {}
            Some(Reg::Gpr(bank, n)) => {
                if bank == Bank::A || dst.both {
                    self.a[usize::from(n)] = value;
                }
                if bank == Bank::B || dst.both {
                    self.b[usize::from(n)] = value;
                }
            }
            Some(Reg::Xfer(n)) => self.transfer_out[usize::from(n)] = value,
            Some(Reg::Local { pointer, offset }) => {
                let at = self.local(pointer, offset)?;
                shared.local[at] = value;
            }
            Some(Reg::LocalIncrement { pointer }) => {
                let at = self.local(pointer, 0)?;
                shared.local[at] = value;
                self.pointers[usize::from(pointer)] = self.pointers[usize::from(pointer)].wrapping_add(4);
            }
            Some(Reg::LocalDecrement { pointer }) => {
                let at = self.local(pointer, 0)?;
                shared.local[at] = value;
                self.pointers[usize::from(pointer)] = self.pointers[usize::from(pointer)].wrapping_sub(4);
            }
            Some(_) => return unsupported(),
        }
        Ok(())
    }

    /// Sets N and Z by a result, C and V as given, and keeps the result.
    fn result(&mut self, cc: bool, left: u32, result: u32, carry: bool, overflow: bool) -> Outcome {
        if cc {
            (self.n, self.z, self.c, self.v) = (result >> 31 == 1, result == 0, carry, overflow);
        }
        (self.left, self.previous) = (left, result);
        Ok(Effect::None)
    }

    fn logic(&mut self, shared: &mut Shared, dst: Dst, cc: CondCodes, left: u32, result: u32) -> Outcome {
        self.write(shared, dst, result)?;
        self.result(cc == CondCodes::Set, left, result, false, false)
    }

    fn holds(&self, cond: Cond) -> bool {
        match cond {
            Cond::Eq => self.z,
            Cond::Ne => !self.z,
            Cond::Minus => self.n,
            Cond::Plus => !self.n,
            Cond::CarrySet => self.c,
            Cond::CarryClear => !self.c,
            Cond::OverflowSet => self.v,
            Cond::OverflowClear => !self.v,
            Cond::Ge => self.n == self.v,
            Cond::Lt => self.n != self.v,
            Cond::Le => self.z || self.n != self.v,
            Cond::Gt => !self.z && self.n == self.v,
        }
    }

    fn shift(&self, value: u32, shift: Shift) -> u32 {
        let wide = u64::from(value);
        match shift {
            Shift::Rotate(n) => (wide >> n | wide << (32 - n)) as u32,
            Shift::Left(n) => (wide << n) as u32,
            Shift::Right(n) => (wide >> n) as u32,
            Shift::LeftIndirect => (wide << (self.left % 32)) as u32,
            Shift::RightIndirect => (wide >> (self.left % 32)) as u32,
        }
    }

    fn beside(&mut self, shared: &Shared, rhs: &One<Left>) -> Result<(u32, u32), TrapKind> {
        let left = match rhs.beside {
            Left::Reg(reg) => self.read(shared, reg.into())?,
            Left::Idle(Idle::Constant) => 0,
            Left::Idle(Idle::Zero) if rhs.port == Bank::B => self.a[0],
            Left::Idle(Idle::Zero) => self.b[0],
        };
        Ok((left, self.read(shared, rhs.src)?))
    }

    fn constant(&mut self, value: u32) -> u32 {
        match self.csr.take() {
            Some((at, csr)) if at == self.executed => csr,
            _ => value,
        }
    }

    fn part(&mut self, shared: &mut Shared, dst: Dst, mask: u32, value: u32) -> Result<u32, TrapKind> {
        let old = match dst.reg {
            None => 0,
            Some(reg @ (Reg::Gpr(..) | Reg::Local { .. })) => self.read(shared, reg.into())?,
            Some(_) => return unsupported(),
        };
        let new = if dst.reg.is_none() { value & mask } else { old & !mask | value & mask };
        self.write(shared, dst, new)?;
        Ok(new)
    }

    /// Executes one instruction at a cycle.
    pub fn execute(&mut self, shared: &mut Shared, op: &Op, cycle: u64) -> Outcome {
        let branch = |taken: bool, to: CodeAddress, defer, bubble| {
            Ok(if taken { Effect::Jump { to: to.0, defer, bubble } } else { Effect::None })
        };
        match *op {
            Op::Nop(_) => self.result(false, 0, 0, false, false),
            Op::Immed(op) => {
                let shift = [0, 8, 16][op.shift as usize];
                let value = u32::from(op.load.value) << shift;
                let value = self.constant(if op.invert { !value } else { value });
                self.write(shared, op.load.dst, value)?;
                self.result(false, 0, value, false, false)
            }
            Op::ImmedB(op) => {
                let value = if op.invert { !op.load.value } else { op.load.value };
                let value = self.constant((value & 0xff).into());
                let shift = 8 * op.lane as u32;
                let result = self.part(shared, op.load.dst, 0xff << shift, value << shift)?;
                self.result(false, 0, result, false, false)
            }
            Op::ImmedW(op) => {
                let value = if op.invert { !op.load.value } else { op.load.value };
                let value = self.constant(value.into());
                let shift = 16 * op.lane as u32;
                let result = self.part(shared, op.load.dst, 0xffff << shift, value << shift)?;
                self.result(false, 0, result, false, false)
            }
            Op::Move(op) => {
                let (left, value) = self.beside(shared, &op.rhs)?;
                let result = if op.op == AluMove::Copy { value } else { !value };
                self.logic(shared, op.dst, op.cc, left, result)
            }
            Op::PopCount1(PopCount1 { rhs, cc, .. }) | Op::PopCount2(PopCount2 { rhs, cc, .. }) => {
                let value = self.read(shared, rhs.src)?;
                self.result(cc == CondCodes::Set, 0, value, false, false)
            }
            Op::PopCount3(op) => {
                let value = self.read(shared, op.rhs.src)?;
                let ones = (0..32).filter(|bit| value >> bit & 1 == 1).count();
                self.logic(shared, op.dst, op.cc, 0, ones as u32)
            }
            Op::Ffs(op) => {
                let value = self.read(shared, op.rhs.src)?;
                let lowest = (0..32).find(|bit| value >> bit & 1 == 1).unwrap_or(0);
                self.write(shared, op.dst, lowest)?;
                let done = self.result(op.cc == CondCodes::Set, 0, value, false, false);
                self.previous = lowest;
                done
            }
            Op::Alu(op) => {
                let (lhs, rhs) = (self.read(shared, op.src.lhs)?, self.read(shared, op.src.rhs)?);
                let borrow = i64::from(!self.c);
                // Sums and differences as signed and as unsigned numbers too wide to overflow.
                let exact = |a: u32, b: u32, f: fn(i64, i64, i64) -> i64, extra: i64| {
                    let signed = f(i64::from(a as i32), i64::from(b as i32), extra);
                    let unsigned = f(i64::from(a), i64::from(b), extra);
                    let result = unsigned as u32;
                    (result, unsigned, signed != i64::from(result as i32))
                };
                let add = |a, b, extra| {
                    let (result, unsigned, overflow) = exact(a, b, |a, b, extra| a + b + extra, extra);
                    (result, unsigned > i64::from(u32::MAX), overflow)
                };
                let sub = |a, b, extra| {
                    let (result, unsigned, overflow) = exact(a, b, |a, b, extra| a - b - extra, extra);
                    (result, unsigned >= 0, overflow)
                };
                let (result, carry, overflow) = match op.op {
                    AluOp::Add => add(lhs, rhs, 0),
                    AluOp::Add16 => add(lhs, rhs & 0xffff, 0),
                    AluOp::Add8 => add(lhs, rhs & 0xff, 0),
                    AluOp::AddCarry => add(lhs, rhs, 1 - borrow),
                    AluOp::Sub => sub(lhs, rhs, 0),
                    AluOp::SubCarry => sub(lhs, rhs, borrow),
                    AluOp::SubReverse => sub(rhs, lhs, 0),
                    AluOp::And => (lhs & rhs, false, false),
                    AluOp::NotAnd => (!lhs & rhs, false, false),
                    AluOp::AndNot => (lhs & !rhs, false, false),
                    AluOp::Or => (lhs | rhs, false, false),
                    AluOp::Xor => (lhs ^ rhs, false, false),
                };
                self.write(shared, op.dst, result)?;
                self.result(op.cc == CondCodes::Set, lhs, result, carry, overflow)
            }
            Op::DblShf(op) => {
                let (lhs, rhs) = (self.read(shared, op.src.lhs)?, self.read(shared, op.src.rhs)?);
                let amount = self.amount(op.amount);
                let result = if amount == 0 { rhs } else { lhs << (32 - amount) | rhs >> amount };
                self.logic(shared, op.dst, op.cc, lhs, result)
            }
            Op::Asr(op) => {
                let value = self.read(shared, op.rhs.src)?;
                let amount = self.amount(op.amount);
                let sign = if self.previous >> 31 == 1 { u64::MAX << 32 } else { 0 };
                let result = ((sign | u64::from(value)) >> amount) as u32;
                self.logic(shared, op.dst, op.cc, 0, result)
            }
            Op::ShfMove(op) => {
                let (left, value) = self.beside(shared, &op.rhs)?;
                let value = self.shift(value, op.shift);
                let result = if op.op == ShiftMove::Copy { value } else { !value };
                self.logic(shared, op.dst, op.cc, left, result)
            }
            Op::AluShf(op) => {
                let (lhs, rhs) = (self.read(shared, op.src.lhs)?, self.read(shared, op.src.rhs)?);
                let rhs = self.shift(rhs, op.shift);
                let result = match op.op {
                    ShiftOp::And => lhs & rhs,
                    ShiftOp::NotAnd => !lhs & rhs,
                    ShiftOp::AndNot => lhs & !rhs,
                    ShiftOp::Or => lhs | rhs,
                };
                self.logic(shared, op.dst, op.cc, lhs, result)
            }
            Op::LdField(LdField { merge, bytes, shift, cc, .. })
            | Op::LdFieldClear(LdFieldClear { merge, bytes, shift, cc, .. }) => {
                let source = self.read(shared, merge.src)?;
                let moved = self.shift(source, shift);
                let mask = u32::from_le_bytes([0, 1, 2, 3].map(|i| if bytes >> i & 1 == 1 { 0xff } else { 0 }));
                let result = if matches!(op, Op::LdFieldClear(_)) {
                    self.write(shared, merge.target(), moved & mask)?;
                    moved & mask
                } else {
                    self.part(shared, merge.target(), mask, moved)?
                };
                self.result(cc == LoadCc::Set, 0, result, false, false)
            }
            Op::MulStart(op) => {
                let lhs = self.read(shared, op.src.lhs)?;
                self.read(shared, op.src.rhs)?;
                shared.product = 0;
                self.result(op.cc == CondCodes::Set, lhs, 0, false, false)
            }
            Op::MulStep(op) => {
                let (lhs, rhs) = (self.read(shared, op.src.lhs)?, self.read(shared, op.src.rhs)?);
                let byte = rhs.to_le_bytes()[op.step as usize];
                let weight = 1u64 << (8 * op.step as u32);
                let partial = u64::from(lhs).wrapping_mul(byte.into()).wrapping_mul(weight);
                shared.product = shared.product.wrapping_add(partial);
                self.result(op.cc == CondCodes::Set, lhs, 0, false, false)
            }
            Op::MulLast(op) => {
                let halves = [shared.product as u32, (shared.product >> 32) as u32];
                let result = halves[usize::from(op.half == MulHalf::High)];
                self.logic(shared, op.dst, op.cc, 0, result)
            }
            Op::CsrRead(op) => {
                let value = match op.csr {
                    Csr::TIMESTAMP_LOW => (cycle / 16) as u32,
                    Csr::RANDOM => shared.next_random(),
                    Csr::SIGNALS => u32::from(self.signals & !1),
                    Csr::ALU_OUT => self.previous,
                    Csr::LM_ADDR0 => {
                        self.settle();
                        self.pointers[0]
                    }
                    _ => return unsupported(),
                };
                self.csr = Some((self.executed + 1, value));
                Ok(Effect::None)
            }
            Op::CsrSet(op) => self.write_csr(op.csr, op.value.0.into()),
            Op::CsrWrite(op) => {
                let value = self.read(shared, op.src.reg.into())?;
                self.write_csr(op.csr, value)
            }
            Op::CtxArb(op) => {
                let (signals, any) = match op.wait {
                    Wait::Voluntary => (0, false),
                    Wait::All(signals) => (signals, false),
                    Wait::Any(signals) => (signals, true),
                    _ => return unsupported(),
                };
                let resume = op.resume.0.map(|to| to.0);
                if self.slots != 0 || resume.is_some() && op.defer != 0 {
                    return unsupported();
                }
                Ok(Effect::Wait { signals, any, defer: op.defer, resume })
            }
            Op::Br(op) => branch(true, op.to, op.defer, Bubble::Branch),
            Op::BrCond(op) => branch(self.holds(op.cond), op.to, op.defer, Bubble::Branch),
            Op::BrCtx(op) => branch((self.number == op.context) != op.not, op.to, op.defer, Bubble::Branch),
            Op::BrSignal(op) => {
                let there = self.signals >> op.signal & 1 == 1;
                self.signals &= !(1 << op.signal);
                branch(there != op.not, op.to, op.defer, Bubble::Branch)
            }
            Op::BrBit(op) => {
                let value = self.read(shared, op.test.reg.into())?;
                branch((value >> op.test.bit() & 1 == 1) == op.set, op.to, op.defer, Bubble::Bit)
            }
            Op::BrByte(op) => {
                let value = self.read(shared, op.src.reg.into())?;
                let byte = value.to_le_bytes()[usize::from(op.byte)];
                branch((byte == op.src.constant) == op.equal, op.to, op.defer, Bubble::Bit)
            }
            Op::Jump(op) => {
                let to = self.read(shared, op.to.base.into())?.wrapping_add(op.to.offset) & 0x3fff;
                Ok(Effect::Jump { to: to as u16, defer: op.defer, bubble: Bubble::Register })
            }
            Op::Cmd(op) => self.request(shared, op),
            // What this core has not: scenes do not draw it (`NOT_DRAWN` of `burst_exact`).
            Op::CamClear(_)
            | Op::CamReadTag(_)
            | Op::CamReadState(_)
            | Op::CamWrite(_)
            | Op::CamWriteState(_)
            | Op::CamLookup(_)
            | Op::Crc(_)
            | Op::ByteAlignBe(_)
            | Op::ByteAlignLe(_)
            | Op::BrInpState(_)
            | Op::BrClsState(_)
            | Op::CmdImmediate(_)
            | Op::CmdAt(_)
            | Op::CmdData(_)
            | Op::CmdShort(_) => unsupported(),
        }
    }

    fn amount(&self, amount: Amount) -> u32 {
        match amount {
            Amount::By(n) => n.into(),
            Amount::Indirect => self.left % 32,
        }
    }

    fn write_csr(&mut self, csr: Csr, value: u32) -> Outcome {
        let pointer = match csr {
            Csr::LM_ADDR0 => 0,
            Csr::LM_ADDR1 => 1,
            Csr::LM_ADDR2 => 2,
            Csr::LM_ADDR3 => 3,
            _ => return unsupported(),
        };
        self.settle();
        self.writes.push((4, pointer, value));
        Ok(Effect::None)
    }

    fn request(&mut self, shared: &Shared, op: Cmd) -> Outcome {
        if self.slots != 0 && op.completion.swap != Swap::No {
            return unsupported();
        }
        let (high, low) = (self.read(shared, op.address.high)?, self.read(shared, op.address.low)?);
        let address = match op.address.mode {
            AddressMode::Sum32 => high.wrapping_add(low).into(),
            _ => (u64::from(high) * 256 + u64::from(low)) % (1 << 40),
        };
        let mut length = u32::from(op.count.0) - 1;
        let mut immediate = None;
        if op.indirect.0 {
            let word = self.previous;
            if word & 0x6047 != 0 || !matches!(word >> 3 & 7, 0 | 2) {
                return unsupported();
            }
            if word >> 7 & 1 == 1 {
                length = word >> 8 & 31;
            }
            immediate = (word >> 3 & 7 == 2).then_some((word >> 16) as u16);
        }
        Ok(Effect::Command(Box::new(Request { op, address, length, immediate })))
    }
}
