//! Calls and returns.

use std::rc::Rc;

use super::{Next, Walk};
use crate::errno::Errno;
use crate::helpers::signature::{self, Arg, Returns, Signature};
use crate::insn::Reg;
use crate::program::MapIndex;
use crate::verifier::bounds::Bounds;
use crate::verifier::cfg;
use crate::verifier::class::Class;
use crate::verifier::explored::{Kind, Lender, SockKind};
use crate::verifier::precision::Marks;
use crate::verifier::prove::in_range;
use crate::verifier::prove::{
    Given, GlobalArg, constant_key, dynptr_args, given, global_args, register, unlike_prototype,
};
use crate::verifier::state::{Callback, Frame, Lock, Reference, StackPlace, State, Value};
use crate::verifier::verdict::Stop;

/// `bpf_get_smp_processor_id`.
const PROCESSOR: u32 = 8;
/// `bpf_probe_read_user_str` and `bpf_probe_read_kernel_str`: no more than the size asked for, or an error number.
const SIZED: [u32; 2] = [114, 115];
/// Largest error number (`MAX_ERRNO`).
const MAX_ERRNO: i64 = 4095;
/// `bpf_spin_lock` and `bpf_spin_unlock`.
const SPIN_LOCK: u32 = 93;
const SPIN_UNLOCK: u32 = 94;
/// Helpers whose result must be given back: socket look-ups and ring buffer reservations.
const ACQUIRE: [u32; 4] = [84, 85, 99, 131];
/// Helpers whose result is their argument seen as something else.
const CAST: [u32; 2] = [95, 96];

