//! What arithmetic and comparisons compute (RFC 9669 §4.1 to §4.3), as pure functions for every engine and analysis.

use crate::insn::{AluOp, ByteOrder, Cond, Width};

/// `a op b`. An immediate operand comes sign-extended to 64 bits. A 32-bit result is zero-extended.
#[inline(always)]
pub fn alu(op: AluOp, width: Width, a: u64, b: u64) -> u64 {
    match width {
        Width::W64 => alu64(op, a, b),
        Width::W32 => u64::from(alu32(op, a as u32, b as u32)),
    }
}

#[inline(always)]
fn alu64(op: AluOp, a: u64, b: u64) -> u64 {
    match op {
        AluOp::Add => a.wrapping_add(b),
        AluOp::Sub => a.wrapping_sub(b),
        AluOp::Mul => a.wrapping_mul(b),
        AluOp::Div => a.checked_div(b).unwrap_or(0),
        AluOp::Sdiv if b == 0 => 0,
        AluOp::Sdiv => (a as i64).wrapping_div(b as i64) as u64,
        AluOp::Mod => a.checked_rem(b).unwrap_or(a),
        AluOp::Smod if b == 0 => a,
        AluOp::Smod => (a as i64).wrapping_rem(b as i64) as u64,
        AluOp::Or => a | b,
        AluOp::And => a & b,
        AluOp::Xor => a ^ b,
        AluOp::Lsh => a.wrapping_shl(b as u32),
        AluOp::Rsh => a.wrapping_shr(b as u32),
        AluOp::Arsh => (a as i64).wrapping_shr(b as u32) as u64,
    }
}

#[inline(always)]
fn alu32(op: AluOp, a: u32, b: u32) -> u32 {
    match op {
        AluOp::Add => a.wrapping_add(b),
        AluOp::Sub => a.wrapping_sub(b),
        AluOp::Mul => a.wrapping_mul(b),
        AluOp::Div => a.checked_div(b).unwrap_or(0),
        AluOp::Sdiv if b == 0 => 0,
        AluOp::Sdiv => (a as i32).wrapping_div(b as i32) as u32,
        AluOp::Mod => a.checked_rem(b).unwrap_or(a),
        AluOp::Smod if b == 0 => a,
        AluOp::Smod => (a as i32).wrapping_rem(b as i32) as u32,
        AluOp::Or => a | b,
        AluOp::And => a & b,
        AluOp::Xor => a ^ b,
        AluOp::Lsh => a.wrapping_shl(b),
        AluOp::Rsh => a.wrapping_shr(b),
        AluOp::Arsh => (a as i32).wrapping_shr(b) as u32,
    }
}

/// Whether `a cond b`. An immediate operand comes sign-extended to 64 bits; 32-bit comparisons look at the low halves.
#[inline(always)]
pub fn holds(cond: Cond, width: Width, a: u64, b: u64) -> bool {
    let (ua, ub, sa, sb) = match width {
        Width::W64 => (a, b, a as i64, b as i64),
        Width::W32 => (u64::from(a as u32), u64::from(b as u32), i64::from(a as i32), i64::from(b as i32)),
    };
    match cond {
        Cond::Eq => ua == ub,
        Cond::Ne => ua != ub,
        Cond::Gt => ua > ub,
        Cond::Ge => ua >= ub,
        Cond::Lt => ua < ub,
        Cond::Le => ua <= ub,
        Cond::Set => ua & ub != 0,
        Cond::Sgt => sa > sb,
        Cond::Sge => sa >= sb,
        Cond::Slt => sa < sb,
        Cond::Sle => sa <= sb,
    }
}

/// The low `bits` (16, 32 or 64) of `value` in another byte order, on a little-endian machine; the rest is 0.
#[inline(always)]
pub fn byte_order(order: ByteOrder, bits: u8, value: u64) -> u64 {
    let kept = match bits {
        16 => u64::from(value as u16),
        32 => u64::from(value as u32),
        _ => value,
    };
    match order {
        ByteOrder::Le => kept,
        ByteOrder::Be | ByteOrder::Swap => kept.swap_bytes() >> (64 - u32::from(bits.clamp(16, 64))),
    }
}

