//! Facts of programs small enough to say what a translator would want to know.

use crate::support;

use bpf::facts::{Facts, Kinds, Maps};
use bpf::insn::{AluOp, Cond, Insn, Operand, Reg, RegSet, Size, Wide, Width};
use bpf::program::{MapIndex, MapSpec, MapType, ProgType, Program};
use bpf::verifier::{Options, Verdict, verify};
use support::asm::*;
use support::both;

fn facts(parts: &[&[Insn]]) -> Facts {
    let maps: Vec<MapSpec> = vec![both::spec(MapType::HASH, 8, 16, 4, 0), both::spec(MapType::ARRAY, 4, 32, 8, 0)];
    match verify(Program::from_insns("facts", ProgType::Xdp, parts.concat(), maps), &Options::default()) {
        Verdict::Accepted(verified) => Facts::of(&verified),
        other => panic!("{other:?}"),
    }
}

const DONE: [Insn; 2] = [Insn::Mov { width: Width::W64, dst: R0, src: Operand::Imm(0), sext: None }, Insn::Exit];

/// R7 = packet, R8 = its end; leaves to the last two instructions unless `len` bytes are there.
fn header(len: i32, leave: i16) -> [Insn; 5] {
    [load(Size::W, R7, R1, 0), load(Size::W, R8, R1, 4), mov(R2, R7), add(R2, len), branch(Cond::Gt, R2, R8, leave)]
}

#[test]
fn a_header_of_variable_length() {
    let facts = facts(&[
        &header(34, 7),
        &[load(Size::B, R3, R7, 14), alu64(AluOp::And, R3, 15), alu64(AluOp::Lsh, R3, 2), add(R3, R7)],
        &[mov(R4, R3), add(R4, 22), branch(Cond::Gt, R4, R8, 0)],
        &DONE,
    ]);
    let fixed = facts.access(5, R7, 14);
    assert_eq!((fixed.kinds, fixed.min, fixed.max, fixed.alignment), (Kinds::PACKET, 14, 14, 2));
    let moved = facts.before(9, R3);
    assert_eq!((moved.readable(), moved.offset.wide.umin, moved.offset.wide.umax), (Kinds::PACKET, 0, 60));
    assert_eq!(moved.alignment(), 4);
    assert_eq!(facts.packet_reach(), 14);
}

#[test]
fn a_loop_keeps_its_bounds() {
    let facts = facts(&[
        &[store(Size::D, R10, -8, 0), store(Size::D, R10, -16, 0), mov(R3, 0)],
        &[mov(R4, R10), add(R4, -16), add(R4, R3), load(Size::H, R5, R4, 0), add(R3, 2), branch(Cond::Ne, R3, 16, -6)],
        &DONE,
    ]);
    let index = facts.before(5, R3);
    assert_eq!((index.number.wide.umin, index.number.wide.umax), (0, 14));
    let access = facts.access(6, R4, 0);
    assert_eq!((access.kinds, access.min, access.max, access.alignment), (Kinds::STACK, -16, -2, 2));
    assert_eq!(facts.stack_depth(0), 16);
}

#[test]
fn a_key_and_a_value() {
    let facts = facts(&[
        &[store(Size::W, R10, -8, 9), store(Size::W, R10, -4, 1), mov(R2, R10), add(R2, -8)],
        &map(R1, 0),
        &[helper(1), mov(R6, R0), branch(Cond::Eq, R0, 0, 1), load(Size::W, R3, R6, 4)],
        &DONE,
    ]);
    assert_eq!((facts.before(6, R1).readable(), facts.before(6, R1).maps), (Kinds::MAP, Maps::One(MapIndex(0))));
    assert_eq!(facts.before(6, R2).constant_offset(), Some(-8));
    assert_eq!(facts.before(7, R0).readable(), Kinds::MAP_VALUE.union(Kinds::NUMBER));
    // The copy is checked with the original.
    let value = facts.access(9, R6, 4);
    assert_eq!((value.kinds, value.min, value.max, value.maps), (Kinds::MAP_VALUE, 4, 4, Maps::One(MapIndex(0))));
}

#[test]
fn a_constant_key_of_an_array_is_found() {
    let facts = facts(&[
        &[store(Size::W, R10, -8, 3), mov(R2, R10), add(R2, -8)],
        &map(R1, 1),
        &[helper(1), load(Size::W, R3, R0, 0)],
        &DONE,
    ]);
    assert_eq!(facts.before(6, R0).readable(), Kinds::MAP_VALUE);
}

#[test]
fn what_is_spilled_comes_back() {
    let facts = facts(&[
        &[store(Size::D, R10, -8, R1), helper(7), store(Size::W, R10, -16, 5), store(Size::W, R10, -12, 6)],
        &[
            load(Size::D, R6, R10, -8),
            load(Size::W, R4, R10, -16),
            load(Size::W, R5, R10, -12),
            load(Size::W, R3, R6, 12),
        ],
        &DONE,
    ]);
    assert_eq!(facts.before(7, R6).readable(), Kinds::CTX);
    assert_eq!(facts.before(7, R4).constant(), Some(5));
}

