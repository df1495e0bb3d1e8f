//! Rewrites on hand-made actions.

use bpf::insn::{Cond, Operand, Reg, Size, Width};
use proptest::prelude::*;

use super::{classic, gather, negate, window};
use crate::action::{Action, Amount, Arith, CopyRun, PacketAt, ShiftKind, Sink, Source, StackAt, Step, Window};

const PACKET: PacketAt = PacketAt { id: 0, off: 0, window: None };

fn steps(actions: impl IntoIterator<Item = Action>) -> Vec<Step> {
    actions.into_iter().map(|action| Step { action, target: false }).collect()
}

fn load(size: Size, from: Source, off: i16) -> Action {
    Action::Load { size, dst: Reg::R8, base: Reg::R4, off, from, zext: false }
}

fn packet_load(size: Size, off: i16) -> Action {
    load(size, Source::Packet(PACKET), off)
}

fn packet_store(size: Size, off: i16) -> Action {
    Action::Store { size, base: Reg::R4, off, src: Reg::R8, to: Sink::Packet(PACKET) }
}

/// `n` pairs, source from `src` on, destination from `dst` on, going up or down.
fn copy(size: Size, n: i16, src: i16, dst: i16, down: bool) -> Vec<Step> {
    let bytes = size.bytes() as i16;
    let order = (0..n).map(|k| if down { n - 1 - k } else { k } * bytes);
    steps(order.flat_map(|at| [packet_load(size, src + at), packet_store(size, dst + at)]))
}

fn gathered(mut steps: Vec<Step>) -> Vec<(usize, CopyRun)> {
    gather::gather_copies(&mut steps, &|_, _| true);
    let runs = steps.into_iter().enumerate();
    runs.filter_map(|(at, step)| match step.action {
        Action::Copy(run) => Some((at, *run)),
        _ => None,
    })
    .collect()
}

#[test]
fn pairs_in_either_direction_become_one_copy() {
    for down in [false, true] {
        let runs = gathered(copy(Size::H, 5, 6, 40, down));
        let [(0, run)] = runs.as_slice() else { panic!("{runs:?}") };
        assert_eq!((run.len, run.src_off, run.dst_off, run.descending), (10, 6, 40, down));
    }
}

#[test]
fn a_single_pair_is_no_copy() {
    assert!(gathered(copy(Size::W, 1, 0, 40, false)).is_empty());
}

#[test]
fn a_copy_ends_at_128_bytes_and_the_next_begins() {
    let runs = gathered(copy(Size::D, 20, 0, 200, false));
    let lens: Vec<_> = runs.iter().map(|(at, run)| (*at, run.len)).collect();
    assert_eq!(lens, [(0, 128), (32, 32)]);
}

#[test]
fn a_jump_into_a_run_ends_it() {
    let mut into_load = copy(Size::B, 6, 0, 40, false);
    into_load[6].target = true;
    let lens: Vec<_> = gathered(into_load).iter().map(|(at, run)| (*at, run.len)).collect();
    assert_eq!(lens, [(0, 3), (6, 3)]);
    let mut into_store = copy(Size::B, 4, 0, 40, false);
    into_store[3].target = true;
    let lens: Vec<_> = gathered(into_store).iter().map(|(at, run)| (*at, run.len)).collect();
    assert_eq!(lens, [(4, 2)]);
}

#[test]
fn a_run_does_not_turn_round() {
    let there_and_back =
        [0, 4, 0].into_iter().flat_map(|at| [packet_load(Size::W, at), packet_store(Size::W, 40 + at)]);
    let lens: Vec<_> = gathered(steps(there_and_back)).iter().map(|(_, run)| run.len).collect();
    assert_eq!(lens, [8]);
}

proptest! {
    /// Whatever is gathered moves the same bytes as the pairs one after the other.
    #[test]
    fn copies_do_what_their_pairs_do(
        size in prop_oneof![Just(Size::B), Just(Size::H), Just(Size::W), Just(Size::D)],
        n in 2i16..12, src in 0i16..100, dst in 0i16..100, down: bool,
    ) {
        let pairs = copy(size, n, src, dst, down);
        let bytes = size.bytes() as usize;
        let mut expected: Vec<u8> = (0..=255).collect();
        let mut actual = expected.clone();
        let mut rewritten = pairs.clone();
        gather::gather_copies(&mut rewritten, &|_, _| true);
        let run = |memory: &mut Vec<u8>, steps: &[Step]| {
            let mut value = Vec::new();
            for step in steps {
                match &step.action {
                    Action::Load { off, .. } => value = memory[*off as usize..][..bytes].to_vec(),
                    Action::Store { off, .. } => memory[*off as usize..][..bytes].copy_from_slice(&value),
                    Action::Copy(run) => {
                        let from = run.src_off as usize;
                        memory.copy_within(from..from + usize::from(run.len), run.dst_off as usize);
                    }
                    _ => {}
                }
            }
        };
        run(&mut expected, &pairs);
        run(&mut actual, &rewritten);
        prop_assert_eq!(expected, actual);
    }
}

fn windows(mut steps: Vec<Step>) -> Vec<Option<Window>> {
    window::open_windows(&mut steps);
    let loads = steps.into_iter().filter_map(|step| match step.action {
        Action::Load { from: Source::Packet(at), .. } => Some(at.window),
        _ => None,
    });
    loads.collect()
}

