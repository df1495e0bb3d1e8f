//! What each instruction does. One method a row of the instruction table, where its meaning and the source of it stand.

use super::alu::{self, Flags};
use super::context::{Wake, hardware_number};
use super::machine::{Halt, Machine};
use crate::isa::*;

/// Which cost a jump has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JumpCost {
    /// Of a branch to an address in the word.
    Branch,
    /// Of a branch on a bit or byte.
    Bit,
    /// Of a jump to an address in a register.
    Register,
}

/// Where the program goes after an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// On.
    Next,
    /// There, after that many more instructions.
    Jump { to: u16, defer: u8, cost: JumpCost },
    /// On, but after that many more instructions the context gives the core away; [`super::context::Context::wake`] says
    /// until when.
    Wait { defer: u8 },
}

type Executed = Result<Flow, Halt>;

/// The constant of an `immed`.
pub(super) fn constant(op: &Immed) -> u32 {
    let shift = match op.shift {
        ImmedShift::None => 0,
        ImmedShift::One => 8,
        ImmedShift::Two => 16,
    };
    (u32::from(op.load.value) << shift) ^ if op.invert { u32::MAX } else { 0 }
}

impl Machine {
    /// Both sources of an instruction.
    #[inline]
    fn pair(&mut self, src: &Pair) -> Result<(u32, u32), Halt> {
        self.touch(src.lhs)?;
        self.touch(src.rhs)?;
        Ok((self.read(src.lhs)?, self.read(src.rhs)?))
    }

    #[inline]
    fn one(&mut self, src: Source) -> Result<u32, Halt> {
        self.touch(src)?;
        self.read(src)
    }

    /// The source of a one-operand operator, behind the left operand that only an indirect shift sees.
    #[inline]
    fn beside_left(&mut self, rhs: &One<Left>) -> Result<(u32, u32), Halt> {
        let left = match rhs.beside {
            Left::Idle(Idle::Constant) => Source::Imm(0),
            // The bits name register 0 of the other port's bank.
            Left::Idle(Idle::Zero) => Source::Reg(Reg::Gpr(rhs.port.other(), 0)),
            Left::Reg(reg) => Source::Reg(reg),
        };
        self.touch(left)?;
        self.touch(rhs.src)?;
        Ok((self.read(left)?, self.read(rhs.src)?))
    }

    /// The end of an instruction with a result.
    #[inline]
    fn finish(&mut self, left: u32, result: u32) -> Executed {
        let context = self.context();
        context.previous = result;
        context.previous_left = left;
        Ok(Flow::Next)
    }

    #[inline]
    fn set_flags(&mut self, cc: CondCodes, flags: Flags) {
        if cc == CondCodes::Set {
            self.context().flags = flags;
        }
    }

    /// The end of an instruction whose result is neither sum nor difference.
    #[inline]
    fn logic(&mut self, dst: Dst, cc: CondCodes, left: u32, result: u32) -> Executed {
        self.write(dst, result)?;
        self.set_flags(cc, Flags::of(result));
        self.finish(left, result)
    }

    #[inline]
    fn unpredicated(&mut self, predicate: bool) -> Result<(), Halt> {
        if predicate { Err(self.unsupported("a predicated instruction")) } else { Ok(()) }
    }

    /// Low five bits of the left operand of the instruction before.
    fn indirect_amount(&mut self) -> u32 {
        self.context().previous_left & 31
    }

    fn shifted(&mut self, value: u32, shift: Shift) -> u32 {
        match shift {
            Shift::Rotate(n) => value.rotate_right(n.into()),
            Shift::Left(n) => value << (n & 31),
            Shift::Right(n) => value >> (n & 31),
            Shift::LeftIndirect => value << self.indirect_amount(),
            Shift::RightIndirect => value >> self.indirect_amount(),
        }
    }

    fn amount(&mut self, amount: Amount) -> u32 {
        match amount {
            Amount::By(n) => u32::from(n) & 31,
            Amount::Indirect => self.indirect_amount(),
        }
    }

