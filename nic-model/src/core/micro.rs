//! Instructions made ready for the inner loop.
//!
//! Most instructions of a program touch nothing but registers of their own context and constants. For those the operands
//! are worked out once, when the program is loaded: a source is a slot of the context's register file or a constant, a
//! destination one or two slots. [`Machine::run_ready`] executes them one after the other with the state of the program in
//! local variables, and stops at whatever else there is; that is left to the visitor ([`super::exec`]), which defines what
//! every instruction means. The driver's words and random programs run through both in the tests.

use super::alu::{self, Flags};
use super::context::{BRANCH_SLOTS, Then};
use super::machine::{LOCAL_WORDS, Machine};
use super::registers::{FILE, NOWHERE, Registers, mirror};
use crate::isa::*;

/// A source: a slot of the register file, or a constant with [`CONSTANT`] set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct From(u16);

const CONSTANT: u16 = 1 << 15;

impl From {
    #[inline(always)]
    fn read(self, file: &[u32; FILE]) -> u32 {
        let slot = file[usize::from(self.0 as u8)];
        if self.0 & CONSTANT != 0 { u32::from(self.0 as u8) } else { slot }
    }
}

/// A destination: two slots, which are the same but where both banks are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct To(u8, u8);

impl To {
    #[inline(always)]
    fn write(self, file: &mut [u32; FILE], value: u32) {
        file[usize::from(self.0)] = value;
        file[usize::from(self.1)] = value;
    }
}

/// Two sources and a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Three {
    to: To,
    lhs: From,
    rhs: From,
    cc: bool,
}

/// A branch in the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    to: u16,
    defer: u8,
}

/// An instruction made ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Micro {
    /// Anything else.
    Other,
    Constant(To, u32),
    Add(Three),
    AddCarry(Three),
    Sub(Three),
    SubCarry(Three),
    And(Three),
    Or(Three),
    Xor(Three),
    /// Other two-operand operators.
    Alu(AluOp, Three),
    /// `lhs` is what an indirect shift behind it sees.
    Copy(Three),
    Not(Three),
    Shift(Shift, Three),
    Field {
        to: To,
        keep: From,
        from: From,
        bytes: u8,
        shift: Shift,
        cc: bool,
    },
    FromLocal {
        to: To,
        pointer: u8,
        offset: u8,
        left: From,
        cc: bool,
    },
    ToLocal {
        from: From,
        pointer: u8,
        offset: u8,
        left: From,
        cc: bool,
    },
    Branch(Target),
    BranchIf(Cond, Target),
    BranchBit {
        from: From,
        bit: u8,
        set: bool,
        target: Target,
    },
}

/// Makes an instruction ready.
pub(super) struct Ready {
    mode: ContextMode,
}

impl Ready {
    pub(super) fn new(mode: ContextMode) -> Self {
        Ready { mode }
    }

    fn source(&self, source: Source) -> Option<From> {
        Some(From(match source {
            Source::Imm(value) => CONSTANT | u16::from(value),
            Source::Reg(Reg::Gpr(bank, n)) => Registers::gpr(self.mode, bank, n).into(),
            Source::Reg(Reg::Xfer(n)) => Registers::transfer_in(self.mode, n).into(),
            Source::Reg(_) => return None,
        }))
    }

    fn target(&self, dst: Dst) -> Option<To> {
        Some(match dst.reg {
            None => To(NOWHERE, NOWHERE),
            Some(Reg::Gpr(bank, n)) => {
                let slot = Registers::gpr(self.mode, bank, n);
                To(slot, if dst.both { mirror(slot) } else { slot })
            }
            Some(Reg::Xfer(n)) => {
                let slot = Registers::transfer_out(self.mode, n);
                To(slot, slot)
            }
            Some(_) => return None,
        })
    }

    fn left(&self, rhs: &One<Left>) -> Option<From> {
        match rhs.beside {
            Left::Idle(Idle::Constant) => Some(From(CONSTANT)),
            Left::Idle(Idle::Zero) => self.source(Reg::Gpr(rhs.port.other(), 0).into()),
            Left::Reg(reg) => self.source(reg.into()),
        }
    }

    fn copy(&self, op: &Move) -> Option<Micro> {
        let left = self.left(&op.rhs)?;
        let cc = op.cc == CondCodes::Set;
        let local = |reg: Option<Reg>| match reg {
            Some(Reg::Local { pointer, offset }) => Some((pointer, offset)),
            _ => None,
        };
        if op.op == AluMove::Copy {
            if let Some((pointer, offset)) = local(op.rhs.src.reg()) {
                return Some(Micro::FromLocal { to: self.target(op.dst)?, pointer, offset, left, cc });
            }
            if let Some((pointer, offset)) = local(op.dst.reg) {
                return Some(Micro::ToLocal { from: self.source(op.rhs.src)?, pointer, offset, left, cc });
            }
        }
        let three = Three { to: self.target(op.dst)?, lhs: left, rhs: self.source(op.rhs.src)?, cc };
        Some(if op.op == AluMove::Copy { Micro::Copy(three) } else { Micro::Not(three) })
    }