#[test]
fn neighbouring_loads_share_a_window_that_the_first_fills() {
    let found = windows(steps([packet_load(Size::H, 12), packet_load(Size::B, 23), packet_load(Size::W, 8)]));
    let expected = [true, false, false].map(|fill| Some(Window { start: 8, end: 24, fill }));
    assert_eq!(found, expected);
}

#[test]
fn a_window_holds_64_bytes() {
    let found = windows(steps([packet_load(Size::W, 0), packet_load(Size::W, 60), packet_load(Size::W, 61)]));
    let spans: Vec<_> = found.iter().map(|w| w.map(|w| (w.start, w.end, w.fill))).collect();
    assert_eq!(spans, [Some((0, 64, true)), Some((0, 64, false)), Some((61, 65, true))]);
}

#[test]
fn what_changes_packet_or_transfer_registers_closes_a_window() {
    let stack = Source::Stack(StackAt::Own(-8));
    let closing = [
        packet_store(Size::B, 0),
        Action::CallRandom,
        load(Size::D, stack, 0),
        load(Size::W, Source::MapValue, 0),
        Action::Classic { size: Size::W, index: None, offset: 0, zext: false },
    ];
    for between in closing {
        let found = windows(steps([packet_load(Size::W, 0), between.clone(), packet_load(Size::W, 4)]));
        assert!(found.iter().all(|w| w.is_some_and(|w| w.fill)), "{between:?}");
    }
    let harmless = [
        Action::Store { size: Size::D, base: Reg::R10, off: -8, src: Reg::R1, to: Sink::Stack(StackAt::Own(0)) },
        Action::Jump { to: 9 },
        Action::Constant { dst: Reg::R1, value: 7 },
    ];
    for between in harmless {
        let found = windows(steps([packet_load(Size::W, 0), between.clone(), packet_load(Size::W, 4)]));
        assert!(!found[1].expect("both loads have one").fill, "{between:?}");
    }
}

#[test]
fn pointers_that_may_differ_do_not_share() {
    let other = [PacketAt { id: 3, ..PACKET }, PacketAt { off: 14, ..PACKET }];
    for at in other {
        let found = windows(steps([packet_load(Size::W, 0), load(Size::W, Source::Packet(at), 0)]));
        assert!(found[1].expect("both loads have one").fill);
    }
}

#[test]
fn a_jump_target_opens_a_new_window() {
    let mut loads = steps([packet_load(Size::W, 0), packet_load(Size::W, 4)]);
    loads[1].target = true;
    assert!(windows(loads).iter().all(|w| w.is_some_and(|w| w.fill)));
}

#[test]
fn negative_constants_change_sides() {
    let alu = |op, imm| Action::Alu { width: Width::W64, op, dst: Reg::R1, src: Operand::Imm(imm), zext: false };
    let mut list = steps([alu(Arith::Add, -5), alu(Arith::Sub, -7), alu(Arith::And, -2), alu(Arith::Add, 3)]);
    negate::negate_constants(&mut list);
    assert_eq!(list, steps([alu(Arith::Sub, 5), alu(Arith::Add, 7), alu(Arith::And, -2), alu(Arith::Add, 3)]));
}

#[test]
fn comparisons_that_can_add_are_marked() {
    let branch = |cond, imm, negated| Action::Branch {
        width: Width::W64,
        cond,
        dst: Reg::R1,
        src: Operand::Imm(imm),
        negated,
        to: 5,
    };
    let mut list = steps([branch(Cond::Lt, -5, false), branch(Cond::Gt, -5, false), branch(Cond::Sge, 5, false)]);
    negate::negate_constants(&mut list);
    assert_eq!(list, steps([branch(Cond::Lt, 5, true), branch(Cond::Gt, -5, false), branch(Cond::Sge, 5, false)]));
}

#[test]
fn the_context_copy_goes_only_at_the_start() {
    let copy = Action::Move { width: Width::W64, dst: Reg::R6, src: Reg::R1 };
    let clear =
        Action::Alu { width: Width::W64, op: Arith::Xor, dst: Reg::R0, src: Operand::Reg(Reg::R0), zext: false };
    let zero = Action::Constant { dst: Reg::R0, value: 0 };
    let mut list = steps([clear.clone(), copy.clone(), zero.clone(), copy.clone()]);
    classic::drop_context_copy(&mut list);
    assert_eq!(list, steps([clear, Action::Nothing, zero, copy]));
}

#[test]
fn what_a_checked_load_makes_needless_goes() {
    let classic = |size| Action::Classic { size, index: None, offset: 12, zext: true };
    let mask =
        |imm| Action::Alu { width: Width::W64, op: Arith::And, dst: Reg::R0, src: Operand::Imm(imm), zext: false };
    let shift = |kind| Action::Shift { width: Width::W64, kind, dst: Reg::R0, amount: Amount::Fixed(32), zext: false };
    let mut masked = steps([classic(Size::H), mask(0xffff), classic(Size::B), mask(0xffff)]);
    classic::drop_masks(&mut masked);
    assert_eq!(masked, steps([classic(Size::H), Action::Nothing, classic(Size::B), mask(0xffff)]));
    let mut shifted = steps([classic(Size::W), shift(ShiftKind::Left), shift(ShiftKind::Right)]);
    classic::drop_shifts(&mut shifted);
    assert_eq!(shifted, steps([classic(Size::W), Action::Nothing, Action::Nothing]));
}
