//! Bytes of memory as words of transfer registers, in the orders a command can ask for.

use super::ByteOrder;

/// Most words one command moves.
pub const MAX_WORDS: usize = 32;

/// The words of transfer registers that a command's bytes become. A last word that is not full has its bytes where a
/// full one would have them; the rest is zero.
pub fn from_bytes(bytes: &[u8], order: ByteOrder, words: &mut [u32; MAX_WORDS]) {
    let word = |four| if order.swap { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) };
    let (full, rest) = bytes.as_chunks::<4>();
    for (i, &four) in full.iter().take(MAX_WORDS).enumerate() {
        words[place(i, bytes.len(), order)] = word(four);
    }
    if !rest.is_empty() && full.len() < MAX_WORDS {
        let mut four = [0; 4];
        four[..rest.len()].copy_from_slice(rest);
        words[place(full.len(), bytes.len(), order)] = word(four);
    }
}

/// The reverse of [`from_bytes`].
pub fn to_bytes(words: &[u32; MAX_WORDS], order: ByteOrder, bytes: &mut [u8]) {
    let len = bytes.len();
    let four = |i| {
        let word = words[place(i, len, order)];
        if order.swap { word.to_le_bytes() } else { word.to_be_bytes() }
    };
    let (full, rest) = bytes.as_chunks_mut::<4>();
    for (i, to) in full.iter_mut().take(MAX_WORDS).enumerate() {
        *to = four(i);
    }
    if !rest.is_empty() && full.len() < MAX_WORDS {
        rest.copy_from_slice(&four(full.len())[..rest.len()]);
    }
}

/// Register of word `i` among those of `len` bytes. A word without a partner stays where it is.
fn place(i: usize, len: usize, order: ByteOrder) -> usize {
    let partner = i ^ 1;
    if order.le && partner < len.div_ceil(4) { partner } else { i }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LE: ByteOrder = ByteOrder { swap: false, le: true };

    fn words(bytes: &[u8], order: ByteOrder) -> Vec<u32> {
        let mut words = [0xeeee_eeee; MAX_WORDS];
        from_bytes(bytes, order, &mut words);
        words[..bytes.len().div_ceil(4)].to_vec()
    }

    #[test]
    fn orders() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        assert_eq!(words(&bytes, ByteOrder::BIG), [0x0102_0304, 0x0506_0708, 0x0900_0000]);
        assert_eq!(words(&bytes, ByteOrder::SWAP), [0x0403_0201, 0x0807_0605, 0x0000_0009]);
        assert_eq!(words(&bytes, LE), [0x0506_0708, 0x0102_0304, 0x0900_0000]);
    }

    proptest! {
        #[test]
        fn what_is_read_can_be_written_back(
            bytes in prop::collection::vec(any::<u8>(), 0..=4 * MAX_WORDS), swap in any::<bool>(), le in any::<bool>(),
        ) {
            let order = ByteOrder { swap, le };
            let mut words = [0; MAX_WORDS];
            from_bytes(&bytes, order, &mut words);
            let mut back = vec![0; bytes.len()];
            to_bytes(&words, order, &mut back);
            prop_assert_eq!(back, bytes);
        }
    }
}
