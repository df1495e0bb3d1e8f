//! Jumps. A comparison is a subtraction (or exclusive or) that goes nowhere, low half first, and a branch on its flags.

use bpf::insn::{Cond as BpfCond, Operand, Reg as BpfReg, Width};
use nic_model::isa::{AluOp, Cond, Dst, Source};

use super::Lowering;
use super::home::{Gpr, Home, SCRATCH};
use crate::asm::Label;

/// A comparison that one subtraction decides.
struct Ordered {
    /// The flags to branch on.
    cond: Cond,
    /// Subtract the left-hand side from the right-hand one.
    swap: bool,
}

fn ordered(cond: BpfCond) -> Option<Ordered> {
    let (cond, swap) = match cond {
        BpfCond::Gt => (Cond::CarryClear, true),
        BpfCond::Ge => (Cond::CarrySet, false),
        BpfCond::Lt => (Cond::CarryClear, false),
        BpfCond::Le => (Cond::CarrySet, true),
        BpfCond::Sgt => (Cond::Lt, true),
        BpfCond::Sge => (Cond::Ge, false),
        BpfCond::Slt => (Cond::Lt, false),
        BpfCond::Sle => (Cond::Ge, true),
        BpfCond::Eq | BpfCond::Ne | BpfCond::Set => return None,
    };
    Some(Ordered { cond, swap })
}

