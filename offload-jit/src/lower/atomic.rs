//! Atomic operations that the firmware runs: on numbers in the host's byte order, fetched or not.
//!
//! Its door takes address, operand and the number expected in registers 23 to 28, which operation in 29 and the return
//! address in register 30 of bank B, and leaves the number that was there in 23 and 24. R0 to R5 stay as they are.

use bpf::insn::{AtomicOp, Reg as BpfReg};
use nic_model::isa::{AluOp, Dst};

use super::Lowering;
use super::home::{CONSTANT, Gpr, Home, SCRATCH, STACK_BASE};
use crate::asm::External;

/// The address, and then the number that was there.
const ADDRESS: Home = CONSTANT;
const OPERAND: Home = Home { low: Gpr(25), high: Gpr(26) };
const EXPECTED: Home = Home { low: Gpr(27), high: Gpr(28) };
const CODE: Gpr = Gpr(29);
const LINK: Gpr = Gpr(30);
/// Bit of the code that says eight bytes.
const WIDE: u32 = 8;

impl Lowering<'_> {
    /// `*(base + off) op= src`.
    pub(super) fn atomic_call(&mut self, op: AtomicOp, fetch: bool, wide: bool, base: BpfReg, off: i16, src: BpfReg) {
        self.number_address(base, off);
        self.copy_home(OPERAND, Home::of(src));
        if op == AtomicOp::Cmpxchg {
            self.copy_home(EXPECTED, Home::of(BpfReg::R0));
        }
        let code = match op {
            AtomicOp::Add => 0,
            AtomicOp::And => 1,
            AtomicOp::Or => 2,
            AtomicOp::Xor => 3,
            AtomicOp::Xchg => 4,
            AtomicOp::Cmpxchg => 5,
        };
        self.asm.constant(CODE.both(), if wide { code | WIDE } else { code });
        let back = self.asm.label();
        self.asm.branch_external(None, External::Atomic, 1);
        self.asm.address(Dst::to(LINK.b()), back);
        self.asm.bind(back);
        if !fetch {
            return;
        }
        let to = Home::of(if op == AtomicOp::Cmpxchg { BpfReg::R0 } else { src });
        self.asm.copy(to.low.both(), ADDRESS.low.b());
        if wide {
            self.asm.copy(to.high.both(), ADDRESS.high.b());
        } else {
            self.asm.constant(to.high.both(), 0);
        }
    }

    fn copy_home(&mut self, to: Home, from: Home) {
        self.asm.copy(to.low.both(), from.low.b());
        self.asm.copy(to.high.both(), from.high.b());
    }

    fn number_address(&mut self, base: BpfReg, off: i16) {
        if base == BpfReg::R10 {
            let at = self.frame.depth.wrapping_add_signed(off.into());
            let at = self.asm.wide_operand(at, SCRATCH.b());
            self.asm.alu(ADDRESS.low.both(), STACK_BASE, AluOp::Add, at);
            self.asm.constant(ADDRESS.high.both(), 0);
            return;
        }
        let base = Home::of(base);
        // The upper half takes the carry, or the borrow of a negative offset.
        let (first, second) = if off >= 0 { (AluOp::Add, AluOp::AddCarry) } else { (AluOp::Sub, AluOp::SubCarry) };
        let off = self.asm.wide_operand(off.unsigned_abs().into(), SCRATCH.b());
        self.asm.alu(ADDRESS.low.both(), base.low.a(), first, off);
        self.asm.alu(ADDRESS.high.both(), base.high.a(), second, 0u8);
    }
}
