//! Instructions made ready for the inner loop.
//!
//! Most instructions of a program touch nothing but registers of their own context and constants. For those the operands
//! are worked out once, when the program is loaded: every operand is a slot of the context's register file, in which the
//! program's constants stand as well. [`Machine::run_ready`] executes them one after the other with the state of the
//! program in local variables, and stops at whatever else there is; that is left to the visitor ([`super::exec`]), which
//! defines what every instruction means. The driver's words and random programs run through both in the tests.

use super::alu::{self, Flags};
use super::context::{BRANCH_SLOTS, Context, Then};
use super::csr::POINTERS;
use super::machine::{LOCAL_WORDS, Machine};
use super::registers::{CONSTANTS, FILE, FIRST_CONSTANT, NOWHERE, Registers, TRANSFERS, mirror};
use crate::isa::*;

/// What an instruction made ready does. The tag is a byte of its own, which is looked up without being worked out first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// Anything else: nothing of it is ready.
    Other,
    /// The result is `value`.
    Constant,
    /// The same, and `amount` of them follow each other, this one among them.
    Constants,
    Add,
    AddCarry,
    Sub,
    SubCarry,
    And,
    Or,
    Xor,
    /// The rarer ones of two operands.
    Alu(AluOp),
    /// The result is `rhs`; `lhs` is what an indirect shift behind it sees.
    Copy,
    Not,
    /// `lhs` with `rhs` moved.
    Shifted(ShiftOp, By),
    /// `lhs` and `rhs` as one number, moved right.
    Double(By),
    Rotate,
    Left,
    Right,
    LeftIndirect,
    RightIndirect,
    /// The register `keep`, with the bytes that `value` covers from `rhs` rotated, or shifted.
    FieldRotate,
    FieldLeft,
    FieldRight,
    FieldLeftIndirect,
    FieldRightIndirect,
    /// The word of local memory behind pointer `defer`, `value` words further, with the bytes `keep` from `rhs` moved.
    LocalField(By),
    /// The pointer register number `amount` of [`POINTERS`] is written.
    Point,
    /// From and to local memory behind pointer `amount`, `value` words further.
    FromLocal,
    ToLocal,
    /// To the low half of `value`, in states of the condition codes that its high half has a bit for.
    Branch,
    /// On bit `amount` of `rhs` set or clear.
    BranchSet,
    BranchClear,
}

/// How far a field is moved, by `amount` or by what the instruction before says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Rotate,
    Left,
    Right,
    LeftIndirect,
    RightIndirect,
}

impl By {
    fn of(shift: Shift) -> (By, u8) {
        match shift {
            Shift::Rotate(n) => (By::Rotate, n),
            Shift::Left(n) => (By::Left, n),
            Shift::Right(n) => (By::Right, n),
            Shift::LeftIndirect => (By::LeftIndirect, 0),
            Shift::RightIndirect => (By::RightIndirect, 0),
        }
    }

    /// `word` moved; `left` is the left operand of the instruction before.
    fn moved(self, word: u32, amount: u32, left: u32) -> u32 {
        match self {
            By::Rotate => word.rotate_right(amount),
            By::Left => word << (amount & 31),
            By::Right => word >> (amount & 31),
            By::LeftIndirect => word << (left & 31),
            By::RightIndirect => word >> (left & 31),
        }
    }
}

/// It reads transfer registers that data comes in by.
const READS_TRANSFERS: u8 = 1;
/// It writes transfer registers that data goes out by.
const WRITES_TRANSFERS: u8 = 2;

/// An instruction made ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Micro {
    kind: Kind,
    /// Slots of the result, which are the same but where both banks are written.
    to: u8,
    also: u8,
    lhs: u8,
    rhs: u8,
    /// What a field is put into.
    keep: u8,
    /// Amount of a shift, number of a bit or pointer.
    amount: u8,
    /// Deferred slots of a branch.
    defer: u8,
    /// Whether it sets the condition codes.
    cc: bool,
    /// [`READS_TRANSFERS`], [`WRITES_TRANSFERS`].
    transfers: u8,
    value: u32,
}

