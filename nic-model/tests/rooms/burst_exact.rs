//! Bursts are exact: random programs on the core by bursts and on the core by cycles take the same time to the picosecond
//! and leave the same state.

use crate::bench;
use crate::cycle_core;

use std::collections::BTreeSet;

use bench::{Bench, core_config, memories_config};
use cycle_core::{Tasks, World};
use nic_model::core::{ContextId, CoreConfig, CoreCosts, Fate, Outcome, PacketId, Task, TaskKind, TrapKind};
use nic_model::des::{Frequency, Time};
use nic_model::firmware::{Firmware, PacketVector, Place, Routine, Step};
use nic_model::isa::*;
use nic_model::memory::{EngineTiming, Memories, MemoryKind, TouchKind};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// Registers in which every program finds addresses: packet in A18; external memory in B19 and A20.
const PACKET: Reg = Reg::Gpr(Bank::A, 18);
const HIGH: Reg = Reg::Gpr(Bank::B, 19);
const LOW: Reg = Reg::Gpr(Bank::A, 20);

fn gpr() -> impl Strategy<Value = Reg> {
    (prop_oneof![Just(Bank::A), Just(Bank::B)], 0u8..5).prop_map(|(bank, n)| Reg::Gpr(bank, n))
}

fn local() -> impl Strategy<Value = Reg> {
    prop_oneof![
        6 => (0u8..4, 0u8..4).prop_map(|(pointer, offset)| Reg::Local { pointer, offset }),
        1 => (0u8..4).prop_map(|pointer| Reg::LocalIncrement { pointer }),
        1 => (0u8..4).prop_map(|pointer| Reg::LocalDecrement { pointer }),
    ]
}

fn reg() -> impl Strategy<Value = Reg> {
    prop_oneof![5 => gpr(), 4 => (0u8..6).prop_map(Reg::Xfer), 2 => local()]
}

fn source() -> impl Strategy<Value = Source> {
    prop_oneof![4 => reg().prop_map(Source::Reg), 1 => any::<u8>().prop_map(Source::Imm), 1 => (0u8..3).prop_map(Source::Imm)]
}

fn dst() -> impl Strategy<Value = Dst> {
    prop_oneof![
        6 => (reg(), any::<bool>()).prop_map(|(reg, both)| Dst { reg: Some(reg), both: both && reg.bank().is_some() }),
        1 => Just(Dst::NONE),
    ]
}

fn shift() -> impl Strategy<Value = Shift> {
    prop_oneof![
        (0u8..32).prop_map(Shift::Rotate),
        (1u8..32).prop_map(Shift::Left),
        (1u8..32).prop_map(Shift::Right),
        Just(Shift::LeftIndirect),
        Just(Shift::RightIndirect),
    ]
}

fn one_of<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    (0..all.len()).prop_map(|i| all[i])
}

fn cc() -> impl Strategy<Value = CondCodes> {
    prop_oneof![4 => Just(CondCodes::Set), 1 => Just(CondCodes::Keep)]
}

