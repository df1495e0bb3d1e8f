//! One method for each kind of instruction the translation uses.

use nic_model::isa::{
    Address, Alu, AluMove, AluOp, AluShf, Amount, Asr, BitTest, Br, BrBit, BrCond, Cmd, CodeAddress, Completion, Cond,
    CondCodes, Count, Csr, CsrRead, CsrWrite, DblShf, Dst, Idle, Immed, ImmedShift, ImmedW, Indirect, Jump, JumpTo,
    Known, LdField, LdFieldClear, Load, LoadCc, Merge, Move, MulHalf, MulLast, MulStart, MulStep, MulStepNo, MulWidth,
    Nop, One, Pair, Previous, Reg, Running, ShfMove, Shift, ShiftMove, ShiftOp, Source, Swap, WordLane,
};

use super::constant::{Built, build};
use super::{AddressBits, Assembly, External, Goal, Label, ValuePart};

pub(crate) use nic_model::isa::Command;

/// The largest constant an unrestricted operand holds.
const WIDE_LIMIT: u32 = 255;
/// The largest constant every restricted operand holds.
const NARROW_LIMIT: u32 = 127;
/// The signal that a context waits for.
const SIGNAL: u8 = 1;
/// A command's count has three bits.
const COUNT_MASK: u16 = 7;

/// Override word of an indirect command (Linux nfp driver): length from bits 8 to 12, less one.
const OVERRIDE_LENGTH: u32 = 1 << 7;
/// Override word: 16 bits of data, in bits 16 to 31.
const OVERRIDE_DATA: u32 = 2 << 3;
/// Lowest bit of the override word's length.
const LENGTH_SHIFT: u32 = 8;
/// Length field of an addition: bit 3 always, bit 2 for 64 bits.
const ADD_LENGTH: u32 = 8;

impl Assembly {
    /// `alu[dst, lhs, op, rhs]`
    pub(crate) fn alu(&mut self, dst: Dst, lhs: impl Into<Operand>, op: AluOp, rhs: impl Into<Operand>) {
        let src = Pair::new(lhs.into().0, rhs.into().0);
        self.push(Alu { op, dst, src, cc: CondCodes::Set, predicate: false });
    }

    /// `alu[dst, --, B, src]`
    pub(crate) fn copy(&mut self, dst: Dst, src: impl Into<Operand>) {
        self.alu_move(AluMove::Copy, dst, src.into().0);
    }

    /// `alu[dst, --, B, src]` with a left operand for the indirect shift behind it; not register 0, which is none there.
    pub(crate) fn copy_beside(&mut self, dst: Dst, left: Reg, src: Reg) {
        let rhs = One::new(src, left);
        self.push(Move { op: AluMove::Copy, dst, rhs, cc: CondCodes::Set, predicate: false });
    }

    /// `alu[dst, --, ~B, src]`
    pub(crate) fn not(&mut self, dst: Dst, src: impl Into<Operand>) {
        self.alu_move(AluMove::Not, dst, src.into().0);
    }

    fn alu_move(&mut self, op: AluMove, dst: Dst, src: Source) {
        let rhs = One::new(src, Idle::Zero);
        self.push(Move { op, dst, rhs, cc: CondCodes::Set, predicate: false });
    }

    /// A constant, in one instruction or two.
    pub(crate) fn constant(&mut self, dst: Dst, value: u32) {
        match build(value) {
            Built::Once { value, shift, invert } => self.immed(dst, value, shift, invert),
            Built::Twice { low, high } => {
                self.immed(dst, low, ImmedShift::None, false);
                let load = Load { dst, value: high };
                self.push(ImmedW { load, invert: false, lane: WordLane::High, predicate: false });
            }
        }
    }

    fn immed(&mut self, dst: Dst, value: u16, shift: ImmedShift, invert: bool) {
        self.push(Immed { load: Load { dst, value }, invert, shift, predicate: false });
    }

    /// The address of a label, which the place of the program is added to when it is loaded.
    pub(crate) fn address(&mut self, dst: Dst, label: Label) {
        let load = Load { dst, value: 0 };
        let immed = Immed { load, invert: false, shift: ImmedShift::None, predicate: false };
        self.push_open(immed, Goal::Label(label));
    }