    /// An `immed` takes the value of the local CSR that the instruction before has read, if it has.
    #[inline]
    fn immediate(&mut self, constant: u32) -> u32 {
        let context = self.context();
        match context.csr_value {
            Some((at, value)) if at == context.executed => value,
            _ => constant,
        }
    }

    /// Writes some bits of a destination and leaves the others.
    fn merge(&mut self, dst: Dst, mask: u32, value: u32) -> Result<u32, Halt> {
        let Some(reg) = dst.reg else { return Ok(value & mask) };
        if reg.moves_pointer() || matches!(reg, Reg::Xfer(_) | Reg::XferIndex(_)) {
            // Which side of a transfer register the other bytes come from, and when a pointer moves, no source says.
            return Err(self.unsupported("replacing a part of a transfer register or through a moving pointer"));
        }
        let before = self.read(Source::Reg(reg))?;
        let merged = before & !mask | value & mask;
        self.write(dst, merged)?;
        Ok(merged)
    }

    fn ld_field_word(&mut self, merge: &Merge, bytes: u8, shift: Shift) -> Result<(u32, u32), Halt> {
        self.touch(merge.src)?;
        let source = self.read(merge.src)?;
        let mask = (0..4).filter(|i| bytes >> i & 1 != 0).fold(0, |mask, i| mask | 0xff << (8 * i));
        Ok((self.shifted(source, shift) & mask, mask))
    }

    fn end_field(&mut self, cc: LoadCc, result: u32) -> Executed {
        if cc == LoadCc::Set {
            self.context().flags = Flags::of(result);
        }
        self.finish(0, result)
    }

    #[inline]
    fn branch_if(&mut self, taken: bool, to: CodeAddress, defer: u8, cost: JumpCost) -> Executed {
        Ok(if taken { Flow::Jump { to: to.0, defer, cost } } else { Flow::Next })
    }
}

impl NicVisitor for Machine {
    type Return = Executed;

    #[inline]
    fn nop(&mut self, _: &Nop) -> Executed {
        self.finish(0, 0)
    }

    #[inline]
    fn immed(&mut self, op: &Immed) -> Executed {
        self.unpredicated(op.predicate)?;
        let value = self.immediate(constant(op));
        self.write(op.load.dst, value)?;
        self.finish(0, value)
    }

    fn immed_b(&mut self, op: &ImmedB) -> Executed {
        self.unpredicated(op.predicate)?;
        let shift = 8 * op.lane.code();
        let constant = u32::from(op.load.value) ^ if op.invert { u32::MAX } else { 0 };
        let value = self.immediate(constant & 0xff);
        let result = self.merge(op.load.dst, 0xff << shift, value << shift)?;
        self.finish(0, result)
    }

    fn immed_w(&mut self, op: &ImmedW) -> Executed {
        self.unpredicated(op.predicate)?;
        let shift = if op.lane == WordLane::Low { 0 } else { 16 };
        let constant = u32::from(op.load.value) ^ if op.invert { u32::MAX } else { 0 };
        let value = self.immediate(constant & 0xffff);
        let result = self.merge(op.load.dst, 0xffff << shift, value << shift)?;
        self.finish(0, result)
    }

    #[inline]
    fn alu_move(&mut self, op: &Move) -> Executed {
        self.unpredicated(op.predicate)?;
        let (left, value) = self.beside_left(&op.rhs)?;
        let result = if op.op == AluMove::Not { !value } else { value };
        self.logic(op.dst, op.cc, left, result)
    }

    fn pop_count1(&mut self, op: &PopCount1) -> Executed {
        self.unpredicated(op.predicate)?;
        let value = self.one(op.rhs.src)?;
        self.set_flags(op.cc, Flags::of(value));
        self.finish(0, value)
    }

    fn pop_count2(&mut self, op: &PopCount2) -> Executed {
        self.unpredicated(op.predicate)?;
        let value = self.one(op.rhs.src)?;
        self.set_flags(op.cc, Flags::of(value));
        self.finish(0, value)
    }

