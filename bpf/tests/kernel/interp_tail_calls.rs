//! Tail calls against the running kernel.

use crate::support;

use std::sync::Arc;

use bpf::env::FixedEnv;
use bpf::errno::Errno;
use bpf::insn::{Insn, Size, Wide};
use bpf::interp::{Code, ContextInput, Engine, EngineConfig, NoObserver, Observer, RunInput, SkbFields, XdpFields};
use bpf::maps::MapId;
use bpf::program::{MapIndex, MapSpec, MapType, ProgId, ProgType, Program};
use support::asm::*;
use support::both::{self, spec};
use support::kernel::{Kernel, KernelMap, KernelProg, kernel, stay_on_cpu_0};
use support::ledger::Ledger;

const TYPE: ProgType = ProgType::Xdp;
const SLOTS: u32 = 8;

/// A program array, and an array of counters.
fn maps() -> [MapSpec; 2] {
    [spec(MapType::PROG_ARRAY, 4, 4, SLOTS, 0), spec(MapType::ARRAY, 4, 64, 1, 0)]
}

/// Programs that share the maps, on both sides. The first is the one that runs.
struct Linked {
    kernel_maps: Vec<KernelMap>,
    kernel: Vec<KernelProg>,
    engine: Engine,
    main: Code,
    ledger: Ledger,
}

impl Linked {
    fn new(kernel: Kernel, programs: &[Vec<Insn>]) -> Linked {
        stay_on_cpu_0();
        let specs = maps();
        let create = |s: &MapSpec| kernel.create_map(s.ty.0, s.key_size, s.value_size, s.max_entries, s.flags).unwrap();
        let kernel_maps: Vec<_> = specs.iter().map(create).collect();
        let load = |insns: &Vec<Insn>| {
            both::load(kernel, TYPE, insns, &kernel_maps).unwrap_or_else(|error| panic!("{}", error.log))
        };
        let loaded = programs.iter().map(load).collect();
        let mut engine = Engine::new(EngineConfig { strict: true, ..EngineConfig::default() }, &specs).unwrap();
        for insns in programs {
            engine.add_program(Arc::new(code(TYPE, insns)));
        }
        Linked { kernel_maps, kernel: loaded, engine, main: code(TYPE, &programs[0]), ledger: Ledger::default() }
    }

    /// Puts program `at` into a slot on both sides, or empties it.
    fn set(&mut self, slot: u32, at: Option<usize>) {
        let theirs = match at {
            Some(at) => self.kernel_maps[0].update(&slot.to_le_bytes(), &self.kernel[at].fd().to_le_bytes(), 0),
            None => self.kernel_maps[0].delete(&slot.to_le_bytes()),
        };
        let ours = self.engine.map(MapId(0)).unwrap().set_program(slot, at.map(|at| ProgId(at as u32)));
        assert_eq!(ours.map_err(|errno| i32::from(errno.0)), theirs);
    }

    /// Runs the first program on both sides and compares.
    fn run(&mut self) -> u32 {
        let theirs = self.kernel[0].run(&[0; 64], None).unwrap();
        let input = RunInput { context: ContextInput::Xdp(XdpFields::default()), packet: &[0; 64] };
        let ledger = self.ledger.run(&self.engine);
        let ours = self.engine.run(&self.main, input, &mut FixedEnv::default(), ledger);
        assert_eq!((ours.fault, ours.retval as u32), (None, theirs.retval));
        let counters = self.engine.map(MapId(1)).unwrap().entries();
        assert_eq!(counters, self.kernel_maps[1].entries());
        theirs.retval
    }
}

fn code(ty: ProgType, insns: &[Insn]) -> Code {
    Code::new(&Program::from_insns("part", ty, insns.to_vec(), maps().to_vec())).unwrap()
}

