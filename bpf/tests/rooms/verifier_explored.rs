//! The record of exploration, on programs small enough to say what a driver's hook sees.

use crate::support;

use bpf::insn::{AluOp, AtomicOp, Cond, Insn, Operand, Reg, Size, Width};
use bpf::program::{MapSpec, MapType, ProgType, Program};
use bpf::verifier::{
    ArgSeen, CallSeen, Conflict, Detail, ExitSeen, Explored, Fate, Kind, Options, PointerSeen, SlotSeen, Span, Verdict,
    VerifiedProgram, verify,
};
use support::asm::*;
use support::both;

fn maps() -> Vec<MapSpec> {
    vec![both::spec(MapType::HASH, 8, 16, 4, 0)]
}

fn verified(parts: &[&[Insn]]) -> VerifiedProgram {
    let program = Program::from_insns("explored", ProgType::Xdp, parts.concat(), maps());
    match verify(program, &Options::default()) {
        Verdict::Accepted(verified) => verified,
        other => panic!("{other:?}"),
    }
}

fn explored(parts: &[&[Insn]]) -> Explored {
    verified(parts).explored().clone()
}

fn pointer(seen: &SlotSeen) -> &PointerSeen {
    match &seen.detail {
        Detail::Load(p) | Detail::Store(p) => p,
        Detail::Atomic(a) => &a.pointer,
        other => panic!("{other:?}"),
    }
}

fn call_seen(seen: &SlotSeen) -> &CallSeen {
    match &seen.detail {
        Detail::Call(call) => call,
        other => panic!("{other:?}"),
    }
}

fn mov32(dst: Reg, src: impl Source) -> Insn {
    Insn::Mov { width: Width::W32, dst, src: src.operand(), sext: None }
}

const DONE: [Insn; 2] = [Insn::Mov { width: Width::W64, dst: R0, src: Operand::Imm(0), sext: None }, Insn::Exit];

/// An unknown number into R0; goes on `skip` slots further if it is 0.
fn maybe(skip: i16) -> [Insn; 2] {
    [helper(7), branch(Cond::Eq, R0, 0, skip)]
}

#[test]
fn a_result_is_zero_extended_only_if_its_upper_half_is_read() {
    let zext = |reader: Insn| explored(&[&[helper(7), mov32(R2, R0), reader], &DONE]).slots()[1].zext;
    assert!(zext(mov(R3, R2)));
    assert!(zext(add(R2, 1)));
    assert!(zext(store(Size::D, R10, -8, R2)));
    assert!(zext(branch(Cond::Gt, R2, 5, 0)));
    assert!(!zext(mov32(R3, R2)));
    assert!(!zext(store(Size::W, R10, -8, R2)));
    assert!(!zext(Insn::Branch { width: Width::W32, cond: Cond::Gt, dst: R2, src: Operand::Imm(5), off: 0 }));
    assert!(!zext(mov(R2, 1)));
}

#[test]
fn a_path_that_is_spared_still_needs_its_zero_extension() {
    // Both ways define R2 in 32 bits; enough instructions follow that the second is compared with the first.
    let tail = [mov(R3, 1), mov(R4, 2), mov(R5, 3), jump(0), mov(R3, 1), mov(R4, 2), mov(R5, 3), mov(R6, 4)];
    let seen = explored(&[
        &maybe(2),
        &[mov32(R2, 7), jump(1), mov32(R2, 7)],
        &[mov(R0, 0), jump(0)],
        &tail,
        &[branch(Cond::Eq, R6, 5, 0), mov(R7, R2)],
        &DONE,
    ]);
    let last = seen.slots().iter().rposition(|s| s.visited()).expect("something was walked");
    assert_eq!(seen.slots()[last].visits, 1, "the second path was spared");
    assert!(seen.slots()[2].zext && seen.slots()[4].zext);
}

