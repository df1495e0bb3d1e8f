//! The state after an instruction, given that its demands were proved.

use std::collections::BTreeMap;

mod branch;
mod call;
mod dynptr;
mod memory;

pub(super) use branch::{bounds_packet, decided};

use super::bounds::{Bounds, Range};
use super::cfg;
use super::class::Class;
use super::explored::Kind;
use super::guards::{Guards, Moving};
use super::live_regs::LiveRegs;
use super::live_stack::LiveStack;
use super::log::{self, Log, Shown};
use super::pointer::{self, Math};
use super::precision::{self, Marks};
use super::prove::{Setting, operand};
use super::state::{Added, State, Value};
use super::trail::{Trail, Tree};
use super::verdict::Stop;
use crate::errno::Errno;
use crate::insn::{AluOp, AtomicOp, ByteOrder, Callee, Insn, Operand, PacketMode, Reg, Size, Wide, Width};
use crate::program::MapIndex;

/// What is carried along all paths.
pub(super) struct Walk<'a> {
    /// The program and what was asked.
    pub setting: Setting<'a>,
    /// What is read and written where on the stack.
    pub live: LiveStack,
    /// By slot, the registers that may be read from it on.
    pub live_regs: Vec<LiveRegs>,
    /// Remembered states, and how the walked path came from them.
    pub tree: Tree,
    /// By slot, whether its 32-bit result must be zero-extended.
    pub zext: Vec<bool>,
    /// By function, the bytes of its own stack that were touched.
    pub depths: Vec<u32>,
    /// By function, whether a timer calls it.
    pub asynchronous: Vec<bool>,
    /// The largest offset of a byte of packet data that may be accessed.
    pub max_packet_offset: u32,
    /// By function, whether one that is verified on its own was called.
    pub called: Vec<bool>,
    /// By function, whether one was called with other than its prototype has.
    pub unreliable: Vec<bool>,
    /// By function, whether calling it may change the packet.
    pub changes_packet: Vec<bool>,
    /// What keeps a processor's speculation in bounds.
    pub guards: Guards,
    /// What is written of the walk.
    pub log: Log,
    /// A path is walked once more, to see what led to its end: nothing is learnt from it.
    pub is_again: bool,
    /// Why the program is refused for what an instruction that was proved led to.
    pub refused: Option<Stop>,
    /// By slot of a tail call, its map, and whether another path brings another.
    tail_calls: BTreeMap<usize, (MapIndex, bool)>,
    /// By slot of a `bpf_loop`, the function it calls back on all paths, while its flags are 0.
    loops: BTreeMap<usize, Option<u32>>,
    last_id: u32,
}

/// Where a path goes on.
pub(super) enum Next {
    /// At one slot.
    Goto(usize),
    /// At one slot, and another path with its own state at another.
    Fork {
        /// Where this path goes on.
        here: usize,
        /// Where the other path starts.
        slot: usize,
        /// Its state.
        state: Box<State>,
    },
    /// At one slot, and a path that only a mispredicted branch or a mask leads to at another.
    Speculate {
        /// Where this path goes on.
        here: usize,
        /// Where the other path starts.
        slot: usize,
        /// Its state.
        state: Box<State>,
    },
    /// Behind a call, and another path into the function it calls back.
    CallBack {
        /// Where this path goes on.
        here: usize,
        /// Where the function starts.
        slot: usize,
        /// The state there.
        state: Box<State>,
    },
    /// At the next slot; a function is walked later, on its own.
    Later {
        /// Where the function starts.
        slot: usize,
        /// The state there.
        state: Box<State>,
    },
    /// Out of a loop; another path goes round once more.
    Turn {
        /// Where this path goes on.
        here: usize,
        /// Where the other path starts.
        slot: usize,
        /// Its state.
        state: Box<State>,
    },
    /// Behind the call of the function that returned.
    Return {
        /// There.
        slot: usize,
        /// If the instruction ends the function only sometimes: the state at the next one.
        stays: Option<Box<State>>,
    },
    /// At the call that called the function back, which may do so again.
    Again {
        /// There.
        slot: usize,
        /// As in [`Next::Return`].
        stays: Option<Box<State>>,
    },
    /// Nowhere.
    End,
}