/// Instructions on registers alone.
fn computing() -> impl Strategy<Value = Op> {
    let predicate = false;
    let amount = || prop_oneof![(1u8..32).prop_map(Amount::By), Just(Amount::Indirect)];
    let left = || prop_oneof![3 => Just(Left::Idle(Idle::Zero)), 1 => Just(Left::Idle(Idle::Constant)), 1 => gpr().prop_map(Left::from)];
    prop_oneof![
        6 => (one_of(AluOp::ALL), dst(), source(), source(), cc())
            .prop_map(move |(op, dst, lhs, rhs, cc)| Op::from(Alu { op, dst, src: Pair::new(lhs, rhs), cc, predicate })),
        6 => (one_of(AluMove::ALL), dst(), source(), left(), cc())
            .prop_map(move |(op, dst, rhs, left, cc)| Move { op, dst, rhs: One::new(rhs, left), cc, predicate }.into()),
        3 => (one_of(ShiftMove::ALL), dst(), source(), left(), shift(), cc())
            .prop_map(move |(op, dst, rhs, left, shift, cc)| ShfMove { op, dst, rhs: One::new(rhs, left), shift, cc, predicate }.into()),
        1 => (one_of(ShiftOp::ALL), dst(), source(), source(), shift(), cc())
            .prop_map(move |(op, dst, lhs, rhs, shift, cc)| AluShf { op, dst, src: Pair::new(lhs, rhs), shift, cc, predicate }.into()),
        1 => (dst(), source(), source(), amount(), cc())
            .prop_map(move |(dst, lhs, rhs, amount, cc)| DblShf { dst, src: Pair::new(lhs, rhs), amount, cc, predicate }.into()),
        1 => (dst(), source(), amount(), cc())
            .prop_map(move |(dst, rhs, amount, cc)| Asr { dst, rhs: One::new(rhs, Idle::Zero), sign: Previous, amount, cc, predicate }.into()),
        3 => (prop_oneof![12 => gpr(), 3 => local(), 1 => reg()], any::<bool>(), source(), 0u8..16, shift(), one_of(LoadCc::ALL), any::<bool>())
            .prop_filter_map("a destination", move |(reg, both, src, bytes, shift, cc, clear)| {
                let merge = Merge::new(Dst { reg: Some(reg), both: both && reg.bank().is_some() }, src)?;
                Some(if clear {
                    LdFieldClear { merge, bytes, shift, cc, predicate }.into()
                } else {
                    LdField { merge, bytes, shift, cc, predicate }.into()
                })
            }),
        3 => (dst(), any::<u16>(), any::<bool>(), one_of(ImmedShift::ALL))
            .prop_map(move |(dst, value, invert, shift)| Immed { load: Load { dst, value }, invert, shift, predicate }.into()),
        1 => (dst(), any::<u16>(), any::<bool>(), one_of(WordLane::ALL))
            .prop_map(move |(dst, value, invert, lane)| ImmedW { load: Load { dst, value }, invert, lane, predicate }.into()),
        1 => (source(), source(), one_of(MulStepNo::ALL), cc())
            .prop_map(move |(lhs, rhs, step, cc)| MulStep { width: MulWidth::By32, step, src: Pair::new(lhs, rhs), running: Running, cc, predicate }.into()),
        1 => (source(), source(), cc())
            .prop_map(move |(lhs, rhs, cc)| MulStart { src: Pair::new(lhs, rhs), running: Running, cc, predicate }.into()),
        1 => (dst(), one_of(MulHalf::ALL), cc())
            .prop_map(move |(dst, half, cc)| MulLast { width: MulWidth::By32, half, dst, idle: Idle::Zero, running: Running, cc, predicate }.into()),
        1 => (dst(), any::<u16>(), any::<bool>(), one_of(ByteLane::ALL))
            .prop_map(move |(dst, value, invert, lane)| ImmedB { load: Load { dst, value }, invert, lane, predicate }.into()),
        1 => (0u8..4, dst(), source(), cc()).prop_map(move |(kind, dst, rhs, cc)| {
            let rhs = One::new(rhs, Idle::Zero);
            match kind {
                0 => PopCount1 { rhs, running: Running, cc, predicate }.into(),
                1 => PopCount2 { rhs, running: Running, cc, predicate }.into(),
                2 => PopCount3 { dst, rhs, running: Running, cc, predicate }.into(),
                _ => Ffs { dst, rhs, cc, predicate }.into(),
            }
        }),
        1 => Just(Nop {}.into()),
    ]
}

/// Where branches are drawn to stand.
const DRAWN_AT: u16 = 1000;

/// A branch to one of the next or, seldom, of the last few instructions.
fn branch() -> impl Strategy<Value = Op> {
    let to = prop_oneof![15 => (1u16..9).prop_map(|n| DRAWN_AT + n), 1 => (1u16..6).prop_map(|n| DRAWN_AT - n)];
    (to.prop_map(CodeAddress), 0u8..4, 0usize..7, one_of(Cond::ALL), gpr(), 0u8..32, 1u8..4, any::<bool>()).prop_map(
        |(to, defer, kind, cond, reg, bit, signal, flag)| match kind {
            0 => Br { to, defer }.into(),
            1 | 2 => BrCond { cond, known: Known::Late, to, defer }.into(),
            3 => BrBit { set: flag, test: BitTest::new(reg, bit), to, defer }.into(),
            4 => BrSignal { not: flag, signal, to, defer }.into(),
            5 => BrCtx { not: flag, context: bit & 7, to, defer }.into(),
            _ => BrByte { equal: flag, byte: bit & 3, src: Beside::new(reg, bit), to, defer }.into(),
        },
    )
}