#[test]
fn a_pointer_that_changes_its_kind_is_noted() {
    let seen = explored(&[
        &[store(Size::D, R10, -8, 0), mov(R6, R10), add(R6, -8), load(Size::W, R7, R1, 0), load(Size::W, R8, R1, 4)],
        &[mov(R2, R7), add(R2, 8), branch(Cond::Gt, R2, R8, 5)],
        &maybe(1),
        &[mov(R6, R7), load(Size::W, R3, R6, 0), jump(0)],
        &DONE,
    ]);
    let at = pointer(&seen.slots()[11]);
    let stack = Kind::Stack { frame: 0 };
    assert!(matches!(at.conflict, Some(Conflict::KindChanged { was, is })
        if (was, is) == (Kind::Packet, stack) || (was, is) == (stack, Kind::Packet)));
}

#[test]
fn a_stack_access_that_moves_is_noted() {
    let at = |first: i32, second: i32| {
        let seen = explored(&[
            &[store(Size::D, R10, -8, 0), store(Size::D, R10, -16, 0), mov(R6, R10), add(R6, first)],
            &maybe(2),
            &[mov(R6, R10), add(R6, second), load(Size::B, R3, R6, 0), jump(0)],
            &DONE,
        ]);
        pointer(&seen.slots()[8]).clone()
    };
    let still = at(-8, -8);
    assert!(!still.moved && still.conflict.is_none() && still.last.constant() == Some(-8));
    let moved = at(-8, -16);
    assert!(moved.moved && moved.conflict.is_none());
    assert!(matches!(at(-8, -15).conflict, Some(Conflict::StackMoved { .. })));
}

#[test]
fn a_variable_stack_access_is_noted() {
    let seen = explored(&[
        &[store(Size::D, R10, -8, 0), helper(7), alu64(AluOp::And, R0, 7), mov(R2, R10), add(R2, -8), add(R2, R0)],
        &[load(Size::B, R3, R2, 0)],
        &DONE,
    ]);
    assert_eq!(pointer(&seen.slots()[6]).conflict, Some(Conflict::VariableStack));
}

#[test]
fn a_callers_frame_is_told_from_the_own_one() {
    let seen = explored(&[
        &[store(Size::D, R10, -8, 0), mov(R1, R10), add(R1, -8), call(2)],
        &DONE,
        &[load(Size::D, R0, R1, 0), store(Size::D, R10, -24, 0), exit()],
    ]);
    assert!(pointer(&seen.slots()[6]).caller_frame);
    // Stores of immediates are not shown to a driver.
    assert_eq!(seen.slots()[7].detail, Detail::None);
    let depths: Vec<_> = seen.functions().iter().map(|f| (f.start, f.stack_depth)).collect();
    assert_eq!(depths, [(0, 8), (6, 24)]);
}

#[test]
fn operands_are_folded_over_visits() {
    let seen = explored(&[
        &[mov(R6, 3), mov(R7, 10)],
        &maybe(2),
        &[mov(R6, 5), mov(R7, 1), alu64(AluOp::Mul, R7, R6), alu64(AluOp::Rsh, R7, 4)],
        &DONE,
    ]);
    let Detail::Alu(alu) = &seen.slots()[6].detail else { panic!("{:?}", seen.slots()[6]) };
    assert_eq!((alu.dst, alu.src), (Span { min: 1, max: 10 }, Span { min: 3, max: 5 }));
    let Detail::Alu(alu) = &seen.slots()[7].detail else { panic!("{:?}", seen.slots()[7]) };
    assert_eq!((alu.dst, alu.src.constant()), (Span { min: 5, max: 30 }, Some(4)));
}

#[test]
fn a_look_up_shows_where_its_key_is() {
    let look = |first: i32, second: i32| {
        let seen = explored(&[
            &[store(Size::D, R10, -8, 0), store(Size::D, R10, -16, 0), store(Size::D, R10, -24, 0)],
            &[mov(R6, R10), add(R6, first)],
            &maybe(2),
            &[mov(R6, R10), add(R6, second), mov(R2, R6)],
            &map(R1, 0),
            &[helper(1)],
            &DONE,
        ]);
        call_seen(&seen.slots()[12]).clone()
    };
    let key = |c: &CallSeen| -> ArgSeen { c.args[1].clone() };
    let (same, other, odd) = (look(-8, -8), look(-8, -16), look(-8, -14));
    assert_eq!((same.helper, same.args[0].last.kind), (1, Kind::MapPtr(bpf::program::MapIndex(0))));
    assert!(!key(&same).varies && !key(&same).unaligned_stack && key(&same).last.constant() == Some(-8));
    assert!(key(&other).varies && !key(&other).unaligned_stack);
    assert!(key(&odd).unaligned_stack);
}

