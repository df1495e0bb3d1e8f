//! Maps against the collections of the standard library, and the promises of the access log.

use crate::support;

use std::collections::BTreeMap;

use bpf::errno::Errno;
use bpf::maps::{
    AccessLog, BPF_F_NO_COMMON_LRU, BPF_F_NO_PREALLOC, Holds, KINDS, Linear, Map, MapKind, MapMemory, View,
};
use bpf::program::{MapSpec, MapType};
use proptest::prelude::*;
use support::both::spec;
use support::slice;

const CPUS: u32 = 3;

#[derive(Debug, Clone)]
enum Op {
    Lookup(u32),
    Update { cpu: u32, key: u32, fill: u8, flags: u64 },
    Delete(u32),
    Next(u32),
}

fn op() -> impl Strategy<Value = Op> {
    let flags = prop_oneof![4 => Just(0u64), 1 => Just(1), 1 => Just(2), 1 => Just(3), 1 => Just(4)];
    prop_oneof![
        2 => (0..40u32).prop_map(Op::Lookup),
        4 => (0..CPUS, 0..40u32, any::<u8>(), flags)
            .prop_map(|(cpu, key, fill, flags)| Op::Update { cpu, key, fill, flags }),
        2 => (0..40u32).prop_map(Op::Delete),
        1 => (0..40u32).prop_map(Op::Next),
    ]
}

fn definition() -> impl Strategy<Value = MapSpec> {
    let value = prop::sample::select(vec![1u32, 4, 8, 20]);
    let max = || prop_oneof![Just(1u32), 2..33u32];
    prop_oneof![
        3 => (prop::sample::select(vec![4u32, 5, 8, 12, 100]), value.clone(), max())
            .prop_map(|(key, value, max)| spec(MapType::HASH, key, value, max, 0)),
        1 => (value.clone(), max()).prop_map(|(value, max)| spec(MapType::ARRAY, 4, value, max, 0)),
        1 => (value, max()).prop_map(|(value, max)| spec(MapType::PERCPU_ARRAY, 4, value, max, 0)),
    ]
}

/// Memory of scattered bytes: nothing about a map may lean on its memory being one slice.
#[derive(Default)]
struct Scattered(BTreeMap<u32, u8>);

impl MapMemory for Scattered {
    fn read(&mut self, off: u32, buf: &mut [u8]) {
        for (at, byte) in (off..).zip(buf) {
            *byte = self.0.get(&at).copied().unwrap_or(0);
        }
    }

    fn write(&mut self, off: u32, bytes: &[u8]) {
        self.0.extend((off..).zip(bytes.iter().copied()));
    }

    fn view(&mut self) -> View<'_> {
        View::Other(self)
    }
}

/// What a map should be: values by processor (0 for kinds that are not per-CPU) and key.
struct Model {
    spec: MapSpec,
    values: BTreeMap<(u32, u32), u8>,
}

impl Model {
    fn new(spec: &MapSpec) -> Model {
        let mut values = BTreeMap::new();
        if spec.ty != MapType::HASH {
            values.extend((0..CPUS).flat_map(|cpu| (0..spec.max_entries).map(move |key| ((cpu, key), 0))));
        }
        Model { spec: spec.clone(), values }
    }

    fn slot(&self, cpu: u32, key: u32) -> (u32, u32) {
        (if self.spec.ty == MapType::PERCPU_ARRAY { cpu } else { 0 }, key)
    }

    fn update(&mut self, cpu: u32, key: u32, fill: u8, flags: u64) -> Result<(), Errno> {
        let slot = self.slot(cpu, key);
        let there = self.values.contains_key(&slot);
        let hash = self.spec.ty == MapType::HASH;
        match flags {
            3.. => return Err(if flags == 4 && !hash && !there { Errno::E2BIG } else { Errno::EINVAL }),
            _ if !hash && !there => return Err(Errno::E2BIG),
            1 if there => return Err(Errno::EEXIST),
            2 if !there => return Err(Errno::ENOENT),
            _ if !there && self.values.len() == self.spec.max_entries as usize => return Err(Errno::E2BIG),
            _ => {}
        }
        self.values.insert(slot, fill);
        Ok(())
    }

    fn delete(&mut self, key: u32) -> Result<(), Errno> {
        match self.spec.ty {
            MapType::HASH => self.values.remove(&(0, key)).map(|_| ()).ok_or(Errno::ENOENT),
            _ => Err(Errno::EINVAL),
        }
    }
}

/// The key's number first, the rest a pattern that depends on it.
fn key_bytes(key: u32, size: u32) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..size).map(|at| (key as u8).wrapping_mul(31).wrapping_add(at as u8)).collect();
    bytes[..4].copy_from_slice(&key.to_le_bytes());
    bytes
}