/// Commands to memory, with and without waiting, of every direction.
fn command() -> impl Strategy<Value = Op> {
    const COMMANDS: &[Command] = &[
        Command::MEM_READ32_SWAP,
        Command::MEM_READ32,
        Command::MEM_READ8,
        Command::MEM_READ,
        Command::MEM_WRITE8_SWAP,
        Command::MEM_WRITE32_SWAP,
        Command::MEM_WRITE32,
        Command::MEM_TEST_SET,
        Command::MEM_ADD,
        Command::MEM_TEST_ADD,
    ];
    let address = prop_oneof![
        5 => (0u8..64).prop_map(|offset| Address::sum(PACKET, Source::Imm(offset))),
        3 => Just(Address::wide(HIGH, LOW)),
        1 => (0u8..5).prop_map(|n| Address::sum(Reg::Gpr(Bank::A, n), Source::Imm(0))),
    ];
    let completion = prop_oneof![
        4 => (0u8..3, 1u8..4).prop_map(|(defer, signal)| Completion { swap: Swap::After(defer), signal }),
        4 => (0u8..4).prop_map(|signal| Completion { swap: Swap::No, signal }),
        1 => Just(Completion { swap: Swap::After(0), signal: 0 }),
    ];
    (0u8..6, address, 1u8..6, completion, one_of(COMMANDS)).prop_map(|(xfer, address, count, completion, command)| {
        Cmd { xfer, address, count: Count(count), completion, indirect: Indirect(false), command }.into()
    })
}

fn wait() -> impl Strategy<Value = Op> {
    let wait = prop_oneof![
        2 => Just(Wait::Voluntary),
        2 => (1u16..8).prop_map(|mask| Wait::All(mask << 1)),
        3 => (1u16..8).prop_map(|mask| Wait::Any(mask << 1)),
    ];
    (wait, 0u8..4).prop_map(|(wait, defer)| CtxArb { wait, resume: Resume(None), defer }.into())
}

fn csr() -> impl Strategy<Value = Vec<Op>> {
    const READ: &[Csr] = &[Csr::TIMESTAMP_LOW, Csr::RANDOM, Csr::SIGNALS, Csr::ALU_OUT, Csr::LM_ADDR0];
    const POINTERS: &[Csr] = &[Csr::LM_ADDR0, Csr::LM_ADDR1, Csr::LM_ADDR2, Csr::LM_ADDR3];
    let value = |reg| Immed {
        load: Load { dst: Dst::to(reg), value: 0 },
        invert: false,
        shift: ImmedShift::None,
        predicate: false,
    };
    prop_oneof![
        2 => (one_of(READ), gpr()).prop_map(move |(csr, reg)| vec![CsrRead { csr, idle: Idle::Zero }.into(), value(reg).into()]),
        2 => (one_of(POINTERS), any::<u8>()).prop_map(|(csr, value)| vec![CsrSet { csr, value: Twice(value) }.into()]),
        1 => (one_of(POINTERS), gpr()).prop_map(|(csr, reg)| vec![CsrWrite { csr, src: Beside::new(reg, 0) }.into()]),
    ]
}

/// A posted command, something else, and the wait for its signal.
fn posted() -> impl Strategy<Value = Vec<Op>> {
    (command(), prop::collection::vec(computing(), 0..6), 1u8..4).prop_map(|(op, between, signal)| {
        let Op::Cmd(mut cmd) = op else { unreachable!("a command") };
        cmd.completion = Completion::signal(signal);
        let mut ops = vec![cmd.into()];
        ops.extend(between);
        ops.push(CtxArb { wait: Wait::All(1 << signal), resume: Resume(None), defer: 0 }.into());
        ops
    })
}

