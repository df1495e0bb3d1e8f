//! Bounds against concrete values: exhaustively on small ranges, at random on wide ones.

use proptest::prelude::*;

use super::*;
use crate::insn::{AluOp, Cond, Width};

/// RFC 9669 §4.1, written out here a second time.
fn concrete(width: Width, op: AluOp, a: u64, b: u64) -> u64 {
    match width {
        Width::W64 => {
            let (s, t) = (a as i64, b as i64);
            match op {
                AluOp::Add => a.wrapping_add(b),
                AluOp::Sub => a.wrapping_sub(b),
                AluOp::Mul => a.wrapping_mul(b),
                AluOp::Div => a.checked_div(b).unwrap_or(0),
                AluOp::Mod => a.checked_rem(b).unwrap_or(a),
                AluOp::Sdiv => {
                    if t == 0 {
                        0
                    } else {
                        s.wrapping_div(t) as u64
                    }
                }
                AluOp::Smod => {
                    if t == 0 {
                        a
                    } else {
                        s.wrapping_rem(t) as u64
                    }
                }
                AluOp::Or => a | b,
                AluOp::And => a & b,
                AluOp::Xor => a ^ b,
                AluOp::Lsh => a << (b & 63),
                AluOp::Rsh => a >> (b & 63),
                AluOp::Arsh => (s >> (b & 63)) as u64,
            }
        }
        Width::W32 => {
            let (a, b) = (a as u32, b as u32);
            let (s, t) = (a as i32, b as i32);
            let r = match op {
                AluOp::Add => a.wrapping_add(b),
                AluOp::Sub => a.wrapping_sub(b),
                AluOp::Mul => a.wrapping_mul(b),
                AluOp::Div => a.checked_div(b).unwrap_or(0),
                AluOp::Mod => a.checked_rem(b).unwrap_or(a),
                AluOp::Sdiv => {
                    if t == 0 {
                        0
                    } else {
                        s.wrapping_div(t) as u32
                    }
                }
                AluOp::Smod => {
                    if t == 0 {
                        a
                    } else {
                        s.wrapping_rem(t) as u32
                    }
                }
                AluOp::Or => a | b,
                AluOp::And => a & b,
                AluOp::Xor => a ^ b,
                AluOp::Lsh => a << (b & 31),
                AluOp::Rsh => a >> (b & 31),
                AluOp::Arsh => (s >> (b & 31)) as u32,
            };
            u64::from(r)
        }
    }
}

fn holds(width: Width, cond: Cond, a: u64, b: u64) -> bool {
    let (a, b, s, t) = match width {
        Width::W64 => (a, b, a as i64, b as i64),
        Width::W32 => (a & 0xffff_ffff, b & 0xffff_ffff, i64::from(a as i32), i64::from(b as i32)),
    };
    match cond {
        Cond::Eq => a == b,
        Cond::Ne => a != b,
        Cond::Gt => a > b,
        Cond::Ge => a >= b,
        Cond::Lt => a < b,
        Cond::Le => a <= b,
        Cond::Set => a & b != 0,
        Cond::Sgt => s > t,
        Cond::Sge => s >= t,
        Cond::Slt => s < t,
        Cond::Sle => s <= t,
    }
}

/// The tightest bounds around some values, after the exchange between readings.
fn around(values: &[u64]) -> Bounds {
    let unsigned = |f: fn(u64) -> u64| {
        let v = values.iter().map(|v| f(*v));
        (v.clone().min().expect("not empty"), v.max().expect("not empty"))
    };
    let signed = |f: fn(u64) -> i64| {
        let v = values.iter().map(|v| f(*v));
        (v.clone().min().expect("not empty"), v.max().expect("not empty"))
    };
    let ((umin, umax), (smin, smax)) = (unsigned(|v| v), signed(|v| v as i64));
    let ((lumin, lumax), (lsmin, lsmax)) = (unsigned(|v| v & 0xffff_ffff), signed(|v| i64::from(v as i32)));
    let mut b = Bounds {
        bits: values.iter().map(|v| Tnum::known(*v)).reduce(Tnum::union).expect("not empty"),
        wide: Range { umin, umax, smin, smax },
        low: Range { umin: lumin, umax: lumax, smin: lsmin, smax: lsmax },
    };
    b.sync();
    assert!(b.is_consistent());
    b
}

const WIDTHS: [Width; 2] = [Width::W32, Width::W64];

