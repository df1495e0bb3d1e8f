//! How many x86-64 instructions the Linux JIT has the processor execute for each BPF instruction.
//!
//! The table is portable: results do not depend on the machine the simulator runs on. Kind: measured. Source: images that
//! Linux 6.18 made of one program for each row, taken through `BPF_OBJ_GET_INFO_BY_FD`, listed by `objdump` and counted;
//! `tests/x86_weights.rs` does it again on any machine that lets it. The JIT was that of a processor with BMI2 (Haswell and
//! later), where a shift by a register is one `shlx`. A zero-extension that the verifier asked for costs nothing, because
//! 32-bit operations clear the upper half.
//!
//! # What a count is
//! Instructions on the way a run takes when nothing is out of the ordinary: divisors are not 0 or -1, packet bytes are in
//! the linear part, a compare-and-exchange succeeds at once. Conditional jumps count the same taken or not.
//!
//! # What is left out
//! - Fields of the context that are no plain word of the kernel's structure: `rx_queue_index` takes one instruction more than
//!   counted, `ingress_ifindex` two; of `__sk_buff` it is one to three.
//! - The routine behind the return, which depends on the processor's mitigations.
//! - Helpers that the verifier replaces by instructions: their cost is the helper's.

use bpf::insn::{AluOp, AtomicOp, ByteOrder, Callee, Insn, Operand, PacketMode, Reg, Size, Width};
use bpf::program::Program;

/// Entry of a function: two patchable nops, `push rbp`, `mov rbp, rsp`.
const PROLOGUE: u32 = 4;
/// Return: `leave` and a jump to the return routine, or `ret`.
const EPILOGUE: u32 = 2;

/// Instructions of a program's slots, and around them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// For each slot, what its execution adds. A call of a function of the program includes what surrounds that function.
    pub slots: Vec<u32>,
    /// Once a run: what surrounds the main function.
    pub per_run: u32,
}

/// The table, applied to a program that the verifier has accepted.
pub fn executed(program: &Program) -> Executed {
    let insns = &program.insns;
    let starts: Vec<usize> = program.functions.iter().map(|function| function.start).collect();
    let bounds = |index: usize| {
        let end = starts.get(index + 1).copied().unwrap_or(insns.len()).min(insns.len());
        starts[index].min(end)..end
    };
    let around: Vec<u32> = (0..starts.len()).map(|index| surroundings(&insns[bounds(index)])).collect();
    let mut slots: Vec<u32> = insns.iter().map(body).collect();
    for index in 0..starts.len() {
        let mut exits = bounds(index).filter(|slot| insns[*slot] == Insn::Exit);
        // The first exit of a function stands before what the others jump to.
        if let Some(first) = exits.next() {
            slots[first] = 0;
        }
    }
    for (slot, insn) in insns.iter().enumerate() {
        if let Insn::Call { callee: Callee::Local(off) } = insn {
            let target = slot.checked_add_signed(*off as isize + 1);
            slots[slot] +=
                target.and_then(|target| starts.binary_search(&target).ok()).map_or(0, |index| around[index]);
        }
    }
    Executed { slots, per_run: around.first().copied().unwrap_or(0) }
}

/// Instructions for one BPF instruction; an exit counts as one that jumps to the function's return.
const fn body(insn: &Insn) -> u32 {
    match insn {
        Insn::Alu { width, op, dst, src } => match op {
            AluOp::Div | AluOp::Mod | AluOp::Sdiv | AluOp::Smod => division(*width, *op, *dst, src),
            _ => 1,
        },
        // A register moved to itself: nothing is left of it.
        Insn::Mov { width: Width::W64, dst, src: Operand::Reg(src), sext: None } if dst.index() == src.index() => 0,
        Insn::Mov { .. } | Insn::Neg { .. } => 1,
        Insn::End { order, bits, .. } => match (order, bits) {
            (ByteOrder::Le, 64) => 0,
            (ByteOrder::Le, _) => 1,
            // `ror` and `movzx`.
            (_, 16) => 2,
            _ => 1,
        },
        Insn::LoadImm64 { .. } | Insn::Load { .. } | Insn::Store { .. } => 1,
        // Ordered as all loads and stores of this processor are.
        Insn::LoadAcquire { .. } | Insn::StoreRelease { .. } => 1,
        // To the kernel's view of an arena: a 32-bit move (documented, Linux 6.18 `kernel/bpf/verifier.c`; not measured).
        Insn::AddrSpaceCast { .. } => 1,
        // The counter's load, test, jump, decrement, test, jump and store.
        Insn::MayGoto { .. } => 7,
        Insn::Pad => 0,
        // Offset and packet as arguments, the call, the test of its result and its jump; one more to add a register.
        Insn::LoadPacket { mode, .. } => match mode {
            PacketMode::Abs => 5,
            PacketMode::Ind(_) => 6,
        },
        // `cmpxchg` leaves the upper half as it was; the verifier has it cleared where it is read.
        Insn::Atomic { op: AtomicOp::Cmpxchg, size: Size::W, .. } => 2,
        Insn::Atomic { op, fetch, .. } => match (op, fetch) {
            (AtomicOp::Add | AtomicOp::Xchg | AtomicOp::Cmpxchg, _) | (_, false) => 1,
            // A compare-and-exchange loop, with RAX kept in another register.
            (_, true) => 8,
        },
        // The verifier removes a jump to the next instruction.
        Insn::Jump { off: 0, .. } => 0,
        Insn::Jump { .. } => 1,
        Insn::Branch { .. } => 2,
        Insn::Call { .. } | Insn::Exit => 1,
    }
}

