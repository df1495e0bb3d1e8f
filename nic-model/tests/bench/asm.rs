//! Instructions for the programs of tests.

use nic_model::firmware::Entry;
use nic_model::isa::*;

/// Register `n` of bank A.
pub const fn a(n: u8) -> Reg {
    Reg::Gpr(Bank::A, n)
}

/// Register `n` of bank B.
pub const fn b(n: u8) -> Reg {
    Reg::Gpr(Bank::B, n)
}

/// The word behind a local memory pointer.
pub const fn local(pointer: u8, offset: u8) -> Reg {
    Reg::Local { pointer, offset }
}

pub fn alu(op: AluOp, dst: Dst, lhs: impl Into<Source>, rhs: impl Into<Source>) -> Op {
    Alu { op, dst, src: Pair::new(lhs, rhs), cc: CondCodes::Set, predicate: false }.into()
}

pub fn copy(dst: Reg, src: impl Into<Source>) -> Op {
    Move { op: AluMove::Copy, dst: Dst::to(dst), rhs: One::new(src, Idle::Zero), cc: CondCodes::Set, predicate: false }
        .into()
}

pub fn immed(dst: Reg, value: u16) -> Op {
    Immed { load: Load { dst: Dst::to(dst), value }, invert: false, shift: ImmedShift::None, predicate: false }.into()
}

pub fn immed_high(dst: Reg, value: u16) -> Op {
    Immed { load: Load { dst: Dst::to(dst), value }, invert: false, shift: ImmedShift::Two, predicate: false }.into()
}

pub fn nop() -> Op {
    Nop {}.into()
}

pub fn branch(to: u16, defer: u8) -> Op {
    Br { to: CodeAddress(to), defer }.into()
}

pub fn set_pointer(csr: Csr, reg: Reg) -> Op {
    CsrWrite { csr, src: Beside::new(reg, 0) }.into()
}

pub fn read32(xfer: u8, address: Address, words: u8, completion: Completion) -> Op {
    let command = Command::MEM_READ32_SWAP;
    Cmd { xfer, address, count: Count(words), completion, indirect: Indirect(false), command }.into()
}

/// Ends the program with the action byte `byte` (Linux nfp driver, `jit.c`).
pub fn verdict(byte: u8) -> [Op; 2] {
    [branch(super::door(Entry::Done), 1), immed_high(a(0), byte.into())]
}

/// The words of a program.
pub fn words(ops: &[Op]) -> Vec<u64> {
    ops.iter().map(|op| with_ecc(encode(op).expect("encodable"))).collect()
}