/// Several posted commands and a wait for any or all of their signals.
fn gathered() -> impl Strategy<Value = Vec<Op>> {
    (prop::collection::vec(command(), 1..4), any::<bool>()).prop_map(|(ops, any)| {
        let mut mask = 0;
        let mut gathered = Vec::new();
        for (mut op, signal) in ops.into_iter().zip(1..) {
            if let Op::Cmd(cmd) = &mut op {
                cmd.completion = Completion::signal(signal);
                mask |= 1 << signal;
            }
            gathered.push(op);
        }
        let wait = if any { Wait::Any(mask) } else { Wait::All(mask) };
        gathered.push(CtxArb { wait, resume: Resume(None), defer: 0 }.into());
        gathered
    })
}

/// What every program starts with: the addresses.
fn preamble() -> Vec<Op> {
    let copy = |dst, src: Reg| Move {
        op: AluMove::Copy,
        dst: Dst::to(dst),
        rhs: One::new(src, Idle::Zero),
        cc: CondCodes::Set,
        predicate: false,
    };
    let load =
        |dst, value, shift| Immed { load: Load { dst: Dst::to(dst), value }, invert: false, shift, predicate: false };
    vec![
        copy(PACKET, Reg::Local { pointer: 1, offset: 2 }).into(),
        load(HIGH, 0x1800, ImmedShift::Two).into(),
        load(LOW, 0x40, ImmedShift::None).into(),
    ]
}

/// The end: pass, or drop.
fn end(drop: bool) -> Vec<Op> {
    let word = Immed {
        load: Load { dst: Dst::to(Reg::Gpr(Bank::A, 0)), value: if drop { 0x22 } else { 0x11 } },
        invert: false,
        shift: ImmedShift::Two,
        predicate: false,
    };
    vec![Br { to: CodeAddress(1), defer: 1 }.into(), word.into()]
}

fn program() -> impl Strategy<Value = Vec<Op>> {
    let item = prop_oneof![
        8 => computing().prop_map(|op| vec![op]),
        3 => branch().prop_map(|op| vec![op]),
        4 => command().prop_map(|op| vec![op]),
        2 => posted(),
        1 => wait().prop_map(|op| vec![op]),
        1 => gathered(),
        2 => csr(),
    ];
    // Most programs do not trap for what stands in their deferred slots.
    (prop::collection::vec(item, 1..40), any::<bool>(), prop::bool::weighted(0.9)).prop_map(|(items, drop, tame)| {
        let mut ops = preamble();
        for mut op in items.into_iter().flatten() {
            let at = bench::layout().start + ops.len() as u16;
            relocate(&mut op, at);
            if encode(&op).is_ok() {
                ops.push(op);
            }
        }
        ops.extend(end(drop));
        if tame {
            for i in 0..ops.len() {
                let behind = ops[i + 1..].iter().take_while(|op| !leaves(op)).count();
                shorten(&mut ops[i], behind as u8);
            }
        }
        ops
    })
}

/// Whether an instruction branches or gives the core away.
fn leaves(op: &Op) -> bool {
    matches!(op.effect(), Effect::Branch | Effect::Yield)
        || matches!(op, Op::Cmd(cmd) if cmd.completion.swap != Swap::No)
}

/// Leaves an instruction no more deferred slots than that.
fn shorten(op: &mut Op, most: u8) {
    match op {
        Op::Br(op) => op.defer = op.defer.min(most),
        Op::BrCond(op) => op.defer = op.defer.min(most),
        Op::BrBit(op) => op.defer = op.defer.min(most),
        Op::BrSignal(op) => op.defer = op.defer.min(most),
        Op::BrCtx(op) => op.defer = op.defer.min(most),
        Op::BrByte(op) => op.defer = op.defer.min(most),
        Op::CtxArb(op) => op.defer = op.defer.min(most),
        Op::Cmd(Cmd { completion: Completion { swap: Swap::After(defer), .. }, .. }) => *defer = (*defer).min(most),
        _ => {}
    }
}

