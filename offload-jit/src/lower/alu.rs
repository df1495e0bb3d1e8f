//! Moves, constants, arithmetic without multiplication, byte order.

use bpf::insn::{Operand, Reg as BpfReg, Width};
use nic_model::isa::{AluOp, Dst, Reg, Shift};

use super::Lowering;
use super::home::{Gpr, Home, SCRATCH, STACK_BASE};
use crate::action::Arith;

/// The two halves of a 64-bit value, low first.
fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

impl Lowering<'_> {
    /// `dst = src`.
    pub(super) fn move_register(&mut self, width: Width, dst: BpfReg, src: BpfReg) {
        let (dst, src) = (Home::of(dst), Home::of(src));
        self.asm.copy(dst.low.both(), src.low.b());
        match width {
            Width::W64 => self.asm.copy(dst.high.both(), src.high.b()),
            Width::W32 => self.asm.constant(dst.high.both(), 0),
        }
    }

    /// `dst = r10`: the frame's top is its base plus its depth.
    pub(super) fn frame_top(&mut self, dst: BpfReg) {
        let dst = Home::of(dst);
        let depth = self.asm.wide_operand(self.frame.depth, SCRATCH.b());
        self.asm.alu(dst.low.both(), STACK_BASE, AluOp::Add, depth);
        self.asm.constant(dst.high.both(), 0);
    }

    /// `dst = value`, each half built by itself.
    pub(super) fn constant(&mut self, dst: BpfReg, value: u64) {
        for (half, value) in Home::of(dst).halves().into_iter().zip(halves(value)) {
            self.asm.constant(half.both(), value);
        }
    }

    /// `dst = value` of a wide load: equal halves are built once, for a copy is always a single instruction.
    pub(super) fn wide_constant(&mut self, dst: BpfReg, value: u64) {
        let [low, high] = halves(value);
        if low == high {
            let dst = Home::of(dst);
            self.asm.constant(dst.low.both(), low);
            self.asm.copy(dst.high.both(), dst.low.a());
        } else {
            self.constant(dst, value);
        }
    }

    /// `dst = dst op src`.
    pub(super) fn arithmetic(&mut self, width: Width, op: Arith, dst: BpfReg, src: Operand, zext: bool) {
        let dst = Home::of(dst);
        let (low, high) = operators(op);
        match (width, src) {
            (Width::W64, Operand::Reg(src)) => {
                let src = Home::of(src);
                self.asm.alu(dst.low.both(), dst.low.a(), low, src.low.b());
                self.asm.alu(dst.high.both(), dst.high.a(), high, src.high.b());
            }
            (Width::W64, Operand::Imm(imm)) => {
                let [value_low, value_high] = halves(i64::from(imm) as u64);
                self.half_by_constant(dst.low, low, value_low);
                self.half_by_constant(dst.high, high, value_high);
            }
            (Width::W32, src) => {
                match src {
                    Operand::Reg(src) => self.asm.alu(dst.low.both(), dst.low.a(), low, Home::of(src).low.b()),
                    Operand::Imm(imm) => self.half_by_constant(dst.low, low, imm as u32),
                }
                self.clear_upper(dst, zext);
            }
        }
    }

    /// One half with a constant. Bitwise operations with all zeros or all ones need no operand.
    fn half_by_constant(&mut self, half: Gpr, op: AluOp, value: u32) {
        match (op, value) {
            (AluOp::And, 0) | (AluOp::Or, u32::MAX) => self.asm.constant(half.both(), value),
            (AluOp::Xor, u32::MAX) => self.asm.not(half.both(), half.b()),
            (AluOp::And, u32::MAX) | (AluOp::Or | AluOp::Xor, 0) => {}
            _ => {
                let operand = self.asm.wide_operand(value, SCRATCH.b());
                self.asm.alu(half.both(), half.a(), op, operand);
            }
        }
    }

    /// `dst = -dst`.
    pub(super) fn negate(&mut self, width: Width, dst: BpfReg, zext: bool) {
        let dst = Home::of(dst);
        self.asm.alu(dst.low.both(), 0u8, AluOp::Sub, dst.low.b());
        match width {
            Width::W64 => self.asm.alu(dst.high.both(), 0u8, AluOp::SubCarry, dst.high.b()),
            Width::W32 => self.clear_upper(dst, zext),
        }
    }

    /// The low `bits` bits to big endian.
    pub(super) fn big_endian(&mut self, dst: BpfReg, bits: u8) {
        let dst = Home::of(dst);
        match bits {
            16 => {
                // Bytes 3 and 0 take the swapped pair, then the pair moves down and zeros follow it.
                self.asm.field(dst.low.both(), 0b1001, dst.low.b(), Shift::Rotate(8));
                self.asm.field(dst.low.both(), 0b1110, dst.low.a(), Shift::Right(16));
                self.asm.constant(dst.high.both(), 0);
            }
            32 => {
                self.swap_bytes(dst.low, dst.low.a());
                self.asm.constant(dst.high.both(), 0);
            }
            _ => {
                self.asm.copy(Dst::to(SCRATCH.a()), dst.high.b());
                self.swap_bytes(dst.high, dst.low.a());
                self.swap_bytes(dst.low, SCRATCH.a());
            }
        }
    }

    /// `to` = the bytes of `from` the other way round: a rotation by one byte sets bytes 1 and 3 right, then a rotation
    /// by two of the result sets bytes 0 and 2.
    fn swap_bytes(&mut self, to: Gpr, from: Reg) {
        self.asm.field(to.both(), 0b1111, from, Shift::Rotate(8));
        self.asm.field(to.both(), 0b0101, to.a(), Shift::Rotate(16));
    }

    /// Clears the upper half of a register if a later path reads it.
    pub(super) fn clear_upper(&mut self, dst: Home, zext: bool) {
        if zext {
            self.asm.constant(dst.high.both(), 0);
        }
    }
}

/// The card's operators for the low and the high half.
fn operators(op: Arith) -> (AluOp, AluOp) {
    match op {
        Arith::Add => (AluOp::Add, AluOp::AddCarry),
        Arith::Sub => (AluOp::Sub, AluOp::SubCarry),
        Arith::And => (AluOp::And, AluOp::And),
        Arith::Or => (AluOp::Or, AluOp::Or),
        Arith::Xor => (AluOp::Xor, AluOp::Xor),
    }
}