    fn pop_count3(&mut self, op: &PopCount3) -> Executed {
        self.unpredicated(op.predicate)?;
        let value = self.one(op.rhs.src)?;
        self.logic(op.dst, op.cc, 0, value.count_ones())
    }

    fn ffs(&mut self, op: &Ffs) -> Executed {
        self.unpredicated(op.predicate)?;
        let value = self.one(op.rhs.src)?;
        let result = if value == 0 { 0 } else { value.trailing_zeros() };
        self.write(op.dst, result)?;
        // Z tells that no bit is set, not that the lowest is.
        self.set_flags(op.cc, Flags::of(value));
        self.finish(0, result)
    }

    fn cam_clear(&mut self, _: &CamClear) -> Executed {
        self.cam = super::units::Cam::default();
        self.finish(0, 0)
    }

    fn cam_read_tag(&mut self, op: &CamReadTag) -> Executed {
        self.unpredicated(op.predicate)?;
        let entry = self.one(op.rhs.src)?;
        let tag = self.cam.tag(entry);
        self.logic(op.dst, op.cc, 0, tag)
    }

    fn cam_read_state(&mut self, op: &CamReadState) -> Executed {
        self.unpredicated(op.predicate)?;
        let entry = self.one(op.rhs.src)?;
        let state = self.cam.state(entry);
        self.logic(op.dst, op.cc, 0, state)
    }

    fn cam_write(&mut self, op: &CamWrite) -> Executed {
        self.unpredicated(op.predicate)?;
        let (tag, entry) = self.pair(&op.src)?;
        self.cam.write(entry, tag, op.state);
        self.set_flags(op.cc, Flags::of(tag));
        self.finish(tag, tag)
    }

    fn cam_write_state(&mut self, op: &CamWriteState) -> Executed {
        self.unpredicated(op.predicate)?;
        let entry = self.one(op.rhs.src)?;
        self.cam.write_state(entry, op.state);
        self.set_flags(op.cc, Flags::of(entry));
        self.finish(0, entry)
    }

    fn cam_lookup(&mut self, op: &CamLookup) -> Executed {
        self.unpredicated(op.predicate)?;
        if op.lhs.beside.0.is_some() {
            return Err(self.unsupported("cam_lookup into a local memory pointer"));
        }
        let tag = self.one(op.lhs.src)?;
        let result = self.cam.lookup(tag);
        self.logic(op.dst, op.cc, tag, result)
    }

    fn crc(&mut self, _: &Crc) -> Executed {
        Err(self.unsupported("crc"))
    }

    #[inline]
    fn alu(&mut self, op: &Alu) -> Executed {
        self.unpredicated(op.predicate)?;
        let (lhs, rhs) = self.pair(&op.src)?;
        let flags = alu::alu(op.op, lhs, rhs, self.context().flags.carry());
        self.write(op.dst, flags.result())?;
        self.set_flags(op.cc, flags);
        self.finish(lhs, flags.result())
    }

    fn dbl_shf(&mut self, op: &DblShf) -> Executed {
        self.unpredicated(op.predicate)?;
        let (lhs, rhs) = self.pair(&op.src)?;
        let wide = u64::from(lhs) << 32 | u64::from(rhs);
        let result = (wide >> self.amount(op.amount)) as u32;
        self.logic(op.dst, op.cc, lhs, result)
    }

    fn asr(&mut self, op: &Asr) -> Executed {
        self.unpredicated(op.predicate)?;
        let value = self.one(op.rhs.src)?;
        let amount = self.amount(op.amount);
        let sign = self.context().previous & 1 << 31 != 0;
        let entering = if sign { !(u32::MAX >> amount) } else { 0 };
        self.logic(op.dst, op.cc, 0, value >> amount | entering)
    }

