//! How far a jump may go: Linux converts a filter when it is attached, and a jump's distance has 16 bits there.
//!
//! What a filter becomes in the kernel is longer than what [`super::convert`] makes of it, since it reads packets without
//! `LD_ABS`. Only how long each instruction gets matters here; `kernel::cbpf` holds it against the running kernel.

use super::{AluOp, Ancillary, Cond, Insn, Operand, Verdict};
use crate::diag::{At, Diagnostic};
use crate::insn::Size;

/// Longest distance.
const FARTHEST: usize = i16::MAX as usize;
/// A packet load by way of the kernel's function: four or five arguments, the call, and the end of the filter where there is
/// nothing.
const BY_CALL: usize = 8;

/// Instructions that Linux 6.18 makes of one, on a machine that loads from any address.
fn length(insn: Insn) -> usize {
    match insn {
        Insn::LoadAbs { size, k } => from_packet(size, k),
        Insn::LoadInd { k, .. } => BY_CALL + usize::from(k != 0),
        Insn::LoadMsh { k } => 6 + from_packet(Size::B, k),
        Insn::LoadAncillary { what, .. } => match what {
            Ancillary::Mark | Ancillary::Queue | Ancillary::Hash | Ancillary::XorX | Ancillary::VlanTag => 1,
            Ancillary::Protocol | Ancillary::PacketType | Ancillary::VlanProtocol => 2,
            Ancillary::VlanPresent => 3,
            Ancillary::Ifindex
            | Ancillary::HardwareType
            | Ancillary::Nlattr
            | Ancillary::NlattrNest
            | Ancillary::PayloadOffset
            | Ancillary::Cpu
            | Ancillary::Random => 4,
        },
        Insn::Alu { op: AluOp::Div | AluOp::Mod, src: Operand::X } => 5,
        // A constant that would be negative goes through a register; two ways that are not the next instruction are two jumps.
        Insn::Branch { cond, src, jt, jf } => {
            let constant = matches!(src, Operand::K(k) if k.cast_signed() < 0);
            let both = jf != 0 && (jt != 0 || cond == Cond::Set);
            1 + usize::from(constant) + usize::from(both)
        }
        Insn::Return(Verdict::K(_)) => 2,
        Insn::LoadImm { .. }
        | Insn::LoadMem { .. }
        | Insn::LoadLen { .. }
        | Insn::Store { .. }
        | Insn::Alu { .. }
        | Insn::Neg
        | Insn::Jump { .. }
        | Insn::Tax
        | Insn::Txa
        | Insn::Return(Verdict::A) => 1,
    }
}

/// From an offset that the packet's first bytes may hold, they are tried before the call.
fn from_packet(size: Size, k: u32) -> usize {
    let Ok(offset) = i32::try_from(k) else { return BY_CALL };
    let reach = if offset <= i32::from(i16::MAX) { 0 } else { 2 };
    BY_CALL + 4 + usize::from(offset != 0) + reach + usize::from(size != Size::B)
}

/// # Errors
/// The first jump that goes too far. Branches reach 255 instructions and never do.
pub(super) fn check(insns: &[Insn], name: &str) -> Result<(), Diagnostic> {
    let mut starts = Vec::with_capacity(insns.len());
    let mut next = 0;
    for insn in insns {
        starts.push(next);
        next += length(*insn);
    }
    for (pc, insn) in insns.iter().enumerate() {
        let Insn::Jump { k } = insn else { continue };
        let distance = starts[pc + 1 + *k as usize] - starts[pc] - 1;
        if distance > FARTHEST {
            let at = At::Insn { program: name.to_owned(), slot: pc, text: insn.at(pc).to_string(), source: None };
            return Err(Diagnostic::new("cbpf-reach", "what the filter becomes is too long for a jump over it")
                .at(at)
                .limit(format!("{FARTHEST} instructions"), distance)
                .help("jump over fewer loads from the packet"));
        }
    }
    Ok(())
}
