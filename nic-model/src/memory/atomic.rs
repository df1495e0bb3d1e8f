//! The arithmetic of atomic commands.

use super::{AtomicOp, Store};

impl AtomicOp {
    /// The number afterwards; 32 bits unless `wide`.
    pub fn apply(self, before: u64, operand: u64, wide: bool) -> u64 {
        let limit = if wide { u64::MAX } else { u64::from(u32::MAX) };
        let operand = operand & limit;
        let after = match self {
            AtomicOp::Add => before.wrapping_add(operand),
            AtomicOp::AddSaturating => before.checked_add(operand).map_or(limit, |sum| sum.min(limit)),
            AtomicOp::Sub => before.wrapping_sub(operand),
            AtomicOp::SubSaturating => before.saturating_sub(operand),
            AtomicOp::Set => before | operand,
            AtomicOp::Clear => before & !operand,
            AtomicOp::Xor => before ^ operand,
            AtomicOp::Exchange => operand,
        };
        after & limit
    }
}

/// Changes the number at `offset` and returns what it was. Its words are big-endian, the low one first.
pub(super) fn change(store: &mut Store, offset: u64, op: AtomicOp, wide: bool, operand: u64) -> u64 {
    let mut bytes = [0; 8];
    let bytes = &mut bytes[..if wide { 8 } else { 4 }];
    store.read(offset, bytes);
    let before = number(bytes);
    let after = op.apply(before, operand, wide);
    for (i, word) in bytes.chunks_mut(4).enumerate() {
        word.copy_from_slice(&((after >> (32 * i)) as u32).to_be_bytes());
    }
    store.write(offset, bytes);
    before
}

/// The number that 4 or 8 bytes are to the atomic engine.
fn number(bytes: &[u8]) -> u64 {
    bytes.chunks(4).rev().fold(0, |number, word| {
        number << 32 | u64::from(u32::from_be_bytes(word.try_into().expect("numbers are 4 or 8 bytes")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_big_endian_words_low_word_first() {
        let mut store = Store::new(64);
        store.write(8, &[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(change(&mut store, 8, AtomicOp::Add, true, 1 << 32), 0xffff_ffff_0000_0001);
        let mut bytes = [9; 8];
        store.read(8, &mut bytes);
        assert_eq!(bytes, [0, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(change(&mut store, 8, AtomicOp::Sub, false, 2), 1);
        store.read(8, &mut bytes);
        assert_eq!(bytes, [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    }

    #[test]
    fn operations() {
        let narrow = |op: AtomicOp, before, operand| op.apply(before, operand, false);
        assert_eq!(narrow(AtomicOp::Add, 0xffff_ffff, 2), 1);
        assert_eq!(narrow(AtomicOp::AddSaturating, 0xffff_fffe, 2), 0xffff_ffff);
        assert_eq!(narrow(AtomicOp::Sub, 1, 2), 0xffff_ffff);
        assert_eq!(narrow(AtomicOp::SubSaturating, 1, 2), 0);
        assert_eq!(narrow(AtomicOp::Set, 0b1100, 0b1010), 0b1110);
        assert_eq!(narrow(AtomicOp::Clear, 0b1100, 0b1010), 0b0100);
        assert_eq!(narrow(AtomicOp::Xor, 0b1100, 0b1010), 0b0110);
        assert_eq!(narrow(AtomicOp::Exchange, 0b1100, u64::MAX), 0xffff_ffff);
        assert_eq!(AtomicOp::AddSaturating.apply(u64::MAX - 1, 5, true), u64::MAX);
    }
}
