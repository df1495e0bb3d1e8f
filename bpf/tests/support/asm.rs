//! Short names for instructions, so that test programs read like listings.

use bpf::insn::{AluOp, AtomicOp, Callee, Cond, Insn, Operand, Reg, Size, Wide, Width};
use bpf::program::MapIndex;

pub const R0: Reg = Reg::R0;
pub const R1: Reg = Reg::R1;
pub const R2: Reg = Reg::R2;
pub const R3: Reg = Reg::R3;
pub const R4: Reg = Reg::R4;
pub const R5: Reg = Reg::R5;
pub const R6: Reg = Reg::R6;
pub const R7: Reg = Reg::R7;
pub const R8: Reg = Reg::R8;
pub const R9: Reg = Reg::R9;
pub const R10: Reg = Reg::R10;

/// A right-hand side: a register or a number.
pub trait Source {
    fn operand(self) -> Operand;
}

impl Source for Reg {
    fn operand(self) -> Operand {
        Operand::Reg(self)
    }
}

impl Source for i32 {
    fn operand(self) -> Operand {
        Operand::Imm(self)
    }
}

impl Source for Operand {
    fn operand(self) -> Operand {
        self
    }
}

pub fn mov(dst: Reg, src: impl Source) -> Insn {
    Insn::Mov { width: Width::W64, dst, src: src.operand(), sext: None }
}

pub fn alu64(op: AluOp, dst: Reg, src: impl Source) -> Insn {
    Insn::Alu { width: Width::W64, op, dst, src: src.operand() }
}

pub fn add(dst: Reg, src: impl Source) -> Insn {
    alu64(AluOp::Add, dst, src)
}

pub fn load(size: Size, dst: Reg, base: Reg, off: i16) -> Insn {
    Insn::Load { size, sext: false, dst, base, off }
}

pub fn store(size: Size, base: Reg, off: i16, src: impl Source) -> Insn {
    Insn::Store { size, base, off, src: src.operand() }
}

pub fn atomic(op: AtomicOp, fetch: bool, size: Size, base: Reg, off: i16, src: Reg) -> Insn {
    Insn::Atomic { op, fetch, size, base, off, src }
}

pub fn branch(cond: Cond, dst: Reg, src: impl Source, off: i16) -> Insn {
    Insn::Branch { width: Width::W64, cond, dst, src: src.operand(), off }
}

pub fn jump(off: i32) -> Insn {
    Insn::Jump { off, long: false }
}

pub fn helper(id: u32) -> Insn {
    Insn::Call { callee: Callee::Helper(id) }
}

pub fn call(off: i32) -> Insn {
    Insn::Call { callee: Callee::Local(off) }
}

pub fn wide(dst: Reg, value: u64) -> [Insn; 2] {
    [Insn::LoadImm64 { dst, value: Wide::Value(value) }, Insn::Pad]
}

pub fn map(dst: Reg, index: u32) -> [Insn; 2] {
    [Insn::LoadImm64 { dst, value: Wide::Map(MapIndex(index)) }, Insn::Pad]
}

pub fn exit() -> Insn {
    Insn::Exit
}
