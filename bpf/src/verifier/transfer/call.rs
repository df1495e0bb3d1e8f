//! Calls and returns.

use std::rc::Rc;

use super::{Next, Walk};
use crate::helpers::{self, ArgKind, ReturnKind};
use crate::insn::Reg;
use crate::verifier::explored::Kind;
use crate::verifier::prove::constant_key;
use crate::program::MapIndex;
use crate::verifier::precision::Marks;
use crate::verifier::state::{Frame, StackPlace, State, Value};
use crate::verifier::trail::Home;

impl Walk<'_> {
    pub(super) fn call_helper(&mut self, state: &mut State, id: u32) {
        let proto = helpers::proto(id).expect("a call without a row is not proved");
        for index in 1..=proto.arity() {
            let reg = Reg::new(index as u8).expect("a helper has at most five arguments");
            self.read(state, reg, true);
        }
        let map = proto.args.iter().zip(1..).find_map(|(kind, n)| match (kind, Reg::new(n)) {
            (ArgKind::ConstMap, Some(reg)) => match state.reg(reg).kind {
                Kind::MapPtr(map) => Some(map),
                _ => None,
            },
            _ => None,
        });
        for (kind, n) in proto.args.iter().zip(1..) {
            let reg = Reg::new(n).expect("there are five arguments");
            match (kind, map) {
                (ArgKind::MapKey, Some(map)) => {
                    self.lend(state, reg, u64::from(self.setting.map(map).key_size), false, false);
                }
                (ArgKind::MapValue, Some(map)) => {
                    self.lend(state, reg, u64::from(self.setting.map(map).value_size), false, false);
                }
                (ArgKind::Mem | ArgKind::MemOrNull | ArgKind::UninitMem, _) => {
                    let size = Reg::new(n + 1).map(|r| state.reg(r).var).expect("a size follows memory");
                    let write = *kind == ArgKind::UninitMem;
                    self.lend(state, reg, size.wide.umax, write, size.bits.is_const());
                }
                _ => {}
            }
        }
        for (kind, n) in proto.args.iter().zip(1..) {
            if let (ArgKind::Size | ArgKind::SizeOrZero, Some(reg)) = (kind, Reg::new(n)) {
                self.matters(state, reg);
            }
        }
        let setting = self.setting;
        let result = match (proto.ret, map) {
            (ReturnKind::MapValueOrNull, Some(map)) => {
                let present = setting.options.constant_array_keys
                    && constant_key(setting, state, map)
                        .is_some_and(|key| key < u64::from(setting.map(map).max_entries));
                if setting.options.constant_array_keys {
                    self.key_matters(state, map);
                }
                let kind = if present { Kind::MapValue(map) } else { Kind::MapValueOrNull(map) };
                Value { id: if present { 0 } else { self.fresh_id() }, ..Value::pointer(kind) }
            }
            _ => Value::ANY_NUMBER,
        };
        self.clobber_caller_saved(state);
        self.write(state, Reg::R0, result, None);
        if proto.changes_packet {
            // They point where the packet was.
            state.update_where(|v| v.kind.is_packet_bound(), |v| *v = Value::ANY_NUMBER);
        }
    }

    /// The key a lookup in an array is given decides whether it finds an entry: a spilled one matters.
    fn key_matters(&mut self, state: &State, map: MapIndex) {
        if constant_key(self.setting, state, map).is_none() {
            return;
        }
        let key = state.reg(Reg::R2);
        let (Kind::Stack { frame }, Some(off)) = (key.kind, key.fixed_offset()) else { return };
        let slot = StackPlace::of(off).slot;
        if !state.frames[usize::from(frame)].slot(slot).is_number_spill() {
            return;
        }
        let mut marks = Marks::new(state.depth());
        marks.add(Home { frame, is_slot: true, index: slot as u8 });
        self.mark(marks, None);
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
        self.touch_stack(state, frame, min);
        if !(write && exact && min == max) {
            self.read_stack(frame, min, end);
        }
        if write {
            self.overwrite_stack(state, frame, min, end);
        }
    }

    pub(super) fn call_local(&mut self, state: &mut State, slot: usize, target: usize) -> Next {
        let functions = &self.setting.program.functions;
        let function = functions.partition_point(|f| f.start <= target) - 1;
        let depth = state.frames.len();
        let mut callee = Frame::new(depth as u8, function, slot);
        callee.regs[1..=5].copy_from_slice(&state.frame().regs[1..=5]);
        callee.instance = self.live.instance(self.setting.program, Some(state.frame().instance), slot, function);
        state.frame_mut().regs[..=5].fill(Value::UNINIT);
        state.frames.push(Rc::new(callee));
        Next::Goto(target)
    }

    pub(super) fn exit(&mut self, state: &mut State) -> Next {
        let depth = state.depth();
        if depth == 0 {
            self.read(state, Reg::R0, false);
            return Next::End;
        }
        self.live.commit();
        self.live.update(self.setting.program, state);
        let callee = state.frames.pop().expect("there is a frame for each depth");
        state.set(Reg::R0, callee.regs[0]);
        Next::Goto(callee.callsite + 1)
    }
}
