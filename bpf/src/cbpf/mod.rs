//! Classic BPF: the filters of `tcpdump`, `SO_ATTACH_FILTER` and tc's `bytecode`, checked as Linux checks them and turned
//! into extended BPF.
//!
//! text or bytes → [`parse`] → [`RawFilter`] words → [`check`](check()) → [`Filter`] → [`Filter::program`] → the
//! [`Program`](crate::program::Program) of a socket filter.
//!
//! The machine has two 32-bit registers, A and X, and sixteen 32-bit cells of scratch memory, M\[0\] to M\[15\]. It reads the
//! packet in network byte order, jumps only forward, and returns how many bytes of the packet to keep; 0 drops it. A read
//! beyond the packet's end, or a division by zero, ends the filter with 0 (Linux, `Documentation/networking/filter.rst`).

pub mod ancillary;
mod check;
mod convert;
pub mod insn;
pub mod parse;
mod reach;

pub use ancillary::Ancillary;
pub use check::{MAX_INSNS, check};
pub use insn::{AluOp, Cond, Insn, Operand, RawFilter, Reg, Verdict};
pub use parse::{parse_bytes, parse_decimal};

/// A filter that Linux takes; there is no other way to make one than [`check()`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    insns: Vec<Insn>,
}

impl Filter {
    /// Its instructions.
    pub fn insns(&self) -> &[Insn] {
        &self.insns
    }

    /// The listing `tcpdump -d` prints, one line for each instruction.
    pub fn listing(&self) -> String {
        let line = |(pc, insn): (usize, &Insn)| format!("({pc:03}) {}\n", insn.at(pc));
        self.insns.iter().enumerate().map(line).collect()
    }
}
