//! Programs and maps that no loader would hand in: whatever they are, they end in a verdict.

use crate::support;

use bpf::insn::{Callee, Cond, Insn, Size};
use bpf::maps::KINDS;
use bpf::program::{MapSpec, MapType, ProgType, Program};
use bpf::verifier::{Options, Verdict, verify, verify_logged};
use proptest::prelude::*;
use proptest::sample::select;
use support::asm::*;
use support::{both, insns, slice};

/// Two look-ups, the second in what the first found, and a read of what the second found.
fn looked_up_twice() -> Vec<Insn> {
    let look_up = [mov(R2, R10), add(R2, -8), helper(1), branch(Cond::Ne, R0, 0, 2), mov(R0, 0), exit()];
    let mut insns = vec![store(Size::D, R10, -8, 0)];
    insns.extend(map(R1, 0));
    insns.extend(look_up);
    insns.push(mov(R1, R0));
    insns.extend(look_up);
    insns.extend([load(Size::B, R0, R0, 0), exit()]);
    insns
}

#[test]
fn maps_of_maps_without_a_sound_template_are_no_maps() {
    let of_maps = |inner: Option<MapSpec>| MapSpec {
        inner: inner.map(Box::new),
        ..both::spec(MapType::ARRAY_OF_MAPS, 4, 4, 2, 0)
    };
    let array = both::spec(MapType::ARRAY, 4, 8, 2, 0);
    let verdict = |outer: MapSpec| {
        verify(Program::from_insns("hostile", ProgType::Xdp, looked_up_twice(), vec![outer]), &Options::default())
    };
    assert!(matches!(verdict(of_maps(Some(array.clone()))), Verdict::Accepted(_)));
    for inner in [None, Some(of_maps(None)), Some(of_maps(Some(array)))] {
        let Verdict::Rejected(rejection) = verdict(of_maps(inner)) else { panic!("Linux creates no such map") };
        assert_eq!(rejection.lines, ["fd 0 is not pointing to valid bpf_map"]);
    }
}

fn spec(depth: u32) -> BoxedStrategy<MapSpec> {
    let inner = if depth == 0 { Just(None).boxed() } else { prop::option::of(spec(depth - 1)).boxed() };
    let known = KINDS.iter().map(|kind| kind.ty).collect::<Vec<_>>();
    let ty = prop_oneof![4 => select(known), 1 => (0..40u32).prop_map(MapType)];
    let size = || prop_oneof![4 => select(vec![4u32, 8, 16]), 1 => any::<u32>()];
    (ty, size(), size(), size(), inner)
        .prop_map(|(ty, key_size, value_size, max_entries, inner)| MapSpec {
            inner: inner.map(Box::new),
            ..both::spec(ty, key_size, value_size, max_entries, 0)
        })
        .boxed()
}

/// A few instructions that get far together, and now and then any at all.
fn piece() -> impl Strategy<Value = Vec<Insn>> {
    let reg = || select(vec![R0, R1, R2, R3, R4, R5, R6, R7]);
    prop_oneof![
        6 => (reg(), 0..3u32).prop_map(|(reg, at)| map(reg, at).to_vec()),
        6 => (reg(), -4..=0).prop_map(|(reg, word)| vec![mov(reg, R10), add(reg, 8 * word)]),
        4 => (reg(), any::<i8>()).prop_map(|(reg, n)| vec![mov(reg, i32::from(n))]),
        6 => (reg(), reg()).prop_map(|(to, from)| vec![mov(to, from)]),
        6 => Just([map(R1, 0).to_vec(), vec![mov(R2, R10), add(R2, -8), mov(R3, R2), mov(R4, 0)]].concat()),
        9 => prop_oneof![1..4u32, 0..215u32].prop_map(|id| vec![helper(id)]),
        4 => reg().prop_map(|reg| vec![branch(Cond::Ne, reg, 0, 1), exit()]),
        3 => (reg(), reg(), -2..2i16).prop_map(|(to, base, word)| vec![load(Size::D, to, base, 8 * word)]),
        3 => (reg(), reg(), -2..2i16).prop_map(|(base, from, word)| vec![store(Size::D, base, 8 * word, from)]),
        2 => (-8..8i32).prop_map(|off| vec![Insn::Call { callee: Callee::Local(off) }]),
        2 => insns::insn().prop_filter("it must have an encoding", insns::has_encoding).prop_map(|insn| vec![insn]),
    ]
}

#[test]
fn any_program_over_any_maps_gets_a_verdict() {
    let program = (prop::collection::vec(piece(), 1..24), prop::collection::vec(spec(2), 0..4));
    let ty = select(ProgType::ALL.to_vec());
    proptest!(slice(150), |((pieces, maps) in program, ty in ty, level in 0..=4u8)| {
        let mut insns = vec![mov(R6, R1), store(Size::D, R10, -8, 0), store(Size::D, R10, -16, 0)];
        insns.extend(pieces.concat());
        insns.extend([mov(R0, 0), exit()]);
        let mut program = Program::from_insns("hostile", ty, insns, maps);
        "GPL".clone_into(&mut program.license);
        let (verdict, log) = verify_logged(program, &Options { log_level: level, ..Options::default() });
        if let Verdict::Accepted(verified) = verdict {
            bpf::facts::Facts::of(&verified);
        }
        prop_assert!(level > 0 || !log.contains("processed"));
    });
}
