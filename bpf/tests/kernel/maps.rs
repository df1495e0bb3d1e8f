//! Maps against the running kernel: what may be created, and what operations answer, from user space and from programs.

use crate::support;

use bpf::insn::{Cond, Insn, Size};
use bpf::maps::{AccessLog, Linear, Map, MapId, MapSet};
use bpf::program::{MapSpec, MapType, ProgType};
use proptest::prelude::*;
use support::asm::*;
use support::both::{Both, spec};
use support::kernel::{KernelMap, kernel, possible_cpus, stay_on_cpu_0};
use support::slice;

const KINDS: [MapType; 5] =
    [MapType::HASH, MapType::ARRAY, MapType::PROG_ARRAY, MapType::PERCPU_HASH, MapType::PERCPU_ARRAY];

/// Definitions around every limit. Those that would take much memory are left out.
fn definitions() -> Vec<MapSpec> {
    let mut specs = Vec::new();
    for ty in KINDS {
        for key_size in [0, 1, 4, 8, 512, 513, (4 << 20) - 57, (4 << 20) - 56, 1 << 31] {
            for value_size in [0, 1, 8, 100, 32 << 10, (32 << 10) + 1] {
                specs.push(spec(ty, key_size, value_size, 1, 0));
            }
        }
        let good = |flags| spec(ty, 4, 8, 4, flags);
        specs.extend((0..32).map(|bit| good(1 << bit)));
        for both in [0x18, 0x180, 0x90, 0x108, 0x88, 0x81, 0x41] {
            specs.push(good(both));
        }
        specs.push(spec(ty, 4, 8, 0, 0));
        specs.push(spec(ty, 4, 1 << 31, 1, 0));
        specs.push(spec(ty, 4, u32::MAX, 1, 0));
    }
    // Never an array of that many: the kernel tries, and some kernels fault on the way back.
    specs.push(spec(MapType::HASH, 4, 8, (1 << 31) + 1, 0));
    specs
}

#[test]
fn what_may_be_created() {
    let Some(kernel) = kernel("what_may_be_created") else { return };
    for spec in definitions() {
        let theirs = kernel.create_map(spec.ty.0, spec.key_size, spec.value_size, spec.max_entries, spec.flags).err();
        let ours = Map::new(spec.clone(), 2).err();
        match (theirs, &ours) {
            // Sizes that the machine at hand has no memory for.
            (Some(libc::ENOMEM), _) => {}
            (theirs, None) => assert_eq!(theirs, None, "{spec:?}"),
            (theirs, Some(refusal)) => {
                assert_eq!(theirs, refusal.errno.map(|errno| i32::from(errno.0)), "{spec:?}: {refusal:?}");
            }
        }
    }
}

/// An operation of user space; the key is a small number, cut or padded to the key size.
#[derive(Debug, Clone)]
enum Op {
    Lookup(u8),
    Update(u8, u8, u64),
    Delete(u8),
}

fn op(keys: u8) -> impl Strategy<Value = Op> {
    let flags = prop_oneof![6 => Just(0u64), 2 => Just(1), 2 => Just(2), 1 => 3u64..9, 1 => any::<u64>()];
    prop_oneof![
        1 => (0..keys).prop_map(Op::Lookup),
        3 => (0..keys, any::<u8>(), flags).prop_map(|(key, value, flags)| Op::Update(key, value, flags)),
        1 => (0..keys).prop_map(Op::Delete),
    ]
}

fn key_bytes(key: u8, size: u32) -> Vec<u8> {
    let mut bytes = vec![0; size as usize];
    bytes[0] = key;
    bytes
}

/// A value that tells the map's padding apart from its bytes.
fn value_bytes(fill: u8, map: &Map) -> Vec<u8> {
    let slot = (map.spec().value_size as usize).next_multiple_of(8);
    let mut value = vec![fill; map.user_value_size()];
    if map.kind().per_cpu {
        for (cpu, part) in value.chunks_mut(slot).enumerate() {
            part.fill(fill.wrapping_add(cpu as u8));
            part[map.spec().value_size as usize..].fill(0);
        }
    }
    value
}

