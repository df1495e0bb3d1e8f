//! Callbacks and tail calls against the running kernel.

use crate::support;

use bpf::insn::{AluOp, Cond, Insn, Size, Wide};
use bpf::program::{MapIndex, MapSpec, MapType, ProgType};
use support::asm::*;
use support::both::{Both, spec};
use support::kernel::{kernel, stay_on_cpu_0};

/// Loads the address of the function that begins at slot `to`; the load itself stands at `at`.
fn function(dst: bpf::insn::Reg, at: usize, to: usize) -> [Insn; 2] {
    [Insn::LoadImm64 { dst, value: Wide::Func { off: to as i32 - at as i32 - 1 } }, Insn::Pad]
}

/// `R0 = callee(...)` with a callback `body`, which stands behind the end: `before`, then R2 = its address, `after`, the
/// call and `rest`.
fn with_callback(before: &[Insn], after: &[Insn], id: u32, rest: &[Insn], body: &[Insn]) -> Vec<Insn> {
    let to = before.len() + 2 + after.len() + 1 + rest.len();
    [before, &function(R2, before.len(), to), after, &[helper(id)], rest, body].concat()
}

fn agree(name: &str, maps: &[MapSpec], insns: Vec<Insn>) -> Option<(Both, u32)> {
    let kernel = kernel(name)?;
    stay_on_cpu_0();
    let mut both = Both::load(kernel, ProgType::Xdp, insns, maps).unwrap_or_else(|error| panic!("{}", error.log));
    let (outcome, ours) = both.ours(&[0; 64]);
    assert_eq!(outcome.fault, None, "{name}");
    assert_eq!(ours, both.kernel(&[0; 64]), "{name}");
    Some((both, ours.retval))
}

const BPF_LOOP: u32 = 181;
const FOR_EACH: u32 = 164;

/// The callback adds its number to the word at its context and ends the loop at `stop`.
fn summing(stop: i32) -> Vec<Insn> {
    vec![
        load(Size::D, R3, R2, 0),
        add(R3, R1),
        add(R3, 1),
        store(Size::D, R2, 0, R3),
        mov(R0, 0),
        branch(Cond::Ne, R1, stop, 1),
        mov(R0, 1),
        exit(),
    ]
}

#[test]
fn loops_count_and_stop_as_in_the_kernel() {
    for (times, stop, flags) in [
        (0, -1, 0),
        (1, -1, 0),
        (10, -1, 0),
        (10, 3, 0),
        (10, 0, 0),
        (10, 9, 0),
        (-1, 5, 0),
        (8 << 20, 100, 0),
        ((8 << 20) + 1, 1, 0),
    ] {
        // The upper half of the result shows too: a refusal is not sign-extended where Linux writes the loop out.
        let before = [store(Size::D, R10, -8, 0), mov(R1, times)];
        let after = [mov(R3, R10), add(R3, -8), mov(R4, flags)];
        let rest = [
            load(Size::D, R1, R10, -8),
            alu64(AluOp::Mul, R1, 31),
            mov(R2, R0),
            alu64(AluOp::Rsh, R2, 32),
            add(R0, R1),
            add(R0, R2),
            exit(),
        ];
        agree(
            &format!("bpf_loop {times} {stop} {flags}"),
            &[],
            with_callback(&before, &after, BPF_LOOP, &rest, &summing(stop)),
        );
    }
}

/// Flags that come out of a map are unknown to Linux's verifier, so that it does not write the loop out.
#[test]
fn loops_that_are_called_answer_as_the_helper_does() {
    let maps = [MapSpec { initial: Some(vec![0; 8]), ..spec(MapType::ARRAY, 4, 8, 1, 0) }];
    for flags in [0u64, 1, u64::MAX, 1 << 32] {
        for times in [3, 8 << 20] {
            let maps = [MapSpec { initial: Some(flags.to_le_bytes().to_vec()), ..maps[0].clone() }];
            let value = Wide::MapValue { map: MapIndex(0), off: 0 };
            let before = [
                Insn::LoadImm64 { dst: R6, value },
                Insn::Pad,
                load(Size::D, R7, R6, 0),
                store(Size::D, R10, -8, 0),
                mov(R1, times),
            ];
            let after = [mov(R3, R10), add(R3, -8), mov(R4, R7)];
            let rest = [mov(R2, R0), alu64(AluOp::Rsh, R2, 32), alu64(AluOp::Mul, R2, 7), add(R0, R2), exit()];
            let insns = with_callback(&before, &after, BPF_LOOP, &rest, &summing(2));
            agree(&format!("bpf_loop {times} flags {flags}"), &maps, insns);
        }
    }
}

