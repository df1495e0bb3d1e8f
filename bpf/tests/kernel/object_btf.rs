//! BTF held against `BPF_BTF_LOAD`: what the running kernel takes is taken, what it refuses is refused with its error
//! number and for its reason.

use crate::support;

use bpf::btf::check::check;
use support::kernel::{Kernel, kernel};
use support::rng::Rng;

/// Types to be put together, word by word.
struct Blob {
    types: Vec<Vec<u32>>,
    strings: Vec<u8>,
}

/// Names that are fine, and names that are not.
const NAMES: &[&str] = &["", "a", "b_2", "x.y", ".data", "2bad", "sp ace", "_", "long long"];

impl Blob {
    fn bytes(&self) -> Vec<u8> {
        let words: Vec<u32> = self.types.concat();
        let len = words.len() as u32 * 4;
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        for word in [24, 0, len, len, self.strings.len() as u32].into_iter().chain(words) {
            bytes.extend(u32::to_le_bytes(word));
        }
        bytes.extend(&self.strings);
        bytes
    }
}

/// A random type: of a random kind, mostly as compilers write it.
fn one(rng: &mut Rng, count: u32, names: &[u32]) -> Vec<u32> {
    // A fine name is more likely than another.
    let named = |rng: &mut Rng| if rng.once_in(12) { rng.pick(names) } else { rng.pick(&names[1..4]) };
    let perhaps = |rng: &mut Rng| if rng.once_in(3) { 0 } else { named(rng) };
    let nameless = |rng: &mut Rng| if rng.once_in(30) { named(rng) } else { 0 };
    // Earlier types are likely to be fine.
    let to = |rng: &mut Rng| rng.below(u64::from(count) + 2) as u32;
    let size = |rng: &mut Rng| rng.pick(&[1, 2, 4, 8, 16, 24, 64, 64, 0, 3]);
    let small = |rng: &mut Rng| rng.below(4) as u32;
    let info = |rng: &mut Rng, kind: u32, vlen: u32| kind << 24 | vlen | if rng.once_in(25) { 1 << 31 } else { 0 };
    let kind = rng.below(20) as u32;
    match kind {
        0 | 1 => {
            let bytes = rng.pick(&[1u32, 2, 4, 8, 16]);
            let bits = if rng.once_in(6) { rng.below(140) as u32 } else { bytes * 8 };
            let offset = if rng.once_in(10) { rng.below(20) as u32 } else { 0 };
            vec![named(rng), info(rng, 1, 0), bytes, (small(rng) & 1) << 24 | offset << 16 | bits]
        }
        2 | 9 | 10 | 11 => vec![nameless(rng), info(rng, kind, 0), to(rng)],
        3 => vec![
            nameless(rng),
            info(rng, 3, 0),
            0,
            to(rng),
            to(rng),
            small(rng) * if rng.once_in(9) { 1 << 30 } else { 1 },
        ],
        4 | 5 => {
            let (vlen, flag) = (small(rng), rng.once_in(4));
            let mut words = vec![perhaps(rng), kind << 24 | vlen | u32::from(flag) << 31, size(rng)];
            for i in 0..vlen {
                let offset = if kind == 5 && !rng.once_in(9) { 0 } else { i * rng.pick(&[32, 64, 8, 4]) };
                let width = if flag && rng.once_in(2) { rng.below(40) as u32 } else { 0 };
                words.extend([perhaps(rng), to(rng), width << 24 | offset]);
            }
            words
        }
        6 | 19 => {
            let vlen = small(rng);
            let mut words = vec![perhaps(rng), info(rng, kind, vlen), rng.pick(&[1, 2, 4, 4, 8, 8, 3, 16, 0])];
            for i in 0..vlen {
                words.extend([named(rng), i]);
                words.extend((kind == 19).then_some(0));
            }
            words
        }
        7 => vec![named(rng), info(rng, 7, 0), 0],
        8 => vec![named(rng), info(rng, 8, 0), to(rng)],
        12 => {
            let linkage = if rng.once_in(8) { 2 } else { small(rng) & 1 };
            vec![named(rng), info(rng, 12, linkage), to(rng)]
        }
        13 => {
            let vlen = small(rng);
            let mut words = vec![nameless(rng), info(rng, 13, vlen), to(rng)];
            for _ in 0..vlen {
                words.extend([if rng.once_in(6) { 0 } else { named(rng) }, to(rng)]);
            }
            words
        }
        14 => vec![named(rng), info(rng, 14, 0), to(rng), if rng.once_in(8) { 2 } else { small(rng) & 1 }],
        15 => {
            let vlen = small(rng);
            let mut words = vec![if rng.once_in(4) { names[4] } else { named(rng) }, info(rng, 15, vlen), 64];
            for i in 0..vlen {
                words.extend([to(rng), i * 16, rng.pick(&[4, 8, 16, 16, 32, 0])]);
            }
            words
        }
        16 => vec![named(rng), info(rng, 16, 0), rng.pick(&[2, 4, 8, 12, 16, 3])],
        17 => vec![named(rng), info(rng, 17, 0), to(rng), if rng.once_in(2) { u32::MAX } else { small(rng) }],
        _ => vec![named(rng), info(rng, 18, 0), to(rng)],
    }
}

