//! Internet checksums (RFC 1071, RFC 1624) with the exact representations Linux leaves in registers and packets: of the
//! two zeros, 0x0000 and 0xffff, the one its arithmetic yields.
//!
//! Words are in the machine's byte order, as a program on it loads them.

use crate::program::Endian;

/// `a + b` with end-around carry in 32 bits.
pub(super) fn add32(a: u32, b: u32) -> u32 {
    let (sum, carry) = a.overflowing_add(b);
    sum.wrapping_add(u32::from(carry))
}

/// `a - b` in one's complement.
pub(super) fn sub32(a: u32, b: u32) -> u32 {
    add32(a, !b)
}

/// A 32-bit sum folded into 16 bits, not complemented.
pub(super) fn fold16(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}

/// The checksum field of a 32-bit sum.
pub(super) fn fold(sum: u32) -> u16 {
    !fold16(sum)
}

/// `sum` plus the bytes as words. The result is 0 only if all of it was.
pub(super) fn partial(order: Endian, bytes: &[u8], sum: u32) -> u32 {
    let mut words = bytes.chunks_exact(4);
    let mut acc = u64::from(sum);
    for word in &mut words {
        acc += u64::from(order.word([word[0], word[1], word[2], word[3]]));
    }
    let mut last = [0; 4];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    acc += u64::from(order.word(last));
    let once = (acc & 0xffff_ffff) + (acc >> 32);
    add32(once as u32, (once >> 32) as u32)
}

/// A checksum field after the data it covers changed by the difference `diff` (`csum_replace_by_diff`).
pub(super) fn replace_by_diff(field: u16, diff: u32) -> u16 {
    fold(add32(diff, !u32::from(field)))
}

/// A checksum field after a 32-bit word it covers changed (`csum_replace4`).
pub(super) fn replace4(field: u16, from: u32, to: u32) -> u16 {
    fold(add32(sub32(!u32::from(field), from), to))
}

/// A checksum field after a 16-bit word it covers changed (`csum_replace2`).
pub(super) fn replace2(field: u16, from: u16, to: u16) -> u16 {
    !add16(add16(!field, !from), to)
}

fn add16(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum.wrapping_add(u16::from(carry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc1071_example() {
        // RFC 1071 §3: the words 0001 f203 f4f5 f6f7 sum to ddf2; swapped where bytes are in memory order.
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold16(partial(Endian::Little, &bytes, 0)).swap_bytes(), 0xddf2);
        assert_eq!(fold16(partial(Endian::Big, &bytes, 0)), 0xddf2);
    }

    #[test]
    fn rfc1624_example() {
        // RFC 1624 §4: field dd2f, word 5555 changes to 3285, the new field is 0000 (and not ffff).
        assert_eq!(replace2(0xdd2f, 0x5555, 0x3285), 0x0000);
    }
}
