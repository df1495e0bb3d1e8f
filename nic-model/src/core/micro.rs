//! Instructions made ready for the inner loop.
//!
//! Most instructions of a program touch nothing but registers of their own context and constants. For those the operands
//! are worked out once, when the program is loaded: every operand is a slot of the context's register file, in which the
//! program's constants stand as well. [`Machine::run_ready`] executes them one after the other with the state of the
//! program in local variables, and stops at whatever else there is; that is left to the visitor ([`super::exec`]), which
//! defines what every instruction means. The driver's words and random programs run through both in the tests.

use super::alu::{self, Flags};
use super::context::{BRANCH_SLOTS, Context, Then};
use super::machine::{LOCAL_WORDS, Machine};
use super::registers::{CONSTANTS, FILE, FIRST_CONSTANT, NOWHERE, Registers, TRANSFERS, mirror};
use crate::isa::*;

/// What an instruction made ready does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Anything else: nothing of it is ready.
    Other,
    /// The result is `value`.
    Constant,
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
    /// From and to local memory behind pointer `amount`, `value` words further.
    FromLocal,
    ToLocal,
    /// To `value`.
    Branch,
    BranchIf(Cond),
    /// On bit `amount` of `rhs` set or clear.
    BranchSet,
    BranchClear,
}

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
    /// Whether it reads or writes transfer registers.
    transfers: bool,
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
        transfers: false,
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

    fn field(&mut self, merge: &Merge, bytes: u8, shift: Shift, cc: LoadCc, clear: bool) -> Option<Micro> {
        let keep = match merge.dst {
            _ if clear => self.constant(0)?,
            reg @ Reg::Gpr(..) => self.source(reg.into())?,
            _ => return None,
        };
        let (kind, amount) = match shift {
            Shift::Rotate(n) => (Kind::FieldRotate, n),
            Shift::Left(n) => (Kind::FieldLeft, n),
            Shift::Right(n) => (Kind::FieldRight, n),
            Shift::LeftIndirect => (Kind::FieldLeftIndirect, 0),
            Shift::RightIndirect => (Kind::FieldRightIndirect, 0),
        };
        let micro = Micro { keep, amount, value: byte_mask(bytes), ..Micro::of(kind, cc == LoadCc::Set) };
        Some(micro.to(self.target(merge.target())?).operands(self.constant(0)?, self.source(merge.src)?))
    }

    /// The instruction made ready, or [`Micro::OTHER`].
    pub(super) fn micro(&mut self, op: &Op) -> Micro {
        let branch = |kind, to: CodeAddress, defer| Micro { value: to.0.into(), defer, ..Micro::of(kind, false) };
        let ready = match op {
            Op::Nop(_) => self.load(Dst::NONE, 0),
            Op::Immed(op) if !op.predicate => self.load(op.load.dst, super::exec::constant(op)),
            Op::Move(op) if !op.predicate => self.copy(op),
            Op::Alu(op) if !op.predicate => self.alu(op),
            Op::ShfMove(op) if !op.predicate && op.op == ShiftMove::Copy => self.shift(op),
            Op::LdField(op) if !op.predicate => self.field(&op.merge, op.bytes, op.shift, op.cc, false),
            Op::LdFieldClear(op) if !op.predicate => self.field(&op.merge, op.bytes, op.shift, op.cc, true),
            Op::Br(op) => Some(branch(Kind::Branch, op.to, op.defer)),
            Op::BrCond(op) => Some(branch(Kind::BranchIf(op.cond), op.to, op.defer)),
            Op::BrBit(op) => self.source(op.test.reg.into()).map(|from| {
                let kind = if op.set { Kind::BranchSet } else { Kind::BranchClear };
                Micro { amount: op.test.bit() & 31, ..branch(kind, op.to, op.defer) }.operands(NOWHERE, from)
            }),
            _ => None,
        };
        let micro = ready.unwrap_or(Micro::OTHER);
        let transfer = |slot: u8| TRANSFERS.contains(&slot);
        let transfers = [micro.to, micro.also, micro.lhs, micro.rhs, micro.keep].into_iter().any(transfer);
        Micro { transfers, ..micro }
    }
}

/// A word with the bytes that `bytes` names all ones.
const fn byte_mask(bytes: u8) -> u32 {
    let spread = (bytes as u32 & 1) | (bytes as u32 & 2) << 7 | (bytes as u32 & 4) << 14 | (bytes as u32 & 8) << 21;
    spread * 0xff
}