impl Micro {
    /// Nothing is ready.
    pub(super) const OTHER: Micro = Micro {
        kind: Kind::Other,
        to: NOWHERE,
        also: NOWHERE,
        lhs: NOWHERE,
        rhs: NOWHERE,
        keep: NOWHERE,
        amount: 0,
        defer: 0,
        cc: false,
        transfers: 0,
        value: 0,
    };

    fn to(self, (to, also): (u8, u8)) -> Micro {
        Micro { to, also, ..self }
    }

    fn operands(self, lhs: u8, rhs: u8) -> Micro {
        Micro { lhs, rhs, ..self }
    }

    fn of(kind: Kind, cc: bool) -> Micro {
        Micro { kind, cc, ..Micro::OTHER }
    }
}

/// Makes instructions of a program ready.
#[derive(Debug)]
pub(super) struct Ready {
    pub mode: ContextMode,
    /// The constants so far, in the order of their slots.
    pub constants: Vec<u8>,
}

impl Default for Ready {
    fn default() -> Self {
        Ready { mode: ContextMode::Four, constants: Vec::new() }
    }
}

impl Ready {
    /// Slot of a constant; `None` when there are too many.
    fn constant(&mut self, value: u8) -> Option<u8> {
        let known = self.constants.iter().position(|&other| other == value);
        let index = known.unwrap_or_else(|| {
            self.constants.push(value);
            self.constants.len() - 1
        });
        if index < CONSTANTS {
            Some(FIRST_CONSTANT + index as u8)
        } else {
            self.constants.truncate(CONSTANTS);
            None
        }
    }

    fn source(&mut self, source: Source) -> Option<u8> {
        match source {
            Source::Imm(value) => self.constant(value),
            Source::Reg(Reg::Gpr(bank, n)) => Some(Registers::gpr(self.mode, bank, n)),
            Source::Reg(Reg::Xfer(n)) => Some(Registers::transfer_in(self.mode, n)),
            Source::Reg(_) => None,
        }
    }

    fn target(&self, dst: Dst) -> Option<(u8, u8)> {
        Some(match dst.reg {
            None => (NOWHERE, NOWHERE),
            Some(Reg::Gpr(bank, n)) => {
                let slot = Registers::gpr(self.mode, bank, n);
                (slot, if dst.both { mirror(slot) } else { slot })
            }
            Some(Reg::Xfer(n)) => {
                let slot = Registers::transfer_out(self.mode, n);
                (slot, slot)
            }
            Some(_) => return None,
        })
    }

    fn left(&mut self, rhs: &One<Left>) -> Option<u8> {
        match rhs.beside {
            Left::Idle(Idle::Constant) => self.constant(0),
            Left::Idle(Idle::Zero) => self.source(Reg::Gpr(rhs.port.other(), 0).into()),
            Left::Reg(reg) => self.source(reg.into()),
        }
    }

    fn load(&mut self, dst: Dst, value: u32) -> Option<Micro> {
        Some(
            Micro { value, ..Micro::of(Kind::Constant, false) }
                .to(self.target(dst)?)
                .operands(self.constant(0)?, NOWHERE),
        )
    }

    fn copy(&mut self, op: &Move) -> Option<Micro> {
        let left = self.left(&op.rhs)?;
        let cc = op.cc == CondCodes::Set;
        let local = |reg: Option<Reg>, kind| match reg {
            Some(Reg::Local { pointer, offset }) => {
                Some(Micro { amount: pointer & 3, value: offset.into(), ..Micro::of(kind, cc) })
            }
            _ => None,
        };
        if op.op == AluMove::Copy {
            if let Some(micro) = local(op.rhs.src.reg(), Kind::FromLocal) {
                return Some(micro.to(self.target(op.dst)?).operands(left, NOWHERE));
            }
            if let Some(micro) = local(op.dst.reg, Kind::ToLocal) {
                return Some(micro.operands(left, self.source(op.rhs.src)?));
            }
        }
        let kind = if op.op == AluMove::Copy { Kind::Copy } else { Kind::Not };
        Some(Micro::of(kind, cc).to(self.target(op.dst)?).operands(left, self.source(op.rhs.src)?))
    }