    /// The address of a byte of a map's first value, which is filled in when the program is loaded: low word and high.
    pub(crate) fn value_address(&mut self, low: Dst, high: Dst, table: u32, offset: u32) {
        let part = |bits| Goal::Value(ValuePart { table, offset, bits });
        let immed = |dst, shift| Immed { load: Load { dst, value: 0 }, invert: false, shift, predicate: false };
        let upper = ImmedW { load: Load { dst: low, value: 0 }, invert: false, lane: WordLane::High, predicate: false };
        self.push_open(immed(low, ImmedShift::None), part(AddressBits::Low));
        self.push_open(upper, part(AddressBits::Middle));
        self.push_open(immed(high, ImmedShift::Two), part(AddressBits::Memory));
    }

    /// A constant as an unrestricted operand: in the instruction if it fits, else built in `scratch`.
    pub(crate) fn wide_operand(&mut self, value: u32, scratch: Reg) -> Source {
        self.operand(value, WIDE_LIMIT, scratch)
    }

    /// The same for a restricted operand.
    pub(crate) fn narrow_operand(&mut self, value: u32, scratch: Reg) -> Source {
        self.operand(value, NARROW_LIMIT, scratch)
    }

    fn operand(&mut self, value: u32, limit: u32, scratch: Reg) -> Source {
        if value <= limit {
            return Source::Imm(value as u8);
        }
        self.constant(Dst::to(scratch), value);
        scratch.into()
    }

    /// `alu_shf[dst, --, B, src, shift]`
    pub(crate) fn shift(&mut self, dst: Dst, src: impl Into<Operand>, shift: Shift) {
        let rhs = One::new(src.into().0, Idle::Zero);
        self.push(ShfMove { op: ShiftMove::Copy, dst, rhs, shift, cc: CondCodes::Set, predicate: false });
    }

    /// `alu_shf[dst, lhs, op, rhs, shift]`; `rhs` is shifted.
    pub(crate) fn shift_into(
        &mut self,
        dst: Dst,
        lhs: impl Into<Operand>,
        op: ShiftOp,
        rhs: impl Into<Operand>,
        shift: Shift,
    ) {
        let src = Pair::new(lhs.into().0, rhs.into().0);
        self.push(AluShf { op, dst, src, shift, cc: CondCodes::Set, predicate: false });
    }

    /// `dbl_shf[dst, high, low, amount]`
    pub(crate) fn funnel(&mut self, dst: Dst, high: Reg, low: Reg, amount: Amount) {
        let src = Pair::new(high, low);
        self.push(DblShf { dst, src, amount, cc: CondCodes::Set, predicate: false });
    }

    /// `asr[dst, src, amount]`; the sign is the previous result's.
    pub(crate) fn arithmetic_shift(&mut self, dst: Dst, src: Reg, amount: Amount) {
        let rhs = One::new(src, Idle::Zero);
        self.push(Asr { dst, rhs, sign: Previous, amount, cc: CondCodes::Set, predicate: false });
    }

    /// `ld_field[dst, bytes, src, shift]`. A general purpose destination is named through the bank that its source
    /// leaves free.
    pub(crate) fn field(&mut self, dst: Dst, bytes: u8, src: impl Into<Operand>, shift: Shift) {
        let merge = merge(dst, src.into().0);
        self.push(LdField { merge, bytes, shift, cc: LoadCc::Keep, predicate: false });
    }

    /// `ld_field_w_clr[dst, bytes, src, shift]`
    pub(crate) fn field_clear(&mut self, dst: Dst, bytes: u8, src: impl Into<Operand>, shift: Shift) {
        let merge = merge(dst, src.into().0);
        self.push(LdFieldClear { merge, bytes, shift, cc: LoadCc::Keep, predicate: false });
    }

    /// `mul_step[lhs, rhs], start`
    pub(crate) fn multiply_start(&mut self, lhs: Reg, rhs: Source) {
        let src = Pair::new(lhs, rhs);
        self.push(MulStart { src, running: Running, cc: CondCodes::Set, predicate: false });
    }

    /// `mul_step[lhs, rhs], width_step`
    pub(crate) fn multiply_step(&mut self, width: MulWidth, step: MulStepNo, lhs: Reg, rhs: Source) {
        let src = Pair::new(lhs, rhs);
        self.push(MulStep { width, step, src, running: Running, cc: CondCodes::Set, predicate: false });
    }

    /// `mul_step[dst, --], width_half`
    pub(crate) fn multiply_read(&mut self, width: MulWidth, half: MulHalf, dst: Dst) {
        let (idle, cc) = (Idle::Zero, CondCodes::Set);
        self.push(MulLast { width, half, dst, idle, running: Running, cc, predicate: false });
    }