impl<'a> Walk<'a> {
    pub(super) fn new(setting: Setting<'a>, live: LiveStack, live_regs: Vec<LiveRegs>) -> Self {
        let program = setting.program;
        Self {
            setting,
            live,
            live_regs,
            tree: Tree::new(program.insns.len()),
            zext: vec![false; program.insns.len()],
            depths: vec![0; program.functions.len()],
            asynchronous: vec![false; program.functions.len()],
            called: vec![false; program.functions.len()],
            unreliable: vec![false; program.functions.len()],
            changes_packet: cfg::changes_packet(program),
            max_packet_offset: 0,
            guards: Guards::new(program.insns.len(), setting.options),
            log: Log::new(setting.options.log_level),
            is_again: false,
            refused: None,
            tail_calls: BTreeMap::new(),
            loops: BTreeMap::new(),
            last_id: 0,
        }
    }

    /// A tail call goes through one map on all paths, where its index must be masked for speculation's sake. Whoever loads
    /// the program made the maps.
    pub(super) fn one_map_for_tail_calls(&self) -> Result<(), Stop> {
        if !self.guards.are_off() && self.tail_calls.values().any(|(_, varies)| *varies) {
            return Err(Stop::invalid(Class::Speculation, "tail_call abusing map_ptr"));
        }
        Ok(())
    }

    /// An id that no value has.
    fn fresh_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    /// A register of the running function is read: all of it, or its low half.
    fn read(&mut self, state: &mut State, reg: Reg, wide: bool) {
        self.log.touched.regs |= 1 << reg.index();
        // R10 never changes, so nothing depends on it.
        if reg == Reg::R10 {
            return;
        }
        let def32 = state.reg(reg).def32;
        if wide && def32 != 0 {
            self.zext[def32 as usize - 1] = true;
            state.frame_mut().regs[reg.index()].def32 = 0;
        }
    }

    /// A number of the running function's matters, and so what it was made of.
    fn matters(&mut self, state: &State, reg: Reg) {
        self.mark(Marks::of(state.depth(), reg), None);
    }

    /// As [`Walk::matters`] for an operand.
    fn operand_matters(&mut self, state: &State, src: Operand) {
        if let Operand::Reg(reg) = src {
            self.matters(state, reg);
        }
    }

    /// Marks what matters on the path that ends with `trail`, or on the walked one. Tells whether a remembered state
    /// changed.
    pub(super) fn mark(&mut self, marks: Marks, trail: Option<&Trail>) -> bool {
        let (setting, program) = (self.setting, self.setting.program);
        if setting.everything_matters() || self.is_again {
            return false;
        }
        let path = precision::Program {
            insns: &program.insns,
            calls_back: &|slot| cfg::calls_back(program, slot),
            is_global_call: &|slot| cfg::is_global_call(program, slot),
            text: &|slot| log::insn(setting, slot),
            show: &|state, frame| log::frame(state, frame, Shown::ALL, setting),
        };
        match precision::mark(&mut self.tree, trail, marks, &path, &mut self.log) {
            Ok(changed) => changed,
            Err(line) => {
                self.refused.get_or_insert(Stop::refused(Class::KernelMistake, Errno::EFAULT, line));
                false
            }
        }
    }

    fn read_operand(&mut self, state: &mut State, src: Operand, wide: bool) {
        if let Operand::Reg(reg) = src {
            self.read(state, reg, wide);
        }
    }

    /// A register of the running function is written, by a 32-bit operation at `def32` if there is one.
    fn write(&mut self, state: &mut State, reg: Reg, value: Value, def32: Option<usize>) {
        self.log.touched.regs |= 1 << reg.index();
        state.set(reg, Value { def32: def32.map_or(0, |slot| slot as u32 + 1), ..value });
    }