#[test]
fn a_function_sees_what_all_its_callers_pass() {
    let facts = facts(&[
        &[mov(R1, 3), call(4), mov(R1, 5), call(2)],
        &DONE,
        &[mov(R0, R1), store(Size::D, R10, -24, R0), exit()],
    ]);
    let argument = facts.before(6, R1);
    assert_eq!((argument.readable(), argument.number.wide.umin, argument.number.wide.umax), (Kinds::NUMBER, 3, 5));
    // Told apart by who calls.
    assert_eq!(facts.before(2, R0).constant(), Some(3));
    assert_eq!((facts.stack_depth(0), facts.stack_depth(1)), (0, 24));
    assert_eq!(facts.live(1), RegSet::of(Reg::R1));
}

#[test]
fn upper_halves_are_live_only_where_they_matter() {
    let narrow = Insn::Mov { width: Width::W32, dst: R3, src: Operand::Reg(R2), sext: None };
    let facts = facts(&[&[helper(7), mov(R2, R0), add(R2, 1), narrow, mov(R0, R3), exit()]]);
    assert_eq!(facts.live(2), RegSet::of(R2));
    assert!(facts.live_high(2).is_empty() && facts.live_high(1).is_empty());
    assert!(facts.live_high(4).contains(R3));
}

#[test]
fn too_many_chains_of_calls_leave_nothing_known_of_values() {
    // Four functions, each of which calls the next nine times.
    let mut insns = Vec::new();
    let size = 9 + 3;
    for level in 0..4 {
        for i in 0..9 {
            let to_next = size - i - 1;
            insns.push(if level < 3 { call(to_next) } else { mov(R0, i) });
        }
        insns.extend([store(Size::D, R10, -8, 0), mov(R0, 0), exit()]);
    }
    let facts = facts(&[&insns]);
    assert!(facts.before(0, R1).readable().contains(Kinds::POINTERS));
    assert_eq!(facts.stack_depth(0), 512);
    assert!(facts.live(11).contains(R0));
}

#[test]
fn a_field_of_the_context_read_with_its_sign_may_have_all_upper_bits() {
    // The interface's number; a load of its four bytes that extends by sign.
    let field = Insn::Load { size: Size::W, dst: R2, base: R1, off: 12, sext: true };
    let facts = facts(&[&[field], &DONE]);
    let read = facts.before(1, R2).number;
    assert!(read.contains(0xffff_ffff_e10e_463d) && read.contains(0x7fff_ffff));
    assert!(!read.contains(0x8000_0000), "{read:?}");
}

/// The program with types for its functions, which Linux wants where their addresses are taken.
fn typed_facts(insns: Vec<Insn>) -> Facts {
    let maps: Vec<MapSpec> = vec![both::spec(MapType::HASH, 8, 16, 4, 0), both::spec(MapType::ARRAY, 4, 32, 8, 0)];
    let program = support::functions::typed(&Program::from_insns("facts", ProgType::Xdp, insns, maps));
    match verify(program, &Options::default()) {
        Verdict::Accepted(verified) => Facts::of(&verified),
        other => panic!("{other:?}"),
    }
}

fn function_address(dst: Reg, off: i32) -> [Insn; 2] {
    [Insn::LoadImm64 { dst, value: Wide::Func { off } }, Insn::Pad]
}

#[test]
fn a_function_called_ten_times() {
    let facts = typed_facts(
        [
            &[mov(R6, R1), store(Size::D, R10, -8, 0), store(Size::D, R10, -16, 5), mov(R1, 10)][..],
            &function_address(R2, 8),
            &[mov(R3, R10), add(R3, -16), mov(R4, 0), helper(181)],
            &[load(Size::D, R7, R10, -16), mov(R0, 0), exit()],
            // Once in each turn.
            &[store(Size::D, R2, 8, R1), alu64(AluOp::And, R1, 1), mov(R0, R1), exit()],
        ]
        .concat(),
    );
    let index = facts.before(13, R1);
    assert_eq!((index.readable(), index.number.wide.umin, index.number.wide.umax), (Kinds::NUMBER, 0, 9));
    let words = facts.access(13, R2, 8);
    assert_eq!((words.kinds, words.min, words.max), (Kinds::STACK, -8, -8));
    // Behind the call: what no turn writes is as it was, and so are the registers that calls keep.
    assert_eq!(facts.before(10, R6).readable(), Kinds::CTX);
    assert_eq!(facts.before(11, R7).constant(), Some(5));
    assert_eq!(facts.before(4, R1).constant(), Some(10));
}

#[test]
fn a_function_called_for_each_entry() {
    let facts = typed_facts(
        [
            &map(R1, 1)[..],
            &function_address(R2, 6),
            &[mov(R3, 0), mov(R4, 0), helper(164), mov(R0, 0), exit()],
            &[mov(R0, 0), load(Size::W, R5, R3, 4), load(Size::W, R4, R2, 0), exit()],
        ]
        .concat(),
    );
    let value = facts.access(10, R3, 4);
    assert_eq!((value.kinds, value.min, value.maps), (Kinds::MAP_VALUE, 4, Maps::One(MapIndex(1))));
    assert_eq!(facts.before(11, R2).readable(), Kinds::OTHER);
    assert_eq!(facts.before(9, R4).constant(), Some(0));
}
