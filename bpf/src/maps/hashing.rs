//! The hash of a key: this project's own, the same on every machine.
//!
//! Linux hashes with a random seed, so the order of a hash map is nobody's contract. This one is fixed, so that runs
//! repeat. It takes eight bytes a step with one multiplication: two steps of any length are a bijection of their input
//! word, so keys of up to eight bytes never collide in the 64-bit state.

/// Odd constant of the steps: 2^64 divided by the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
/// Odd constant of the finish, with bits spread evenly.
const FINISH: u64 = 0xd6e8_feb8_6659_fd93;

/// 32 bits of hash of a key.
pub fn hash_key(key: &[u8]) -> u32 {
    hash_seeded(0, key)
}

/// The same for each `seed` anew; seed 0 is [`hash_key`].
pub(super) fn hash_seeded(seed: u64, key: &[u8]) -> u32 {
    let mut state = (key.len() as u64 ^ seed << 32).wrapping_mul(STEP);
    let mut words = key.chunks_exact(8);
    for word in &mut words {
        state = step(state, u64::from_le_bytes(word.try_into().expect("chunks of exactly 8")));
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        state = step(state, u64::from_le_bytes(word));
    }
    state = (state ^ (state >> 29)).wrapping_mul(FINISH);
    (state ^ (state >> 32)) as u32
}

fn step(state: u64, word: u64) -> u64 {
    let mixed = (state ^ word).wrapping_mul(STEP);
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_bit_moves_about_half_of_the_output() {
        for bit in 0..128 {
            let mut flips = 0;
            for sample in 0..256u64 {
                let mut key = [sample.wrapping_mul(STEP), sample].map(u64::to_le_bytes).concat();
                let before = hash_key(&key);
                key[bit / 8] ^= 1 << (bit % 8);
                flips += (before ^ hash_key(&key)).count_ones();
            }
            let mean = f64::from(flips) / 256.0;
            assert!((14.0..18.0).contains(&mean), "bit {bit} flips {mean} bits");
        }
    }

    #[test]
    fn sequential_keys_fill_buckets_evenly() {
        let mut buckets = [0u32; 1024];
        for key in 0..8192u32 {
            buckets[(hash_key(&key.to_le_bytes()) & 1023) as usize] += 1;
        }
        // Poisson of mean 8: more than 30 in one of 1,024 buckets has a chance below 1e-6.
        assert!(buckets.iter().all(|&n| n <= 30), "fullest bucket {:?}", buckets.iter().max());
    }

    #[test]
    fn length_counts() {
        assert_ne!(hash_key(&[0; 4]), hash_key(&[0; 5]));
    }
}