    /// Moves a state over the instruction at `slot`.
    pub(super) fn step(&mut self, state: &mut State, slot: usize, insn: &Insn) -> Next {
        let narrow = |is_narrow: bool| is_narrow.then_some(slot);
        match *insn {
            Insn::Alu { width, op, dst, src } => {
                let wide = width == Width::W64;
                self.read_operand(state, src, wide);
                self.read(state, dst, wide);
                let other = split_sign(state, op, dst, src);
                let unmoved = self.guard(state, slot, width, op, dst, src);
                let value = self.alu(state, width, op, dst, src);
                self.write(state, dst, value, narrow(!wide));
                if let Some(state) = unmoved {
                    return Next::Speculate { here: slot + 1, slot: slot + 1, state };
                }
                if let Some(other) = other {
                    return Next::Fork { here: slot + 1, slot, state: other };
                }
            }
            Insn::Mov { width, dst, src, sext } => {
                let wide = width == Width::W64;
                self.read_operand(state, src, wide);
                let value = self.moved(state, width, src, sext);
                self.write(state, dst, value, narrow(!wide));
            }
            Insn::Neg { width, dst } => {
                let wide = width == Width::W64;
                self.read(state, dst, wide);
                let old = *state.reg(dst);
                let value = if old.is_number() { Value::number(old.var.negate(width)) } else { Value::ANY_NUMBER };
                self.write(state, dst, value, narrow(!wide));
            }
            Insn::End { order, dst, bits } => {
                let wide = bits == 64;
                self.read(state, dst, wide);
                let old = *state.reg(dst);
                let value = match (order, bits) {
                    _ if !old.is_number() => Value::ANY_NUMBER,
                    (ByteOrder::Le, 64) => old,
                    _ => Value::number(old.var.ordered(order, bits)),
                };
                self.write(state, dst, value, narrow(!wide));
            }
            Insn::LoadImm64 { dst, value } => {
                let value = match value {
                    Wide::Value(v) => Value::number(Bounds::known(v)),
                    Wide::Map(map) => Value::pointer(Kind::MapPtr(map)),
                    Wide::MapValue { map, off } => Value { off: off as i32, ..Value::pointer(Kind::MapValue(map)) },
                    Wide::Func { .. } => {
                        let start =
                            insn.function(slot).expect("Insn::function names one for every Wide::Func") as usize;
                        Value::pointer(Kind::Func(cfg::function_at(self.setting.program, start) as u32))
                    }
                    Wide::Variable { .. } => unreachable!("it demands Unmodelled, which is never proved"),
                };
                self.write(state, dst, value, None);
                return Next::Goto(slot + 2);
            }
            Insn::Pad => unreachable!("no jump goes into a wide load, and wide loads are stepped over"),
            Insn::Load { size, sext, dst, base, off } => {
                self.read(state, base, true);
                let value = self.load(state, base, i64::from(off), size, sext);
                let from_ctx = state.reg(base).kind == Kind::Ctx && value.is_pointer();
                self.write(state, dst, value, narrow(size != Size::D && !sext && !from_ctx));
            }
            Insn::Store { size, base, off, src } => {
                if let Operand::Reg(reg) = src {
                    let whole = size == Size::D || state.reg(reg).is_pointer();
                    self.read(state, reg, whole);
                }
                self.read(state, base, true);
                self.store(state, base, i64::from(off), size, src);
            }
            Insn::Atomic { op, fetch, size, base, off, src } => {
                let whole = size == Size::D || state.reg(src).is_pointer();
                self.read(state, src, whole);
                self.read(state, base, true);
                if op == AtomicOp::Cmpxchg {
                    self.read(state, Reg::R0, size == Size::D);
                }
                let old = self.load(state, base, i64::from(off), size, false);
                self.store_unknown(state, base, i64::from(off), size);
                if fetch {
                    let result = if op == AtomicOp::Cmpxchg { Reg::R0 } else { src };
                    self.write(state, result, old, narrow(size != Size::D));
                }
            }
            Insn::LoadPacket { mode, .. } => {
                self.read(state, Reg::R6, true);
                if let PacketMode::Ind(reg) = mode {
                    self.read(state, reg, true);
                }
                self.clobber_caller_saved(state);
                self.write(state, Reg::R0, Value::ANY_NUMBER, Some(slot));
                // What is not in the packet ends the function with 0.
                if state.depth() > 0 {
                    return self.leave_early(state, Value::number(Bounds::ZERO));
                }
            }
            Insn::Jump { off, .. } => return Next::Goto(slot.wrapping_add_signed(off as isize + 1)),
            Insn::Branch { width, cond, dst, src, off } => {
                let wide = width == Width::W64;
                self.read(state, dst, wide);
                self.read_operand(state, src, wide);
                let target = slot.wrapping_add_signed(isize::from(off) + 1);
                return self.branch(state, slot, width, cond, dst, src, target);
            }
            Insn::Call { callee: Callee::Local(off) } => {
                return self.call_local(state, slot, slot.wrapping_add_signed(off as isize + 1));
            }
            Insn::Call { callee: Callee::Helper(id) } => return self.call_helper(state, slot, id),
            Insn::LoadAcquire { size, dst, base, off } => {
                self.read(state, base, true);
                let value = self.load(state, base, i64::from(off), size, false);
                self.write(state, dst, value, narrow(size != Size::D));
            }
            Insn::StoreRelease { size, base, off, src } => {
                let whole = size == Size::D || state.reg(src).is_pointer();
                self.read(state, src, whole);
                self.read(state, base, true);
                self.store(state, base, i64::from(off), size, Operand::Reg(src));
            }
            Insn::MayGoto { off } => {
                let mut round = Box::new(state.clone());
                round.may_goto_depth += 1;
                let here = slot.wrapping_add_signed(isize::from(off) + 1);
                return Next::Turn { here, slot: slot + 1, state: round };
            }
            Insn::Call { .. } | Insn::AddrSpaceCast { .. } => {
                unreachable!("they demand Never or Unmodelled, which are never proved")
            }
            Insn::Exit => return self.exit(state),
        }
        Next::Goto(slot + 1)
    }