    /// `local_csr_rd[csr]`; the next instruction, a constant, receives the value.
    pub(crate) fn csr_read(&mut self, csr: Csr) {
        self.push(CsrRead { csr, idle: Idle::Zero });
    }

    /// `local_csr_wr[csr, src]`
    pub(crate) fn csr_write(&mut self, csr: Csr, src: Reg) {
        self.push(CsrWrite { csr, src: nic_model::isa::Beside::new(src, 0) });
    }

    /// Instructions without effect.
    pub(crate) fn nops(&mut self, count: usize) {
        for _ in 0..count {
            self.push(Nop {});
        }
    }

    /// A command of at most eight units.
    pub(crate) fn command(&mut self, command: Command, xfer: u8, address: Address, units: u16, swap: Swap) {
        self.push(cmd(command, xfer, address, units, swap, false));
    }

    /// A command of more units than eight: the length comes from an override in front.
    pub(crate) fn long_command(&mut self, command: Command, xfer: u8, address: Address, units: u16, swap: Swap) {
        self.constant(Dst::NONE, OVERRIDE_LENGTH | u32::from(units - 1) << LENGTH_SHIFT);
        self.push(cmd(command, xfer, address, units, swap, true));
    }

    /// A posted addition of 16 bits, which stand with the override word in `scratch`.
    pub(crate) fn add_short(&mut self, address: Address, wide: bool, addend: Reg, scratch: Reg) {
        let length = ADD_LENGTH | u32::from(wide) << 2;
        self.constant(Dst::to(scratch), OVERRIDE_DATA | OVERRIDE_LENGTH | length << LENGTH_SHIFT);
        self.field(Dst::to(scratch), 0b1100, addend, Shift::Left(16));
        self.push(cmd(Command::MEM_ADD_IMM, 0, address, 1, Swap::No, true));
    }

    /// `br[label], defer[n]`
    pub(crate) fn jump(&mut self, to: Label, defer: u8) {
        self.push_open(Br { to: CodeAddress(0), defer }, Goal::Label(to));
    }

    /// `bcc[label], defer[n]`
    pub(crate) fn branch(&mut self, cond: Cond, to: Label, defer: u8) {
        self.push_open(BrCond { cond, known: Known::Late, to: CodeAddress(0), defer }, Goal::Label(to));
    }

    /// A branch, with a condition or without, to what stands behind the body or in the firmware.
    pub(crate) fn branch_external(&mut self, cond: Option<Cond>, to: External, defer: u8) {
        let (goal, open) = (Goal::External(to), CodeAddress(0));
        match cond {
            Some(cond) => self.push_open(BrCond { cond, known: Known::Late, to: open, defer }, goal),
            None => self.push_open(Br { to: open, defer }, goal),
        }
    }

    /// `br_bset[reg, bit, label]`
    pub(crate) fn branch_bit_set(&mut self, reg: Reg, bit: u8, to: Label) {
        let test = BitTest::new(reg, bit);
        self.push_open(BrBit { set: true, test, to: CodeAddress(0), defer: 0 }, Goal::Label(to));
    }

    /// `rtn[reg], defer[n]`
    pub(crate) fn jump_register(&mut self, to: Reg, defer: u8) {
        self.push(Jump { to: JumpTo::new(to, 0), defer });
    }
}

/// A source operand as callers write it: a register or a small number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operand(Source);

impl From<Reg> for Operand {
    fn from(reg: Reg) -> Self {
        Operand(reg.into())
    }
}

impl From<Source> for Operand {
    fn from(source: Source) -> Self {
        Operand(source)
    }
}

impl From<u8> for Operand {
    fn from(value: u8) -> Self {
        Operand(Source::Imm(value))
    }
}

fn cmd(command: Command, xfer: u8, address: Address, units: u16, swap: Swap, indirect: bool) -> Cmd {
    let signal = if swap == Swap::No { 0 } else { SIGNAL };
    let count = Count(((units - 1) & COUNT_MASK) as u8 + 1);
    Cmd { xfer, address, count, completion: Completion { swap, signal }, indirect: Indirect(indirect), command }
}

/// Destination and source of a merge. A destination in both banks can stand at either port, one in a single bank cannot.
fn merge(dst: Dst, src: Source) -> Merge {
    let dst = match (dst.reg, src.reg().and_then(Reg::bank)) {
        (Some(Reg::Gpr(_, n)), Some(bank)) if dst.both => Dst { reg: Some(Reg::Gpr(bank.other(), n)), both: true },
        _ => dst,
    };
    Merge::new(dst, src).expect("lowering merges into registers only")
}
