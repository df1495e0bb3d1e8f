//! What an instruction reads, writes, and where control goes after it.

use std::fmt;

use super::{AtomicOp, Callee, Insn, Operand, PacketMode, Reg};

/// A set of registers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RegSet(u16);

impl RegSet {
    /// No register.
    pub const EMPTY: RegSet = RegSet(0);
    /// R1 to R5: the arguments of a call.
    pub const ARGS: RegSet = RegSet(0b11_1110);
    /// R0 to R5: what a call leaves undefined, but for its result in R0.
    pub const CALLER_SAVED: RegSet = RegSet(0b11_1111);

    /// R0 to R10.
    pub const ALL: RegSet = RegSet((1 << Reg::COUNT) - 1);

    /// The set of one register.
    pub const fn of(reg: Reg) -> Self {
        RegSet(1 << reg.index())
    }

    /// Whether the register is in the set.
    pub const fn contains(self, reg: Reg) -> bool {
        self.0 & 1 << reg.index() != 0
    }

    /// Registers in either set.
    pub const fn union(self, other: RegSet) -> Self {
        RegSet(self.0 | other.0)
    }

    /// Registers in this set and not in the other.
    pub const fn minus(self, other: RegSet) -> Self {
        RegSet(self.0 & !other.0)
    }

    /// Whether no register is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Registers in the set.
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// A bit for each register, R0 lowest.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The registers, ascending.
    pub fn iter(self) -> impl Iterator<Item = Reg> {
        Reg::all().filter(move |&r| self.contains(r))
    }
}

impl FromIterator<Reg> for RegSet {
    fn from_iter<I: IntoIterator<Item = Reg>>(regs: I) -> Self {
        regs.into_iter().fold(RegSet::EMPTY, |set, r| set.union(RegSet::of(r)))
    }
}

impl fmt::Debug for RegSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Reg::index)).finish()
    }
}

impl Operand {
    /// The register, if it is one.
    pub const fn reg(self) -> Option<Reg> {
        match self {
            Operand::Reg(r) => Some(r),
            Operand::Imm(_) => None,
        }
    }
}

impl Insn {
    /// Registers the instruction may read.
    ///
    /// A call counts as reading every argument register, since this does not know how many its callee takes; packet
    /// access reads the context in R6 (RFC 9669 §5.5); `exit` reads the result in R0.
    pub fn uses(&self) -> RegSet {
        let operand = |o: Operand| o.reg().into_iter().collect::<RegSet>();
        match *self {
            Insn::Alu { dst, src, .. } | Insn::Branch { dst, src, .. } => RegSet::of(dst).union(operand(src)),
            Insn::Mov { src, .. } => operand(src),
            Insn::Neg { dst, .. } | Insn::End { dst, .. } => RegSet::of(dst),
            Insn::LoadImm64 { .. } | Insn::Pad | Insn::Jump { .. } | Insn::MayGoto { .. } => RegSet::EMPTY,
            Insn::Load { base, .. } | Insn::LoadAcquire { base, .. } => RegSet::of(base),
            Insn::Store { base, src, .. } => RegSet::of(base).union(operand(src)),
            Insn::StoreRelease { base, src, .. } => RegSet::of(base).union(RegSet::of(src)),
            Insn::AddrSpaceCast { src, .. } => RegSet::of(src),
            Insn::LoadPacket { mode: PacketMode::Abs, .. } => RegSet::of(Reg::R6),
            Insn::LoadPacket { mode: PacketMode::Ind(r), .. } => RegSet::of(Reg::R6).union(RegSet::of(r)),
            Insn::Atomic { op, base, src, .. } => {
                let set = RegSet::of(base).union(RegSet::of(src));
                if op == AtomicOp::Cmpxchg { set.union(RegSet::of(Reg::R0)) } else { set }
            }
            Insn::Call { callee: Callee::Reg(r) } => RegSet::ARGS.union(RegSet::of(r)),
            Insn::Call { .. } => RegSet::ARGS,
            Insn::Exit => RegSet::of(Reg::R0),
        }
    }