/// Adds 1 to a counter; R9 is then its new value.
fn count(which: i16) -> Vec<Insn> {
    let value = Wide::MapValue { map: MapIndex(1), off: 0 };
    vec![
        Insn::LoadImm64 { dst: R8, value },
        Insn::Pad,
        load(Size::D, R9, R8, 8 * which),
        add(R9, 1),
        store(Size::D, R8, 8 * which, R9),
    ]
}

/// A tail call to a slot with the context in R6.
fn tail_call(slot: i32) -> Vec<Insn> {
    let [wide, pad] = map(R2, 0);
    vec![mov(R1, R6), wide, pad, mov(R3, slot), helper(12)]
}

fn concat(parts: &[&[Insn]]) -> Vec<Insn> {
    parts.concat()
}

#[test]
fn a_program_calls_itself_33_times() {
    let Some(kernel) = kernel("a_program_calls_itself_33_times") else { return };
    let itself = concat(&[&[mov(R6, R1)], &count(0), &tail_call(2), &count(1), &[load(Size::W, R0, R8, 0), exit()]]);
    let mut linked = Linked::new(kernel, &[itself]);
    linked.run();
    linked.set(2, Some(0));
    linked.run();
    assert_eq!(linked.run(), 1 + 2 * 34);
}

#[test]
fn calls_that_miss_go_on_and_do_not_count() {
    let Some(kernel) = kernel("calls_that_miss_go_on_and_do_not_count") else { return };
    // Forty misses of each kind, then a chain to its limit.
    let mut misses = vec![mov(R6, R1)];
    for _ in 0..40 {
        misses.extend(tail_call(1));
        misses.extend(tail_call(SLOTS as i32));
        misses.extend(tail_call(-1));
    }
    let first = concat(&[&misses, &count(0), &tail_call(2), &[mov(R0, 3), exit()]]);
    let second = concat(&[&[mov(R6, R1)], &count(1), &tail_call(2), &[mov(R0, 4), exit()]]);
    let mut linked = Linked::new(kernel, &[first, second]);
    assert_eq!(linked.run(), 3);
    linked.set(2, Some(1));
    assert_eq!(linked.run(), 4);
}

#[test]
fn slots_are_replaced_between_packets() {
    let Some(kernel) = kernel("slots_are_replaced_between_packets") else { return };
    let leaf = |ret: i32| vec![mov(R0, ret), exit()];
    let main = concat(&[&[mov(R6, R1)], &tail_call(5), &[mov(R0, 9), exit()]]);
    let mut linked = Linked::new(kernel, &[main, leaf(1), leaf(2)]);
    assert_eq!(linked.run(), 9);
    for (slot, program, answer) in
        [(5, Some(1), 1), (5, Some(2), 2), (4, Some(1), 2), (5, None, 9), (5, None, 9), (5, Some(1), 1)]
    {
        linked.set(slot, program);
        assert_eq!(linked.run(), answer);
    }
    linked.set(SLOTS, Some(1));
}

#[test]
fn a_function_that_is_replaced_returns_to_its_caller() {
    let Some(kernel) = kernel("a_function_that_is_replaced_returns_to_its_caller") else { return };
    // main: r7 = 1000; r0 = f(ctx); r0 += r7. f: tail call, or 5.
    let body = concat(&[&[mov(R6, R1), mov(R7, 77), store(Size::D, R10, -8, 7)], &tail_call(1), &[mov(R0, 5), exit()]]);
    let main = concat(&[
        &[
            mov(R7, 1000),
            store(Size::D, R10, -16, 400),
            call(4),
            load(Size::D, R1, R10, -16),
            add(R0, R1),
            add(R0, R7),
            exit(),
        ],
        &body,
    ]);
    let leaf = concat(&[&[mov(R7, 3), store(Size::D, R10, -8, 60), load(Size::D, R0, R10, -8), add(R0, R7), exit()]]);
    let mut linked = Linked::new(kernel, &[main, leaf]);
    assert_eq!(linked.run(), 1405);
    linked.set(1, Some(1));
    assert_eq!(linked.run(), 1463);
}

