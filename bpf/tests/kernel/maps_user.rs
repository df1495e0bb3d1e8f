//! What user space does to maps, at random over all kinds and flags, beside the running kernel: the same values, the same
//! error numbers. `MAPS_OPERATIONS` sets how many operations (default 10,000).

use crate::support;

use std::collections::BTreeSet;

use bpf::btf::SpecialFields;
use bpf::errno::Errno;
use bpf::maps::{
    AccessLog, BPF_F_INNER_MAP, BPF_F_NO_COMMON_LRU, BPF_F_NO_PREALLOC, Batch, Holds, KINDS, Linear, Map, MapId,
    MapSet, References, UserLookup,
};
use bpf::program::{MapSpec, MapType};
use support::both::spec;
use support::kernel::{Kernel, KernelMap, KernelProg, kernel, possible_cpus, stay_on_cpu_0};
use support::rng::Rng;
use support::{locked, progress};

/// A definition of the kind that Linux accepts, small enough to fill.
fn definition(rng: &mut Rng, ty: MapType) -> MapSpec {
    let key = rng.pick(&[1u32, 2, 4, 4, 8, 13, 40]);
    let value = rng.pick(&[1u32, 4, 8, 13, 24, 64]);
    let max = rng.below(12) as u32 + 1;
    let mut made = match ty {
        MapType::ARRAY | MapType::PERCPU_ARRAY => spec(ty, 4, value, max, 0),
        MapType::HASH | MapType::PERCPU_HASH => spec(ty, key, value, max, rng.pick(&[0, BPF_F_NO_PREALLOC])),
        MapType::LRU_HASH | MapType::LRU_PERCPU_HASH => {
            let max = rng.pick(&[1, 2, 5, 12, 40, 300]);
            spec(ty, key.max(2), value, max, rng.pick(&[0, BPF_F_NO_COMMON_LRU]))
        }
        MapType::LPM_TRIE => spec(ty, 4 + rng.pick(&[1u32, 2, 4, 16]), value, max, BPF_F_NO_PREALLOC),
        MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS => {
            let inner = spec(MapType::ARRAY, 4, 8, 3, rng.pick(&[0, BPF_F_INNER_MAP]));
            MapSpec {
                inner: Some(Box::new(inner)),
                ..spec(ty, if ty == MapType::ARRAY_OF_MAPS { 4 } else { key }, 4, max, 0)
            }
        }
        MapType::DEVMAP | MapType::DEVMAP_HASH => spec(ty, 4, rng.pick(&[4, 8]), max, 0),
        MapType::CPUMAP => spec(ty, 4, rng.pick(&[4, 8]), max, 0),
        MapType::SOCKMAP => spec(ty, 4, rng.pick(&[4, 8]), max, 0),
        MapType::SOCKHASH => spec(ty, key, rng.pick(&[4, 8]), max, 0),
        MapType::QUEUE | MapType::STACK => spec(ty, 0, value, max, 0),
        MapType::BLOOM_FILTER => MapSpec { extra: rng.below(16), ..spec(ty, 0, value, max, 0) },
        MapType::RINGBUF | MapType::USER_RINGBUF => spec(ty, 0, 0, 4096, 0),
        MapType::STACK_TRACE => spec(ty, 4, 16, max, 0),
        _ => spec(ty, 4, 4, max, 0),
    };
    if matches!(ty, MapType::ARRAY | MapType::HASH | MapType::LRU_HASH) && rng.once_in(3) {
        made.value_size = rng.pick(&[16, 24, 40, 64]);
        let lock = (ty != MapType::LRU_HASH && rng.once_in(2)).then(|| rng.pick(&[0, 4, 12]));
        let timer = made.value_size.checked_sub(16).filter(|at| *at >= 16 || lock.is_none());
        made.fields = SpecialFields { lock, timer: timer.filter(|_| lock.is_none() || rng.once_in(2)) };
    }
    // What user space itself may do; cpumaps and ring buffers know no such flags.
    if rng.once_in(12) && !matches!(ty, MapType::CPUMAP | MapType::RINGBUF | MapType::USER_RINGBUF) {
        made.flags |= rng.pick(&[8, 16]);
    }
    made
}

/// What descriptors stand for on one side, and numbers on the other.
struct World {
    kernel: Kernel,
    maps: MapSet,
    theirs: Vec<KernelMap>,
    program: KernelProg,
}

impl World {
    fn new(kernel: Kernel) -> World {
        let specs: Vec<MapSpec> = [(3, 0), (4, 0), (3, BPF_F_INNER_MAP), (4, BPF_F_INNER_MAP)]
            .map(|(max, flags)| spec(MapType::ARRAY, 4, 8, max, flags))
            .into();
        let theirs = specs.iter().map(|spec| kernel.create(spec).unwrap()).collect();
        let exit = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
        World { kernel, maps: MapSet::new(&specs, 1).unwrap(), theirs, program: kernel.load(6, &exit, "GPL").unwrap() }
    }