impl Walk<'_> {
    pub(super) fn call_helper(&mut self, state: &mut State, slot: usize, id: u32) -> Next {
        let ty = self.setting.program.ty;
        let signature = signature::signature(id, ty).expect("a call without a row demands Never");
        for index in 0..signature.args.len() {
            self.read(state, register(index), true);
        }
        let given = given(state, signature);
        let sizes = self.lend_arguments(state, signature, &given);
        if let Some(released) = self.released(state, signature, &given) {
            state.references.retain(|r| r.id != released);
            let gone = self.gone();
            state.update_where(|v| v.reference == released, |v| *v = gone);
            self.lose_dynptrs(state, released);
        }
        let mut next = Next::Goto(slot + 1);
        match id {
            SPIN_LOCK | SPIN_UNLOCK => self.lock(state, id == SPIN_LOCK),
            signature::TAIL_CALL => {
                if let Some((map, _)) = given.map {
                    let (first, varies) = self.tail_calls.entry(slot).or_insert((map, false));
                    *varies |= *first != map;
                }
                let index = state.reg(Reg::R3).constant();
                let entries = given.map.map_or(0, |(map, _)| self.setting.map(map).max_entries);
                if index.is_some_and(|i| i < u64::from(entries)) {
                    self.matters(state, Reg::R3);
                }
            }
            signature::TIMER_SET_CALLBACK => next = self.later(state, slot, &given),
            _ if signature.calls_back() => {
                if let Some(callback) = self.callback(state, slot, id, &given) {
                    next = callback;
                }
            }
            _ => {}
        }
        let result = self.result(state, slot, signature, &given, sizes);
        self.clobber_caller_saved(state);
        self.write(state, Reg::R0, result, None);
        match id {
            // A call that finds a program ends the function, whose caller goes on with what the program returns; only one
            // that finds none goes on here, with the packet as it was.
            signature::TAIL_CALL if state.depth() > 0 => next = self.leave_early(state, Value::ANY_NUMBER),
            signature::TAIL_CALL => {}
            _ if signature.changes_packet => self.packet_changed(state),
            _ => {}
        }
        next
    }

    /// What a pointer is that points to nothing any more: a number, for those who may see it.
    pub(super) fn gone(&self) -> Value {
        if self.setting.options.privileges.leaks_pointers() { Value::ANY_NUMBER } else { Value::UNINIT }
    }

    /// Pointers into the packet point where it was.
    fn packet_changed(&mut self, state: &mut State) {
        let gone = self.gone();
        state.update_where(|v| v.kind.is_packet_bound(), |v| *v = gone);
    }

    /// Reads and writes what a helper's arguments point to. Gives the largest of the last size.
    fn lend_arguments(&mut self, state: &mut State, signature: &Signature, given: &Given) -> u64 {
        let spec = given.map.map(|(map, _)| self.setting.map(map));
        let mut last = 0;
        for (index, arg) in signature.args.iter().enumerate() {
            let reg = register(index);
            let value_size = spec.map_or(0, |s| u64::from(s.value_size));
            let (size, write, exact) = match *arg {
                Arg::Key => (spec.map_or(0, |s| u64::from(s.key_size)), false, false),
                Arg::Value => (value_size, false, false),
                Arg::ValueOrNull if !state.reg(reg).is_zero() => (value_size, false, false),
                Arg::ValueOut => (value_size, true, true),
                Arg::Fixed(size) => (u64::from(size), false, false),
                Arg::FixedInOut(size) => (u64::from(size), true, false),
                Arg::FixedOut(size) => (u64::from(size), true, true),
                Arg::Size | Arg::SizeOrZero => {
                    let size = state.reg(reg).var;
                    let memory = signature.args[index - 1];
                    let write = matches!(memory, Arg::MemOut | Arg::MemInOut | Arg::MemInOutOrNull);
                    let exact = memory == Arg::MemOut && size.bits.is_const();
                    last = size.wide.umax;
                    self.lend(state, register(index - 1), last, write, exact);
                    self.matters(state, reg);
                    continue;
                }
                Arg::AllocSize => {
                    self.matters(state, reg);
                    continue;
                }
                Arg::DynptrOut(kind) => {
                    self.make_dynptr(state, reg, kind);
                    continue;
                }
                Arg::Dynptr | Arg::DynptrReleased => {
                    self.read_dynptr(state, reg);
                    continue;
                }
                _ => continue,
            };
            self.lend(state, reg, size, write, exact);
        }
        last
    }

    /// The reference that a call gives back.
    fn released(&self, state: &State, signature: &Signature, given: &Given) -> Option<u32> {
        let releases = signature.args.iter().any(|a| matches!(a, Arg::SockReleased | Arg::Lent | Arg::DynptrReleased));
        let held = state.references.iter().any(|r| r.id == given.reference);
        (releases && held).then_some(given.reference)
    }

    fn lock(&mut self, state: &mut State, takes: bool) {
        let value = *state.reg(Reg::R1);
        match value.kind {
            Kind::MapValue(map) if takes => state.lock = Some(Lock { id: value.id, map }),
            _ => state.lock = None,
        }
    }

    /// What a helper leaves in R0.
    fn result(&mut self, state: &mut State, slot: usize, signature: &Signature, given: &Given, size: u64) -> Value {
        let setting = self.setting;
        let kind = match signature.returns {
            Returns::Void => return Value::UNINIT,
            Returns::Unmodelled => unreachable!("a call with such a result is never proved"),
            Returns::Integer => return self.number_result(signature.id, size),
            Returns::ValueOrNull => {
                let (map, map_id) = given.map.expect("such helpers take a map first, which was proved");
                let array = signature.id == 1 && setting.options.constant_array_keys && setting.options.privileges.bpf;
                let key = array.then(|| constant_key(setting, state, map)).flatten();
                let present = key.is_some_and(|(key, _)| key < u64::from(setting.map(map).max_entries));
                if let Some((_, Some(home))) = key {
                    // It decides whether there is an entry.
                    let mut marks = Marks::new(state.depth());
                    marks.add(home);
                    self.mark(marks, None);
                }
                let lookup_in_sockets = matches!(setting.map(map).ty.0, 15 | 18) && signature.id == 1;
                let mut value = Value { owner: map_id, ..Value::pointer(Kind::MapValueOrNull(map)) };
                if present {
                    value.kind = Kind::MapValue(map);
                    if setting.value_fields(map).lock.is_some() {
                        value.id = self.fresh_id();
                    }
                    return value;
                }
                value.id = self.fresh_id();
                if lookup_in_sockets {
                    self.acquire(state, slot, &mut value);
                }
                return value;
            }
            Returns::SockCommonOrNull => Kind::SockOrNull(SockKind::Common),
            Returns::SocketOrNull => Kind::SockOrNull(SockKind::Full),
            Returns::TcpSockOrNull => Kind::SockOrNull(SockKind::Tcp),
            Returns::LentOrNull => Kind::MemOrNull { size: given.size, lender: Lender::RingBuffer },
            Returns::SliceOrNull => Kind::MemOrNull { size: given.size, lender: Lender::Dynptr },
        };
        let mut value = Value { id: self.fresh_id(), owner: given.dynptr, ..Value::pointer(kind) };
        if CAST.contains(&signature.id) || signature.returns == Returns::SliceOrNull {
            value.reference = given.reference;
        } else if ACQUIRE.contains(&signature.id) {
            self.acquire(state, slot, &mut value);
        }
        value
    }

    fn acquire(&mut self, state: &mut State, slot: usize, value: &mut Value) {
        let id = self.fresh_id();
        state.references.push(Reference { id, slot });
        (value.id, value.reference) = (id, id);
    }

    fn number_result(&mut self, id: u32, size: u64) -> Value {
        let mut var = Bounds::UNKNOWN;
        if let (PROCESSOR, Some(count)) = (id, self.setting.options.processors) {
            var.limit(0, i64::from(count.max(1)) - 1);
        } else if SIZED.contains(&id) {
            var.limit(-MAX_ERRNO, i64::try_from(size).unwrap_or(i64::MAX));
        } else {
            return Value::ANY_NUMBER;
        }
        Value::number(var)
    }

    /// Says once of a static function if it is called with other than its prototype has.
    fn look_at_prototype(&mut self, state: &State, function: usize) {
        if self.unreliable[function] {
            return;
        }
        match unlike_prototype(self.setting, state, function) {
            Some(lines) => {
                self.unreliable[function] = true;
                lines.iter().for_each(|line| self.log.line(line));
            }
            None => self.hand_dynptrs(state, function),
        }
    }

    /// A function uses the dynamic pointers that its prototype has.
    fn hand_dynptrs(&mut self, state: &State, function: usize) {
        for reg in dynptr_args(self.setting, function) {
            self.read_dynptr(state, reg);
        }
    }

    /// The frame of a function that a helper calls back.
    fn callee(&mut self, state: &State, slot: usize, function: u32, depth: usize) -> Frame {
        let outer = (depth > 0).then(|| state.frame().instance);
        let mut callee = Frame::new(depth as u8, function as usize, slot);
        callee.instance = self.live.instance(self.setting.program, outer, slot, function as usize);
        (callee.is_async, callee.async_entries) = (state.frame().is_async, state.frame().async_entries);
        callee
    }

    /// A helper calls a function back any number of times: one path goes into it, the other on behind the call.
    fn callback(&mut self, state: &mut State, slot: usize, id: u32, given: &Given) -> Option<Next> {
        let function = given.function?;
        if id == signature::LOOP {
            self.written_out(state, slot, function);
            if !state.reg(Reg::R1).is_number() {
                let line = "verifier bug: backtracking misuse";
                self.refused.get_or_insert(Stop::refused(Class::KernelMistake, Errno::EFAULT, line));
                return None;
            }
            self.matters(state, Reg::R1);
            let turns = state.reg(Reg::R1).var.wide.umax;
            if u64::from(state.frame().callback_depth) >= turns {
                state.frame_mut().callback_depth = 0;
                if self.log.has_everything() {
                    self.log.line(&format!("frame{} bpf_loop iteration limit reached", state.depth()));
                }
                return None;
            }
        }
        self.look_at_prototype(state, function as usize);
        let depth = state.frames.len();
        let mut inside = Box::new(state.clone());
        let mut callee = self.callee(state, slot, function, depth);
        callee.callback = Some(Callback { min: 0, max: 1 });
        let context = *state.reg(Reg::R3);
        if id == signature::LOOP {
            callee.regs[1] = Value::ANY_NUMBER;
            callee.regs[2] = context;
        } else if id == signature::USER_RINGBUF_DRAIN {
            callee.regs[1] = self.dynptr_lent();
            callee.regs[2] = context;
        } else {
            let (map, map_id) = given.map.expect("all others that are proved take a map first");
            self.entry_arguments(&mut callee, map, map_id);
            callee.regs[4] = context;
        }
        inside.frame_mut().callback_depth += 1;
        inside.frames.push(Rc::new(callee));
        inside.unrolled += 1;
        self.log.touch_all();
        state.frame_mut().callback_depth = 0;
        let start = self.setting.program.functions[function as usize].start;
        Some(Next::CallBack { here: slot + 1, slot: start, state: inside })
    }

    /// Linux writes a loop out where its flags are 0 and its function is one on all paths: so it matters that they are.
    fn written_out(&mut self, state: &State, slot: usize, function: u32) {
        let before = self.loops.get(&slot).copied().unwrap_or(Some(function));
        if before.is_none() {
            return;
        }
        let no_flags = state.reg(Reg::R4).is_zero();
        if no_flags {
            self.matters(state, Reg::R4);
        }
        self.loops.insert(slot, before.filter(|other| no_flags && *other == function));
    }

    /// R1 to R3 of a function called for an entry: the map, its key, its value.
    fn entry_arguments(&mut self, callee: &mut Frame, map: MapIndex, map_id: u32) {
        callee.regs[1] = Value { owner: map_id, ..Value::pointer(Kind::MapPtr(map)) };
        callee.regs[2] = Value { owner: map_id, ..Value::pointer(Kind::MapKey(map)) };
        callee.regs[3] = Value { owner: map_id, ..Value::pointer(Kind::MapValue(map)) };
    }

    /// A timer will call a function: it is walked on its own.
    fn later(&mut self, state: &State, slot: usize, given: &Given) -> Next {
        let (Some(function), Some((map, map_id))) = (given.function, given.map) else { return Next::Goto(slot + 1) };
        self.look_at_prototype(state, function as usize);
        self.asynchronous[function as usize] = true;
        let mut callee = self.callee(state, slot, function, 0);
        callee.callback = Some(Callback { min: 0, max: 0 });
        callee.is_async = true;
        callee.async_entries = state.frame().async_entries + 1;
        self.entry_arguments(&mut callee, map, map_id);
        let start = self.setting.program.functions[function as usize].start;
        Next::Later { slot: start, state: Box::new(State::of(callee)) }
    }

    /// A helper reads or writes `size` bytes at `reg`; `exact` if no fewer.
    fn lend(&mut self, state: &mut State, reg: Reg, size: u64, write: bool, exact: bool) {
        let ptr = *state.reg(reg);
        self.touch_packet(&ptr, 0, size);
        let Kind::Stack { frame } = ptr.kind else { return };
        let frame = usize::from(frame);
        let off = i64::from(ptr.off);
        let (min, max) = match ptr.var.constant() {
            Some(var) => (off + var as i64, off + var as i64),
            None => (off + ptr.var.wide.smin, off + ptr.var.wide.smax),
        };
        let end = max + size as i64;
        // The log shows what a helper is sure to write, nothing else.
        let shown = self.log.touched;
        self.touch_stack(state, frame, min);
        if !(write && exact && min == max) {
            self.read_stack(frame, min, end);
        }
        if write {
            self.overwrite_stack(state, frame, min, end);
        }
        self.log.touched = shown;
        if write && exact && min < end && frame == state.depth() {
            for slot in StackPlace::of(end - 1).slot..=StackPlace::of(min).slot {
                self.log.touched.slots |= 1 << slot;
            }
        }
    }

    /// The state at the start of a function that is verified on its own.
    pub(in crate::verifier) fn global_entry(&mut self, function: usize) -> Result<State, Stop> {
        let mut frame = Frame::new(0, function, 0);
        for (index, arg) in global_args(self.setting, function)?.into_iter().enumerate() {
            frame.regs[index + 1] = match arg {
                GlobalArg::Number => Value::ANY_NUMBER,
                GlobalArg::Context => Value::pointer(Kind::Ctx),
                GlobalArg::Dynptr => self.dynptr_lent(),
                GlobalArg::Memory { size, never_null: true } => {
                    Value::pointer(Kind::Mem { size, lender: Lender::Caller })
                }
                GlobalArg::Memory { size, .. } => {
                    let kind = Kind::MemOrNull { size, lender: Lender::Caller };
                    Value { id: self.fresh_id(), ..Value::pointer(kind) }
                }
            };
        }
        Ok(State::of(frame))
    }

    /// A function that is verified on its own may do anything its types allow.
    pub(super) fn call_global(&mut self, state: &mut State, slot: usize, function: usize) -> Next {
        self.called[function] = true;
        self.hand_dynptrs(state, function);
        if self.changes_packet[function] {
            self.packet_changed(state);
        }
        self.log.line(&format!(
            "Func#{function} ('{}') is global and assumed valid.",
            self.setting.program.functions[function].name
        ));
        self.clobber_caller_saved(state);
        self.write(state, Reg::R0, Value::ANY_NUMBER, None);
        Next::Goto(slot + 1)
    }

    pub(super) fn call_local(&mut self, state: &mut State, slot: usize, target: usize) -> Next {
        let function = cfg::function_at(self.setting.program, target);
        if cfg::is_global_call(self.setting.program, slot) {
            return self.call_global(state, slot, function);
        }
        self.look_at_prototype(state, function);
        let depth = state.frames.len();
        let mut callee = self.callee(state, slot, function as u32, depth);
        callee.regs[1..=5].copy_from_slice(&state.frame().regs[1..=5]);
        state.frame_mut().regs[..=5].fill(Value::UNINIT);
        state.frames.push(Rc::new(callee));
        self.log.touch_all();
        self.log.crossing(state, ("caller", depth - 1), ("callee", depth), self.setting);
        Next::Goto(target)
    }

    /// An instruction may end the function that runs, and give its caller `result`, or go on to the next one.
    pub(super) fn leave_early(&mut self, state: &mut State, result: Value) -> Next {
        let stays = Some(Box::new(state.clone()));
        if result.constant().is_none() {
            self.packet_changed(state);
        }
        self.write(state, Reg::R0, result, None);
        match self.exit(state) {
            Next::Return { slot, .. } => Next::Return { slot, stays },
            Next::Again { slot, .. } => Next::Again { slot, stays },
            next => next,
        }
    }

    pub(super) fn exit(&mut self, state: &mut State) -> Next {
        let depth = state.depth();
        if depth == 0 {
            self.read(state, Reg::R0, false);
            if state.frame().is_async && state.frame().callback.is_some() {
                self.matters(state, Reg::R0);
            }
            return Next::End;
        }
        self.live.commit();
        self.live.update(self.setting.program, state);
        let r0 = *state.reg(Reg::R0);
        if let Some(range) = state.frame().callback {
            self.matters(state, Reg::R0);
            // What ends a function early was not asked for this.
            if let Err(stop) = in_range(&r0, range, "At callback return") {
                self.refused.get_or_insert(stop);
            }
            if self.refused.is_some() {
                return Next::End;
            }
        }
        let frame = state.frame();
        let (callsite, called_back) = (frame.callsite, frame.callback.is_some());
        if !called_back {
            state.frame_at_mut(depth - 1).regs[0] = r0;
        }
        let next = if called_back { callsite } else { callsite + 1 };
        let caller = format!("to caller at {next}");
        self.log.crossing(state, ("returning from callee", depth), (&caller, depth - 1), self.setting);
        state.frames.pop();
        if called_back {
            Next::Again { slot: callsite, stays: None }
        } else {
            Next::Return { slot: callsite + 1, stays: None }
        }
    }
}