    fn alu(&self, op: &Alu) -> Option<Micro> {
        let (lhs, rhs) = (self.source(op.src.lhs)?, self.source(op.src.rhs)?);
        let three = Three { to: self.target(op.dst)?, lhs, rhs, cc: op.cc == CondCodes::Set };
        Some(match op.op {
            AluOp::Add => Micro::Add(three),
            AluOp::AddCarry => Micro::AddCarry(three),
            AluOp::Sub => Micro::Sub(three),
            AluOp::SubCarry => Micro::SubCarry(three),
            AluOp::And => Micro::And(three),
            AluOp::Or => Micro::Or(three),
            AluOp::Xor => Micro::Xor(three),
            other => Micro::Alu(other, three),
        })
    }

    fn field(&self, merge: &Merge, bytes: u8, shift: Shift, cc: LoadCc, clear: bool) -> Option<Micro> {
        let keep = match merge.dst {
            _ if clear => From(CONSTANT),
            reg @ Reg::Gpr(..) => self.source(reg.into())?,
            _ => return None,
        };
        let (to, from) = (self.target(merge.target())?, self.source(merge.src)?);
        Some(Micro::Field { to, keep, from, bytes, shift, cc: cc == LoadCc::Set })
    }

    /// The instruction made ready, or [`Micro::Other`].
    pub(super) fn micro(&self, op: &Op) -> Micro {
        let target = |to: CodeAddress, defer| Target { to: to.0, defer };
        let ready = match op {
            Op::Nop(_) => Some(Micro::Constant(To(NOWHERE, NOWHERE), 0)),
            Op::Immed(op) if !op.predicate => {
                self.target(op.load.dst).map(|to| Micro::Constant(to, super::exec::constant(op)))
            }
            Op::Move(op) if !op.predicate => self.copy(op),
            Op::Alu(op) if !op.predicate => self.alu(op),
            Op::ShfMove(op) if !op.predicate && op.op == ShiftMove::Copy => (|| {
                let (lhs, rhs) = (self.left(&op.rhs)?, self.source(op.rhs.src)?);
                let three = Three { to: self.target(op.dst)?, lhs, rhs, cc: op.cc == CondCodes::Set };
                Some(Micro::Shift(op.shift, three))
            })(),
            Op::LdField(op) if !op.predicate => self.field(&op.merge, op.bytes, op.shift, op.cc, false),
            Op::LdFieldClear(op) if !op.predicate => self.field(&op.merge, op.bytes, op.shift, op.cc, true),
            Op::Br(op) => Some(Micro::Branch(target(op.to, op.defer))),
            Op::BrCond(op) => Some(Micro::BranchIf(op.cond, target(op.to, op.defer))),
            Op::BrBit(op) => self.source(op.test.reg.into()).map(|from| Micro::BranchBit {
                from,
                bit: op.test.bit(),
                set: op.set,
                target: target(op.to, op.defer),
            }),
            _ => None,
        };
        ready.unwrap_or(Micro::Other)
    }
}

/// A word with the bytes that `bytes` names all ones.
const fn byte_mask(bytes: u8) -> u32 {
    let spread = (bytes as u32 & 1) | (bytes as u32 & 2) << 7 | (bytes as u32 & 4) << 14 | (bytes as u32 & 8) << 21;
    spread * 0xff
}

#[inline(always)]
fn shifted(value: u32, shift: Shift, left: u32) -> u32 {
    match shift {
        Shift::Rotate(n) => value.rotate_right(n.into()),
        Shift::Left(n) => value << (n & 31),
        Shift::Right(n) => value >> (n & 31),
        Shift::LeftIndirect => value << (left & 31),
        Shift::RightIndirect => value >> (left & 31),
    }
}

/// What the inner loop keeps at hand of a context.
struct Hot<'a> {
    file: &'a mut [u32; FILE],
    flags: Flags,
    /// The previous result and its left operand.
    previous: u32,
    left: u32,
}

impl Hot<'_> {
    /// An operation whose result is in its flags.
    #[inline(always)]
    fn arithmetic(&mut self, op: AluOp, three: Three) {
        let (lhs, rhs) = (three.lhs.read(self.file), three.rhs.read(self.file));
        let after = alu::alu(op, lhs, rhs, self.flags.carry);
        three.to.write(self.file, after.result);
        if three.cc {
            self.flags = after;
        }
        (self.left, self.previous) = (lhs, after.result);
    }

    /// The result of any other.
    #[inline(always)]
    fn result(&mut self, to: To, left: u32, result: u32, cc: bool) {
        to.write(self.file, result);
        if cc {
            self.flags = Flags::of(result);
        }
        (self.left, self.previous) = (left, result);
    }
}

