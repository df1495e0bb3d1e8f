//! Which definitions of maps Linux creates: attributes at random around every limit, with the same error number.
//! `MAPS_DEFINITIONS` sets how many (default 20,000).

use crate::support;

use bpf::maps::{KINDS, Map};
use bpf::program::{MapSpec, MapType};
use support::both::spec;
use support::kernel::{kernel, possible_cpus};
use support::rng::Rng;

/// Most bytes that a definition may make the kernel allocate.
const MEMORY: u64 = 4 << 20;
/// Most entries where every processor has values of its own.
const PERCPU_ENTRIES: u32 = 1 << 12;

fn definition(rng: &mut Rng) -> MapSpec {
    let kind = KINDS[rng.below(KINDS.len() as u64) as usize];
    let key = rng.pick(&[0, 1, 4, 4, 4, 4, 4, 5, 8, 9, 20, 259, 260, 261, 512, 513, (4 << 20) - 57, 1 << 31, u32::MAX]);
    let value = rng.pick(&[
        0,
        1,
        4,
        4,
        4,
        8,
        8,
        8,
        12,
        16,
        24,
        32,
        40,
        1016,
        1024,
        4064,
        4096,
        32 << 10,
        (32 << 10) + 1,
        (4 << 20) - 297,
        (4 << 20) - 296,
        (4 << 20) - 52,
        (4 << 20) - 56,
        4 << 20,
        (4 << 20) + 1,
        1 << 31,
        u32::MAX,
    ]);
    let max = rng.pick(&[0, 1, 1, 2, 3, 7, 64, 65, 1000, 4095, 4096, 8192, 12288, (1 << 31) + 1, u32::MAX]);
    let flags = match rng.below(3) {
        0 => 0,
        1 => 1 << rng.below(20),
        _ => 1 << rng.below(13) | 1 << rng.below(13),
    };
    // A descriptor of privilege is another matter.
    let flags = flags & !(1 << 16);
    let extra = if rng.once_in(8) { rng.below(20) } else { 0 };
    let mut made = MapSpec { extra, ..spec(kind.ty, key, value, max, flags) };
    // Half of them whole but for one attribute.
    if rng.once_in(2) {
        match kind.ty {
            MapType::QUEUE | MapType::STACK | MapType::BLOOM_FILTER => made.key_size = 0,
            MapType::RINGBUF | MapType::USER_RINGBUF => (made.key_size, made.value_size) = (0, 0),
            MapType::LPM_TRIE => (made.key_size, made.flags) = (8, flags | 1),
            _ => made.key_size = 4,
        }
    }
    if matches!(kind.ty, MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS) && !rng.once_in(8) {
        let inner = KINDS[rng.below(KINDS.len() as u64) as usize].ty;
        let (key, value, flags) = match inner {
            MapType::QUEUE | MapType::STACK | MapType::BLOOM_FILTER => (0, 8, 0),
            MapType::RINGBUF | MapType::USER_RINGBUF => (0, 0, 0),
            MapType::LPM_TRIE => (8, 8, 1),
            MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS => (4, 4, 0),
            MapType::ARRAY | MapType::HASH | MapType::STACK_TRACE => (4, 8, 0),
            _ => (4, 4, 0),
        };
        let mut inner = spec(inner, key, value, 4096, flags);
        if inner.ty == MapType::CPUMAP {
            inner.max_entries = 2;
        }
        if matches!(inner.ty, MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS) {
            inner.inner = Some(Box::new(spec(MapType::ARRAY, 4, 8, 1, 0)));
        }
        made.inner = Some(Box::new(inner));
    }
    made
}

/// Whether creating it may cost the kernel much; what it refuses costs nothing, but we must not rely on that.
fn heavy(spec: &MapSpec) -> bool {
    let per_cpu = matches!(spec.ty, MapType::PERCPU_ARRAY | MapType::PERCPU_HASH | MapType::LRU_PERCPU_HASH);
    if per_cpu && spec.max_entries > PERCPU_ENTRIES {
        return true;
    }
    let entry = u64::from(spec.key_size) + u64::from(spec.value_size) + 64;
    let one = if spec.max_entries <= 1 { 0 } else { entry.saturating_mul(u64::from(spec.max_entries)) };
    one.saturating_mul(if per_cpu { possible_cpus() as u64 } else { 1 }) > MEMORY
}

#[test]
fn what_linux_creates() {
    let Some(kernel) = kernel("what_linux_creates") else { return };
    let definitions: u64 = std::env::var("MAPS_DEFINITIONS").map_or(20_000, |n| n.parse().expect("a number"));
    let first: u64 = std::env::var("MAPS_SEED").map_or(1, |n| n.parse().expect("a number"));
    let (mut created, mut refused) = (0, 0);
    for seed in first..first + definitions {
        let spec = definition(&mut Rng::new(seed));
        if heavy(&spec) {
            continue;
        }
        let theirs = kernel.create(&spec).err();
        let ours = Map::new(spec.clone(), possible_cpus() as u32).err();
        match (theirs, &ours) {
            (Some(libc::ENOMEM), _) => {}
            (theirs, Some(refusal)) if refusal.errno.is_none() => {
                // Too large for 32 bits of address space, and for this machine's memory.
                assert_eq!(refusal.diagnostic.code, "map-too-large", "seed {seed}: {spec:?}: {theirs:?}");
            }
            (theirs, ours) => {
                let number = ours.as_ref().and_then(|refusal| refusal.errno).map(|errno| i32::from(errno.0));
                assert_eq!(theirs, number, "seed {seed}: {spec:?}: {ours:?}");
            }
        }
        if theirs.is_none() { created += 1 } else { refused += 1 }
    }
    assert!(created > definitions / 20 && refused > definitions / 20, "{created} created, {refused} refused");
}