/// One operation, as one comparable answer.
fn apply(map: &Map, memory: &mut dyn MapMemory, log: &mut AccessLog, op: &Op) -> Result<Vec<u8>, Errno> {
    let (key_size, value_size) = (map.spec().key_size, map.spec().value_size as usize);
    match *op {
        Op::Lookup(key) => {
            let mut values = Vec::new();
            for cpu in 0..CPUS {
                let off = map.lookup(memory, log, cpu, &key_bytes(key, key_size)).ok_or(Errno::ENOENT)?;
                let mut value = vec![0; value_size];
                memory.read(off, &mut value);
                values.extend(value);
            }
            Ok(values)
        }
        Op::Update { cpu, key, fill, flags } => {
            let key = key_bytes(key, key_size);
            map.update(memory, log, cpu, &key, &vec![fill; value_size], flags).map(|()| vec![])
        }
        Op::Delete(key) => map.delete(memory, log, 0, &key_bytes(key, key_size)).map(|()| vec![]),
        Op::Next(key) => {
            let mut next = vec![0; key_size as usize];
            map.next_key(memory, log, Some(&key_bytes(key, key_size)), &mut next).map(|()| next)
        }
    }
}

fn check(model: &mut Model, op: &Op, answer: &Result<Vec<u8>, Errno>) -> Result<(), TestCaseError> {
    let size = model.spec.value_size as usize;
    match *op {
        Op::Lookup(key) => {
            let wanted: Option<Vec<u8>> = (0..CPUS)
                .map(|cpu| model.values.get(&model.slot(cpu, key)).map(|&fill| vec![fill; size]))
                .collect::<Option<Vec<_>>>()
                .map(|values| values.concat());
            prop_assert_eq!(answer, &wanted.ok_or(Errno::ENOENT));
        }
        Op::Update { cpu, key, fill, flags } => {
            prop_assert_eq!(answer, &model.update(cpu, key, fill, flags).map(|()| vec![]));
        }
        Op::Delete(key) => prop_assert_eq!(answer, &model.delete(key).map(|()| vec![])),
        Op::Next(_) => {
            if let Ok(next) = answer {
                let key = u32::from_le_bytes(next[..4].try_into().unwrap());
                prop_assert_eq!(next, &key_bytes(key, model.spec.key_size));
                prop_assert!(model.values.contains_key(&(0, key)));
            }
        }
    }
    Ok(())
}

#[test]
fn maps_are_what_the_models_are() {
    proptest!(slice(150), |(spec in definition(), ops in prop::collection::vec(op(), 1..150))| {
        let map = Map::new(spec.clone(), CPUS).unwrap();
        let mut bytes = vec![0; map.region_size() as usize];
        let mut scattered = Scattered::default();
        let (mut log, mut other) = (AccessLog::new(), AccessLog::new());
        let mut model = Model::new(&spec);
        for op in &ops {
            let answer = apply(&map, &mut Linear(&mut bytes), &mut log, op);
            check(&mut model, op, &answer)?;
            // Another memory, and a map made anew for each operation: the same answers by the same accesses.
            let again = Map::new(spec.clone(), CPUS).unwrap();
            prop_assert_eq!(apply(&again, &mut scattered, &mut other, op), answer);
            prop_assert_eq!(&log, &other);
            for access in log.accesses() {
                prop_assert!(u64::from(access.off) + u64::from(access.len) <= u64::from(map.region_size()));
                prop_assert!(access.len > 0);
            }
        }
        // Walking the keys visits each entry once.
        let mut keys: Vec<u32> = map.user_entries(&mut Linear(&mut bytes)).iter()
            .map(|(key, _)| u32::from_le_bytes(key[..4].try_into().unwrap())).collect();
        keys.sort_unstable();
        let mut wanted: Vec<u32> = model.values.keys().filter(|(cpu, _)| *cpu == 0).map(|&(_, key)| key).collect();
        wanted.sort_unstable();
        prop_assert_eq!(keys, wanted);
    });
}

#[test]
fn values_never_overlap() {
    proptest!(slice(200), |(spec in definition(), keys in prop::collection::btree_set(0..1000u32, 1..33))| {
        let map = Map::new(spec.clone(), CPUS).unwrap();
        let mut bytes = vec![0; map.region_size() as usize];
        let (mut memory, mut log) = (Linear(&mut bytes), AccessLog::new());
        let mut places = Vec::new();
        for &key in &keys {
            let key = key_bytes(key, spec.key_size);
            let _ = map.update(&mut memory, &mut log, 0, &key, &vec![1; spec.value_size as usize], 0);
        }
        for &key in &keys {
            let key = key_bytes(key, spec.key_size);
            places.extend((0..CPUS).filter_map(|cpu| map.lookup(&mut memory, &mut log, cpu, &key)));
        }
        places.sort_unstable();
        places.dedup();
        let elements = map.elements();
        for &place in &places {
            prop_assert!(elements.contains(place, spec.value_size));
            prop_assert_eq!((place - elements.first) % elements.stride, 0);
            prop_assert_eq!(place % 8, 0);
        }
    });
}