    /// Masks an addition or subtraction, where masks are needed. Gives the state in which the mask left the pointer where
    /// it was, if it may.
    fn guard(
        &mut self,
        state: &State,
        slot: usize,
        width: Width,
        op: AluOp,
        dst: Reg,
        src: Operand,
    ) -> Option<Box<State>> {
        if self.guards.are_off() {
            return None;
        }
        let (left, right) = (state.reg(dst), operand(state, src));
        if left.is_number() && right.is_number() {
            self.guards.note_numbers(slot, op, src);
            return None;
        }
        let leaks = self.setting.options.privileges.leaks_pointers();
        let Ok(Math::Moves { ptr, by, reversed }) = pointer::math(width, op, dst, left, &right, leaks) else {
            return None;
        };
        let moving = Moving { slot, op, dst, src, ptr, by, reversed, speculative: state.speculative };
        let to = pointer::moved(op, dst, ptr, by, reversed, 0).ok()?;
        let varies = self.guards.note_move(self.setting, &moving, &to);
        varies.then(|| left_behind(state, dst, ptr))
    }

    /// The state in which a mask leaves a pointer where it was, on a path that may not move it as the instruction does.
    pub(super) fn unmoved(&self, state: &State, slot: usize, insn: &Insn) -> Option<Box<State>> {
        let Insn::Alu { width, op, dst, src: Operand::Reg(src) } = *insn else { return None };
        let (left, right) = (state.reg(dst), state.reg(src));
        if !self.guards.masks(slot, op) || left.is_number() && right.is_number() {
            return None;
        }
        let leaks = self.setting.options.privileges.leaks_pointers();
        match pointer::math(width, op, dst, left, right, leaks) {
            Ok(Math::Moves { ptr, by, .. }) if !by.bits.is_const() => Some(left_behind(state, dst, ptr)),
            _ => None,
        }
    }

    fn alu(&mut self, state: &State, width: Width, op: AluOp, dst: Reg, src: Operand) -> Value {
        let (left, right) = (*state.reg(dst), operand(state, src));
        if left.is_pointer() || right.is_pointer() {
            if right.is_number() {
                self.operand_matters(state, src);
            } else if left.is_number() {
                self.matters(state, dst);
            }
            let id = self.last_id + 1;
            let leaks = self.setting.options.privileges.leaks_pointers();
            let value = match pointer::math(width, op, dst, &left, &right, leaks) {
                Ok(Math::Number) => Ok(Value::ANY_NUMBER),
                Ok(Math::Moves { ptr, by, reversed }) => pointer::moved(op, dst, ptr, by, reversed, id),
                Err(stop) => Err(stop),
            }
            .unwrap_or_else(|_| unreachable!("pointer arithmetic was proved"));
            if value.id == id {
                self.last_id = id;
            }
            return value;
        }
        let mut var = left.var.alu(width, op, &right.var);
        if !var.is_consistent() {
            var.forget_ranges();
        }
        let mut out = Value::number(var);
        // `r1 = r2; r1 += 4` keeps the two tied, so that a later bound on one bounds the other.
        let by = match width {
            Width::W64 => right.var.constant().and_then(|v| i32::try_from(v as i64).ok()),
            Width::W32 => right.var.low_constant().map(|v| v as i32),
        };
        let off = match (op, by) {
            (AluOp::Add, Some(by)) => Some(by),
            (AluOp::Sub, Some(by)) => by.checked_neg(),
            _ => None,
        };
        let fits = width == Width::W64 || left.var.width() <= 32;
        let fits = fits && self.setting.options.privileges.bpf;
        if let (Some(off), Added::No, true) = (off, left.added, fits)
            && left.id != 0
            && src != Operand::Reg(dst)
        {
            let added = if width == Width::W64 { Added::Wide } else { Added::Low };
            (out.id, out.added, out.off) = (left.id, added, off);
        }
        out
    }