    /// A value for both sides: what we take, what the kernel takes.
    fn value(&self, rng: &mut Rng, map: &Map) -> (Vec<u8>, Vec<u8>) {
        const NO_FD: u32 = 9999;
        let same = |word: u32, rest: u32| {
            let mut value = [word.to_le_bytes(), rest.to_le_bytes()].concat();
            value.truncate(map.user_value_size());
            (value.clone(), value)
        };
        match map.kind().holds {
            Holds::Values => {
                let slot = (map.spec().value_size as usize).next_multiple_of(8);
                let mut value = vec![0; map.user_value_size()];
                for part in if map.kind().per_cpu { value.chunks_mut(slot) } else { value.chunks_mut(usize::MAX) } {
                    part.fill(rng.word() as u8);
                    let used = part.len().min(map.spec().value_size as usize);
                    part[used..].fill(0);
                }
                (value.clone(), value)
            }
            Holds::Programs if rng.once_in(4) => (vec![0; 4], NO_FD.to_le_bytes().into()),
            Holds::Programs => (self.program.id().to_le_bytes().into(), self.program.fd().to_le_bytes().into()),
            Holds::Maps if rng.once_in(4) => (vec![0; 4], NO_FD.to_le_bytes().into()),
            Holds::Maps => {
                let at = rng.below(self.theirs.len() as u64) as u32;
                let fd = self.theirs[at as usize].fd();
                (MapId(at).reference().to_le_bytes().into(), fd.to_le_bytes().into())
            }
            Holds::Devices => {
                let program = rng.pick(&[0, 0, u32::MAX, self.program.fd() as u32]);
                same(rng.pick(&[1, 1, 1, 0, 7777]), program)
            }
            Holds::Cpus => {
                same(rng.pick(&[1, 1, 64, 16384, 16385, 0]), rng.pick(&[0, 0, 0, u32::MAX, self.program.fd() as u32]))
            }
            Holds::Sockets | Holds::Events | Holds::Cgroups => same(NO_FD, 0),
        }
    }

    /// A value of the kernel's as ours would be: the numbers of its maps are its own.
    fn translated(&self, map: &Map, value: Vec<u8>) -> Vec<u8> {
        if map.kind().holds != Holds::Maps {
            return value;
        }
        let at = self.theirs.iter().position(|inner| inner.id().to_le_bytes()[..] == value[..]);
        MapId(at.expect("the map is one of those") as u32).reference().to_le_bytes().into()
    }
}

impl References for World {
    fn map(&self, id: MapId) -> Option<&Map> {
        self.maps.get(id)
    }

    fn program(&self, map: &Map, number: u32) -> Result<(), Errno> {
        match map.kind().holds {
            // An XDP program that was not loaded to run behind a redirect.
            Holds::Devices | Holds::Cpus => Err(Errno::EINVAL),
            _ if number == self.program.id() => Ok(()),
            _ => Err(Errno::EBADF),
        }
    }

    fn device(&self, ifindex: u32) -> bool {
        ifindex == 1
    }

    fn object(&self, _: &Map, _: u32) -> Result<(), Errno> {
        Err(Errno::EBADF)
    }
}

/// One map on both sides.
struct Pair<'w> {
    world: &'w World,
    map: Map,
    memory: Vec<u8>,
    log: AccessLog,
    theirs: KernelMap,
    /// What a bloom filter was given.
    members: BTreeSet<Vec<u8>>,
}

type Answer = Result<Vec<u8>, i32>;

fn number(errno: Errno) -> i32 {
    i32::from(errno.0)
}