/// Moves a branch from where it was drawn to its place; a target before the program is its start.
fn relocate(op: &mut Op, at: u16) {
    let moved = |to: &mut CodeAddress| to.0 = (to.0 + at - DRAWN_AT).max(bench::layout().start);
    match op {
        Op::Br(op) => moved(&mut op.to),
        Op::BrCond(op) => moved(&mut op.to),
        Op::BrBit(op) => moved(&mut op.to),
        Op::BrSignal(op) => moved(&mut op.to),
        Op::BrCtx(op) => moved(&mut op.to),
        Op::BrByte(op) => moved(&mut op.to),
        _ => {}
    }
}

fn picoseconds(most: u64) -> impl Strategy<Value = Time> {
    prop_oneof![1 => Just(0), 4 => 0..most].prop_map(Time::from_ps)
}

fn timing() -> impl Strategy<Value = EngineTiming> {
    let times = ((1..9_000u64).prop_map(Time::from_ps), picoseconds(60_000), picoseconds(60_000), picoseconds(60_000));
    let rest = (picoseconds(9_000), picoseconds(40_000), picoseconds(40_000), picoseconds(4_000));
    (times, rest).prop_map(|((request, read, write, atomic), (response, service, atomic_service, beat))| EngineTiming {
        request,
        read,
        write,
        atomic,
        response,
        service,
        atomic_service,
        beat,
    })
}

fn costs() -> impl Strategy<Value = CoreCosts> {
    (1u32..3, 0u32..5, 0u32..5, 0u32..5, 0u32..4, 0u32..6, 0u32..12, 1u32..5).prop_map(
        |(instruction, branch, branch_bit, jump, switch, wake, pull, command_queue)| CoreCosts {
            instruction,
            branch,
            branch_bit,
            jump,
            switch,
            wake,
            pull,
            command_queue,
        },
    )
}

fn routine() -> impl Strategy<Value = Routine> {
    let step = prop_oneof![
        (1u32..12).prop_map(|instructions| Step::Run { instructions }),
        (any::<bool>(), one_of(&[TouchKind::Read, TouchKind::Write, TouchKind::Atomic]), any::<bool>(), 1u16..64)
            .prop_map(|(far, kind, wait, bytes)| {
                let (memory, place) = if far {
                    (MemoryKind::Imem, Place::Striped { offset: 64, stride: 32, slots: 4 })
                } else {
                    (MemoryKind::Ctm, Place::Packet { offset: 0 })
                };
                Step::Command { memory, kind, place, bytes, wait }
            }),
    ];
    prop::collection::vec(step, 0..4).prop_map(|steps| Routine { steps })
}

/// Everything about one run.
#[derive(Clone)]
struct Scene {
    ops: Vec<Op>,
    costs: CoreCosts,
    timing: EngineTiming,
    firmware: Firmware,
    hz: u64,
    /// For each core and context the packets it gets: the time before each.
    gaps: Vec<Vec<Vec<Time>>>,
}

fn scene() -> impl Strategy<Value = Scene> {
    let gaps = prop::collection::vec(picoseconds(300_000), 0..3);
    let gaps = prop::collection::vec(prop::collection::vec(gaps, 1..=4), 1..=2);
    let firmware = (routine(), routine(), routine()).prop_map(|(receive, pass, drop)| Firmware {
        receive,
        pass,
        drop,
        ..Firmware::default()
    });
    let hz = one_of(&[800_000_000, 1_200_000_000, 633_000_000, 1_000_000_000]);
    (program(), costs(), timing(), firmware, hz, gaps).prop_map(|(ops, costs, timing, firmware, hz, gaps)| Scene {
        ops,
        costs,
        timing,
        firmware,
        hz,
        gaps,
    })
}

impl std::fmt::Debug for Scene {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{:?}\n{:?}\n{:?}\n{} Hz, gaps {:?}", self.costs, self.timing, self.firmware, self.hz, self.gaps)?;
        self.ops.iter().zip(bench::layout().start..).try_for_each(|(op, at)| writeln!(f, "{at:4} {op}"))
    }
}