#[test]
fn the_count_is_shared_by_functions_and_programs() {
    let Some(kernel) = kernel("the_count_is_shared_by_functions_and_programs") else { return };
    // main calls f three times, each of which is replaced by a program that does the same, and that by itself...
    let body = concat(&[&[mov(R6, R1)], &count(0), &tail_call(1), &count(1), &[mov(R0, 1), exit()]]);
    let mut main = vec![mov(R6, R1), mov(R7, 0)];
    for behind in [2, 1, 0] {
        main.extend([mov(R1, R6), call(3 + 3 * behind), add(R7, R0)]);
    }
    main.extend([mov(R0, R7), exit()]);
    main.extend(body.clone());
    let mut linked = Linked::new(kernel, &[main, body]);
    linked.run();
    // Slot 1 holds the program without functions, then the one with them: a tree that only the count ends.
    linked.set(1, Some(1));
    linked.run();
    linked.set(1, Some(0));
    linked.run();
}

#[test]
fn programs_of_another_type_are_refused() {
    let mut engine = Engine::new(EngineConfig::default(), &maps()).unwrap();
    let leaf = [mov(R0, 1), exit()];
    let xdp = engine.add_program(Arc::new(code(ProgType::Xdp, &leaf)));
    let tc = engine.add_program(Arc::new(code(ProgType::SchedCls, &leaf)));
    let mut array = engine.map(MapId(0)).unwrap();
    assert_eq!(array.set_program(0, Some(ProgId(9))), Err(Errno::EBADF));
    array.set_program(0, Some(xdp)).unwrap();
    assert_eq!(array.set_program(1, Some(tc)), Err(Errno::EINVAL));
    array.set_program(0, None).unwrap();
    assert_eq!(array.set_program(1, Some(tc)), Err(Errno::EINVAL));
    assert_eq!(engine.map(MapId(1)).unwrap().set_program(0, Some(xdp)), Err(Errno::EINVAL));

    // And a program of one type does not get into one of another.
    let caller = concat(&[&[mov(R6, R1)], &tail_call(0), &[mov(R0, 9), exit()]]);
    engine.map(MapId(0)).unwrap().set_program(0, Some(xdp)).unwrap();
    let input = RunInput { context: ContextInput::Skb(SkbFields::default()), packet: &[0; 64] };
    let outcome = engine.run(&code(ProgType::SchedCls, &caller), input, &mut FixedEnv::default(), &mut NoObserver);
    assert_eq!((outcome.fault, outcome.retval), (None, 9));
}

/// Notes which program runs and what of it.
#[derive(Default)]
struct Witness(Vec<(Option<ProgId>, usize, usize)>, Option<ProgId>);

impl Observer for Witness {
    const SPANS: bool = true;

    fn program(&mut self, program: Option<ProgId>) {
        self.1 = program;
    }

    fn span(&mut self, first: usize, past: usize) {
        self.0.push((self.1, first, past));
    }
}

#[test]
fn an_observer_knows_whose_slots_it_sees() {
    let mut engine = Engine::new(EngineConfig::default(), &maps()).unwrap();
    let leaf = engine.add_program(Arc::new(code(TYPE, &[mov(R0, 1), exit()])));
    engine.map(MapId(0)).unwrap().set_program(0, Some(leaf)).unwrap();
    // main: call f; exit. f: tail call.
    let main = concat(&[&[call(1), exit(), mov(R6, R1)], &tail_call(0), &[exit()]]);
    let mut witness = Witness::default();
    let input = RunInput { context: ContextInput::Xdp(XdpFields::default()), packet: &[0; 64] };
    let outcome = engine.run(&code(TYPE, &main), input, &mut FixedEnv::default(), &mut witness);
    assert_eq!((outcome.fault, outcome.retval, outcome.retired), (None, 1, 1 + 5 + 2 + 1));
    assert_eq!(witness.0, [(None, 0, 1), (None, 2, 8), (Some(leaf), 0, 2), (None, 1, 2)]);
}
