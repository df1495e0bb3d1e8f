//! Which filters Linux takes: `bpf_check_classic` (Linux 6.18, `net/core/filter.c`), with reasons, where the kernel only
//! says `EINVAL`.

use super::insn::NoInsn;
use super::{AluOp, Filter, Insn, Operand, RawFilter};
use crate::diag::{At, Diagnostic};

/// Most instructions a filter may have (`BPF_MAXINSNS`).
pub const MAX_INSNS: usize = 4096;
/// Cells of scratch memory (`BPF_MEMWORDS`).
pub(super) const CELLS: u32 = 16;

pub(super) fn length(len: usize) -> Diagnostic {
    Diagnostic::new("cbpf-length", "Linux does not take a filter of this length")
        .limit(format!("1 to {MAX_INSNS} instructions"), format!("{len} instructions"))
}

/// Checks a filter as Linux does when it is attached. `name` is the filter's in messages.
///
/// # Errors
/// The first thing, in the kernel's order, for which the kernel would answer `EINVAL`: the length; then by instruction the
/// opcode, a division by the constant zero, a shift by 32 or more, a cell beyond M\[15\], a jump beyond the end, a load from
/// where there is nothing; then a last instruction that does not return, and a cell that is read before it is written.
pub fn check(words: &[RawFilter], name: &str) -> Result<Filter, Diagnostic> {
    if words.is_empty() || words.len() > MAX_INSNS {
        return Err(length(words.len()).at(At::Named(name.to_owned())));
    }
    let mut insns = Vec::with_capacity(words.len());
    for (pc, &raw) in words.iter().enumerate() {
        let insn = Insn::decode(raw).map_err(|why| {
            match why {
                NoInsn::Code => Diagnostic::new("cbpf-opcode", format!("no instruction has code {:#x}", raw.code)),
                NoInsn::Ancillary => Diagnostic::new("cbpf-ancillary", "there is nothing to load at this offset")
                    .limit("-0x1000 to -0xfc4 in steps of 4", format!("-{:#x}", raw.k.wrapping_neg())),
            }
            .at(place(
                name,
                pc,
                &format!("code {:#x} jt {} jf {} k {:#x}", raw.code, raw.jt, raw.jf, raw.k),
            ))
        })?;
        alone(insn, pc, words.len()).map_err(|d| d.at(place(name, pc, &insn.at(pc).to_string())))?;
        insns.push(insn);
    }
    let last = insns.len() - 1;
    let at = |pc: usize, insn: &Insn| place(name, pc, &insn.at(pc).to_string());
    if !matches!(insns[last], Insn::Return(_)) {
        return Err(Diagnostic::new("cbpf-end", "the last instruction does not return").at(at(last, &insns[last])));
    }
    match unwritten_cell(&insns) {
        Some((pc, cell)) => {
            Err(Diagnostic::new("cbpf-cell", format!("M[{cell}] is read where it may not be written yet"))
                .at(at(pc, &insns[pc]))
                .help("store to the cell on every path that leads here"))
        }
        None => Ok(Filter { insns }),
    }
}

fn place(name: &str, pc: usize, text: &str) -> At {
    At::Insn { program: name.to_owned(), slot: pc, text: text.to_owned(), source: None }
}

/// What an instruction must keep to by itself, at `pc` in a filter of `len`.
fn alone(insn: Insn, pc: usize, len: usize) -> Result<(), Diagnostic> {
    let reaches = |skip: u64| {
        let to = pc as u64 + 1 + skip;
        if to < len as u64 {
            return Ok(());
        }
        Err(Diagnostic::new("cbpf-jump", "the jump goes beyond the end of the filter")
            .limit(format!("up to instruction {}", len - 1), format!("instruction {to}")))
    };
    match insn {
        Insn::Alu { op: AluOp::Div | AluOp::Mod, src: Operand::K(0) } => {
            Err(Diagnostic::new("cbpf-division", "division by the constant 0"))
        }
        Insn::Alu { op: AluOp::Lsh | AluOp::Rsh, src: Operand::K(k @ 32..) } => {
            Err(Diagnostic::new("cbpf-shift", "the shift is by the register's width or more").limit("0 to 31", k))
        }
        Insn::LoadMem { cell, .. } | Insn::Store { cell, .. } if cell >= CELLS => {
            Err(Diagnostic::new("cbpf-cell-number", "there is no such cell")
                .limit("M[0] to M[15]", format!("M[{cell}]")))
        }
        Insn::Jump { k } => reaches(k.into()),
        Insn::Branch { jt, jf, .. } => reaches(jt.into()).and_then(|()| reaches(jf.into())),
        _ => Ok(()),
    }
}

/// The first read of a cell that some way here does not write, and the cell.
///
/// As the kernel does it: what is written is tracked forward, for unreachable instructions too, which count as if
/// everything were written; one that follows a `ret` is not among them.
fn unwritten_cell(insns: &[Insn]) -> Option<(usize, u32)> {
    let mut on_arrival = vec![u16::MAX; insns.len()];
    let mut written = 0;
    for (pc, insn) in insns.iter().enumerate() {
        written &= on_arrival[pc];
        match *insn {
            Insn::Store { cell, .. } => written |= 1 << cell,
            Insn::LoadMem { cell, .. } if written & 1 << cell == 0 => return Some((pc, cell)),
            Insn::Jump { k } => {
                on_arrival[pc + 1 + k as usize] &= written;
                written = u16::MAX;
            }
            Insn::Branch { jt, jf, .. } => {
                on_arrival[pc + 1 + usize::from(jt)] &= written;
                on_arrival[pc + 1 + usize::from(jf)] &= written;
                written = u16::MAX;
            }
            _ => {}
        }
    }
    None
}