    fn byte_align_be(&mut self, op: &ByteAlignBe) -> Executed {
        self.unpredicated(op.predicate)?;
        let value = self.one(op.rhs.src)?;
        let before = std::mem::replace(&mut self.running.aligned, value);
        let context = self.context();
        context.settle_pointers();
        let wide = u64::from(before) << 32 | u64::from(value);
        let result = (wide >> (32 - 8 * u32::from(context.byte_index))) as u32;
        self.logic(op.dst, op.cc, 0, result)
    }

    fn byte_align_le(&mut self, op: &ByteAlignLe) -> Executed {
        self.unpredicated(op.predicate)?;
        let value = self.one(op.lhs.src)?;
        let before = std::mem::replace(&mut self.running.aligned, value);
        let context = self.context();
        context.settle_pointers();
        let wide = u64::from(value) << 32 | u64::from(before);
        let result = (wide >> (8 * u32::from(context.byte_index))) as u32;
        self.logic(op.dst, op.cc, value, result)
    }

    fn alu_shf_move(&mut self, op: &ShfMove) -> Executed {
        self.unpredicated(op.predicate)?;
        let (left, value) = self.beside_left(&op.rhs)?;
        let shifted = self.shifted(value, op.shift);
        let result = if op.op == ShiftMove::Not { !shifted } else { shifted };
        self.logic(op.dst, op.cc, left, result)
    }

    fn alu_shf(&mut self, op: &AluShf) -> Executed {
        self.unpredicated(op.predicate)?;
        let (lhs, rhs) = self.pair(&op.src)?;
        let rhs = self.shifted(rhs, op.shift);
        let result = match op.op {
            ShiftOp::And => lhs & rhs,
            ShiftOp::NotAnd => !lhs & rhs,
            ShiftOp::AndNot => lhs & !rhs,
            ShiftOp::Or => lhs | rhs,
        };
        self.logic(op.dst, op.cc, lhs, result)
    }

    fn ld_field(&mut self, op: &LdField) -> Executed {
        self.unpredicated(op.predicate)?;
        let (value, mask) = self.ld_field_word(&op.merge, op.bytes, op.shift)?;
        let result = self.merge(op.merge.target(), mask, value)?;
        self.end_field(op.cc, result)
    }

    fn ld_field_clear(&mut self, op: &LdFieldClear) -> Executed {
        self.unpredicated(op.predicate)?;
        let (value, _) = self.ld_field_word(&op.merge, op.bytes, op.shift)?;
        self.write(op.merge.target(), value)?;
        self.end_field(op.cc, value)
    }

    fn mul_start(&mut self, op: &MulStart) -> Executed {
        self.unpredicated(op.predicate)?;
        let (lhs, _) = self.pair(&op.src)?;
        self.running.product = 0;
        self.set_flags(op.cc, Flags::of(0));
        self.finish(lhs, 0)
    }

    fn mul_step(&mut self, op: &MulStep) -> Executed {
        self.unpredicated(op.predicate)?;
        let (lhs, rhs) = self.pair(&op.src)?;
        let shift = 8 * op.step.code();
        let partial = u64::from(lhs) * u64::from(rhs >> shift & 0xff);
        self.running.product = self.running.product.wrapping_add(partial << shift);
        self.set_flags(op.cc, Flags::of(0));
        self.finish(lhs, 0)
    }

    fn mul_last(&mut self, op: &MulLast) -> Executed {
        self.unpredicated(op.predicate)?;
        let product = self.running.product;
        let result = if op.half == MulHalf::Low { product as u32 } else { (product >> 32) as u32 };
        self.logic(op.dst, op.cc, 0, result)
    }

    fn csr_read(&mut self, op: &CsrRead) -> Executed {
        let value = self.read_csr(op.csr)?;
        let context = self.context();
        context.csr_value = Some((context.executed + 1, value));
        Ok(Flow::Next)
    }

    fn csr_set(&mut self, op: &CsrSet) -> Executed {
        self.write_csr(op.csr, op.value.0.into())?;
        Ok(Flow::Next)
    }

    fn csr_write(&mut self, op: &CsrWrite) -> Executed {
        let value = self.one(Source::Reg(op.src.reg))?;
        self.write_csr(op.csr, value)?;
        Ok(Flow::Next)
    }

