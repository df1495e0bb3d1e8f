//! What a comparison of two numbers decides, and what is learnt when it holds or fails.

use super::{Bounds, Range};
use crate::insn::{Cond, Width};
use crate::verifier::tnum::Tnum;

/// Whether `a cond b` holds for every value, fails for every value, or neither is known.
pub fn taken(width: Width, cond: Cond, a: &Bounds, b: &Bounds) -> Option<bool> {
    match width {
        Width::W64 => range_taken(cond, a.bits, &a.wide, b.bits, &b.wide).or_else(|| match cond {
            // The low halves alone can tell two numbers apart.
            Cond::Eq if apart(&a.low, &b.low) => Some(false),
            Cond::Ne if apart(&a.low, &b.low) => Some(true),
            _ => None,
        }),
        Width::W32 => range_taken(cond, a.bits.low32(), &a.low, b.bits.low32(), &b.low),
    }
}

fn apart<const BITS: u32>(a: &Range<BITS>, b: &Range<BITS>) -> bool {
    a.umin > b.umax || a.umax < b.umin || a.smin > b.smax || a.smax < b.smin
}

fn range_taken<const BITS: u32>(cond: Cond, at: Tnum, a: &Range<BITS>, bt: Tnum, b: &Range<BITS>) -> Option<bool> {
    let order = |holds: bool, fails: bool| match (holds, fails) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    match cond {
        Cond::Eq => match (at.constant(), bt.constant()) {
            (Some(x), Some(y)) => Some(x == y),
            _ if !at.overlaps(bt) || apart(a, b) => Some(false),
            _ => None,
        },
        Cond::Ne => range_taken(Cond::Eq, at, a, bt, b).map(|t| !t),
        Cond::Set => {
            let (bits, mask) = match (at.constant(), bt.constant()) {
                (_, Some(mask)) => (at, mask),
                (Some(mask), None) => (bt, mask),
                (None, None) => return None,
            };
            order(bits.value() & mask != 0, bits.umax() & mask == 0)
        }
        Cond::Gt => order(a.umin > b.umax, a.umax <= b.umin),
        Cond::Ge => order(a.umin >= b.umax, a.umax < b.umin),
        Cond::Lt => order(a.umax < b.umin, a.umin >= b.umax),
        Cond::Le => order(a.umax <= b.umin, a.umin > b.umax),
        Cond::Sgt => order(a.smin > b.smax, a.smax <= b.smin),
        Cond::Sge => order(a.smin >= b.smax, a.smax < b.smin),
        Cond::Slt => order(a.smax < b.smin, a.smin >= b.smax),
        Cond::Sle => order(a.smax <= b.smin, a.smin > b.smax),
    }
}

/// Learns that `a cond b` holds, or that it fails. On a path that no run takes the two may become contradictory; they
/// then forget their ranges.
pub fn assume(width: Width, cond: Cond, holds: bool, a: &mut Bounds, b: &mut Bounds) {
    match (cond, holds) {
        (Cond::Eq, true) | (Cond::Ne, false) => assume_equal(width, a, b),
        (Cond::Ne, true) | (Cond::Eq, false) => assume_unequal(width, a, b),
        (Cond::Set, _) => assume_set(width, holds, a, b),
        (Cond::Gt, true) | (Cond::Le, false) => assume_less(width, Order::UNSIGNED_STRICT, b, a),
        (Cond::Ge, true) | (Cond::Lt, false) => assume_less(width, Order::UNSIGNED, b, a),
        (Cond::Lt, true) | (Cond::Ge, false) => assume_less(width, Order::UNSIGNED_STRICT, a, b),
        (Cond::Le, true) | (Cond::Gt, false) => assume_less(width, Order::UNSIGNED, a, b),
        (Cond::Sgt, true) | (Cond::Sle, false) => assume_less(width, Order::SIGNED_STRICT, b, a),
        (Cond::Sge, true) | (Cond::Slt, false) => assume_less(width, Order::SIGNED, b, a),
        (Cond::Slt, true) | (Cond::Sge, false) => assume_less(width, Order::SIGNED_STRICT, a, b),
        (Cond::Sle, true) | (Cond::Sgt, false) => assume_less(width, Order::SIGNED, a, b),
    }
    settle(a);
    settle(b);
}

/// As [`assume`] for a number compared with itself. Linux does not see that this is decided; on the side that no run
/// takes it cuts the range's ends off.
pub fn assume_of_itself(width: Width, cond: Cond, holds: bool, a: &mut Bounds) {
    let strictly = match (cond, holds) {
        (Cond::Gt | Cond::Lt, true) | (Cond::Ge | Cond::Le, false) => Order::UNSIGNED_STRICT,
        (Cond::Sgt | Cond::Slt, true) | (Cond::Sge | Cond::Sle, false) => Order::SIGNED_STRICT,
        _ => return,
    };
    let (mut lower, mut upper) = (*a, *a);
    assume_less(width, strictly, &mut lower, &mut upper);
    (a.wide.umax, a.wide.smax, a.low.umax, a.low.smax) =
        (lower.wide.umax, lower.wide.smax, lower.low.umax, lower.low.smax);
    (a.wide.umin, a.wide.smin, a.low.umin, a.low.smin) =
        (upper.wide.umin, upper.wide.smin, upper.low.umin, upper.low.smin);
    settle(a);
}