/// A division: `div` takes RAX and RDX, which are R0 and R3, so both are kept, unless they are the destination.
const fn division(width: Width, op: AluOp, dst: Reg, src: &Operand) -> u32 {
    let (signed, remainder) = match op {
        AluOp::Div => (false, false),
        AluOp::Mod => (false, true),
        AluOp::Sdiv => (true, false),
        _ => (true, true),
    };
    let (rax, rdx) = (dst.index() == 0, dst.index() == 3);
    // The verifier makes a negation, or a zero, of it.
    if let (true, Operand::Imm(-1)) = (signed, src) {
        return 1;
    }
    let (check, divisor) = match src {
        Operand::Imm(_) => (0, 1),
        Operand::Reg(reg) => {
            // Whether the divisor is 0, or for signed ones 0 or -1: `test`, jump; `mov`, `add`, `cmp`, jump.
            let check = if signed { 4 } else { 2 };
            // The way round the upper half's clearing, for remainders of 32 bits.
            let skip = matches!((width, remainder), (Width::W32, true)) as u32;
            (check + skip, matches!(reg.index(), 0 | 3) as u32)
        }
    };
    let kept = 2 * (!rax as u32 + !rdx as u32);
    let result = if remainder { !rdx } else { !rax };
    // The dividend to RAX, its upper half to RDX, the division, the result.
    check + divisor + kept + !rax as u32 + 1 + 1 + result as u32
}

/// Prologue, epilogue, the stack's room, and a push and a pop for each callee-saved register that the function names.
fn surroundings(function: &[Insn]) -> u32 {
    let saved = Reg::all().filter(|reg| (6..=9).contains(&reg.index()));
    let saved = saved.filter(|reg| function.iter().any(|insn| names(insn, *reg))).count();
    // The counter of `may_goto` and the time of its last refill lie on the stack and are set on entry.
    let counter = function.iter().any(|insn| matches!(insn, Insn::MayGoto { .. }));
    let stack = counter || function.iter().any(|insn| names(insn, Reg::R10));
    PROLOGUE + u32::from(stack) + 2 * u32::from(counter) + 2 * saved as u32 + EPILOGUE
}

fn names(insn: &Insn, reg: Reg) -> bool {
    insn.defs().contains(reg) || insn.uses().contains(reg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bpf::program::{Function, ProgType};

    fn mov(dst: Reg) -> Insn {
        Insn::Mov { width: Width::W64, dst, src: Operand::Imm(0), sext: None }
    }

    fn program(insns: Vec<Insn>) -> Program {
        Program::from_insns("p", ProgType::Xdp, insns, vec![])
    }

    #[test]
    fn saved_registers_and_stack_count_once_a_run() {
        let load = Insn::Load { size: Size::W, sext: false, dst: Reg::R6, base: Reg::R10, off: -8 };
        assert_eq!(executed(&program(vec![mov(Reg::R0), Insn::Exit])), Executed { slots: vec![1, 0], per_run: 6 });
        let both = program(vec![mov(Reg::R6), load, mov(Reg::R0), Insn::Exit, mov(Reg::R7), Insn::Exit]);
        assert_eq!(executed(&both), Executed { slots: vec![1, 1, 1, 0, 1, 1], per_run: 11 });
    }

    #[test]
    fn a_call_brings_what_surrounds_the_function() {
        let call = Insn::Call { callee: Callee::Local(1) };
        let mut calls = program(vec![call, Insn::Exit, mov(Reg::R6), Insn::Exit]);
        calls.functions.push(Function::new("f", 2));
        assert_eq!(executed(&calls), Executed { slots: vec![1 + 6 + 2, 0, 1, 0], per_run: 6 });
    }

    /// The counts of the images, without the way of a divisor of 0.
    #[test]
    fn divisions_depend_on_their_registers() {
        let count = |width, op, dst, src| body(&Insn::Alu { width, op, dst, src });
        let (w64, w32) = (Width::W64, Width::W32);
        assert_eq!(count(w64, AluOp::Div, Reg::R1, Operand::Reg(Reg::R2)), 10);
        assert_eq!(count(w64, AluOp::Div, Reg::R0, Operand::Imm(3)), 5);
        assert_eq!(count(w32, AluOp::Mod, Reg::R1, Operand::Reg(Reg::R0)), 12);
        assert_eq!(count(w64, AluOp::Smod, Reg::R1, Operand::Reg(Reg::R2)), 12);
        assert_eq!(count(w64, AluOp::Sdiv, Reg::R1, Operand::Imm(-1)), 1);
    }

    /// `ror` and `movzx` for 16 bits, `bswap` otherwise; a jump to the next instruction vanishes.
    #[test]
    fn forms_of_other_lengths() {
        let swap = |bits| Insn::End { order: ByteOrder::Be, dst: Reg::R1, bits };
        assert_eq!([body(&swap(16)), body(&swap(32)), body(&swap(64))], [2, 1, 1]);
        assert_eq!(body(&Insn::Jump { off: 0, long: false }), 0);
    }
}