#[test]
fn an_update_shows_which_words_may_not_be_zero() {
    let seen = explored(&[
        &[store(Size::D, R10, -8, 0), store(Size::D, R10, -24, 0), store(Size::D, R10, -16, 0)],
        &[helper(7), store(Size::W, R10, -20, R0)],
        &[mov(R2, R10), add(R2, -8), mov(R3, R10), add(R3, -24), mov(R4, 0)],
        &map(R1, 0),
        &[helper(2)],
        &DONE,
    ]);
    // A spilled constant is not the driver's idea of a zero; bytes known to be zero would be.
    assert_eq!(call_seen(&seen.slots()[12]).nonzero_words.len(), 4);
    assert!(call_seen(&seen.slots()[12]).nonzero_words[1]);
}

#[test]
fn atomics_show_the_width_of_their_operand() {
    let seen = |operand: &[Insn]| {
        let parts = [
            &[store(Size::D, R10, -8, 0), mov(R2, R10), add(R2, -8)][..],
            &map(R1, 0),
            &[helper(1), branch(Cond::Eq, R0, 0, 4), mov(R6, R0)],
            operand,
            &[atomic(AtomicOp::Add, false, Size::D, R6, 0, R3)],
            &DONE,
        ];
        let seen = explored(&parts);
        match &seen.slots()[8 + operand.len()].detail {
            Detail::Atomic(a) => (a.over_16bit, a.maybe_16bit, a.scalar),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(seen(&[mov(R3, 1), jump(0)]), (false, true, true));
    assert_eq!(seen(&[mov(R3, 0x1_0000), jump(0)]), (true, false, true));
    assert_eq!(seen(&[helper(7), mov(R3, R0)]), (true, true, true));
}

#[test]
fn exits_show_their_constants() {
    let seen = explored(&[&[helper(7), branch(Cond::Eq, R0, 9, 2), mov(R0, 2), jump(0), exit()]]);
    let Detail::Exit(exit) = &seen.slots()[4].detail else { panic!("{:?}", seen.slots()[4]) };
    assert_eq!(*exit, ExitSeen { constants: [2, 9].into(), variable: false });
}

#[test]
fn branches_that_go_one_way_are_wired() {
    let verified = verified(&[
        &[mov(R2, 1), branch(Cond::Eq, R2, 1, 1), mov(R2, 9), mov(R0, R2)],
        &[branch(Cond::Gt, R0, 5, 2), mov(R0, 4), exit(), mov(R0, 9), exit()],
    ]);
    let fates: Vec<_> = verified.explored().slots().iter().map(|s| s.fate).collect();
    let (wired, gone) = (|taken, removed| Fate::HardWired { taken, removed }, Fate::Removed);
    let kept = Fate::Kept;
    assert_eq!(fates, [kept, wired(true, true), gone, kept, wired(false, true), kept, kept, gone, gone]);
    assert_eq!(verified.origin(), [0, 3, 5, 6]);
    assert_eq!(verified.xlated().insns, [mov(R2, 1), mov(R0, R2), mov(R0, 4), exit()]);
}

#[test]
fn the_farthest_packet_byte_counts_the_variable_part() {
    let seen = explored(&[
        &[load(Size::W, R7, R1, 0), load(Size::W, R8, R1, 4), helper(7), alu64(AluOp::And, R0, 60), mov(R2, R7)],
        &[add(R2, R0), mov(R3, R2), add(R3, 8), branch(Cond::Gt, R3, R8, 1), load(Size::W, R4, R2, 4)],
        &DONE,
    ]);
    assert_eq!(seen.max_packet_offset(), 60 + 4 + 4 - 1);
}