    /// Registers whose value is another afterwards; those that a call leaves undefined are among them.
    pub fn defs(&self) -> RegSet {
        match *self {
            Insn::Alu { dst, .. }
            | Insn::Mov { dst, .. }
            | Insn::Neg { dst, .. }
            | Insn::End { dst, .. }
            | Insn::LoadImm64 { dst, .. }
            | Insn::Load { dst, .. }
            | Insn::LoadAcquire { dst, .. }
            | Insn::AddrSpaceCast { dst, .. } => RegSet::of(dst),
            Insn::Atomic { op: AtomicOp::Cmpxchg, .. } => RegSet::of(Reg::R0),
            Insn::Atomic { fetch: true, src, .. } => RegSet::of(src),
            Insn::LoadPacket { .. } | Insn::Call { .. } => RegSet::CALLER_SAVED,
            Insn::Pad
            | Insn::Store { .. }
            | Insn::StoreRelease { .. }
            | Insn::Atomic { .. }
            | Insn::Jump { .. }
            | Insn::Branch { .. }
            | Insn::MayGoto { .. }
            | Insn::Exit => RegSet::EMPTY,
        }
    }

    /// Slots the instruction takes: 2 for a wide load, which includes its [`Insn::Pad`]; else 1.
    pub const fn slots(&self) -> usize {
        if matches!(self, Insn::LoadImm64 { .. }) { 2 } else { 1 }
    }

    /// Where a jump or branch at `slot` goes when taken. The slot may lie outside the program: that is the verifier's
    /// to refuse.
    pub fn target(&self, slot: usize) -> Option<i64> {
        let off = match *self {
            Insn::Jump { off, .. } => i64::from(off),
            Insn::Branch { off, .. } | Insn::MayGoto { off } => i64::from(off),
            _ => return None,
        };
        Some(slot as i64 + 1 + off)
    }

    /// The first slot of the function that a call, or a load of a function's address, at `slot` names; as with
    /// [`Insn::target`], it may lie outside.
    pub fn function(&self, slot: usize) -> Option<i64> {
        match *self {
            Insn::Call { callee: Callee::Local(off) } => Some(slot as i64 + 1 + i64::from(off)),
            Insn::LoadImm64 { value: super::Wide::Func { off }, .. } => Some(slot as i64 + 1 + i64::from(off)),
            _ => None,
        }
    }

    /// Whether a basic block ends here: jumps, branches and `exit`. A call returns, so it does not end one.
    pub const fn is_terminator(&self) -> bool {
        matches!(self, Insn::Jump { .. } | Insn::Branch { .. } | Insn::MayGoto { .. } | Insn::Exit)
    }

    /// Whether control can go on to the next instruction.
    pub const fn falls_through(&self) -> bool {
        !matches!(self, Insn::Jump { .. } | Insn::Exit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::insn::{Size, Width};

    #[test]
    fn atomics_read_and_write_what_rfc_9669_5_3_says() {
        let (base, src) = (Reg::R1, Reg::R2);
        let atomic = |op, fetch| Insn::Atomic { op, fetch, size: Size::D, base, off: 0, src };
        assert_eq!(atomic(AtomicOp::Add, false).defs(), RegSet::EMPTY);
        assert_eq!(atomic(AtomicOp::Add, true).defs(), RegSet::of(src));
        assert_eq!(atomic(AtomicOp::Cmpxchg, true).defs(), RegSet::of(Reg::R0));
        assert_eq!(atomic(AtomicOp::Cmpxchg, true).uses(), [Reg::R0, Reg::R1, Reg::R2].into_iter().collect());
    }

    #[test]
    fn targets_count_from_the_next_slot() {
        let back = Insn::Jump { off: -3, long: true };
        assert_eq!(back.target(1), Some(-1));
        assert_eq!(Insn::Call { callee: Callee::Local(4) }.function(10), Some(15));
        assert_eq!(Insn::Neg { width: Width::W32, dst: Reg::R0 }.target(1), None);
    }
}
