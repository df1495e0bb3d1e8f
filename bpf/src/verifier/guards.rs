//! What keeps a processor's speculation in bounds where the loader may not see addresses.
//!
//! A branch may be predicted wrongly, so the way that no run takes is walked too, with what was compared unknown. Where
//! that path would do something unsafe a barrier goes before the instruction, which ends the path. Pointers into stack
//! and map values that move by a number in a register are masked to what they may reach, for which every path must agree
//! on the mask. As in Linux 6.18 (`sanitize_ptr_alu`, `error_recoverable_with_nospec`).

use super::Options;
use super::bounds::Bounds;
use super::class::Class;
use super::explored::Kind;
use super::prove::Setting;
use super::state::{MAX_STACK, Value};
use super::verdict::{Proof, Stop};
use crate::errno::Errno;
use crate::insn::{AluOp, Operand, Reg};

/// How an addition or subtraction is masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mask {
    /// No pointer takes part, so there is nothing to mask; another path must not bring one.
    pub numbers: bool,
    /// The number is negative.
    pub negative: bool,
    /// The number is a constant, which takes the register's place.
    pub constant: bool,
    /// The pointer is the destination.
    pub pointer_is_destination: bool,
    /// Bytes that the pointer may move by.
    pub limit: u32,
}

/// What guards one instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Guard {
    /// A speculation barrier goes before it.
    pub before: bool,
    /// One goes behind it: a store of which a later load must not see the old value.
    pub behind: bool,
    /// Its operand is masked.
    pub mask: Option<Mask>,
}

/// The guards of a program, by slot.
#[derive(Debug)]
pub(super) struct Guards {
    slots: Vec<Guard>,
    /// No guards are needed.
    off: bool,
    /// Numbers must be equal for states to be: masks depend on them.
    pub exact_numbers: bool,
}

/// An addition or subtraction of a pointer and a number.
#[derive(Clone, Copy)]
pub(super) struct Moving<'a> {
    pub slot: usize,
    pub op: AluOp,
    pub dst: Reg,
    pub src: Operand,
    pub ptr: &'a Value,
    pub by: &'a Bounds,
    /// The number stands on the left.
    pub reversed: bool,
    /// Only a mispredicted branch leads here.
    pub speculative: bool,
}

const PROHIBITED: &str = "pointer arithmetic with it prohibited for !root";

impl Moving<'_> {
    fn verb(&self) -> &'static str {
        if self.op == AluOp::Add { "add" } else { "sub" }
    }

    /// The registers of the pointer and of the number.
    fn registers(&self) -> (usize, usize) {
        let dst = self.dst.index();
        let src = self.src.reg().map_or(0, Reg::index);
        if self.reversed { (src, dst) } else { (dst, src) }
    }

    /// Whether the pointer moves towards lower addresses.
    fn goes_left(&self) -> bool {
        (self.op == AluOp::Add) == (self.by.wide.smin < 0)
    }

    /// How far a pointer may go, in bytes from one end of what it points into.
    fn limit(&self, setting: Setting<'_>, ptr: &Value) -> Result<u32, Stop> {
        let left = self.goes_left();
        let (limit, most) = match ptr.kind {
            Kind::Stack { .. } => {
                let off = (ptr.var.bits.value() as i64).wrapping_add(i64::from(ptr.off));
                (off.wrapping_neg() as u32, MAX_STACK as u32 + u32::from(left))
            }
            Kind::MapValue(map) => {
                let end = if left { ptr.var.wide.smin } else { ptr.var.wide.umax as i64 };
                (end.wrapping_add(i64::from(ptr.off)) as u32, setting.map(map).value_size)
            }
            _ => {
                let r = self.registers().0;
                return Err(Stop::denied(
                    Class::Speculation,
                    format!("R{r} has pointer with unsupported alu operation, {PROHIBITED}"),
                ));
            }
        };
        if limit >= most {
            let (r, verb) = (self.dst.index(), self.verb());
            return Err(Stop::denied(
                Class::Speculation,
                format!("R{r} tried to {verb} beyond pointer bounds, {PROHIBITED}"),
            ));
        }
        Ok(limit)
    }
}

const fn masked(op: AluOp) -> bool {
    matches!(op, AluOp::Add | AluOp::Sub)
}

impl Guards {
    pub(super) fn new(slots: usize, options: &Options) -> Self {
        let off = options.privileges.bypasses_speculation();
        Self { slots: vec![Guard::default(); if off { 0 } else { slots }], off, exact_numbers: false }
    }

    /// Whether no guards are needed.
    pub(super) fn are_off(&self) -> bool {
        self.off
    }

    /// Whether a barrier stands before an instruction.
    pub(super) fn before(&self, slot: usize) -> bool {
        self.slots.get(slot).is_some_and(|g| g.before)
    }

    /// Whether a barrier stands behind an instruction.
    pub(super) fn behind(&self, slot: usize) -> bool {
        self.slots.get(slot).is_some_and(|g| g.behind)
    }

    /// Puts a barrier before an instruction, which then needs no mask.
    pub(super) fn bar(&mut self, slot: usize) {
        if let Some(guard) = self.slots.get_mut(slot) {
            (guard.before, guard.mask) = (true, None);
        }
    }

    /// Puts a barrier behind an instruction.
    pub(super) fn bar_behind(&mut self, slot: usize) {
        if let Some(guard) = self.slots.get_mut(slot) {
            guard.behind = true;
        }
    }

