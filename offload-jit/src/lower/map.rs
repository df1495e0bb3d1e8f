//! Values of maps: reads and atomic additions at 40-bit addresses.

use bpf::insn::{Reg as BpfReg, Size};
use nic_model::isa::{Address, AluOp, Cond, Dst, Reg, Swap};

use super::Lowering;
use super::home::{ADDRESS, Home, SCRATCH};
use crate::action::Addend;
use crate::asm::{Assembly, Command};
use crate::mode::Mode;

/// Largest addend that an addition can carry in the command itself.
const SHORT_ADDEND: u32 = 0xffff;

impl Lowering<'_> {
    /// `dst` = bytes of a value.
    pub(super) fn load_value(&mut self, size: Size, dst: BpfReg, base: BpfReg, off: i16, zext: bool) {
        let address = self.value_address(base, off);
        self.read(address, size);
        self.take_read(size, Home::of(dst), zext);
    }

    /// `dst` = the address of a byte of a map's first value; its upper half says in which memory.
    pub(super) fn value_pointer(&mut self, dst: BpfReg, table: u32, offset: u32) {
        let dst = Home::of(dst);
        self.asm.value_address(dst.low.both(), dst.high.both(), table, offset);
    }

    /// Bytes of a register to a value.
    pub(super) fn store_value(&mut self, size: Size, base: BpfReg, off: i16, src: Home) {
        let address = self.value_address(base, off);
        let words = size.bytes().div_ceil(4) as usize;
        for (n, half) in (0..).zip(src.halves().into_iter().take(words)) {
            self.asm.copy(Dst::to(Reg::Xfer(n)), half.a());
        }
        self.asm.command(Command::MEM_WRITE8_SWAP, 0, address, size.bytes() as u16, Swap::After(0));
    }

    /// The address of `base + off`: low half at port A, high half at port B.
    pub(super) fn value_address(&mut self, base: BpfReg, off: i16) -> Address {
        let base = Home::of(base);
        if off == 0 {
            return Address::wide(base.high.b(), base.low.a());
        }
        // The upper half takes the carry, or the borrow of a negative offset.
        let (first, second) = if off > 0 { (AluOp::Add, AluOp::AddCarry) } else { (AluOp::Sub, AluOp::SubCarry) };
        let off = self.asm.narrow_operand(off.unsigned_abs().into(), SCRATCH.b());
        self.asm.alu(Dst::to(SCRATCH.a()), base.low.a(), first, off);
        self.asm.alu(Dst::to(SCRATCH.b()), base.high.b(), second, 0u8);
        Address::wide(SCRATCH.b(), SCRATCH.a())
    }

    /// `*(base + off) += src`. An addend of 16 bits goes along in the command and nothing is waited for; a larger one
    /// stands in transfer registers, written in the slots behind the command.
    pub(super) fn atomic_add(&mut self, wide: bool, base: BpfReg, off: i16, src: BpfReg, addend: Addend) {
        let src = Home::of(src);
        let at = Home::of(base);
        // The offset's constant, where it needs a register, is built before the test that uses the same scratch bank A.
        let (first, second) = if off >= 0 { (AluOp::Add, AluOp::AddCarry) } else { (AluOp::Sub, AluOp::SubCarry) };
        let off_operand = self.asm.wide_operand(off.unsigned_abs().into(), SCRATCH.b());
        let (long, end) = (self.asm.label(), self.asm.label());
        let compute = |asm: &mut Assembly| {
            if off != 0 {
                asm.alu(Dst::to(ADDRESS.a()), at.low.a(), first, off_operand);
                asm.alu(Dst::to(ADDRESS.b()), at.high.a(), second, 0u8);
            }
        };
        // Both ways need the address: the driver computes it in the delay slots of the branch between them.
        let early = self.mode == Mode::Best;
        if early {
            compute(&mut self.asm);
        }
        if addend == Addend::Either {
            self.asm.constant(Dst::to(SCRATCH.a()), SHORT_ADDEND);
            self.asm.alu(Dst::NONE, SCRATCH.a(), AluOp::Sub, src.low.b());
            self.asm.alu(Dst::NONE, 0u8, AluOp::SubCarry, src.high.b());
            self.asm.branch(Cond::CarryClear, long, if off == 0 || early { 0 } else { 2 });
        }
        if !early {
            compute(&mut self.asm);
        }
        let address = match off {
            0 => Address::wide(at.high.b(), at.low.a()),
            _ => Address::wide(ADDRESS.b(), ADDRESS.a()),
        };
        if addend != Addend::Long {
            self.asm.add_short(address, wide, src.low.b(), SCRATCH.a());
        }
        if addend == Addend::Either {
            self.asm.jump(end, 0);
        }
        self.asm.bind(long);
        if addend != Addend::Short {
            // The length field tells 64 bits from 32; the addend follows in the slots before the context goes.
            let (units, slots) = if wide { (5, 2) } else { (1, 1) };
            self.asm.command(Command::MEM_ADD, 0, address, units, Swap::After(slots));
            self.asm.copy(Dst::to(Reg::Xfer(0)), src.low.a());
            if wide {
                self.asm.copy(Dst::to(Reg::Xfer(1)), src.high.a());
            }
        }
        self.asm.bind(end);
    }
}