impl Pair<'_> {
    fn key(&self, rng: &mut Rng) -> Vec<u8> {
        let spec = self.map.spec();
        let mut key = vec![0; spec.key_size as usize];
        match spec.ty {
            MapType::LPM_TRIE => {
                let bits = 8 * (spec.key_size - 4);
                let len = if rng.once_in(20) { rng.below(300) as u32 } else { rng.below(u64::from(bits) + 1) as u32 };
                key[..4].copy_from_slice(&len.to_le_bytes());
                for byte in &mut key[4..] {
                    *byte = rng.pick(&[0, 0, 0x80, 0xc0, 0xff]);
                }
            }
            MapType::LRU_HASH | MapType::LRU_PERCPU_HASH => {
                let number = rng.below(2 * u64::from(spec.max_entries) + 3) as u16;
                key[..2].copy_from_slice(&number.to_le_bytes());
            }
            _ if key.is_empty() => {}
            _ => {
                key[0] = rng.below(u64::from(spec.max_entries) + 3) as u8;
                if key.len() == 4 && rng.once_in(20) {
                    key.fill(0xff);
                }
            }
        }
        key
    }

    /// One operation on both sides: a name, what we answer, what the kernel answers.
    fn step(&mut self, rng: &mut Rng) -> (String, Answer, Answer) {
        let flags = rng.pick(&[0u64, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 8, 1 << 40]);
        let key = self.key(rng);
        let (ours, theirs) = self.world.value(rng, &self.map);
        let Pair { world, map, memory, log, theirs: kernels, members } = self;
        let memory = &mut Linear(memory);
        match rng.below(16) {
            0..6 => {
                let answer = map.user_update(memory, log, *world, &key, &ours, flags);
                let kernels = kernels.update(&key, &theirs, flags);
                if map.spec().ty == MapType::BLOOM_FILTER && answer.is_ok() {
                    members.insert(ours.clone());
                }
                let name = format!("update {key:?} {ours:?} {flags}");
                (name, answer.map(|()| vec![]).map_err(number), kernels.map(|()| vec![]))
            }
            6..9 => {
                let flags = if rng.once_in(4) { flags } else { 0 };
                let bloom = map.spec().ty == MapType::BLOOM_FILTER;
                let name = format!("lookup {key:?} {flags}");
                let answer = match (map.kind().user_lookup, bloom) {
                    (UserLookup::Peek, true) if flags == 0 => map.user_peek(memory, log, &ours),
                    _ => map.user_lookup(memory, log, &key, flags),
                };
                let kernels = kernels.lookup_with(&key, &ours, flags);
                if bloom && flags == 0 && answer.is_ok() != kernels.is_ok() && !members.contains(&ours) {
                    // Strangers may be taken for members, by either.
                    return (name, Ok(vec![]), Ok(vec![]));
                }
                let translated = kernels.map(|value| world.translated(map, value));
                (name, answer.map_err(number), translated)
            }
            9..11 => {
                let answer = map.user_delete(memory, log, &key).map(|()| vec![]);
                (format!("delete {key:?}"), answer.map_err(number), kernels.delete(&key).map(|()| vec![]))
            }
            11 => {
                let flags = if rng.once_in(4) { flags } else { 0 };
                let answer = map.user_take(memory, log, &key, flags).map_err(number);
                (format!("take {key:?} {flags}"), answer, kernels.take(&key, flags))
            }
            12 => {
                let from = (!rng.once_in(4)).then_some(&key[..]);
                let mut next = vec![0; key.len()];
                let answer = map.user_next_key(memory, log, from, &mut next).map(|()| next).map_err(number);
                let kernels = kernels.next_key(from);
                // The order of hashes is nobody's contract.
                let forget = |answer: Answer| if ordered(map) { answer } else { answer.map(|_| vec![]) };
                let hash = !ordered(map) && from.is_some();
                if hash {
                    (String::new(), Ok(vec![]), Ok(vec![]))
                } else {
                    (format!("next {from:?}"), forget(answer), forget(kernels))
                }
            }
            13 => self.lookup_batch(rng, flags),
            _ => self.change_batch(rng, flags),
        }
    }

    fn lookup_batch(&mut self, rng: &mut Rng, flags: u64) -> (String, Answer, Answer) {
        let (flags, take) = (if rng.once_in(4) { flags } else { 0 }, rng.once_in(4));
        let whole = matches!(self.map.kind().batch, Batch::Buckets(_));
        let key = self.key(rng);
        let from = (!whole && !rng.once_in(3)).then_some(&key[..]);
        // Buckets fill in another order: all of them, or none.
        let room = 2 * self.map.spec().max_entries as usize + 4;
        let count = if rng.once_in(8) {
            0
        } else if whole {
            room
        } else {
            rng.below(6) as usize
        };
        let name = format!("lookup batch {from:?} {count} take {take} {flags}");
        let Pair { world, map, memory, log, theirs, .. } = self;
        let mut ours = map.user_lookup_batch(&mut Linear(memory), log, from, count as u32, take, flags);
        let mut theirs = theirs.lookup_batch(from, count, take, flags);
        if whole {
            ours.entries.sort();
            theirs.entries.sort();
        }
        let flat = |entries: Vec<(Vec<u8>, Vec<u8>)>| entries.into_iter().flat_map(|(k, v)| [k, v].concat()).collect();
        let kernels = theirs.entries.into_iter().map(|(key, value)| (key, world.translated(map, value))).collect();
        let ours_end = ours.end.map_err(number);
        if ours_end != theirs.end {
            return (name, ours_end.map(|()| vec![]), theirs.end.map(|()| vec![]));
        }
        if let (false, Some(next)) = (whole, &ours.next) {
            assert_eq!(next[..], theirs.next[..next.len()], "{name}");
        }
        (name, Ok(flat(ours.entries)), Ok(flat(kernels)))
    }

    fn change_batch(&mut self, rng: &mut Rng, flags: u64) -> (String, Answer, Answer) {
        let flags = if rng.once_in(4) { flags } else { 0 };
        let keys: Vec<Vec<u8>> = (0..rng.below(5)).map(|_| self.key(rng)).collect();
        let values: Vec<(Vec<u8>, Vec<u8>)> = keys.iter().map(|_| self.world.value(rng, &self.map)).collect();
        let Pair { world, map, memory, log, theirs, .. } = self;
        let memory = &mut Linear(memory);
        let update = rng.once_in(2);
        let (ours, theirs) = if update {
            let entries: Vec<_> = keys.iter().cloned().zip(values.iter().map(|(ours, _)| ours.clone())).collect();
            let values: Vec<_> = values.into_iter().map(|(_, theirs)| theirs).collect();
            let ours = map.user_update_batch(memory, log, *world, &entries, flags);
            (ours, theirs.change_batch(&keys, Some(&values), flags))
        } else {
            (map.user_delete_batch(memory, log, &keys, flags), theirs.change_batch(&keys, None, flags))
        };
        // Where the command as a whole is refused the kernel leaves the count alone.
        let refused =
            matches!(ours.1, Err(Errno::ENOTSUPP | Errno::EPERM)) || ours.1 == Err(Errno::EINVAL) && ours.0 == 0;
        let flat = |(done, end): (usize, Result<(), i32>)| end.map(|()| done.to_le_bytes().to_vec());
        let name = format!("batch update {update} {keys:?} {flags}");
        if !refused && ours.1.is_err() {
            assert_eq!(ours.0, theirs.0, "{name}");
        }
        (name, flat((ours.0, ours.1.map_err(number))), flat(theirs))
    }

    /// Everything in it, on both sides.
    fn same_contents(&mut self) {
        let Pair { world, map, memory, theirs, .. } = self;
        if map.kind().user_lookup != UserLookup::Value || map.spec().flags & 16 != 0 {
            return;
        }
        let mut ours = map.user_entries(&mut Linear(memory));
        ours.sort();
        let kernels = theirs.entries().into_iter();
        let kernels: Vec<_> = kernels.map(|(key, value)| (key, world.translated(map, value))).collect();
        assert_eq!(ours, kernels, "{:?}", map.spec());
    }
}

