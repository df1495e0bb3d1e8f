//! A map's memory in a state file: the blocks that are not zero, each with its place.

use bpf::syscall::hex;

/// Bytes of a block.
const BLOCK: usize = 64;

/// Blocks that are not zero, by their first byte; those that follow one another are one.
pub(super) fn blocks(memory: &[u8]) -> Vec<(u64, String)> {
    let mut found: Vec<(u64, usize)> = Vec::new();
    for (at, block) in memory.chunks(BLOCK).enumerate() {
        if block.iter().all(|byte| *byte == 0) {
            continue;
        }
        let first = at * BLOCK;
        match found.last_mut() {
            Some((start, len)) if *start as usize + *len == first => *len += block.len(),
            _ => found.push((first as u64, block.len())),
        }
    }
    found.into_iter().map(|(start, len)| (start, hex(&memory[start as usize..start as usize + len]))).collect()
}

/// The memory of blocks, which must lie within `size` bytes, in order and apart.
pub(super) fn whole(blocks: &[(u64, String)], size: usize) -> Option<Vec<u8>> {
    let mut memory = Vec::new();
    for (start, digits) in blocks {
        let start = usize::try_from(*start).ok().filter(|start| *start >= memory.len())?;
        let bytes = bytes(digits)?;
        if start.checked_add(bytes.len())? > size {
            return None;
        }
        memory.resize(start, 0);
        memory.extend(bytes);
    }
    Some(memory)
}

/// Bytes from hexadecimal digits.
pub(super) fn bytes(digits: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| (c as char).to_digit(16).map(|digit| digit as u8);
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_what_is_not_zero() {
        let mut memory = vec![0; 1000];
        memory[3] = 1;
        memory[70] = 2;
        memory[999] = 3;
        let kept = blocks(&memory);
        assert_eq!(kept.iter().map(|(at, digits)| (*at, digits.len() / 2)).collect::<Vec<_>>(), [(0, 128), (960, 40)]);
        assert_eq!(whole(&kept, 1000), Some(memory));
        assert_eq!(whole(&kept, 999), None);
        let swapped: Vec<_> = kept.into_iter().rev().collect();
        assert_eq!(whole(&swapped, 1000), None);
        assert_eq!(whole(&[(0, "0g".to_owned())], 1000), None);
        assert_eq!(whole(&[(u64::MAX, "00".to_owned())], 1000), None);
    }
}