    fn ctx_arb(&mut self, op: &CtxArb) -> Executed {
        self.check_no_slots()?;
        if op.resume.0.is_some() && op.defer != 0 {
            return Err(self.unsupported("ctx_arb with both a branch and deferred slots"));
        }
        let wake = match op.wait {
            Wait::Voluntary => Wake::default(),
            Wait::All(signals) => Wake { signals, any: false },
            Wait::Any(signals) => Wake { signals, any: true },
            Wait::Armed => self.context().wake,
            Wait::Kill => return Err(self.unsupported("ctx_arb[kill]")),
            Wait::Breakpoint => return Err(self.unsupported("ctx_arb[bpt]")),
        };
        self.context().wake = wake;
        if let Some(to) = op.resume.0 {
            self.context().resume = Some(to.0);
        }
        Ok(Flow::Wait { defer: op.defer })
    }

    #[inline]
    fn br(&mut self, op: &Br) -> Executed {
        self.branch_if(true, op.to, op.defer, JumpCost::Branch)
    }

    #[inline]
    fn br_cond(&mut self, op: &BrCond) -> Executed {
        let taken = self.context().flags.holds(op.cond);
        self.branch_if(taken, op.to, op.defer, JumpCost::Branch)
    }

    fn br_ctx(&mut self, op: &BrCtx) -> Executed {
        let here = hardware_number(self.context_id(), self.config.contexts) == op.context;
        self.branch_if(here != op.not, op.to, op.defer, JumpCost::Branch)
    }

    fn br_signal(&mut self, op: &BrSignal) -> Executed {
        let bit = 1u16.checked_shl(op.signal.into()).unwrap_or(0);
        if bit <= 1 {
            return Err(self.unsupported("br_signal on signal 0 or above 15"));
        }
        // Even if the signal is there: another that has come since would be consumed with it.
        self.settle_deliveries()?;
        let there = self.context().signals & bit != 0;
        self.context().signals &= !bit;
        self.branch_if(there != op.not, op.to, op.defer, JumpCost::Branch)
    }

    fn br_inp_state(&mut self, _: &BrInpState) -> Executed {
        Err(self.unsupported("br_inp_state"))
    }

    fn br_cls_state(&mut self, _: &BrClsState) -> Executed {
        Err(self.unsupported("br_cls_state"))
    }

    fn br_bit(&mut self, op: &BrBit) -> Executed {
        let value = self.one(Source::Reg(op.test.reg))?;
        let set = value >> op.test.bit() & 1 != 0;
        self.branch_if(set == op.set, op.to, op.defer, JumpCost::Bit)
    }

    fn br_byte(&mut self, op: &BrByte) -> Executed {
        let value = self.one(Source::Reg(op.src.reg))?;
        let byte = (value >> (8 * (u32::from(op.byte) & 3))) as u8;
        self.branch_if((byte == op.src.constant) == op.equal, op.to, op.defer, JumpCost::Bit)
    }

    fn jump(&mut self, op: &Jump) -> Executed {
        let base = self.one(Source::Reg(op.to.base))?;
        // The code store has 14 address bits.
        let to = (base.wrapping_add(op.to.offset) & 0x3fff) as u16;
        Ok(Flow::Jump { to, defer: op.defer, cost: JumpCost::Register })
    }

    fn cmd_immediate(&mut self, op: &CmdImmediate) -> Executed {
        Err(self.unknown_command(op.command))
    }

    fn cmd_at(&mut self, op: &CmdAt) -> Executed {
        Err(self.unknown_command(op.command))
    }

    fn cmd_data(&mut self, op: &CmdData) -> Executed {
        Err(self.unknown_command(op.command))
    }

    fn cmd_short(&mut self, op: &CmdShort) -> Executed {
        Err(self.unknown_command(op.command))
    }

    fn cmd(&mut self, op: &Cmd) -> Executed {
        self.command(op)
    }
}