fn blob(seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let mut strings = Vec::new();
    let mut names = Vec::new();
    for name in NAMES {
        names.push(strings.len() as u32);
        strings.extend(name.bytes().chain([0]));
    }
    let count = 1 + rng.below(10) as u32;
    let mut blob = Blob { types: (0..count).map(|_| one(&mut rng, count, &names)).collect(), strings };
    // An integer to begin with, so that some of what refers to small numbers is fine.
    blob.types.insert(0, vec![names[1], 1 << 24, 4, 32]);
    if rng.once_in(4) {
        for _ in 0..=rng.below(2) {
            let (i, word) = (rng.below(blob.types.len() as u64) as usize, rng.below(1 << 32) as u32);
            let words = &mut blob.types[i];
            let at = rng.below(words.len() as u64) as usize;
            words[at] = match rng.below(3) {
                0 => word,
                1 => words[at] ^ 1 << rng.below(32),
                _ => word & 0xff,
            };
        }
    }
    let mut bytes = blob.bytes();
    if rng.once_in(10) {
        let len = if rng.once_in(2) { 24 } else { bytes.len() as u64 };
        let at = rng.below(len) as usize;
        bytes[at] ^= 1 << rng.below(8);
    }
    if rng.once_in(40) {
        bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
    }
    bytes
}

/// Compares, and says whether the kernel took it.
fn compare(kernel: Kernel, bytes: &[u8], what: &str) -> bool {
    let (ours, theirs) = (check(bytes), kernel.check_btf(bytes));
    match (&ours, &theirs) {
        (Ok(()), Ok(())) => true,
        (Err(ours), Err(theirs)) => {
            assert_eq!(i32::from(ours.errno.0), theirs.errno, "{what}: {ours}\n{}", theirs.log);
            // The header is checked before there is a log.
            let tail = theirs.log.len().saturating_sub(400);
            assert!(theirs.log.contains(&ours.reason), "{what}: {ours}\n...{}", &theirs.log[tail..]);
            false
        }
        (ours, theirs) => {
            let log = theirs.as_ref().map_or_else(|e| e.log.as_str(), |()| "");
            let tail = log.len().saturating_sub(400);
            panic!("{what}: {ours:?}, the kernel {:?}\n...{}", theirs.as_ref().map_err(|e| e.errno), &log[tail..])
        }
    }
}

#[test]
fn generated_types_are_taken_as_the_kernel_does() {
    let Some(kernel) = kernel("generated_types_are_taken_as_the_kernel_does") else { return };
    let cases = std::env::var("BTF_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(3000u64);
    let first = std::env::var("BTF_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0u64);
    let taken = (first..first + cases).filter(|&seed| compare(kernel, &blob(seed), &format!("seed {seed}"))).count();
    assert!(taken as u64 * 20 > cases, "only {taken} of {cases} are fine");
}

/// The `.BTF` section of an object, with sections of variables laid out as libbpf does before it loads them.
fn linked(object: &[u8]) -> Option<Vec<u8>> {
    let at = object.windows(4).position(|w| w == [0x9f, 0xeb, 1, 0])?;
    let word = |at: usize| u32::from_le_bytes(object[at..at + 4].try_into().unwrap());
    let end = at + 24 + (word(at + 16) + word(at + 20)) as usize;
    let mut bytes = object[at..end].to_vec();
    let types_end = 24 + word(at + 12) as usize;
    let mut at = 24;
    while at < types_end {
        let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let info = word(&bytes, at + 4);
        let (kind, count) = (info >> 24 & 31, (info & 0xffff) as usize);
        if kind == 15 {
            let mut size = 0u32;
            for i in 0..count {
                bytes[at + 16 + 12 * i..at + 20 + 12 * i].copy_from_slice(&size.to_le_bytes());
                size += word(&bytes, at + 20 + 12 * i);
            }
            bytes[at + 8..at + 12].copy_from_slice(&size.to_le_bytes());
        }
        at += 12
            + match kind {
                1 | 14 | 17 => 4,
                3 => 12,
                4 | 5 | 15 | 19 => 12 * count,
                6 | 13 => 8 * count,
                _ => 0,
            };
    }
    Some(bytes)
}

/// Types of this project's objects, whole and with single bits changed.
#[test]
fn real_types_are_taken_as_the_kernel_does() {
    let Some(kernel) = kernel("real_types_are_taken_as_the_kernel_does") else { return };
    let (mut rng, mut taken) = (Rng::new(1), 0);
    let mut files: Vec<_> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/object"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "o"))
        .collect();
    files.sort();
    for file in files {
        let Some(whole) = linked(&std::fs::read(&file).unwrap()) else { continue };
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        taken += usize::from(compare(kernel, &whole, &name));
        for _ in 0..60 {
            let mut bytes = whole.clone();
            let (at, bit) = (rng.below(bytes.len() as u64) as usize, rng.below(8));
            bytes[at] ^= 1 << bit;
            compare(kernel, &bytes, &format!("{name}: bit {bit} of byte {at}"));
        }
    }
    assert!(taken >= 8, "{taken}");
}