    fn alu(&mut self, op: &Alu) -> Option<Micro> {
        let (lhs, rhs) = (self.source(op.src.lhs)?, self.source(op.src.rhs)?);
        let kind = match op.op {
            AluOp::Add => Kind::Add,
            AluOp::AddCarry => Kind::AddCarry,
            AluOp::Sub => Kind::Sub,
            AluOp::SubCarry => Kind::SubCarry,
            AluOp::And => Kind::And,
            AluOp::Or => Kind::Or,
            AluOp::Xor => Kind::Xor,
            rarer => Kind::Alu(rarer),
        };
        Some(Micro::of(kind, op.cc == CondCodes::Set).to(self.target(op.dst)?).operands(lhs, rhs))
    }

    fn shift(&mut self, op: &ShfMove) -> Option<Micro> {
        let (kind, amount) = match op.shift {
            Shift::Rotate(n) => (Kind::Rotate, n),
            Shift::Left(n) => (Kind::Left, n),
            Shift::Right(n) => (Kind::Right, n),
            Shift::LeftIndirect => (Kind::LeftIndirect, 0),
            Shift::RightIndirect => (Kind::RightIndirect, 0),
        };
        let micro = Micro { amount, ..Micro::of(kind, op.cc == CondCodes::Set) };
        Some(micro.to(self.target(op.dst)?).operands(self.left(&op.rhs)?, self.source(op.rhs.src)?))
    }

    fn shifted(&mut self, op: &AluShf) -> Option<Micro> {
        let (by, amount) = By::of(op.shift);
        let micro = Micro { amount, ..Micro::of(Kind::Shifted(op.op, by), op.cc == CondCodes::Set) };
        Some(micro.to(self.target(op.dst)?).operands(self.source(op.src.lhs)?, self.source(op.src.rhs)?))
    }

    fn double(&mut self, op: &DblShf) -> Option<Micro> {
        let (by, amount) = match op.amount {
            Amount::By(n) => (By::Right, n),
            Amount::Indirect => (By::RightIndirect, 0),
        };
        let micro = Micro { amount, ..Micro::of(Kind::Double(by), op.cc == CondCodes::Set) };
        Some(micro.to(self.target(op.dst)?).operands(self.source(op.src.lhs)?, self.source(op.src.rhs)?))
    }

    fn field(&mut self, merge: &Merge, bytes: u8, shift: Shift, cc: LoadCc, clear: bool) -> Option<Micro> {
        let (by, amount) = By::of(shift);
        let keep = match merge.dst {
            Reg::Local { pointer, offset } if !clear => {
                let local = Micro::of(Kind::LocalField(by), cc == LoadCc::Set);
                let local = Micro { keep: bytes & 0xf, amount, value: offset.into(), defer: pointer & 3, ..local };
                return Some(local.operands(self.constant(0)?, self.source(merge.src)?));
            }
            _ if clear => self.constant(0)?,
            reg @ Reg::Gpr(..) => self.source(reg.into())?,
            _ => return None,
        };
        let kind = match by {
            By::Rotate => Kind::FieldRotate,
            By::Left => Kind::FieldLeft,
            By::Right => Kind::FieldRight,
            By::LeftIndirect => Kind::FieldLeftIndirect,
            By::RightIndirect => Kind::FieldRightIndirect,
        };
        let micro = Micro { keep, amount, value: byte_mask(bytes), ..Micro::of(kind, cc == LoadCc::Set) };
        Some(micro.to(self.target(merge.target())?).operands(self.constant(0)?, self.source(merge.src)?))
    }