struct User {
    map: Map,
    memory: Vec<u8>,
    log: AccessLog,
}

impl User {
    fn new(spec: &MapSpec) -> User {
        let map = Map::new(spec.clone(), possible_cpus() as u32).unwrap();
        User { memory: vec![0; map.region_size() as usize], map, log: AccessLog::new() }
    }

    /// What both sides answer.
    fn apply(&mut self, op: &Op, theirs: &KernelMap) -> (Result<Vec<u8>, i32>, Result<Vec<u8>, i32>) {
        let User { map, memory, log } = self;
        let mut memory = Linear(memory);
        let key_size = map.spec().key_size;
        let number = |errno: bpf::errno::Errno| i32::from(errno.0);
        match *op {
            Op::Lookup(key) => {
                let key = key_bytes(key, key_size);
                (map.user_lookup(&mut memory, log, &key, 0).map_err(number), theirs.lookup(&key))
            }
            Op::Update(key, fill, flags) => {
                let (key, value) = (key_bytes(key, key_size), value_bytes(fill, map));
                let ours = map.user_update(&mut memory, log, &MapSet::default(), &key, &value, flags).map_err(number);
                (ours.map(|()| vec![]), theirs.update(&key, &value, flags).map(|()| vec![]))
            }
            Op::Delete(key) => {
                let key = key_bytes(key, key_size);
                let ours = map.delete(&mut memory, log, 0, &key).map_err(number);
                (ours.map(|()| vec![]), theirs.delete(&key).map(|()| vec![]))
            }
        }
    }
}

/// Shapes with few entries, so that a map fills.
fn small() -> impl Strategy<Value = MapSpec> {
    let value = prop::sample::select(vec![1u32, 4, 8, 13, 24]);
    prop_oneof![
        (prop::sample::select(vec![1u32, 2, 4, 6, 8, 16, 37]), value.clone(), 1..10u32, 0..2u32)
            .prop_map(|(key, value, max, flags)| spec(MapType::HASH, key, value, max, flags)),
        (prop::sample::select(vec![1u32, 4, 37]), value.clone(), 1..10u32, 0..2u32)
            .prop_map(|(key, value, max, flags)| spec(MapType::PERCPU_HASH, key, value, max, flags)),
        (value.clone(), 1..10u32).prop_map(|(value, max)| spec(MapType::ARRAY, 4, value, max, 0)),
        (value, 1..10u32).prop_map(|(value, max)| spec(MapType::PERCPU_ARRAY, 4, value, max, 0)),
    ]
}

#[test]
fn user_space_operations() {
    let Some(kernel) = kernel("user_space_operations") else { return };
    proptest!(slice(400), |(spec in small(), ops in prop::collection::vec(op(12), 1..80))| {
        let theirs = kernel.create_map(spec.ty.0, spec.key_size, spec.value_size, spec.max_entries, spec.flags).unwrap();
        let mut user = User::new(&spec);
        for op in &ops {
            let (ours, kernels) = user.apply(op, &theirs);
            prop_assert_eq!(ours, kernels, "{:?} {:?}", spec, op);
        }
        let mut entries = user.map.user_entries(&mut Linear(&mut user.memory));
        entries.sort();
        prop_assert_eq!(entries, theirs.entries());
        if matches!(spec.ty, MapType::ARRAY | MapType::PERCPU_ARRAY) {
            walk_in_step(&mut user, &theirs)?;
        }
    });
}

/// Arrays have an order that is Linux's too, and keys out of range.
fn walk_in_step(user: &mut User, theirs: &KernelMap) -> Result<(), TestCaseError> {
    for key in [None, Some(0u32), Some(3), Some(user.map.spec().max_entries - 1), Some(1000), Some(u32::MAX)] {
        let key = key.map(u32::to_le_bytes);
        let mut next = vec![0; 4];
        let key = key.as_ref().map(<[u8; 4]>::as_slice);
        let ours = user.map.next_key(&mut Linear(&mut user.memory), &mut user.log, key, &mut next);
        let ours = ours.map(|()| next).map_err(|errno| i32::from(errno.0));
        prop_assert_eq!(ours, theirs.next_key(key), "{:?}", key);
    }
    Ok(())
}