impl Machine {
    /// Executes instructions made ready from the program counter on, and stops before the first that is not.
    pub(super) fn run_ready(&mut self, micros: &[Micro]) {
        let costs = &self.config.costs;
        let limit = self.config.budget;
        let current = self.current & 7;
        let context = &mut self.contexts[current];
        // A transfer register whose data is under way, a local CSR whose value the next instruction receives, a wait that
        // deferred slots lead to: the visitor knows what to do.
        if context.pushing | context.pulling != 0
            || context.csr_value.is_some_and(|(at, _)| at == context.executed)
            || (context.slots != 0 && context.then == Then::Wait)
        {
            return;
        }
        let local = &mut self.local;
        let pointers_settled = context.pointers_settled();
        let cost = u64::from(costs.instruction);
        let (mut pc, mut cycle, mut executed) = (context.pc, self.cycle, context.executed);
        let mut hot = Hot {
            file: &mut self.registers.files[current],
            flags: context.flags,
            previous: context.previous,
            left: context.previous_left,
        };
        let (mut slots, mut then) = (context.slots, context.then);

        while executed < limit
            && let Some(&micro) = micros.get(usize::from(pc))
        {
            let mut jump = None;
            match micro {
                Micro::Other => break,
                Micro::Constant(to, value) => hot.result(to, 0, value, false),
                Micro::Add(three) => hot.arithmetic(AluOp::Add, three),
                Micro::AddCarry(three) => hot.arithmetic(AluOp::AddCarry, three),
                Micro::Sub(three) => hot.arithmetic(AluOp::Sub, three),
                Micro::SubCarry(three) => hot.arithmetic(AluOp::SubCarry, three),
                Micro::And(three) => hot.arithmetic(AluOp::And, three),
                Micro::Or(three) => hot.arithmetic(AluOp::Or, three),
                Micro::Xor(three) => hot.arithmetic(AluOp::Xor, three),
                Micro::Alu(op, three) => hot.arithmetic(op, three),
                Micro::Copy(three) => {
                    hot.result(three.to, three.lhs.read(hot.file), three.rhs.read(hot.file), three.cc)
                }
                Micro::Not(three) => {
                    hot.result(three.to, three.lhs.read(hot.file), !three.rhs.read(hot.file), three.cc)
                }
                Micro::Shift(shift, three) => {
                    let result = shifted(three.rhs.read(hot.file), shift, hot.left);
                    hot.result(three.to, three.lhs.read(hot.file), result, three.cc)
                }
                Micro::Field { to, keep, from, bytes, shift, cc } => {
                    let mask = byte_mask(bytes);
                    let moved = shifted(from.read(hot.file), shift, hot.left);
                    hot.result(to, 0, keep.read(hot.file) & !mask | moved & mask, cc)
                }
                Micro::FromLocal { to, pointer, offset, left, cc } => {
                    let index = context.local[usize::from(pointer & 3)] >> 2 | u32::from(offset);
                    if !pointers_settled || index as usize >= LOCAL_WORDS {
                        break;
                    }
                    hot.result(to, left.read(hot.file), local[index as usize], cc)
                }
                Micro::ToLocal { from, pointer, offset, left, cc } => {
                    let index = context.local[usize::from(pointer & 3)] >> 2 | u32::from(offset);
                    if !pointers_settled || index as usize >= LOCAL_WORDS {
                        break;
                    }
                    let value = from.read(hot.file);
                    local[index as usize] = value;
                    hot.result(To(NOWHERE, NOWHERE), left.read(hot.file), value, cc)
                }
                Micro::Branch(target) => jump = Some((target, costs.branch)),
                Micro::BranchIf(cond, target) => {
                    if hot.flags.holds(cond) {
                        jump = Some((target, costs.branch));
                    }
                }
                Micro::BranchBit { from, bit, set, target } => {
                    if (from.read(hot.file) >> (bit & 31) & 1 != 0) == set {
                        jump = Some((target, costs.branch_bit));
                    }
                }
            }
            if let Some((target, penalty)) = jump {
                if slots != 0 {
                    // A trap: left to the visitor.
                    break;
                }
                let penalty = penalty.saturating_sub(u32::from(target.defer));
                let empty = BRANCH_SLOTS.saturating_sub(target.defer);
                cycle += cost;
                executed += 1;
                if target.defer == 0 {
                    pc = target.to;
                    cycle += u64::from(penalty);
                    if !pointers_settled {
                        context.land(pc, empty);
                    }
                } else {
                    pc += 1;
                    slots = target.defer;
                    then = Then::Jump { to: target.to, penalty, empty };
                }
                continue;
            }
            cycle += cost;
            executed += 1;
            pc += 1;
            if slots != 0 {
                slots -= 1;
                if slots == 0
                    && let Then::Jump { to, penalty, empty } = then
                {
                    pc = to;
                    cycle += u64::from(penalty);
                    if !pointers_settled {
                        context.land(pc, empty);
                    }
                }
            }
        }

        self.cycle = cycle;
        (context.pc, context.executed, context.flags) = (pc, executed, hot.flags);
        (context.previous, context.previous_left) = (hot.previous, hot.left);
        (context.slots, context.then) = (slots, then);
    }
}