#[test]
fn loops_nest() {
    // main: bpf_loop(5, outer, &sum, 0); outer: bpf_loop(4, inner, ctx, 0); inner: sum += 1 + number.
    let main_end = 1 + 1 + 2 + 3 + 1 + 2;
    let mut insns = vec![store(Size::D, R10, -8, 0), mov(R1, 5)];
    insns.extend(function(R2, 2, main_end));
    insns.extend([mov(R3, R10), add(R3, -8), mov(R4, 0), helper(BPF_LOOP), load(Size::D, R0, R10, -8), exit()]);
    assert_eq!(insns.len(), main_end);
    let outer_end = main_end + 1 + 1 + 2 + 2 + 1 + 2;
    insns.extend([mov(R3, R2), mov(R1, 4)]);
    insns.extend(function(R2, main_end + 2, outer_end));
    insns.extend([mov(R4, 0), mov(R5, 0), helper(BPF_LOOP), mov(R0, 0), exit()]);
    assert_eq!(insns.len(), outer_end);
    insns.extend(summing(-1));
    if let Some((_, retval)) = agree("nested", &[], insns) {
        assert_eq!(retval, 5 * (1 + 2 + 3 + 4));
    }
}

/// Walks a map: the callback mixes each key and value into its context, writes the value, and stops at a value.
fn walk(map_index: u32, key: Size, stop: i32, remove: bool) -> Vec<Insn> {
    let before = [&[mov(R6, R1), store(Size::D, R10, -8, 0)][..], &map(R1, map_index)].concat();
    let after = [mov(R3, R10), add(R3, -8), mov(R4, 0)];
    let rest = [load(Size::D, R1, R10, -8), alu64(AluOp::Mul, R0, 1000), add(R0, R1), exit()];
    let mut body = vec![
        mov(R6, R1),
        mov(R8, R3),
        load(key, R5, R2, 0),
        load(Size::D, R0, R3, 0),
        alu64(AluOp::Mul, R5, 7),
        add(R5, R0),
        load(Size::D, R9, R4, 0),
        add(R9, R5),
        store(Size::D, R4, 0, R9),
        mov(R7, R0),
        add(R0, 1),
        store(Size::D, R3, 0, R0),
    ];
    if remove {
        body.extend([mov(R1, R6), helper(3)]);
    }
    body.extend([mov(R0, 0), branch(Cond::Ne, R7, stop, 1), mov(R0, 1), exit()]);
    with_callback(&before, &after, FOR_EACH, &rest, &body)
}

#[test]
fn walks_over_maps_visit_what_the_kernel_visits() {
    let Some(kernel) = kernel("walks_over_maps") else { return };
    stay_on_cpu_0();
    let maps = [
        spec(MapType::ARRAY, 4, 8, 5, 0),
        spec(MapType::HASH, 4, 16, 20, 0),
        spec(MapType::PERCPU_ARRAY, 4, 8, 3, 0),
        spec(MapType::HASH, 8, 8, 20, 1),
    ];
    for (index, key, stop, remove) in [
        (0, Size::W, -1, false),
        (0, Size::W, 2, false),
        (1, Size::W, -1, false),
        (2, Size::W, -1, false),
        (3, Size::D, -1, false),
        (1, Size::W, -1, true),
        (3, Size::D, -1, true),
    ] {
        let insns = walk(index, key, stop, remove);
        let mut both = Both::load(kernel, ProgType::Xdp, insns, &maps).unwrap_or_else(|error| panic!("{}", error.log));
        for n in 0..5u32 {
            both.write_at(0, &n.to_le_bytes(), &u64::from(n).to_le_bytes());
        }
        for n in 0..15u64 {
            let value = (n * n).to_le_bytes();
            both.write_at(1, &(n as u32 * 3).to_le_bytes(), &[value, value].concat());
            both.write_at(3, &(n << 33 | n).to_le_bytes(), &value);
        }
        for _ in 0..2 {
            let (outcome, ours) = both.ours(&[0; 64]);
            assert_eq!(outcome.fault, None);
            assert_eq!(ours, both.kernel(&[0; 64]), "map {index} stop {stop} remove {remove}");
        }
        both.same_maps();
    }
}