/// A program of operations on map 0; what each answers goes to the packet, 8 bytes an operation.
fn program(spec: &MapSpec, ops: &[Op]) -> Vec<Insn> {
    let (key_at, value_at) = (-(spec.key_size.next_multiple_of(8) as i16), -112);
    let mut insns = vec![
        load(Size::W, R9, R1, 0),
        load(Size::W, R2, R1, 4),
        mov(R3, R9),
        add(R3, 8 * ops.len().max(8) as i32),
        branch(Cond::Le, R3, R2, 2),
        mov(R0, -1),
        exit(),
    ];
    for at in 1..=14 {
        insns.push(store(Size::D, R10, -8 * at, 0));
    }
    // R8: a value found before, to be read again after later operations; none yet.
    insns.push(mov(R8, 0));
    for (at, op) in ops.iter().enumerate() {
        let (Op::Lookup(key) | Op::Update(key, ..) | Op::Delete(key)) = *op;
        insns.push(store(Size::B, R10, key_at, i32::from(key)));
        insns.extend(map(R1, 0));
        insns.extend([mov(R2, R10), add(R2, i32::from(key_at))]);
        match *op {
            Op::Lookup(_) => {
                insns.extend([helper(1), mov(R7, 0), branch(Cond::Eq, R0, 0, 2)]);
                insns.extend([mov(R8, R0), load(Size::B, R7, R0, 0)]);
                insns.push(store(Size::D, R9, 8 * at as i16, R7));
            }
            Op::Update(_, fill, flags) => {
                let value = i32::from_le_bytes([fill; 4]);
                insns.extend((0..6).map(|word| store(Size::W, R10, value_at + 4 * word, value)));
                insns.extend([mov(R3, R10), add(R3, i32::from(value_at))]);
                insns.extend(wide(R4, flags));
                insns.extend([helper(2), store(Size::D, R9, 8 * at as i16, R0)]);
            }
            Op::Delete(_) => insns.extend([helper(3), store(Size::D, R9, 8 * at as i16, R0)]),
        }
        // What an old pointer reads now: replaced and deleted values stay what they were until they are used again.
        insns.extend([branch(Cond::Eq, R8, 0, 4), load(Size::B, R1, R8, 0)]);
        insns.extend([load(Size::B, R2, R9, 8 * at as i16 + 7), alu64(bpf::insn::AluOp::Xor, R2, R1)]);
        insns.push(store(Size::B, R9, 8 * at as i16 + 7, R2));
    }
    insns.extend([mov(R0, 0), exit()]);
    insns
}

#[test]
fn operations_of_programs() {
    let Some(kernel) = kernel("operations_of_programs") else { return };
    stay_on_cpu_0();
    // A map without preallocation may reuse memory in the kernel's own way: old pointers tell nothing there.
    let specs = small().prop_map(|spec| MapSpec { flags: 0, ..spec });
    proptest!(slice(400), |(spec in specs, ops in prop::collection::vec(op(12), 1..14))| {
        let insns = program(&spec, &ops);
        let mut both = match Both::load(kernel, ProgType::Xdp, insns, std::slice::from_ref(&spec)) {
            Ok(both) => both,
            Err(error) => panic!("{spec:?} {ops:?}\n{}", error.log),
        };
        for _ in 0..2 {
            let packet = vec![0; 8 * 14];
            let (outcome, ours) = both.ours(&packet);
            prop_assert_eq!(outcome.fault, None);
            prop_assert_eq!(ours, both.kernel(&packet), "{:?}", spec);
        }
        let mut entries = both.engine.map(MapId(0)).unwrap().entries();
        entries.sort();
        prop_assert_eq!(entries, both.kernel_maps[0].entries());
    });
}
