//! Maps that hold programs and maps, against the running kernel.

use crate::support;

use bpf::insn::{Cond, Insn, Size};
use bpf::interp::Engine;
use bpf::maps::{AccessLog, BPF_F_INNER_MAP, Linear, Map, MapId, MapSet, fits};
use bpf::program::{MapSpec, MapType, ProgType};
use proptest::prelude::*;
use support::asm::*;
use support::both::{Both, spec};
use support::kernel::{Kernel, kernel, stay_on_cpu_0};
use support::slice;

/// A map of maps of four slots.
fn outer(ty: MapType, inner: &MapSpec) -> MapSpec {
    MapSpec { inner: Some(Box::new(inner.clone())), ..spec(ty, 4, 4, 4, 0) }
}

fn inner_spec() -> impl Strategy<Value = MapSpec> {
    let tys = [MapType::HASH, MapType::ARRAY, MapType::PERCPU_HASH, MapType::PERCPU_ARRAY];
    let flags = prop::sample::select(vec![0, 0, 0, 1, BPF_F_INNER_MAP]);
    (prop::sample::select(tys.to_vec()), 1..3u32, 1..3u32, flags).prop_filter_map(
        "the kernel creates it",
        |(ty, value, max, flags)| {
            let flags = match ty {
                MapType::ARRAY => flags & BPF_F_INNER_MAP,
                MapType::HASH | MapType::PERCPU_HASH => flags & 1,
                _ => 0,
            };
            Some(spec(ty, 4, 8 * value, max, flags))
        },
    )
}

/// Which maps fit which template.
#[test]
fn compatibility_is_the_kernels() {
    let Some(kernel) = kernel("compatibility_is_the_kernels") else { return };
    let config = slice(300);
    let ty = prop::sample::select(vec![MapType::ARRAY_OF_MAPS, MapType::HASH_OF_MAPS]);
    proptest!(config, |(ty in ty, template in inner_spec(), inner in inner_spec())| {
        let theirs = kernel.create(&outer(ty, &template)).unwrap();
        let held = kernel.create(&inner).unwrap();
        let answer = theirs.update(&[0; 4], &held.fd().to_le_bytes(), 0);
        prop_assert_eq!(answer.is_ok(), fits(&template, &inner), "{:?} {:?}", template, inner);
        let mut ours = Engine::new(Default::default(), &[outer(ty, &template), inner]).unwrap();
        let ours = ours.map(MapId(0)).unwrap().update(&[0; 4], &MapId(1).reference().to_le_bytes(), 0);
        prop_assert_eq!(answer, ours.map_err(|errno| i32::from(errno.0)));
    });
}

/// Adds 1 to the value under key 1 of the map under the key in the packet's first word. Returns what it became, or 1000
/// where there is no map and 1001 where there is no value.
fn counter() -> Vec<Insn> {
    let mut insns = vec![
        load(Size::W, R9, R1, 0),
        load(Size::W, R2, R1, 4),
        mov(R3, R9),
        add(R3, 4),
        branch(Cond::Le, R3, R2, 2),
        mov(R0, -1),
        exit(),
        load(Size::W, R3, R9, 0),
        store(Size::W, R10, -4, R3),
    ];
    insns.extend(map(R1, 0));
    insns.extend([mov(R2, R10), add(R2, -4), helper(1), branch(Cond::Ne, R0, 0, 2), mov(R0, 1000), exit()]);
    insns.extend([store(Size::W, R10, -4, 1), mov(R1, R0), mov(R2, R10), add(R2, -4), helper(1)]);
    insns.extend([branch(Cond::Ne, R0, 0, 2), mov(R0, 1001), exit()]);
    insns.extend([load(Size::D, R1, R0, 0), add(R1, 1), store(Size::D, R0, 0, R1), mov(R0, R1), exit()]);
    insns
}

/// Fills a slot on both sides with map `inner` of the program's.
fn fill(both: &mut Both, key: u32, inner: u32) {
    let key = key.to_le_bytes();
    let fd = both.kernel_maps[inner as usize].fd();
    both.kernel_maps[0].update(&key, &fd.to_le_bytes(), 0).unwrap();
    let reference = MapId(inner).reference().to_le_bytes();
    both.engine.map(MapId(0)).unwrap().update(&key, &reference, 0).unwrap();
}