    /// Whether an operation is not masked.
    fn unmasked(&self, slot: usize, op: AluOp, src: Operand) -> bool {
        self.off || !masked(op) || src.reg().is_none() || self.before(slot)
    }

    /// Whether an addition or subtraction of a register is masked.
    pub(super) fn masks(&self, slot: usize, op: AluOp) -> bool {
        !self.off && masked(op) && !self.before(slot)
    }

    /// Whether all paths agree on the mask.
    fn agree(&self, slot: usize, mask: Mask) -> bool {
        self.slots[slot].mask.is_none_or(|m| m == mask)
    }

    const NUMBERS: Mask =
        Mask { numbers: true, negative: false, constant: false, pointer_is_destination: false, limit: 0 };

    /// Proves that an operation on numbers was none on pointers on another path.
    pub(super) fn numbers(&self, slot: usize, op: AluOp, dst: Reg, src: Operand) -> Proof {
        if self.unmasked(slot, op, src) || self.agree(slot, Self::NUMBERS) {
            return Ok(());
        }
        let verb = if op == AluOp::Add { "add" } else { "sub" };
        let r = dst.index();
        Err(Stop::denied(
            Class::Speculation,
            format!("R{r} tried to {verb} from different maps, paths or scalars, {PROHIBITED}"),
        ))
    }

    /// Proves that a pointer may be masked, before it moves.
    pub(super) fn may_move(&self, setting: Setting<'_>, moving: &Moving<'_>) -> Proof {
        if self.unmasked(moving.slot, moving.op, moving.src) || moving.speculative {
            return Ok(());
        }
        let by = moving.by;
        if !by.bits.is_const() && (by.wide.smin < 0) != (by.wide.smax < 0) {
            let r = moving.registers().1;
            return Err(Stop::denied(
                Class::Speculation,
                format!("R{r} has unknown scalar with mixed signed bounds, {PROHIBITED}"),
            ));
        }
        moving.limit(setting, moving.ptr).map(drop)
    }

    /// The mask of a pointer that was moved to `to`.
    fn mask(setting: Setting<'_>, moving: &Moving<'_>, to: &Value) -> Result<Mask, Stop> {
        let (from, to) = (moving.limit(setting, moving.ptr)?, moving.limit(setting, to)?);
        Ok(Mask {
            numbers: false,
            negative: moving.by.wide.smin < 0,
            constant: moving.by.bits.is_const(),
            pointer_is_destination: !moving.reversed,
            limit: (from.wrapping_sub(to) as i32).unsigned_abs(),
        })
    }

    /// Proves that a pointer may have moved to `to`: it still points into what it pointed into, and all paths agree on
    /// the mask.
    pub(super) fn may_have_moved(&self, setting: Setting<'_>, moving: &Moving<'_>, to: &Value) -> Proof {
        if self.off {
            return Ok(());
        }
        let r = moving.dst.index();
        match to.kind {
            Kind::Stack { .. } => match to.fixed_offset() {
                None => {
                    let (var, off) = (to.var.bits, i64::from(to.off).wrapping_add(to.var.bits.value() as i64));
                    let line = format!("R{r} variable stack access prohibited for !root, var_off={var} off={off}");
                    return Err(Stop::denied(Class::Speculation, line));
                }
                Some(off) if !(-MAX_STACK..0).contains(&off) => {
                    let what = "stack pointer arithmetic goes out of range";
                    return Err(Stop::denied(
                        Class::Speculation,
                        format!("R{r} {what}, prohibited for !root; off={off}"),
                    ));
                }
                Some(_) => {}
            },
            Kind::MapValue(map) => {
                let line = "pointer arithmetic of map value goes out of range, prohibited for !root";
                super::prove::byte_of_value(setting, moving.dst, to, map)
                    .map_err(|stop| stop.and(format!("R{r} {line}")))?;
            }
            _ => {}
        }
        if self.unmasked(moving.slot, moving.op, moving.src) || moving.speculative {
            return Ok(());
        }
        if !self.agree(moving.slot, Self::mask(setting, moving, to)?) {
            let verb = moving.verb();
            let line = format!("R{r} tried to {verb} from different maps, paths or scalars, {PROHIBITED}");
            return Err(Stop::denied(Class::Speculation, line));
        }
        Ok(())
    }

    /// Notes the mask of an operation on numbers.
    pub(super) fn note_numbers(&mut self, slot: usize, op: AluOp, src: Operand) {
        if !self.unmasked(slot, op, src) {
            self.slots[slot].mask = Some(Self::NUMBERS);
        }
    }

    /// Notes the mask of a pointer that was moved to `to`. Tells whether the pointer must be walked unmoved as well, as a
    /// mask may leave it.
    pub(super) fn note_move(&mut self, setting: Setting<'_>, moving: &Moving<'_>, to: &Value) -> bool {
        if self.unmasked(moving.slot, moving.op, moving.src) {
            return false;
        }
        let varies = !moving.by.bits.is_const();
        if !moving.speculative
            && let Ok(mask) = Self::mask(setting, moving, to)
        {
            self.slots[moving.slot].mask = Some(mask);
            self.exact_numbers |= varies;
        }
        varies
    }

    /// By slot, or nothing where none is needed.
    pub(super) fn into_slots(self) -> Vec<Guard> {
        self.slots
    }
}

/// Whether a speculative path may be ended by a barrier where this stopped it.
pub(super) fn is_recoverable(stop: &Stop) -> bool {
    matches!(stop, Stop::Refused(refusal) if [Errno::EPERM, Errno::EACCES, Errno::EINVAL].contains(&refusal.errno))
}