impl Scene {
    fn configs(&self) -> Vec<CoreConfig> {
        (0..self.gaps.len() as u16)
            .map(|id| CoreConfig {
                budget: 400,
                clock: Frequency::from_hz(self.hz).expect("not zero"),
                seed: id.into(),
                ..core_config(id, self.costs)
            })
            .collect()
    }

    fn memories(&self) -> Memories {
        let mut memories = Memories::new(&memories_config(self.timing), 8);
        let bytes: Vec<u8> = (0..64 << 10).map(|i: u32| (i.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
        memories.store_mut(MemoryKind::Ctm, 0).write(0, &bytes);
        memories.store_mut(MemoryKind::Emem, 0).write(0, &bytes);
        memories
    }

    /// Core, context, and its packets with the time before each.
    fn tasks(&self) -> Tasks {
        let mut tasks = Vec::new();
        for (core, contexts) in self.gaps.iter().enumerate() {
            for (context, gaps) in contexts.iter().enumerate() {
                let number = (core * 4 + context) as u32 * 4;
                let vector = PacketVector::new(100, number, bench::HEADROOM);
                let task = |(i, &gap): (usize, &Time)| {
                    let packet = PacketId((core * 100 + context * 10 + i) as u64);
                    (gap, Task { packet, kind: TaskKind::Program, vector })
                };
                tasks.push((core, context, gaps.iter().enumerate().map(task).collect()));
            }
        }
        tasks
    }

    fn words(&self) -> Vec<u64> {
        self.ops.iter().map(|op| with_ecc(encode(op).expect("it was encoded before"))).collect()
    }

    fn by_cycles(&self) -> World {
        let firmware = &self.firmware;
        let mut world = World::new(self.memories(), &self.configs(), &bench::layout(), &self.words(), firmware);
        world.tasks = self.tasks();
        world.run();
        world
    }

    fn by_bursts(&self) -> (Bench, Vec<(Time, u16, ContextId, Outcome)>) {
        let mut bench = Bench::of(self.memories(), &self.configs(), &self.words(), &self.firmware);
        bench.arrivals = Some(Vec::new());
        let mut tasks = self.tasks();
        for (core, context, tasks) in &mut tasks {
            tasks.reverse();
            if let Some((at, task)) = tasks.pop() {
                bench.begin_at(at, *core, *context as u8, task);
            }
        }
        let mut finished = Vec::new();
        while bench.step() {
            for (at, context, outcome) in std::mem::take(&mut bench.finished) {
                let core = (outcome.packet.0 / 100) as usize;
                finished.push((at, core as u16, context, outcome));
                let row = tasks.iter_mut().find(|(c, x, _)| (*c, *x) == (core, usize::from(context.0)));
                if let Some((after, task)) = row.and_then(|(.., tasks)| tasks.pop()) {
                    bench.begin_at(at + after, core, context.0, task);
                }
            }
        }
        (bench, finished)
    }
}

/// Fates without the words of what is unsupported, which are not compared.
fn plain(outcome: &Outcome) -> Outcome {
    let mut outcome = *outcome;
    if let Fate::Trapped(trap) = &mut outcome.fate
        && let TrapKind::Unsupported { what } = &mut trap.kind
    {
        *what = "";
    }
    outcome
}

fn compare(scene: &Scene) -> Result<(), TestCaseError> {
    let exact = scene.by_cycles();
    let (bursts, mut finished) = scene.by_bursts();
    let listing = || scene.ops.iter().zip(64..).map(|(op, at)| format!("{at:4} {op}")).collect::<Vec<_>>().join("\n");
    finished.sort_by_key(|(at, core, ..)| (*at, *core));
    let mut expected = exact.finished.clone();
    expected.sort_by_key(|(at, core, ..)| (*at, *core));
    let plainly = |list: &[(Time, u16, ContextId, Outcome)]| {
        list.iter().map(|(at, core, context, outcome)| (*at, *core, *context, plain(outcome))).collect::<Vec<_>>()
    };
    // Commands first: the first of them that differs is nearest to the cause.
    let engine = |list: &[bench::Arrival], engine| {
        list.iter().filter(|arrival| arrival.engine.0 == engine).cloned().collect::<Vec<_>>()
    };
    for n in 0..exact.memories.addresses().engines() {
        let (a, b) = (engine(&exact.arrivals, n), engine(bursts.arrivals.as_deref().unwrap_or_default(), n));
        for i in 0..a.len().max(b.len()) {
            prop_assert_eq!(a.get(i), b.get(i), "command {} of engine {}\n{}", i, n, listing());
        }
    }
    prop_assert_eq!(plainly(&expected), plainly(&finished), "\n{}", listing());
    for (core, by_cycles) in bursts.cores.iter().zip(&exact.cores) {
        prop_assert_eq!(core.local_memory(), &by_cycles.shared.local[..], "local memory\n{}", listing());
        for (index, context) in by_cycles.contexts.iter().enumerate() {
            let id = ContextId(index as u8);
            for n in 0..32 {
                let at = usize::from(n);
                prop_assert_eq!(core.gpr(id, Bank::A, n), context.a[at], "A{} of {}\n{}", n, id, listing());
                prop_assert_eq!(core.gpr(id, Bank::B, n), context.b[at], "B{} of {}\n{}", n, id, listing());
            }
            for n in 0..64 {
                let at = usize::from(n);
                let expected = (context.transfer_in[at], context.transfer_out[at]);
                prop_assert_eq!(core.transfer(id, n), expected, "$xfer_{} of {}\n{}", n, id, listing());
            }
        }
    }
    Ok(())
}

/// Six hundred scenes, or as many as `PROPTEST_CASES` says.
fn config() -> ProptestConfig {
    let asked = ProptestConfig { max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { asked.cases } else { 600 };
    ProptestConfig { cases, ..asked }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn bursts_and_cycles_agree(scene in scene()) {
        compare(&scene)?;
    }
}

/// Rows of the instruction table that scenes hold none of: the plain core has no such unit or they trap as undocumented, or they
/// would need an address in a register.
const NOT_DRAWN: [&str; 16] = [
    "CamClear",
    "CamReadTag",
    "CamReadState",
    "CamWrite",
    "CamWriteState",
    "CamLookup",
    "Crc",
    "ByteAlignBe",
    "ByteAlignLe",
    "BrInpState",
    "BrClsState",
    "Jump",
    "CmdImmediate",
    "CmdAt",
    "CmdData",
    "CmdShort",
];

/// The scenes are worth comparing: programs come to their end, meet each thing that ends a burst, and hold every instruction.
#[test]
fn scenes_meet_what_they_are_drawn_for() {
    let mut runner = TestRunner::deterministic();
    let (mut verdicts, mut deadlocks, mut stalled, mut several) = (0, 0, 0, 0);
    const SCENES: usize = 300;
    let mut drawn = BTreeSet::new();
    for _ in 0..SCENES {
        let scene = scene().new_tree(&mut runner).expect("a scene").current();
        drawn.extend(scene.ops.iter().map(Op::row_name));
        let (bench, finished) = scene.by_bursts();
        for (.., outcome) in &finished {
            match outcome.fate {
                Fate::Verdict(_) => verdicts += 1,
                Fate::Trapped(trap) if matches!(trap.kind, TrapKind::Deadlock { .. }) => deadlocks += 1,
                Fate::Trapped(_) => {}
            }
        }
        let counters = bench.cores.iter().map(|core| core.counters());
        stalled += usize::from(counters.clone().any(|counters| counters.stall_cycles > 0));
        several += usize::from(counters.map(|counters| counters.bursts).sum::<u64>() > 3 * finished.len() as u64);
    }
    let missing: Vec<_> = OPS.iter().map(|row| row.name).filter(|name| !drawn.contains(name)).collect();
    assert_eq!(missing, NOT_DRAWN);
    assert!(verdicts > SCENES / 3, "{verdicts} verdicts");
    assert!(deadlocks > SCENES / 20, "{deadlocks} deadlocks");
    assert!(stalled > SCENES / 20, "{stalled} scenes with a full command queue");
    assert!(several > SCENES / 3, "{several} scenes with several bursts a packet");
}
