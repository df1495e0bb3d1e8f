//! How many x86-64 instructions the Linux JIT emits for each BPF instruction.
//!
//! The table is portable: results do not depend on the machine the simulator runs on. Counts are of the JIT of Linux 6.x
//! on a processor with BMI2 (Haswell and later), where a shift by a register is one `shlx`; a zero-extension the verifier
//! asked for costs nothing there, because 32-bit operations clear the upper half.

use bpf::insn::{AluOp, AtomicOp, ByteOrder, Callee, Insn, Operand, Reg};
use bpf::program::Program;

/// Entry of a program: patchable nop, tail-call counter, frame set-up, stack adjustment. Kind: documented, Linux 6.x
/// `arch/x86/net/bpf_jit_comp.c`, `emit_prologue`.
const PROLOGUE: u32 = 6;
/// Exit: `leave` and return.
const EPILOGUE: u32 = 2;

/// Instructions emitted for one BPF instruction; prologue, epilogue and saved registers apart.
pub const fn emitted(insn: &Insn) -> u32 {
    match insn {
        Insn::Alu { op, src, .. } => match (op, src) {
            (AluOp::Div | AluOp::Mod | AluOp::Sdiv | AluOp::Smod, _) => 8,
            (_, Operand::Reg(_) | Operand::Imm(_)) => 1,
        },
        Insn::Mov { .. } | Insn::Neg { .. } => 1,
        Insn::End { order, bits, .. } => match (order, bits) {
            (ByteOrder::Le, 64) => 0,
            (ByteOrder::Le, _) => 1,
            (_, 16) => 2,
            _ => 1,
        },
        Insn::LoadImm64 { .. } | Insn::Load { .. } | Insn::Store { .. } => 1,
        // Ordered as all loads and stores of this processor are.
        Insn::LoadAcquire { .. } | Insn::StoreRelease { .. } => 1,
        // To the kernel's view of an arena: a 32-bit move.
        Insn::AddrSpaceCast { .. } => 1,
        // The counter's load, test, branch, decrement and store.
        Insn::MayGoto { .. } => 5,
        Insn::Pad => 0,
        // Rewritten by the verifier into a call of a load routine with its argument set-up.
        Insn::LoadPacket { .. } => 6,
        Insn::Atomic { op, fetch, .. } => match (op, fetch) {
            (AtomicOp::Add | AtomicOp::Xchg | AtomicOp::Cmpxchg, _) | (_, false) => 1,
            // A compare-and-exchange loop.
            (_, true) => 7,
        },
        Insn::Jump { off, .. } => {
            if *off == 0 {
                0
            } else {
                1
            }
        }
        Insn::Branch { .. } => 2,
        Insn::Call { callee } => match callee {
            Callee::Helper(_) | Callee::Kfunc(_) | Callee::Reg(_) => 1,
            // Tail-call count reload and call.
            Callee::Local(_) => 2,
        },
        Insn::Exit => 1,
    }
}

/// Instructions executed once a run: prologue, epilogue, and a push and a pop for each callee-saved register written.
pub fn per_run(program: &Program) -> u32 {
    let callee_saved = Reg::all().filter(|reg| (6..=9).contains(&reg.index()));
    let saved = callee_saved.filter(|reg| program.insns.iter().any(|insn| writes(insn, *reg))).count();
    PROLOGUE + EPILOGUE + 2 * saved as u32
}

fn writes(insn: &Insn, reg: Reg) -> bool {
    match *insn {
        Insn::Alu { dst, .. }
        | Insn::Mov { dst, .. }
        | Insn::Neg { dst, .. }
        | Insn::End { dst, .. }
        | Insn::LoadImm64 { dst, .. }
        | Insn::Load { dst, .. } => dst == reg,
        Insn::Atomic { fetch: true, src, .. } => src == reg,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bpf::insn::{Size, Width};
    use bpf::program::ProgType;

    #[test]
    fn saved_registers_count_once_each_way() {
        let mov = |dst| Insn::Mov { width: Width::W64, dst, src: Operand::Imm(0), sext: None };
        let load = Insn::Load { size: Size::W, sext: false, dst: Reg::R6, base: Reg::R1, off: 0 };
        let bare = Program::from_insns("p", ProgType::Xdp, vec![mov(Reg::R0), Insn::Exit], vec![]);
        let saves = Program::from_insns("p", ProgType::Xdp, vec![load, mov(Reg::R6), mov(Reg::R0), Insn::Exit], vec![]);
        assert_eq!(per_run(&bare), PROLOGUE + EPILOGUE);
        assert_eq!(per_run(&saves), PROLOGUE + EPILOGUE + 2);
    }

    /// `ror` and `movzx` for 16 bits, `bswap` otherwise; a jump to the next instruction vanishes.
    #[test]
    fn forms_with_more_than_one_instruction() {
        let swap = |bits| Insn::End { order: ByteOrder::Be, dst: Reg::R1, bits };
        assert_eq!([emitted(&swap(16)), emitted(&swap(32)), emitted(&swap(64))], [2, 1, 1]);
        assert_eq!(emitted(&Insn::Jump { off: 0, long: false }), 0);
    }
}
