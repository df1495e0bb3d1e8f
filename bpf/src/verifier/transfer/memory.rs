//! Loads and stores.

use super::Walk;
use crate::insn::{Operand, Reg, Size, Width};
use crate::maps::BPF_F_RDONLY_PROG;
use crate::program::{MapIndex, MapSpec};
use crate::verifier::bounds::Bounds;
use crate::verifier::ctx::{self, CtxAccess, Holds};
use crate::verifier::explored::{Kind, SockKind};
use crate::verifier::prove::operand;
use crate::verifier::state::{StackByte, StackPlace, State, Value};

impl Walk<'_> {
    /// What a load brings.
    pub(super) fn load(&mut self, state: &mut State, base: Reg, off: i64, size: Size, sext: bool) -> Value {
        let ptr = *state.reg(base);
        let bytes = size.bytes();
        self.touch(&ptr, off, bytes);
        let value = match ptr.kind {
            Kind::Stack { frame } => {
                let at = off + i64::from(ptr.off);
                match ptr.var.constant() {
                    Some(var) => self.load_stack(state, usize::from(frame), at + var as i64, bytes),
                    None => self.load_stack_anywhere(state, usize::from(frame), &ptr, at, bytes),
                }
            }
            Kind::Ctx => {
                let access = CtxAccess { off, size: bytes, write: false, sign_extends: sext };
                let setting = self.setting;
                match ctx::access(setting.program.ty, setting.program.attach, setting.options.device_bound, access)
                    .map(|f| f.holds)
                {
                    Some(Holds::Pointer(kind)) => Value::pointer(kind),
                    Some(Holds::Socket) => {
                        Value { id: self.fresh_id(), ..Value::pointer(Kind::SockOrNull(SockKind::Common)) }
                    }
                    _ => Value::ANY_NUMBER,
                }
            }
            Kind::MapValue(map) => match ptr.fixed_offset().and_then(|at| self.constant_in(map, at + off, bytes)) {
                Some(v) => return Value::number(extended(&Bounds::known(v), bytes, sext)),
                None => Value::ANY_NUMBER,
            },
            _ => Value::ANY_NUMBER,
        };
        if !value.is_number() || bytes == 8 {
            return value;
        }
        let mut out = Value { var: extended(&value.var, bytes, sext), ..value };
        if sext && value.var.wide.umax >> (bytes * 8 - 1) != 0 {
            // The sign extension made another number of it.
            out.untie();
        }
        out
    }

    /// The bytes of a map that neither programs nor, once loaded, user space may change.
    fn constant_in(&self, map: MapIndex, off: i64, bytes: u32) -> Option<u64> {
        let MapSpec { flags, initial, .. } = self.setting.map(map);
        let contents = initial.as_ref().filter(|_| flags & BPF_F_RDONLY_PROG != 0)?;
        let from = usize::try_from(off).ok()?;
        let slice = contents.get(from..from.checked_add(bytes as usize)?)?;
        Some(slice.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b)))
    }

    /// Notes how far into the packet an access may reach, and how deep into the stack.
    fn touch(&mut self, ptr: &Value, off: i64, bytes: u32) {
        self.touch_packet(ptr, off, u64::from(bytes));
    }

    /// Notes how far into the packet an access may reach.
    pub(super) fn touch_packet(&mut self, ptr: &Value, off: i64, bytes: u64) {
        if ptr.kind.is_packet() && bytes > 0 {
            let last = off + i64::from(ptr.off) + ptr.var.wide.umax as i64 + bytes as i64 - 1;
            self.max_packet_offset = self.max_packet_offset.max(u32::try_from(last).unwrap_or(0));
        }
    }

    /// The stack of a frame is used down to `off`.
    pub(super) fn touch_stack(&mut self, state: &mut State, frame: usize, off: i64) {
        let depth = u32::try_from(-off).unwrap_or(0);
        let own = &mut self.depths[state.frames[frame].function];
        *own = (*own).max(depth);
        let slots = depth.div_ceil(8) as usize;
        if frame == state.depth() && off < 0 {
            self.log.touched.slots |= 1 << StackPlace::of(off).slot;
        }
        if state.frames[frame].stack.len() < slots {
            state.frame_at_mut(frame).grow(slots);
        }
    }

    fn load_stack(&mut self, state: &mut State, frame: usize, off: i64, bytes: u32) -> Value {
        self.touch_stack(state, frame, off);
        let place = StackPlace::of(off);
        self.live.read(frame, place.slot);
        let slot = *state.frames[frame].slot(place.slot);
        let size = bytes as usize;
        let spill = slot.spill_size();
        if slot.is_spill() && size <= spill && place.byte == 0 {
            let own_width = slot.spilled.var.width();
            let whole = size == 8 || (size == 4 && spill == 4 && own_width <= 32);
            if slot.spilled.is_number() && whole {
                // The register is tied to the slot it came from, as the slot is to what was stored.
                self.tree.note(|step| step.spill = Some((frame as u8, place.slot as u8)));
                return slot.spilled;
            }
            self.tree.note(|step| step.spill = Some((frame as u8, place.slot as u8)));
            let mut value = slot.spilled;
            if own_width > bytes * 8 {
                value.untie();
            }
            return value;
        }
        let read = &slot.bytes[place.byte..place.byte + size];
        let zero_spill = slot.is_spill() && slot.spilled.is_zero() && read.iter().all(|b| *b == StackByte::Spill);
        if zero_spill {
            self.tree.note(|step| step.spill = Some((frame as u8, place.slot as u8)));
        }
        if zero_spill || read.iter().all(|b| *b == StackByte::Zero) {
            return Value::number(Bounds::ZERO);
        }
        Value::ANY_NUMBER
    }

    fn load_stack_anywhere(&mut self, state: &mut State, frame: usize, ptr: &Value, off: i64, bytes: u32) -> Value {
        let (min, end) = (off + ptr.var.wide.smin, off + ptr.var.wide.smax + i64::from(bytes));
        self.touch_stack(state, frame, min);
        self.read_stack(frame, min, end);
        if (min..end).all(|at| state.frames[frame].stack_byte(at) == StackByte::Zero) {
            return Value::number(Bounds::ZERO);
        }
        Value::ANY_NUMBER
    }

    /// Every slot from `min` to before `end` is read.
    pub(super) fn read_stack(&mut self, frame: usize, min: i64, end: i64) {
        if min < end {
            for slot in StackPlace::of(end - 1).slot..=StackPlace::of(min).slot {
                self.live.read(frame, slot);
            }
        }
    }

    /// A register or immediate is stored.
    pub(super) fn store(&mut self, state: &mut State, base: Reg, off: i64, size: Size, src: Operand) {
        let ptr = *state.reg(base);
        self.touch(&ptr, off, size.bytes());
        let Kind::Stack { frame } = ptr.kind else { return };
        let (frame, at) = (usize::from(frame), off + i64::from(ptr.off));
        match ptr.var.constant() {
            Some(var) => self.store_stack(state, frame, at + var as i64, size.bytes(), src),
            None => {
                let (min, end) = (at + ptr.var.wide.smin, at + ptr.var.wide.smax + i64::from(size.bytes()));
                let zero = operand(state, src).is_zero();
                if zero {
                    self.operand_matters(state, src);
                }
                self.smear_stack(state, frame, min, end, zero);
            }
        }
    }

    /// An atomic operation stores what nobody knows.
    pub(super) fn store_unknown(&mut self, state: &mut State, base: Reg, off: i64, size: Size) {
        let ptr = *state.reg(base);
        self.touch(&ptr, off, size.bytes());
        let Kind::Stack { frame } = ptr.kind else { return };
        let (frame, at) = (usize::from(frame), off + i64::from(ptr.off));
        let end = i64::from(size.bytes());
        match ptr.var.constant() {
            Some(var) => self.overwrite_stack(state, frame, at + var as i64, at + var as i64 + end),
            None => self.smear_stack(state, frame, at + ptr.var.wide.smin, at + ptr.var.wide.smax + end, false),
        }
    }

    fn store_stack(&mut self, state: &mut State, frame: usize, off: i64, bytes: u32, src: Operand) {
        self.touch_stack(state, frame, off);
        let place = StackPlace::of(off);
        let size = bytes as usize;
        let mut value = operand(state, src);
        let stored = if let Operand::Reg(_) = src { value.is_pointer() } else { false };
        self.bar_behind_store(state, frame, place, size, stored);
        self.lose_dynptr(state, frame, place.slot);
        let privileges = self.setting.options.privileges;
        let kept = value.is_pointer() && size == 8 && !matches!(value.kind, Kind::Dynptr(_));
        if place.byte == 0 && (kept || value.is_number() && privileges.bpf) {
            if let (Operand::Reg(reg), true) = (src, value.is_number()) {
                // The slot stays tied to the register if it holds all of it.
                if value.var.width() <= bytes * 8 {
                    self.tie(&mut state.frame_mut().regs[reg.index()]);
                    value = *state.reg(reg);
                } else {
                    value.untie();
                }
            }
            if size == 8 {
                self.live.wrote(frame, place.slot);
            }
            self.tree.note(|step| step.spill = Some((frame as u8, place.slot as u8)));
            let slot = state.frame_at_mut(frame).slot_mut(place.slot);
            slot.spilled = value;
            for (i, byte) in slot.bytes.iter_mut().enumerate() {
                *byte = match *byte {
                    _ if i < size => StackByte::Spill,
                    StackByte::Spill => StackByte::Misc,
                    kept => kept,
                };
            }
            return;
        }
        let what = if value.is_zero() { StackByte::Zero } else { StackByte::Misc };
        if value.is_zero() {
            self.operand_matters(state, src);
        }
        if size == 8 {
            self.live.wrote(frame, place.slot);
        }
        let slot = state.frame_at_mut(frame).slot_mut(place.slot);
        if slot.is_spill() {
            slot.scrub();
        }
        slot.spilled = Value::UNINIT;
        slot.bytes[place.byte..place.byte + size].fill(what);
    }

    /// A store of a pointer, or over what was no plain data, must be done before a later load of the same bytes.
    pub(super) fn bar_behind_store(
        &mut self,
        state: &State,
        frame: usize,
        place: StackPlace,
        size: usize,
        pointer: bool,
    ) {
        if self.guards.are_off() {
            return;
        }
        let bytes = state.frames[frame].slot(place.slot).bytes;
        let plain = |b: &StackByte| matches!(b, StackByte::Misc | StackByte::Zero);
        if pointer || !bytes[place.byte..place.byte + size].iter().all(plain) {
            self.guards.bar_behind(self.tree.trail.at);
        }
    }

    /// Every byte from `min` to before `end` becomes unknown.
    pub(super) fn overwrite_stack(&mut self, state: &mut State, frame: usize, min: i64, end: i64) {
        self.touch_stack(state, frame, min);
        for at in min..end {
            let place = StackPlace::of(at);
            self.bar_behind_store(state, frame, place, 1, false);
            let slot = state.frame_at_mut(frame).slot_mut(place.slot);
            if slot.is_spill() {
                slot.scrub();
            }
            slot.spilled = Value::UNINIT;
            slot.bytes[place.byte] = StackByte::Misc;
        }
    }

    /// Some bytes from `min` to before `end` become zero, or unknown; nobody knows which.
    fn smear_stack(&mut self, state: &mut State, frame: usize, min: i64, end: i64, zero: bool) {
        self.touch_stack(state, frame, min);
        for at in min..end {
            self.lose_dynptr(state, frame, StackPlace::of(at).slot);
        }
        for at in min..end {
            let place = StackPlace::of(at);
            let slot = state.frame_at_mut(frame).slot_mut(place.slot);
            let byte = slot.bytes[place.byte];
            if zero && byte == StackByte::Spill && slot.is_number_spill() && slot.spilled.is_zero() {
                continue;
            }
            if slot.is_spill() {
                slot.scrub();
            }
            slot.spilled = Value::UNINIT;
            slot.bytes[place.byte] = if zero && byte == StackByte::Zero { byte } else { StackByte::Misc };
        }
    }
}

/// What a load of `bytes` bytes leaves of a number.
fn extended(var: &Bounds, bytes: u32, sext: bool) -> Bounds {
    if sext { var.sign_extended(bytes * 8, Width::W64) } else { var.truncated(bytes) }
}