    fn moved(&mut self, state: &mut State, width: Width, src: Operand, sext: Option<u8>) -> Value {
        let Operand::Reg(reg) = src else {
            let value = operand(state, src);
            let var = if width == Width::W32 { value.var.zero_extended() } else { value.var };
            return Value::number(var);
        };
        let value = *state.reg(reg);
        if !value.is_number() {
            return match (width, sext) {
                (Width::W64, None) => value,
                (Width::W64, Some(_)) => Value::ANY_NUMBER,
                (Width::W32, _) => Value::number(Bounds::UNKNOWN.zero_extended()),
            };
        }
        // The copy stays tied to the source if it is the same number.
        let same = match (width, sext) {
            (_, Some(bits)) => value.var.wide.umax < 1 << (bits - 1),
            (Width::W32, None) => value.var.width() <= 32,
            (Width::W64, None) => true,
        };
        let mut out = if same {
            self.tie(&mut state.frame_mut().regs[reg.index()]);
            *state.reg(reg)
        } else {
            Value::number(value.var)
        };
        out.var = match (width, sext) {
            (_, Some(bits)) => value.var.sign_extended(u32::from(bits), width),
            (Width::W32, None) => value.var.zero_extended(),
            (Width::W64, None) => return out,
        };
        out
    }

    /// Gives a number an id to share with a copy. A number that was moved away from its id by a constant gets a new one.
    fn tie(&mut self, value: &mut Value) {
        if !value.is_number() {
            return;
        }
        if value.added != Added::No {
            value.untie();
        }
        if value.id == 0 && !value.var.bits.is_const() {
            value.id = self.fresh_id();
        }
    }

    /// R0 to R5 are undefined after a call.
    fn clobber_caller_saved(&mut self, state: &mut State) {
        for reg in [Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5] {
            self.write(state, reg, Value::UNINIT, None);
        }
    }
}

/// The state of a mispredicted path on which a pointer was not moved to `dst` but copied.
fn left_behind(state: &State, dst: Reg, ptr: &Value) -> Box<State> {
    let mut out = Box::new(state.clone());
    out.speculative = true;
    let mut pointer = Value { def32: 0, ..*ptr };
    pointer.var.low = Range::FULL;
    out.set(dst, pointer);
    out
}

/// A number that is 0 or -1, as a shift by all but the sign bit leaves it, is masked with a constant: Linux looks at the
/// two one by one. The state is left with -1, and the one returned has 0.
fn split_sign(state: &mut State, op: AluOp, dst: Reg, src: Operand) -> Option<Box<State>> {
    let value = *state.reg(dst);
    let masked = matches!(op, AluOp::And | AluOp::Or) && operand(state, src).constant().is_some();
    if !masked || !value.is_number() {
        return None;
    }
    let (wide, low) = (&value.var.wide, &value.var.low);
    let one_of = if (wide.smin, wide.smax) == (-1, 0) {
        |_: &Bounds, v: u64| Bounds::known(v)
    } else if (low.smin, low.smax) == (-1, 0) {
        |b: &Bounds, v: u64| b.with_low(v as u32)
    } else {
        return None;
    };
    let mut other = Box::new(state.clone());
    other.frame_mut().regs[dst.index()].var = one_of(&value.var, 0);
    state.frame_mut().regs[dst.index()].var = one_of(&value.var, u64::MAX);
    Some(other)
}