impl Lowering<'_> {
    /// Goes to `to` if the comparison holds. With `negated` the immediate is the negative of the one meant.
    pub(super) fn branch(&mut self, width: Width, cond: BpfCond, dst: BpfReg, src: Operand, negated: bool, to: usize) {
        let (dst, to) = (Home::of(dst), self.slot_label(to));
        match (cond, src) {
            (BpfCond::Eq, Operand::Reg(src)) => self.equal_registers(width, dst, Home::of(src), to),
            (BpfCond::Eq, Operand::Imm(imm)) => self.equal_constant(width, dst, imm, to),
            (BpfCond::Ne, Operand::Imm(imm)) => self.unequal_constant(width, dst, imm, to),
            (BpfCond::Set, Operand::Imm(imm)) => self.bits_constant(width, dst, imm, to),
            (BpfCond::Ne, Operand::Reg(src)) => self.each_half(width, AluOp::Xor, dst, Home::of(src), to),
            (BpfCond::Set, Operand::Reg(src)) => self.each_half(width, AluOp::And, dst, Home::of(src), to),
            (cond, src) => {
                let ordered = ordered(cond).expect("the three that are no orders stand above");
                match src {
                    Operand::Reg(src) => self.compare_registers(width, &ordered, dst, Home::of(src)),
                    Operand::Imm(imm) => self.compare_constant(width, &ordered, dst, imm, negated),
                }
                self.asm.branch(ordered.cond, to, 0);
            }
        }
    }

    fn compare_registers(&mut self, width: Width, ordered: &Ordered, dst: Home, src: Home) {
        let (left, right) = if ordered.swap { (src, dst) } else { (dst, src) };
        self.asm.alu(Dst::NONE, left.low.a(), AluOp::Sub, right.low.b());
        if width == Width::W64 {
            self.asm.alu(Dst::NONE, left.high.a(), AluOp::SubCarry, right.high.b());
        }
    }

    fn compare_constant(&mut self, width: Width, ordered: &Ordered, dst: Home, imm: i32, negated: bool) {
        let (first, second) = if negated { (AluOp::Add, AluOp::AddCarry) } else { (AluOp::Sub, AluOp::SubCarry) };
        self.compare_half(ordered, dst.low, first, imm as u32);
        if width == Width::W64 {
            self.compare_half(ordered, dst.high, second, (imm >> 31) as u32);
        }
    }

    fn compare_half(&mut self, ordered: &Ordered, half: Gpr, op: AluOp, value: u32) {
        let value = self.asm.wide_operand(value, SCRATCH.b());
        if ordered.swap {
            self.asm.alu(Dst::NONE, value, op, half.a());
        } else {
            self.asm.alu(Dst::NONE, half.a(), op, value);
        }
    }

    fn equal_registers(&mut self, width: Width, dst: Home, src: Home, to: Label) {
        self.asm.alu(Dst::to(SCRATCH.a()), dst.low.a(), AluOp::Xor, src.low.b());
        if width == Width::W64 {
            self.asm.alu(Dst::to(SCRATCH.b()), dst.high.a(), AluOp::Xor, src.high.b());
            self.asm.alu(Dst::NONE, SCRATCH.a(), AluOp::Or, SCRATCH.b());
        }
        self.asm.branch(Cond::Eq, to, 0);
    }

    /// Differences of both halves ORed; a half that is compared with 0 is its own difference.
    fn equal_constant(&mut self, width: Width, dst: Home, imm: i32, to: Label) {
        if width == Width::W32 {
            let value = self.asm.wide_operand(imm as u32, SCRATCH.b());
            self.asm.alu(Dst::NONE, dst.low.a(), AluOp::Xor, value);
        } else {
            let (mut low, mut high) = (dst.low.a(), dst.high.b());
            if imm != 0 {
                let value = self.asm.wide_operand(imm as u32, SCRATCH.b());
                low = SCRATCH.a();
                self.asm.alu(Dst::to(low), dst.low.a(), AluOp::Xor, value);
            }
            if imm < 0 {
                let value = self.asm.wide_operand(u32::MAX, SCRATCH.b());
                high = SCRATCH.b();
                self.asm.alu(Dst::to(high), dst.high.a(), AluOp::Xor, value);
            }
            self.asm.alu(Dst::NONE, low, AluOp::Or, high);
        }
        self.asm.branch(Cond::Eq, to, 0);
    }

    fn unequal_constant(&mut self, width: Width, dst: Home, imm: i32, to: Label) {
        match (imm, width) {
            (0, Width::W32) => {
                self.asm.copy(Dst::NONE, dst.low.b());
                self.asm.branch(Cond::Ne, to, 0);
            }
            (0, Width::W64) => {
                self.asm.alu(Dst::NONE, dst.low.a(), AluOp::Or, dst.high.b());
                self.asm.branch(Cond::Ne, to, 0);
            }
            (_, width) => {
                self.unequal_half(dst.low, imm as u32, to);
                if width == Width::W64 {
                    self.unequal_half(dst.high, (imm >> 31) as u32, to);
                }
            }
        }
    }

    fn unequal_half(&mut self, half: Gpr, value: u32, to: Label) {
        let value = self.asm.wide_operand(value, SCRATCH.b());
        self.asm.alu(Dst::NONE, half.a(), AluOp::Xor, value);
        self.asm.branch(Cond::Ne, to, 0);
    }

    /// The mask's upper half is all zeros, which selects nothing, or all ones, which selects the register's whole upper
    /// half.
    fn bits_constant(&mut self, width: Width, dst: Home, imm: i32, to: Label) {
        let value: Source = self.asm.wide_operand(imm as u32, SCRATCH.b());
        self.asm.alu(Dst::to(SCRATCH.b()), dst.low.a(), AluOp::And, value);
        if width == Width::W64 && imm < 0 {
            self.asm.alu(Dst::NONE, dst.high.a(), AluOp::Or, SCRATCH.b());
        }
        self.asm.branch(Cond::Ne, to, 0);
    }

    /// One test and one branch for each half.
    fn each_half(&mut self, width: Width, op: AluOp, dst: Home, src: Home, to: Label) {
        let halves = if width == Width::W64 { 2 } else { 1 };
        for (left, right) in dst.halves().into_iter().zip(src.halves()).take(halves) {
            self.asm.alu(Dst::NONE, left.a(), op, right.b());
            self.asm.branch(Cond::Ne, to, 0);
        }
    }
}