impl Context {
    /// Index of a word of local memory behind a pointer; `None` if the visitor is to look.
    #[inline]
    fn local_word(&self, pointer: u32, offset: u32) -> Option<usize> {
        let index = (self.local[(pointer & 3) as usize] >> 2 | offset) as usize;
        (self.pointers_settled() && index < LOCAL_WORDS).then_some(index)
    }

    /// Program counter and slots left after a deferred slot; after the last one the branch takes effect.
    #[inline]
    fn after_slot(&mut self, pc: usize, slots: u8, cycle: &mut u64) -> (usize, u8) {
        match (slots, self.then) {
            (1, Then::Jump { to, penalty, empty }) => {
                *cycle += u64::from(penalty);
                self.land(to, empty);
                (usize::from(to), 0)
            }
            _ => (pc, slots - 1),
        }
    }
}

impl Machine {
    /// Executes instructions made ready from the program counter on, and stops before the first that is not.
    pub(super) fn run_ready(&mut self, micros: &[Micro]) {
        let costs = &self.config.costs;
        let current = self.current & 7;
        let context = &mut self.contexts[current];
        // A local CSR whose value the next instruction receives, a wait that deferred slots lead to: the visitor knows what
        // to do.
        if context.csr_value.is_some_and(|(at, _)| at == context.executed)
            || (context.slots != 0 && context.then == Then::Wait)
        {
            return;
        }
        // And with transfer registers while data for one is under way.
        let transfers_busy = context.pushing | context.pulling != 0;
        let file: &mut [u32; FILE] = &mut self.registers.files[current];
        let fuel = self.config.budget.saturating_sub(context.executed);
        let mut left_to_run = fuel;
        let (mut pc, mut slots) = (usize::from(context.pc), context.slots);
        let (mut flags, mut previous, mut left) = (context.flags, context.previous, context.previous_left);

        while left_to_run > 0
            && let Some(micro) = micros.get(pc)
        {
            if micro.transfers && transfers_busy {
                break;
            }
            let (lhs, rhs) = (file[usize::from(micro.lhs)], file[usize::from(micro.rhs)]);
            let amount = u32::from(micro.amount);
            let field = |moved: u32| Flags::of(file[usize::from(micro.keep)] & !micro.value | moved & micro.value);
            let after = match micro.kind {
                Kind::Other => break,
                Kind::Constant => Flags::of(micro.value),
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
                Kind::FromLocal => match context.local_word(amount, micro.value) {
                    Some(index) => Flags::of(self.local[index]),
                    None => break,
                },
                Kind::ToLocal => match context.local_word(amount, micro.value) {
                    Some(index) => {
                        self.local[index] = rhs;
                        Flags::of(rhs)
                    }
                    None => break,
                },
                kind @ (Kind::Branch | Kind::BranchIf(_) | Kind::BranchSet | Kind::BranchClear) => {
                    let (taken, penalty) = match kind {
                        Kind::BranchIf(cond) => (flags.holds(cond), costs.branch),
                        Kind::BranchSet => (rhs >> (amount & 31) & 1 != 0, costs.branch_bit),
                        Kind::BranchClear => (rhs >> (amount & 31) & 1 == 0, costs.branch_bit),
                        _ => (true, costs.branch),
                    };
                    if taken {
                        if slots != 0 {
                            // A trap: left to the visitor.
                            break;
                        }
                        let (to, defer) = (micro.value as u16, micro.defer);
                        let penalty = penalty.saturating_sub(u32::from(defer));
                        let empty = BRANCH_SLOTS.saturating_sub(defer);
                        left_to_run -= 1;
                        if defer == 0 {
                            self.cycle += u64::from(penalty);
                            context.land(to, empty);
                            pc = usize::from(to);
                        } else {
                            context.then = Then::Jump { to, penalty, empty };
                            pc += 1;
                            slots = defer;
                        }
                        continue;
                    }
                    // One that is not taken leaves no result.
                    left_to_run -= 1;
                    pc += 1;
                    if slots != 0 {
                        (pc, slots) = context.after_slot(pc, slots, &mut self.cycle);
                    }
                    continue;
                }
            };
            file[usize::from(micro.to)] = after.result();
            file[usize::from(micro.also)] = after.result();
            (left, previous) = (lhs, after.result());
            if micro.cc {
                flags = after;
            }
            left_to_run -= 1;
            pc += 1;
            if slots != 0 {
                (pc, slots) = context.after_slot(pc, slots, &mut self.cycle);
            }
        }

        let executed = fuel - left_to_run;
        self.cycle += executed * u64::from(costs.instruction);
        context.executed += executed;
        (context.pc, context.slots, context.flags) = (pc as u16, slots, flags);
        (context.previous, context.previous_left) = (previous, left);
    }
}
