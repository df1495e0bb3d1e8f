//! Arithmetic with pointers: what is allowed, and what comes out.

use super::bounds::{Bounds, Range};
use super::class::Class;
use super::explored::Kind;
use super::log::{kind_name, op_sign};
use super::state::{MAX_OFFSET, PacketRange, Value};
use super::verdict::Stop;
use crate::insn::{AluOp, Reg, Width};

/// What arithmetic with a pointer comes to.
pub(super) enum Math<'a> {
    /// A number of which nothing is known.
    Number,
    /// The pointer moves by a number; `reversed` where the number stands on the left.
    Moves { ptr: &'a Value, by: &'a Bounds, reversed: bool },
}

/// Whether `dst op src`, of which at least one side is a pointer, may be computed at all. Who must not see addresses
/// (`leaks` is false) gets no number made of one.
pub(super) fn math<'a>(
    width: Width,
    op: AluOp,
    dst_reg: Reg,
    dst: &'a Value,
    src: &'a Value,
    leaks: bool,
) -> Result<Math<'a>, Stop> {
    let r = dst_reg.index();
    let (ptr, number, reversed) = match (dst.is_pointer(), src.is_pointer()) {
        (true, true) if op == AluOp::Sub && leaks => return Ok(Math::Number),
        (true, true) => {
            return Err(Stop::denied(
                Class::PointerArithmetic,
                format!("R{r} pointer {} pointer prohibited", op_sign(op)),
            ));
        }
        (true, false) => (dst, src, false),
        _ => (src, dst, true),
    };
    let by = &number.var;
    let name = kind_name(ptr.kind);
    if by.constant().is_some() && !by.is_consistent() || !by.wide.is_consistent() {
        return Ok(Math::Number);
    }
    if width == Width::W32 {
        // Linux lets a program that may see addresses have the meaningless difference.
        if op == AluOp::Sub && leaks {
            return Ok(Math::Number);
        }
        return Err(Stop::denied(Class::PointerArithmetic, format!("R{r} 32-bit pointer arithmetic prohibited")));
    }
    if ptr.kind.may_be_null() {
        return Err(Stop::denied(
            Class::NullPointer,
            format!("R{r} pointer arithmetic on {name} prohibited, null-check it first"),
        ));
    }
    match ptr.kind {
        Kind::Ctx
        | Kind::MapValue(_)
        | Kind::MapKey(_)
        | Kind::Stack { .. }
        | Kind::Packet
        | Kind::PacketMeta
        | Kind::Mem { .. }
        | Kind::Func(_)
        | Kind::Dynptr(_) => {}
        Kind::MapPtr(_) if by.constant() == Some(0) && op == AluOp::Add => {}
        _ => {
            return Err(Stop::denied(
                Class::PointerArithmetic,
                format!("R{r} pointer arithmetic on {name} prohibited"),
            ));
        }
    }
    sane(by, number.off, name)?;
    sane(&ptr.var, ptr.off, name)?;
    Ok(Math::Moves { ptr, by, reversed })
}