fn counts(kernel: Kernel, ty: MapType, inner: MapSpec) {
    let specs = [outer(ty, &inner), inner.clone(), inner.clone()];
    let mut both = Both::load(kernel, ProgType::Xdp, counter(), &specs).unwrap_or_else(|e| panic!("{}", e.log));
    fill(&mut both, 1, 1);
    fill(&mut both, 2, 2);
    fill(&mut both, 3, 2);
    if inner.ty == MapType::HASH {
        both.write(&inner.name, &1u32.to_le_bytes(), &[7; 8]);
    }
    let mut seen = Vec::new();
    for key in [0u32, 1, 2, 3, 3, 1, 9] {
        let mut packet = vec![0; 64];
        packet[..4].copy_from_slice(&key.to_le_bytes());
        let (outcome, ours) = both.ours(&packet);
        assert_eq!(outcome.fault, None);
        assert_eq!(ours, both.kernel(&packet), "{inner:?}, key {key}");
        seen.push(ours.retval);
    }
    assert!(seen.contains(&1000), "{seen:?}");
    // What user space reads of a slot is a number, and a slot can be emptied once.
    for key in [1u32, 0].map(u32::to_le_bytes) {
        let theirs = both.kernel_maps[0].lookup(&key);
        assert_eq!(
            theirs,
            if key[0] == 0 { Err(libc::ENOENT) } else { Ok(both.kernel_maps[1].id().to_le_bytes().into()) }
        );
        let mut ours = both.engine.map(MapId(0)).unwrap();
        assert_eq!(ours.lookup(&key).map_err(number).is_ok(), theirs.is_ok());
        assert_eq!(ours.delete(&key).map_err(number), both.kernel_maps[0].delete(&key));
    }
}

#[test]
fn programs_reach_maps_inside_maps() {
    let Some(kernel) = kernel("programs_reach_maps_inside_maps") else { return };
    stay_on_cpu_0();
    for ty in [MapType::ARRAY_OF_MAPS, MapType::HASH_OF_MAPS] {
        counts(kernel, ty, spec(MapType::HASH, 4, 8, 2, 0));
        counts(kernel, ty, spec(MapType::ARRAY, 4, 8, 2, 0));
        counts(kernel, ty, spec(MapType::PERCPU_ARRAY, 4, 8, 2, 0));
    }
}

/// A program array and its memory, in a world where every number but 0 is a program.
struct Array(Map, Vec<u8>, AccessLog);

impl Array {
    fn new(spec: &MapSpec) -> Self {
        let map = Map::new(spec.clone(), 1).unwrap();
        let memory = vec![0; map.region_size() as usize];
        Array(map, memory, AccessLog::new())
    }

    fn update(&mut self, key: u32, program: u32, flags: u64) -> Result<(), i32> {
        let Array(map, memory, log) = self;
        let (key, value) = (key.to_le_bytes(), program.to_le_bytes());
        map.user_update(&mut Linear(memory), log, &MapSet::default(), &key, &value, flags).map_err(number)
    }

    fn lookup(&mut self, key: u32) -> Result<Vec<u8>, i32> {
        self.0.user_lookup(&mut Linear(&mut self.1), &mut self.2, &key.to_le_bytes(), 0).map_err(number)
    }

    fn delete(&mut self, key: u32) -> Result<(), i32> {
        self.0.user_delete(&mut Linear(&mut self.1), &mut self.2, &key.to_le_bytes()).map_err(number)
    }

    fn program(&mut self, index: u32) -> Option<u32> {
        self.0.program(&mut Linear(&mut self.1), &mut self.2, index)
    }
}

fn number(errno: bpf::errno::Errno) -> i32 {
    i32::from(errno.0)
}

#[test]
fn slots_of_program_arrays() {
    let Some(kernel) = kernel("slots_of_program_arrays") else { return };
    let array = spec(MapType::PROG_ARRAY, 4, 4, 3, 0);
    let theirs = kernel.create(&array).unwrap();
    let mut ours = Array::new(&array);
    let program = kernel.load(6, &[0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0], "GPL").unwrap();
    for (key, flags) in [(0u32, 0u64), (2, 0), (3, 0), (0, 1), (0, 2), (3, 1), (u32::MAX, 0)] {
        let kernels = theirs.update(&key.to_le_bytes(), &program.fd().to_le_bytes(), flags);
        assert_eq!(ours.update(key, program.id(), flags), kernels, "{key:?} {flags}");
    }
    for key in 0..4u32 {
        let bytes = key.to_le_bytes();
        assert_eq!(ours.lookup(key), theirs.lookup(&bytes));
        assert_eq!(ours.delete(key), theirs.delete(&bytes));
        assert_eq!(ours.lookup(key), theirs.lookup(&bytes));
    }
    assert_eq!(ours.update(0, 0, 0), theirs.update(&[0; 4], &[0xff; 4], 0));
}

#[test]
fn a_tail_call_finds_its_program() {
    let mut array = Array::new(&spec(MapType::PROG_ARRAY, 4, 4, 3, 0));
    array.update(1, 77, 0).unwrap();
    assert_eq!(array.program(0), None);
    assert_eq!(array.program(1), Some(77));
    assert_eq!(array.2.accesses().len(), 1);
    assert_eq!(array.program(3), None);
}