/// The low `bits` (8, 16, 32 or 64) of `value`, sign-extended to 64.
#[inline(always)]
pub fn sign_extend(bits: u8, value: u64) -> u64 {
    match bits {
        8 => value as i8 as u64,
        16 => value as i16 as u64,
        32 => value as i32 as u64,
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Width::{W32, W64};

    /// RFC 9669 §4.1, Table 3 and the paragraphs behind it.
    #[test]
    fn rfc9669_section_4_1() {
        let minus = |n: i64| (-n) as u64;
        for (op, width, a, b, wanted) in [
            // "If BPF execution would result in division by zero, the destination register is instead set to zero."
            (AluOp::Div, W64, 77, 0, 0),
            (AluOp::Div, W32, 77, 1 << 32, 0),
            (AluOp::Sdiv, W64, minus(77), 0, 0),
            // Modulo by zero: unchanged for 64 bits; the upper half is zeroed for 32 bits.
            (AluOp::Mod, W64, minus(77), 0, minus(77)),
            (AluOp::Mod, W32, 0xffff_ffff_0000_0007, 0, 7),
            (AluOp::Smod, W64, minus(77), 0, minus(77)),
            (AluOp::Smod, W32, minus(77), 0, 0xffff_ffb3),
            // LLONG_MIN / -1 = LLONG_MIN, INT_MIN / -1 = INT_MIN; % -1 = 0.
            (AluOp::Sdiv, W64, i64::MIN as u64, minus(1), i64::MIN as u64),
            (AluOp::Sdiv, W32, i32::MIN as u64, minus(1), 0x8000_0000),
            (AluOp::Smod, W64, i64::MIN as u64, minus(1), 0),
            (AluOp::Smod, W32, i32::MIN as u64, minus(1), 0),
            // Truncated division: -13 % 3 == -1.
            (AluOp::Smod, W64, minus(13), 3, minus(1)),
            (AluOp::Sdiv, W64, minus(13), 3, minus(4)),
            // Unsigned division takes a sign-extended immediate as a large number.
            (AluOp::Div, W64, u64::MAX, minus(1), 1),
            // Shift amounts are masked to 6 and 5 bits.
            (AluOp::Lsh, W64, 1, 65, 2),
            (AluOp::Rsh, W64, 8, 66, 2),
            (AluOp::Lsh, W32, 1, 33, 2),
            (AluOp::Arsh, W32, 0x8000_0000, 63, 0xffff_ffff),
            (AluOp::Arsh, W64, i64::MIN as u64, 63, u64::MAX),
            // 32-bit results are zero-extended.
            (AluOp::Add, W32, 0xffff_ffff, 1, 0),
            (AluOp::Sub, W32, 0, 1, 0xffff_ffff),
            (AluOp::Mul, W32, minus(1), minus(1), 1),
            (AluOp::Xor, W32, minus(1), 0, 0xffff_ffff),
        ] {
            assert_eq!(alu(op, width, a, b), wanted, "{op:?} {width:?} {a:#x} {b:#x}");
        }
    }

    /// RFC 9669 §4.2.
    #[test]
    fn rfc9669_section_4_2() {
        let value = 0x0102_0304_0506_0708;
        for (order, bits, wanted) in [
            (ByteOrder::Le, 16, 0x0708),
            (ByteOrder::Le, 32, 0x0506_0708),
            (ByteOrder::Le, 64, value),
            (ByteOrder::Be, 16, 0x0807),
            (ByteOrder::Be, 32, 0x0807_0605),
            (ByteOrder::Be, 64, 0x0807_0605_0403_0201),
            (ByteOrder::Swap, 16, 0x0807),
            (ByteOrder::Swap, 32, 0x0807_0605),
            (ByteOrder::Swap, 64, 0x0807_0605_0403_0201),
        ] {
            assert_eq!(byte_order(order, bits, value), wanted, "{order:?}{bits}");
        }
    }

    /// RFC 9669 §4.3: signed against unsigned, and JMP32 looks at the low halves only.
    #[test]
    fn rfc9669_section_4_3() {
        let minus_1 = u64::MAX;
        assert!(holds(Cond::Gt, W64, minus_1, 1) && !holds(Cond::Sgt, W64, minus_1, 1));
        assert!(holds(Cond::Slt, W32, 0xffff_ffff, 1) && !holds(Cond::Slt, W64, 0xffff_ffff, 1));
        assert!(holds(Cond::Eq, W32, 1 << 32, 0) && !holds(Cond::Eq, W64, 1 << 32, 0));
        assert!(holds(Cond::Set, W64, 1 << 40, minus_1) && !holds(Cond::Set, W32, 1 << 40, minus_1));
    }
}