    /// The instruction made ready, or [`Micro::OTHER`].
    pub(super) fn micro(&mut self, op: &Op) -> Micro {
        let branch = |states: u16, kind, to: CodeAddress, defer| {
            let value = u32::from(states) << 16 | u32::from(to.0);
            Micro { value, defer, ..Micro::of(kind, false) }
        };
        let ready = match op {
            Op::Nop(_) => self.load(Dst::NONE, 0),
            Op::Immed(op) if !op.predicate => self.load(op.load.dst, super::exec::constant(op)),
            Op::Move(op) if !op.predicate => self.copy(op),
            Op::Alu(op) if !op.predicate => self.alu(op),
            Op::ShfMove(op) if !op.predicate && op.op == ShiftMove::Copy => self.shift(op),
            Op::AluShf(op) if !op.predicate => self.shifted(op),
            Op::DblShf(op) if !op.predicate => self.double(op),
            Op::LdField(op) if !op.predicate => self.field(&op.merge, op.bytes, op.shift, op.cc, false),
            Op::LdFieldClear(op) if !op.predicate => self.field(&op.merge, op.bytes, op.shift, op.cc, true),
            Op::CsrWrite(op) => POINTERS.iter().position(|(csr, _)| *csr == op.csr).and_then(|number| {
                let from = self.source(op.src.reg.into())?;
                Some(Micro { amount: number as u8, ..Micro::of(Kind::Point, false) }.operands(NOWHERE, from))
            }),
            Op::Br(op) => Some(branch(u16::MAX, Kind::Branch, op.to, op.defer)),
            Op::BrCond(op) => Some(branch(Flags::taken_in(op.cond), Kind::Branch, op.to, op.defer)),
            Op::BrBit(op) => self.source(op.test.reg.into()).map(|from| {
                let kind = if op.set { Kind::BranchSet } else { Kind::BranchClear };
                Micro { amount: op.test.bit() & 31, ..branch(0, kind, op.to, op.defer) }.operands(NOWHERE, from)
            }),
            _ => None,
        };
        let micro = ready.unwrap_or(Micro::OTHER);
        let keep = if matches!(micro.kind, Kind::LocalField(_)) { NOWHERE } else { micro.keep };
        let reads = [micro.lhs, micro.rhs, keep].iter().any(|slot| TRANSFERS.contains(slot));
        let writes = [micro.to, micro.also].iter().any(|slot| TRANSFERS.contains(slot));
        let transfers = if reads { READS_TRANSFERS } else { 0 } | if writes { WRITES_TRANSFERS } else { 0 };
        Micro { transfers, ..micro }
    }
}

/// Marks constants, idle instructions among them, that follow each other: they are executed together.
pub(super) fn join_constants(micros: &mut [Micro]) {
    let mut together = 0u8;
    for micro in micros.iter_mut().rev() {
        let constant = micro.kind == Kind::Constant && micro.transfers == 0;
        together = if constant { together.saturating_add(1) } else { 0 };
        if together > 1 {
            (micro.kind, micro.amount) = (Kind::Constants, together);
        }
    }
}

/// A word with the bytes that `bytes` names all ones.
const fn byte_mask(bytes: u8) -> u32 {
    let spread = (bytes as u32 & 1) | (bytes as u32 & 2) << 7 | (bytes as u32 & 4) << 14 | (bytes as u32 & 8) << 21;
    spread * 0xff
}

impl Context {
    /// Index of a word of local memory behind a pointer, for the instruction after so many; `None` if the visitor is to
    /// trap.
    #[inline(always)]
    fn local_word(&mut self, pointer: u32, offset: u32, executed: u64) -> Option<usize> {
        if !self.pointers_settled() {
            self.settle_pointers_at(executed);
        }
        let index = (self.local[(pointer & 3) as usize] >> 2 | offset) as usize;
        (index < LOCAL_WORDS).then_some(index)
    }
}