/// Every result of every operation on two sets of values lies within the bounds computed from the sets' bounds.
fn check(left: &[u64], right: &[u64]) {
    let (a, b) = (around(left), around(right));
    let pairs = || left.iter().flat_map(|x| right.iter().map(move |y| (*x, *y)));
    assert!(left.iter().all(|v| a.contains(*v)), "{left:x?} {a:x?}");
    for width in WIDTHS {
        for op in AluOp::ALL {
            let r = a.alu(width, op, &b);
            for (x, y) in pairs() {
                let v = concrete(width, op, x, y);
                assert!(r.contains(v), "{width:?} {op:?} {x:#x} {y:#x} = {v:#x} not in {r:x?}");
            }
        }
        for cond in Cond::ALL {
            let decided = taken(width, cond, &a, &b);
            let (mut yes, mut no) = ((a, b), (a, b));
            assume(width, cond, true, &mut yes.0, &mut yes.1);
            assume(width, cond, false, &mut no.0, &mut no.1);
            for (x, y) in pairs() {
                let t = holds(width, cond, x, y);
                assert!(decided.is_none_or(|d| d == t), "{width:?} {cond:?} {x:#x} {y:#x} decided {decided:?}");
                let (p, q) = if t { yes } else { no };
                let learnt = decided.is_some() || (p.contains(x) && q.contains(y));
                assert!(learnt, "{width:?} {cond:?} {t} {x:#x} {y:#x} not in {p:x?} {q:x?}");
            }
        }
        for bits in [8, 16, 32] {
            let r = a.sign_extended(bits, width);
            for x in left {
                let v = ((x << (64 - bits)) as i64 >> (64 - bits)) as u64;
                let v = if width == Width::W32 { v & 0xffff_ffff } else { v };
                assert!(r.contains(v), "{width:?} sext {bits} {x:#x} not in {r:x?}");
            }
        }
        let r = a.negate(width);
        assert!(left.iter().all(|x| r.contains(concrete(width, AluOp::Sub, 0, *x))));
    }
    for bytes in [1, 2, 4, 8] {
        let r = a.truncated(bytes);
        assert!(left.iter().all(|x| r.contains(x & (u64::MAX >> (64 - 8 * bytes)))));
    }
    let r = a.zero_extended();
    assert!(left.iter().all(|x| r.contains(x & 0xffff_ffff)));
}

#[test]
fn every_interval_near_a_wrap_is_sound() {
    for base in [0, 1 << 31, 1 << 32, 1u64 << 63, u64::MAX << 32] {
        for other in [0, 1 << 31, 1 << 63] {
            for (lo, hi) in [(-3i64, -2), (-2, 0), (-2, 3), (-1, 1), (0, 4), (1, 2)] {
                for (start, end) in [(-2i64, -2), (-2, 1), (0, 0), (0, 3), (2, 3)] {
                    let set = |base: u64, lo, hi| -> Vec<u64> {
                        (lo..=hi).map(|d: i64| base.wrapping_add(d as u64)).collect()
                    };
                    check(&set(base, lo, hi), &set(other, start, end));
                }
            }
        }
    }
}

/// Numbers near which ranges wrap, and small ones.
fn edge() -> impl Strategy<Value = u64> {
    let corner = prop_oneof![
        Just(0u64),
        Just(1 << 31),
        Just(1 << 32),
        Just(1 << 63),
        Just(u64::MAX << 32),
        Just(u64::MAX << 31),
        (0u32..64).prop_map(|n| 1 << n),
        any::<u64>(),
    ];
    (corner, -9i64..10).prop_map(|(c, d)| c.wrapping_add(d as u64))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn sets_of_random_values_are_sound(
        left in prop::collection::vec(edge(), 1..5),
        right in prop::collection::vec(edge(), 1..5),
    ) {
        check(&left, &right);
    }

    #[test]
    fn shifts_by_constants_are_sound(left in prop::collection::vec(edge(), 1..5), n in 0u64..64) {
        check(&left, &[n]);
    }
}

#[test]
fn a_pair_of_shifts_sign_extends() {
    let word = around(&[0xffff_ff00, 0xffff_fff0, 5]);
    let wide = word.alu(Width::W64, AluOp::Lsh, &Bounds::known(32)).alu(Width::W64, AluOp::Arsh, &Bounds::known(32));
    assert_eq!((wide.wide.smin, wide.wide.smax), (-256, 5));
}

#[test]
fn a_masked_value_is_small_in_every_reading() {
    let b = Bounds::UNKNOWN.alu(Width::W64, AluOp::And, &Bounds::known(0x3c));
    assert_eq!(b.wide, Range { umin: 0, umax: 0x3c, smin: 0, smax: 0x3c });
    assert_eq!((b.low.umin, b.low.umax, b.bits), (0, 0x3c, Tnum::new(0, 0x3c)));
}