/// A small map of each kind.
fn one_of_each() -> Vec<MapSpec> {
    let of = |kind: &MapKind| {
        let ty = kind.ty;
        match ty {
            MapType::LPM_TRIE => spec(ty, 8, 8, 8, BPF_F_NO_PREALLOC),
            MapType::QUEUE | MapType::STACK | MapType::BLOOM_FILTER => spec(ty, 0, 8, 8, 0),
            MapType::RINGBUF | MapType::USER_RINGBUF => spec(ty, 0, 0, 4096, 0),
            MapType::ARRAY_OF_MAPS | MapType::HASH_OF_MAPS => {
                let inner = Some(Box::new(spec(MapType::ARRAY, 4, 8, 1, 0)));
                MapSpec { inner, ..spec(ty, 4, 4, 8, 0) }
            }
            _ if kind.holds == Holds::Values => spec(ty, 4, 8, 8, 0),
            _ => spec(ty, 4, 4, 8, 0),
        }
    };
    let own_lists = [MapType::LRU_HASH, MapType::LRU_PERCPU_HASH].map(|ty| spec(ty, 4, 8, 8, BPF_F_NO_COMMON_LRU));
    KINDS.iter().map(of).chain(own_lists).collect()
}

/// A guest that nobody verified may write anything over a map's links.
#[test]
fn rubbish_in_memory_ends_every_walk() {
    let bytes = prop::collection::vec(prop_oneof![4 => 0..12u8, 1 => any::<u8>()], 4000);
    let specs = prop::sample::select(one_of_each());
    proptest!(slice(100), |(spec in specs, rubbish in bytes, ops in prop::collection::vec(op(), 1..40))| {
        let map = Map::new(spec.clone(), CPUS).unwrap();
        // Little-endian words below 12: links that mostly name entries.
        let mut bytes: Vec<u8> = rubbish.iter().flat_map(|&byte| [byte, 0, 0, 0]).collect();
        bytes.resize(map.region_size() as usize, 7);
        let (mut log, mut value) = (AccessLog::new(), vec![0; spec.value_size as usize]);
        for op in &ops {
            let memory = &mut Linear(&mut bytes);
            let _ = match (op, map.kind().queue) {
                (Op::Update { fill, flags, .. }, Some(_)) => map.push(memory, &mut log, &[*fill; 8], *flags),
                (_, Some(_)) => map.pop(memory, &mut log, &mut value, matches!(op, Op::Lookup(_))),
                (Op::Update { fill, .. }, _) if spec.ty == MapType::RINGBUF => {
                    let record = map.ring_reserve(memory, &mut log, u64::from(*fill));
                    record.map(|record| map.ring_commit(memory, &mut log, record, 0, *fill > 200));
                    Ok(())
                }
                (_, _) if spec.ty == MapType::RINGBUF => {
                    map.ring_read(memory, &mut log);
                    Ok(())
                }
                (Op::Update { fill, .. }, _) if spec.ty == MapType::USER_RINGBUF => {
                    map.user_ring_write(memory, &mut log, &vec![*fill; 16 * usize::from(*fill)], *fill > 200)
                }
                (_, _) if spec.ty == MapType::USER_RINGBUF => {
                    let seen = matches!(op, Op::Lookup(_)).then_some(8);
                    map.drain_begin(memory, &mut log).and(map.drain_next(memory, &mut log, seen, 100).next).map(|_| ())
                }
                _ => apply(&map, memory, &mut log, op).map(|_| ()),
            };
            prop_assert!(log.accesses().len() < 5000, "{} {op:?}: {} accesses", spec.ty, log.accesses().len());
            for access in log.accesses() {
                prop_assert!(u64::from(access.off) + u64::from(access.len) <= u64::from(map.region_size()));
            }
        }
        prop_assert!(map.user_entries(&mut Linear(&mut bytes)).len() <= map.spec().max_entries as usize);
    });
}

#[test]
fn a_full_map_takes_a_new_value_for_a_key_it_has() {
    let map = Map::new(spec(MapType::HASH, 4, 4, 2, 0), CPUS).unwrap();
    let mut bytes = vec![0; map.region_size() as usize];
    let (mut memory, mut log) = (Linear(&mut bytes), AccessLog::new());
    let mut update =
        |key: u32, value: u32, cpu| map.update(&mut memory, &mut log, cpu, &key.to_le_bytes(), &value.to_le_bytes(), 0);
    assert_eq!((update(1, 10, 0), update(2, 20, 0), update(3, 30, 0)), (Ok(()), Ok(()), Err(Errno::E2BIG)));
    for round in 0..10 {
        assert_eq!(update(1 + round % 2, 100 + round, round % CPUS), Ok(()));
    }
    let mut entries = map.user_entries(&mut memory);
    entries.sort();
    let value = |n: u32| n.to_le_bytes().to_vec();
    assert_eq!(entries, [(value(1), value(108)), (value(2), value(109))]);
}