/// The pointer written to a register by `ptr op by`, or `by op ptr` where `reversed`. `fresh_id` names the new variable
/// part if the result needs one.
pub(super) fn moved(
    op: AluOp,
    dst_reg: Reg,
    ptr: &Value,
    by: &Bounds,
    reversed: bool,
    fresh_id: u32,
) -> Result<Value, Stop> {
    let (r, name) = (dst_reg.index(), kind_name(ptr.kind));
    let known = by.constant().map(|v| v as i64);
    let mut out = Value { def32: 0, ..*ptr };
    out.var.low = Range::FULL;
    let shifted = match (op, known) {
        (AluOp::Add, Some(k)) => i64::from(ptr.off).checked_add(k),
        (AluOp::Sub, Some(k)) => i64::from(ptr.off).checked_sub(k),
        _ => None,
    };
    match op {
        AluOp::Add | AluOp::Sub => {}
        AluOp::And | AluOp::Or | AluOp::Xor => {
            return Err(Stop::denied(
                Class::PointerArithmetic,
                format!("R{r} bitwise operator {} on pointer prohibited", op_sign(op)),
            ));
        }
        _ => {
            return Err(Stop::denied(
                Class::PointerArithmetic,
                format!("R{r} pointer arithmetic with {} operator prohibited", op_sign(op)),
            ));
        }
    }
    if op == AluOp::Sub {
        if reversed {
            return Err(Stop::denied(Class::PointerArithmetic, format!("R{r} tried to subtract pointer from scalar")));
        }
        if matches!(ptr.kind, Kind::Stack { .. }) {
            return Err(Stop::denied(
                Class::PointerArithmetic,
                format!("R{r} subtraction from stack pointer prohibited"),
            ));
        }
    }
    if let Some(off) = shifted.and_then(|o| i32::try_from(o).ok()) {
        out.off = off;
    } else {
        out.var = by_variable(op, &ptr.var, by);
        if ptr.kind.is_packet() {
            out.id = fresh_id;
            // What was compared with the packet's end was this pointer before it moved up.
            if op == AluOp::Add || by.wide.smin < 0 {
                out.range = PacketRange::NONE;
            }
        }
    }
    sane(&out.var, out.off, name)?;
    out.var.sync();
    Ok(out)
}

/// The variable part after a variable is added or subtracted. Pointers carry no 32-bit range.
fn by_variable(op: AluOp, ptr: &Bounds, by: &Bounds) -> Bounds {
    let (p, v) = (&ptr.wide, &by.wide);
    let mut wide = Range::FULL;
    if op == AluOp::Add {
        if let (Some(min), Some(max)) = (p.smin.checked_add(v.smin), p.smax.checked_add(v.smax)) {
            (wide.smin, wide.smax) = (min, max);
        }
        if let (Some(min), Some(max)) = (p.umin.checked_add(v.umin), p.umax.checked_add(v.umax)) {
            (wide.umin, wide.umax) = (min, max);
        }
        return Bounds { bits: ptr.bits.add(by.bits), wide, low: Range::FULL };
    }
    if let (Some(min), Some(max)) = (p.smin.checked_sub(v.smax), p.smax.checked_sub(v.smin)) {
        (wide.smin, wide.smax) = (min, max);
    }
    if p.umin >= v.umax {
        (wide.umin, wide.umax) = (p.umin - v.umax, p.umax - v.umin);
    }
    Bounds { bits: ptr.bits.sub(by.bits), wide, low: Range::FULL }
}

/// Offsets stay far from where they would wrap.
fn sane(var: &Bounds, off: i32, name: &str) -> Result<(), Stop> {
    const LIMIT: &str = "offsets between -2^29 and 2^29";
    let out_of_reach = |v: i64| v >= MAX_OFFSET || v <= -MAX_OFFSET;
    if let Some(v) = var.constant().map(|v| v as i64).filter(|v| out_of_reach(*v)) {
        return Err(Stop::invalid(
            Class::PointerArithmetic,
            format!("math between {name} pointer and {v} is not allowed"),
        ));
    }
    if out_of_reach(i64::from(off)) {
        return Err(Stop::invalid(Class::PointerArithmetic, format!("{name} pointer offset {off} is not allowed"))
            .limit(LIMIT, off.to_string()));
    }
    let smin = var.wide.smin;
    if smin == i64::MIN {
        let what = "register with unbounded min value is not allowed";
        return Err(Stop::invalid(Class::PointerArithmetic, format!("math between {name} pointer and {what}"))
            .limit(LIMIT, "any"));
    }
    if out_of_reach(smin) {
        return Err(Stop::invalid(
            Class::PointerArithmetic,
            format!("value {smin} makes {name} pointer be out of bounds"),
        ));
    }
    Ok(())
}
