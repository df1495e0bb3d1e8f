//! Dynamic pointers: two slots of stack that only helpers may read and write.

use super::Setting;
use super::memory;
use crate::helpers::signature::DynptrKind;
use crate::insn::Reg;
use crate::verifier::class::Class;
use crate::verifier::demand::Direction;
use crate::verifier::explored::Kind;
use crate::verifier::state::{SLOT_BYTES, StackByte, StackPlace, State, Value};
use crate::verifier::verdict::{Proof, Stop};

/// Where a stack pointer finds a dynamic pointer: the frame, and the slot of its lower half.
#[derive(Debug, Clone, Copy)]
pub(in crate::verifier) struct Place {
    /// Depth of the frame.
    pub frame: usize,
    /// The lower of its two slots; the other one has the number before.
    pub slot: usize,
}

/// Where an argument would have a dynamic pointer; the error is what Linux says of a place that can have none.
pub(in crate::verifier) fn place(ptr: &Value) -> Result<Place, String> {
    let Kind::Stack { frame } = ptr.kind else { return Err("dynptr is not on the stack".to_owned()) };
    let Some(off) = ptr.fixed_offset() else { return Err("dynptr has to be at a constant offset".to_owned()) };
    if off % SLOT_BYTES != 0 || off > -2 * SLOT_BYTES {
        return Err(format!("cannot pass in dynptr at an offset={off}"));
    }
    Ok(Place { frame: usize::from(frame), slot: ((-off - 1) / SLOT_BYTES) as usize })
}

/// The dynamic pointer that an argument, counted from 0, points to: its lower half, or what was handed to the function.
pub(in crate::verifier) fn initialised<'a>(state: &'a State, index: usize, ptr: &'a Value) -> Result<&'a Value, Stop> {
    if matches!(ptr.kind, Kind::Dynptr(_)) {
        return Ok(ptr);
    }
    let refused = || Stop::invalid(Class::Argument, format!("Expected an initialized dynptr as arg #{index}"));
    let Place { frame, slot } = place(ptr).map_err(|line| refused().after(vec![line]))?;
    let frame = &state.frames[frame];
    let (low, high) = (frame.slot(slot).dynptr(), frame.slot(slot - 1).dynptr());
    match (low, high) {
        (Some(low), Some(_)) if low.off == 0 => Ok(low),
        _ => Err(refused()),
    }
}

/// The reference of a dynamic pointer to a record that an argument, counted from 0, gives back.
pub(super) fn held(state: &State, index: usize, ptr: &Value) -> Result<u32, Stop> {
    let refused = || Stop::invalid(Class::Reference, format!("arg {} is an unacquired reference", index + 1));
    let Place { frame, slot } = place(ptr).map_err(|line| refused().after(vec![line]))?;
    if state.frames[frame].slot(slot).dynptr().is_none_or(|half| half.reference == 0) {
        return Err(refused());
    }
    let half = initialised(state, index, ptr)?;
    if half.kind != Kind::Dynptr(DynptrKind::RingBuffer) {
        let name = DynptrKind::RingBuffer.name();
        return Err(Stop::invalid(Class::Argument, format!("Expected a dynptr of type {name} as arg #{index}")));
    }
    Ok(half.reference)
}

/// Proves that a helper may make a dynamic pointer where an argument points.
pub(super) fn may_be_made(setting: Setting<'_>, state: &State, reg: Reg, ptr: &Value) -> Proof {
    let Place { frame, .. } = place(ptr)
        .map_err(|line| Stop::invalid(Class::Argument, "Dynptr has to be an uninitialized dynptr").after(vec![line]))?;
    for half in [0, SLOT_BYTES] {
        let off = i64::from(ptr.off) + half;
        let reach = memory::on_stack(setting, state, reg, ptr, off, SLOT_BYTES, Direction::Write)?;
        may_overwrite(state, frame, reach.min, reach.min + 1)?;
    }
    Ok(())
}

/// Proves that a store to the bytes from `min` to before `end` loses no record that must be given back.
pub(super) fn may_overwrite(state: &State, frame: usize, min: i64, end: i64) -> Proof {
    let slots = StackPlace::of(end - 1).slot..=StackPlace::of(min).slot;
    let stack = &state.frames[frame];
    if slots.into_iter().any(|slot| stack.slot(slot).dynptr().is_some_and(|half| half.reference != 0)) {
        return Err(Stop::invalid(Class::Reference, "cannot overwrite referenced dynptr"));
    }
    Ok(())
}

/// Proves that bytes which a helper fills hold no dynamic pointer: it might be among its arguments.
pub(super) fn spared(state: &State, frame: usize, min: i64, size: i64) -> Proof {
    match (min..min + size).find(|off| state.frames[frame].stack_byte(*off) == StackByte::Dynptr) {
        Some(off) => Err(Stop::denied(Class::Argument, format!("potential write to dynptr at off={off} disallowed"))),
        None => Ok(()),
    }
}