/// Exchanges knowledge after a comparison; what has become contradictory forgets its ranges.
fn settle(a: &mut Bounds) {
    a.sync();
    if !a.is_consistent() {
        a.forget_ranges();
    }
}

fn assume_equal(width: Width, a: &mut Bounds, b: &mut Bounds) {
    fn common<const BITS: u32>(a: &mut Range<BITS>, b: &mut Range<BITS>) {
        let other = *b;
        a.learn_unsigned(other.umin, other.umax);
        a.learn_signed(other.smin, other.smax);
        *b = *a;
    }
    match width {
        Width::W64 => {
            // The low ranges learn of it only through the others.
            common(&mut a.wide, &mut b.wide);
            a.bits = a.bits.intersect(b.bits);
            b.bits = a.bits;
        }
        Width::W32 => {
            common(&mut a.low, &mut b.low);
            let bits = a.bits.low32().intersect(b.bits.low32());
            a.bits = a.bits.with_low32(bits);
            b.bits = b.bits.with_low32(bits);
        }
    }
}

/// Something is learnt where one side is a constant that is an end of the other's range.
fn assume_unequal(width: Width, a: &mut Bounds, b: &mut Bounds) {
    fn cut<const BITS: u32>(range: &mut Range<BITS>, value: u64) {
        let (value, signed) = (value & Range::<BITS>::UMAX, Range::<BITS>::signed(value));
        // The range is not this one value, or the comparison would have been decided; so the ends do not wrap.
        if range.umin == value {
            range.umin = range.umin.wrapping_add(1);
        }
        if range.umax == value {
            range.umax = range.umax.wrapping_sub(1);
        }
        if range.smin == signed {
            range.smin = range.smin.wrapping_add(1);
        }
        if range.smax == signed {
            range.smax = range.smax.wrapping_sub(1);
        }
    }
    match width {
        Width::W64 => match (a.constant(), b.constant()) {
            (_, Some(value)) => cut(&mut a.wide, value),
            (Some(value), None) => cut(&mut b.wide, value),
            (None, None) => {}
        },
        Width::W32 => match (a.low_constant(), b.low_constant()) {
            (_, Some(value)) => cut(&mut a.low, u64::from(value)),
            (Some(value), None) => cut(&mut b.low, u64::from(value)),
            (None, None) => {}
        },
    }
}

/// A set test against a constant: a single bit is learnt when it holds, all of the constant's bits when it fails.
fn assume_set(width: Width, holds: bool, a: &mut Bounds, b: &mut Bounds) {
    let constant = |x: &Bounds| match width {
        Width::W64 => x.constant(),
        Width::W32 => x.low_constant().map(u64::from),
    };
    let (side, value) = match (constant(a), constant(b)) {
        (_, Some(value)) => (a, value),
        (Some(value), None) => (b, value),
        (None, None) => return,
    };
    let learn = |bits: Tnum| {
        if holds { bits.or(Tnum::known(value)) } else { bits.and(Tnum::known(!value)) }
    };
    if holds && !value.is_power_of_two() {
        return;
    }
    if !holds {
        side.forget_ranges();
    }
    side.bits = match width {
        Width::W64 => learn(side.bits),
        Width::W32 => side.bits.with_low32(learn(side.bits.low32())),
    };
}

#[derive(Clone, Copy)]
struct Order {
    signed: bool,
    strict: bool,
}

impl Order {
    const UNSIGNED: Order = Order { signed: false, strict: false };
    const UNSIGNED_STRICT: Order = Order { signed: false, strict: true };
    const SIGNED: Order = Order { signed: true, strict: false };
    const SIGNED_STRICT: Order = Order { signed: true, strict: true };
}

/// Learns that `a` is less than `b`, or not greater.
fn assume_less(width: Width, order: Order, a: &mut Bounds, b: &mut Bounds) {
    fn less<const BITS: u32>(order: Order, a: &mut Range<BITS>, b: &mut Range<BITS>) {
        // Not both an end of the width and strictly beyond it, or the comparison would have been decided.
        let step = u64::from(order.strict);
        if order.signed {
            a.smax = a.smax.min(b.smax.wrapping_sub(step as i64));
            b.smin = b.smin.max(a.smin.wrapping_add(step as i64));
        } else {
            a.umax = a.umax.min(b.umax.wrapping_sub(step));
            b.umin = b.umin.max(a.umin.wrapping_add(step));
        }
    }
    match width {
        Width::W64 => less(order, &mut a.wide, &mut b.wide),
        Width::W32 => less(order, &mut a.low, &mut b.low),
    }
}
