//! Functions of the program: entry, call, return, and the two subroutines that save R6 to R9.
//!
//! The caller moves the stack base up by its own frame, so that a frame starts at its base: word 0 holds the return
//! address, words 1 to 8 hold R6 to R9 where the function writes any of them.

use bpf::insn::Reg as BpfReg;
use nic_model::isa::{AluOp, Csr, Dst};

use super::Lowering;
use super::home::{Home, RETURN, SCRATCH, STACK_BASE, stack_word};
use crate::admit::FRAME_ALIGN;
use crate::asm::External;

/// Slots a return can defer.
const RETURN_SLOTS: u8 = 3;

/// Registers a function hands back as it got them.
const SAVED: [BpfReg; 4] = [BpfReg::R6, BpfReg::R7, BpfReg::R8, BpfReg::R9];

impl Lowering<'_> {
    /// Entry of a called function: the return address goes into the frame.
    pub(super) fn enter_function(&mut self) {
        self.asm.copy(Dst::to(stack_word(0)), RETURN);
    }

    /// Calls the function at slot `to`.
    pub(super) fn call_local(&mut self, to: usize) {
        let move_by = self.frame.depth.next_multiple_of(FRAME_ALIGN);
        if move_by > 0 {
            self.move_stack_base(AluOp::Add, move_by);
        }
        let back = self.asm.label();
        let callee = self.slot_label(to);
        if self.saves_registers(to) {
            // The subroutine that saves them goes on to the address in scratch B, which is the function's.
            self.asm.branch_external(None, External::Save, 2);
            self.asm.address(Dst::to(SCRATCH.b()), callee);
        } else {
            self.asm.jump(callee, 1);
        }
        self.asm.address(Dst::to(RETURN), back);
        self.asm.bind(back);
        if move_by > 0 {
            self.move_stack_base(AluOp::Sub, move_by);
            self.asm.nops(super::stack::POINTER_DELAY);
        }
    }

    fn move_stack_base(&mut self, op: AluOp, by: u32) {
        let by = self.asm.wide_operand(by, SCRATCH.b());
        self.asm.alu(Dst::to(STACK_BASE), STACK_BASE, op, by);
        self.asm.csr_write(Csr::LM_ADDR0, STACK_BASE);
    }

    /// Leaves a called function, through the subroutine that restores R6 to R9 where they were saved.
    pub(super) fn leave_function(&mut self) {
        if self.frame.saves {
            self.asm.branch_external(None, External::Restore, 1);
            self.asm.copy(Dst::to(RETURN), stack_word(0));
        } else {
            self.asm.copy(Dst::to(RETURN), stack_word(0));
            self.asm.jump_register(RETURN, 0);
        }
    }

    /// The subroutines themselves; the last three moves of each stand in the delay slots of its return.
    pub(super) fn save_and_restore(&mut self) {
        let halves: Vec<_> = SAVED.into_iter().flat_map(|reg| Home::of(reg).halves()).collect();
        let early = halves.len() - usize::from(RETURN_SLOTS);
        self.asm.entry(External::Save);
        for (n, half) in halves.iter().enumerate() {
            if n == early {
                self.asm.jump_register(SCRATCH.b(), RETURN_SLOTS);
            }
            self.asm.copy(Dst::to(stack_word(1 + n as u8)), half.b());
        }
        self.asm.entry(External::Restore);
        for (n, half) in halves.iter().enumerate() {
            if n == early {
                self.asm.jump_register(RETURN, RETURN_SLOTS);
            }
            self.asm.copy(half.both(), stack_word(1 + n as u8));
        }
    }
}