/// Whether walks have Linux's order.
fn ordered(map: &Map) -> bool {
    !matches!(map.kind().batch, Batch::Buckets(_)) && map.spec().ty != MapType::SOCKHASH
}

#[test]
fn user_space_sees_what_it_would_see_of_linux() {
    let Some(kernel) = kernel("user_space_sees_what_it_would_see_of_linux") else { return };
    stay_on_cpu_0();
    let operations: u64 = std::env::var("MAPS_OPERATIONS").map_or(10_000, |n| n.parse().expect("a number"));
    let first: u64 = std::env::var("MAPS_SEED").map_or(1, |n| n.parse().expect("a number"));
    let world = World::new(kernel);
    let mut done = 0;
    for seed in first.. {
        let rng = &mut Rng::new(seed);
        let kind = KINDS[(seed % KINDS.len() as u64) as usize];
        let spec = definition(rng, kind.ty);
        let theirs = match locked::create(world.kernel, &spec) {
            Ok(map) => map,
            Err(errno) => panic!("seed {seed}: {spec:?}: errno {errno}"),
        };
        let map = Map::new(spec, possible_cpus() as u32).unwrap();
        let memory = vec![0; map.region_size() as usize];
        let members = BTreeSet::new();
        let mut pair = Pair { world: &world, map, memory, log: AccessLog::new(), theirs, members };
        for at in 0..20 + rng.below(400) {
            let (name, ours, theirs) = pair.step(rng);
            assert_eq!(ours, theirs, "seed {seed}, operation {at}: {name} on {:?}", pair.map.spec());
            for access in pair.log.accesses() {
                assert!(u64::from(access.off) + u64::from(access.len) <= u64::from(pair.map.region_size()), "{name}");
            }
            done += 1;
            progress::one_more("operations");
        }
        pair.same_contents();
        if rng.once_in(4) {
            assert_eq!(pair.map.freeze().map_err(number), pair.theirs.freeze(), "seed {seed}: {:?}", pair.map.spec());
            assert_eq!(pair.map.freeze().map_err(number), pair.theirs.freeze(), "seed {seed}: {:?}", pair.map.spec());
            for _ in 0..20 {
                let (name, ours, theirs) = pair.step(rng);
                assert_eq!(ours, theirs, "seed {seed}, frozen: {name} on {:?}", pair.map.spec());
            }
        }
        if done >= operations {
            break;
        }
    }
}