impl Machine {
    /// Executes instructions made ready from the program counter on, and stops before the first that is not.
    // Not inlined: alone it keeps most of its state in registers.
    #[inline(never)]
    pub(super) fn run_ready(&mut self, micros: &[Micro]) {
        let context = &mut self.contexts[self.current & 7];
        // A local CSR whose value the next instruction receives, a wait that deferred slots lead to: the visitor knows what
        // to do. It also counts out the budget where that could end before the next branch.
        if context.csr_value.is_some_and(|(at, _)| at == context.executed)
            || (context.slots != 0 && context.then == Then::Wait)
        {
            return;
        }
        let most = self.config.budget.saturating_sub(micros.len() as u64);
        let costs = &self.config.costs;
        let local = &mut self.local;
        let file: &mut [u32; FILE] = &mut self.registers.files[self.current & 7];
        // And it knows what a transfer register holds while data for it may be under way.
        let busy = if context.pushing != 0 { READS_TRANSFERS } else { 0 }
            | if context.pulling != 0 { WRITES_TRANSFERS } else { 0 };
        let (mut flags, mut previous, mut left) = (context.flags, context.previous, context.previous_left);
        let (mut cycles, before) = (0u64, context.executed);
        let mut pc = usize::from(context.pc);
        // Where the instructions end that are executed without a look at anything else: behind the code, or behind the
        // deferred slots of a branch that has been taken.
        let mut landing = context.slots != 0;
        let end = if landing { pc + usize::from(context.slots) } else { micros.len() };
        let Some(mut window) = micros.get(..end) else { return };
        // Instructions executed, when `pc` is added.
        let mut executed = context.executed.wrapping_sub(pc as u64);

        'run: while executed.wrapping_add(pc as u64) < most {
            while let Some(micro) = window.get(pc) {
                if micro.transfers & busy != 0 {
                    break 'run;
                }
                let (lhs, rhs) = (file[usize::from(micro.lhs)], file[usize::from(micro.rhs)]);
                let amount = u32::from(micro.amount);
                let field = |moved: u32| Flags::of(file[usize::from(micro.keep)] & !micro.value | moved & micro.value);
                let after = match micro.kind {
                    Kind::Other => break 'run,
                    Kind::Constant => Flags::of(micro.value),
                    Kind::Constants => {
                        left = lhs;
                        for micro in window[pc..].iter().take(usize::from(micro.amount)) {
                            file[usize::from(micro.to)] = micro.value;
                            file[usize::from(micro.also)] = micro.value;
                            previous = micro.value;
                            pc += 1;
                        }
                        continue;
                    }
                    Kind::Add => alu::alu(AluOp::Add, lhs, rhs, false),
                    Kind::AddCarry => alu::alu(AluOp::AddCarry, lhs, rhs, flags.carry()),
                    Kind::Sub => alu::alu(AluOp::Sub, lhs, rhs, false),
                    Kind::SubCarry => alu::alu(AluOp::SubCarry, lhs, rhs, flags.carry()),
                    Kind::And => Flags::of(lhs & rhs),
                    Kind::Or => Flags::of(lhs | rhs),
                    Kind::Xor => Flags::of(lhs ^ rhs),
                    Kind::Alu(op) => alu::alu(op, lhs, rhs, flags.carry()),
                    Kind::Copy => Flags::of(rhs),
                    Kind::Not => Flags::of(!rhs),
                    Kind::Shifted(op, by) => {
                        let moved = by.moved(rhs, amount, left);
                        Flags::of(match op {
                            ShiftOp::And => lhs & moved,
                            ShiftOp::NotAnd => !lhs & moved,
                            ShiftOp::AndNot => lhs & !moved,
                            ShiftOp::Or => lhs | moved,
                        })
                    }
                    Kind::Double(by) => {
                        let by = if by == By::RightIndirect { left } else { amount };
                        Flags::of(((u64::from(lhs) << 32 | u64::from(rhs)) >> (by & 31)) as u32)
                    }
                    Kind::Rotate => Flags::of(rhs.rotate_right(amount)),
                    Kind::Left => Flags::of(rhs << (amount & 31)),
                    Kind::Right => Flags::of(rhs >> (amount & 31)),
                    Kind::LeftIndirect => Flags::of(rhs << (left & 31)),
                    Kind::RightIndirect => Flags::of(rhs >> (left & 31)),
                    Kind::FieldRotate => field(rhs.rotate_right(amount)),
                    Kind::FieldLeft => field(rhs << (amount & 31)),
                    Kind::FieldRight => field(rhs >> (amount & 31)),
                    Kind::FieldLeftIndirect => field(rhs << (left & 31)),
                    Kind::FieldRightIndirect => field(rhs >> (left & 31)),
                    Kind::LocalField(by) => {
                        let pointer = u32::from(micro.defer);
                        match context.local_word(pointer, micro.value, executed.wrapping_add(pc as u64)) {
                            Some(index) => {
                                let mask = byte_mask(micro.keep);
                                let merged = local[index] & !mask | by.moved(rhs, amount, left) & mask;
                                local[index] = merged;
                                Flags::of(merged)
                            }
                            None => break 'run,
                        }
                    }
                    Kind::Point => {
                        context.executed = executed.wrapping_add(pc as u64);
                        context.write_pointer(POINTERS[usize::from(micro.amount) % POINTERS.len()].1, rhs);
                        // It leaves no result.
                        pc += 1;
                        continue;
                    }
                    Kind::FromLocal => {
                        match context.local_word(amount, micro.value, executed.wrapping_add(pc as u64)) {
                            Some(index) => Flags::of(local[index]),
                            None => break 'run,
                        }
                    }
                    Kind::ToLocal => match context.local_word(amount, micro.value, executed.wrapping_add(pc as u64)) {
                        Some(index) => {
                            local[index] = rhs;
                            Flags::of(rhs)
                        }
                        None => break 'run,
                    },
                    kind @ (Kind::Branch | Kind::BranchSet | Kind::BranchClear) => {
                        let (taken, penalty) = match kind {
                            Kind::BranchSet => (rhs >> (amount & 31) & 1 != 0, costs.branch_bit),
                            Kind::BranchClear => (rhs >> (amount & 31) & 1 == 0, costs.branch_bit),
                            _ => (micro.value >> (16 + flags.state()) & 1 != 0, costs.branch),
                        };
                        // One that is not taken leaves no result.
                        if !taken {
                            pc += 1;
                            continue;
                        }
                        let (to, defer) = (micro.value as u16, micro.defer);
                        // A branch in a slot, or slots behind the code, are traps: left to the visitor.
                        let slots = if landing { None } else { micros.get(..pc + 1 + usize::from(defer)) };
                        let Some(slots) = slots else { break 'run };
                        let penalty = penalty.saturating_sub(u32::from(defer));
                        let empty = BRANCH_SLOTS.saturating_sub(defer);
                        context.then = Then::Jump { to, penalty, empty };
                        pc += 1;
                        (landing, window) = (true, slots);
                        continue;
                    }
                };
                file[usize::from(micro.to)] = after.result();
                file[usize::from(micro.also)] = after.result();
                (left, previous) = (lhs, after.result());
                if micro.cc {
                    flags = after;
                }
                pc += 1;
            }
            if !landing {
                break;
            }
            let Then::Jump { to, penalty, empty } = context.then else { break };
            cycles += u64::from(penalty);
            context.land(to, empty);
            executed = executed.wrapping_add(pc as u64).wrapping_sub(u64::from(to));
            pc = usize::from(to);
            (landing, window) = (false, micros);
        }

        let executed = executed.wrapping_add(pc as u64);
        self.cycle += cycles + (executed - before) * u64::from(costs.instruction);
        context.executed = executed;
        (context.pc, context.slots, context.flags) =
            (pc as u16, if landing { (window.len() - pc) as u8 } else { 0 }, flags);
        (context.previous, context.previous_left) = (previous, left);
    }
}
