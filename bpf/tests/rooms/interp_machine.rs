//! The machine around a program: faults, budget, observers, substitution, packets one after the other.

use crate::support;

use bpf::env::{Env, FixedEnv};
use bpf::insn::{AluOp, AtomicOp, Callee, Cond, Insn, Kfunc, Size, Wide};
use bpf::interp::*;
use bpf::maps::{AccessKind, AccessLog, MapId};
use bpf::memory::{Arena, Fault, FaultKind, RegionKind};
use bpf::program::{MapIndex, MapSpec, MapType, ProgType, Program};
use support::asm::*;
use support::both::spec;

const XDP: ContextInput =
    ContextInput::Xdp(XdpFields { ingress_ifindex: 3, rx_queue_index: 5, egress_ifindex: 0, meta: 0, moved: 0 });

fn code(insns: Vec<Insn>, maps: &[MapSpec]) -> Code {
    Code::new(&Program::from_insns("test", ProgType::Xdp, insns, maps.to_vec())).unwrap()
}

fn engine(maps: &[MapSpec]) -> Engine {
    Engine::new(EngineConfig { budget: 10_000, ..EngineConfig::default() }, maps).unwrap()
}

fn run_with(insns: Vec<Insn>, maps: &[MapSpec], observer: &mut impl Observer) -> Outcome {
    let input = RunInput { context: XDP, packet: &[7; 64] };
    engine(maps).run(&code(insns, maps), input, &mut FixedEnv::default(), observer)
}

fn run(insns: Vec<Insn>) -> Outcome {
    run_with(insns, &[], &mut NoObserver)
}

fn fault(insns: Vec<Insn>) -> Fault {
    run(insns).fault.expect("the program faults")
}

/// A loaded program can be executed, and neither changed nor read.
#[test]
fn the_image_cannot_be_changed() {
    let function = Insn::LoadImm64 { dst: R1, value: Wide::Func { off: 4 } };
    let with = |insn: Insn| vec![function, Insn::Pad, insn, mov(R0, 0), exit(), mov(R0, 7), exit()];
    for (insn, kind) in [
        (store(Size::W, R1, 0, 0), FaultKind::ReadOnly),
        (store(Size::B, R1, 3, R10), FaultKind::ReadOnly),
        (load(Size::D, R2, R1, 0), FaultKind::OutOfBounds),
    ] {
        let fault = fault(with(insn));
        assert_eq!((fault.kind, fault.slot, fault.region), (kind, 2, Some(RegionKind::Image)), "{insn:?}");
    }
}

#[test]
fn bad_accesses_name_what_they_hit() {
    let kind = |insns| {
        let fault = fault(insns);
        (fault.kind, fault.slot, fault.size, fault.region)
    };
    assert_eq!(kind(vec![load(Size::W, R0, R0, 0), exit()]), (FaultKind::NullPointer, 0, 4, None));
    assert_eq!(
        kind(vec![mov(R0, 0), load(Size::D, R0, R10, 0), exit()]),
        (FaultKind::OutOfBounds, 1, 8, Some(RegionKind::Stack))
    );
    assert_eq!(
        kind(vec![store(Size::B, R10, -513, 1), exit()]),
        (FaultKind::OutOfBounds, 0, 1, Some(RegionKind::Stack))
    );
    assert_eq!(
        kind(vec![load(Size::W, R0, R1, 24), exit()]),
        (FaultKind::OutOfBounds, 0, 4, Some(RegionKind::Context))
    );
    let past_packet = vec![load(Size::W, R2, R1, 0), load(Size::H, R0, R2, 63), exit()];
    assert_eq!(kind(past_packet), (FaultKind::OutOfBounds, 1, 2, Some(RegionKind::Packet)));
    let [wide, pad] = wide(R2, 1 << 40);
    assert_eq!(kind(vec![wide, pad, store(Size::B, R2, 0, R0), exit()]), (FaultKind::Unmapped, 2, 1, None));
}

#[test]
fn a_map_is_no_memory() {
    let maps = [spec(MapType::ARRAY, 4, 8, 2, 0)];
    let [wide, pad] = map(R1, 0);
    let outcome = run_with(vec![wide, pad, load(Size::W, R0, R1, 0), exit()], &maps, &mut NoObserver);
    let fault = outcome.fault.unwrap();
    assert_eq!((fault.kind, fault.region), (FaultKind::OutOfBounds, Some(RegionKind::MapHandles)));

    // And memory is no map.
    let outcome = run_with(vec![mov(R1, R10), mov(R2, R10), helper(1), exit()], &maps, &mut NoObserver);
    assert_eq!(outcome.fault.unwrap().kind, FaultKind::BadMap);
    // A key outside every region is the guest's fault too.
    let outcome = run_with(vec![wide, pad, mov(R2, 0), helper(1), exit()], &maps, &mut NoObserver);
    assert_eq!(outcome.fault, Some(Fault { slot: 3, ..Fault::access(FaultKind::NullPointer, 0, 4, None) }));
}

#[test]
fn bad_control_flow_faults_where_it_stands() {
    let kind = |insns| {
        let fault = fault(insns);
        (fault.kind, fault.slot)
    };
    assert_eq!(kind(vec![]), (FaultKind::FellOff, 0));
    assert_eq!(kind(vec![mov(R0, 0)]), (FaultKind::FellOff, 1));
    assert_eq!(kind(vec![mov(R0, 0), jump(5)]), (FaultKind::BadJump, 1));
    assert_eq!(kind(vec![mov(R0, 0), jump(-3)]), (FaultKind::BadJump, 1));
    assert_eq!(kind(vec![jump(i32::MIN)]), (FaultKind::BadJump, 0));
    // Into the second half of a wide load.
    let [wide, pad] = wide(R0, 1);
    assert_eq!(kind(vec![branch(Cond::Eq, R0, 0, 1), wide, pad, exit()]), (FaultKind::BadJump, 0));
    assert_eq!(kind(vec![pad, exit()]), (FaultKind::BadJump, 0));
    assert_eq!(kind(vec![helper(4), exit()]), (FaultKind::UnknownHelper(4), 0));
    assert_eq!(kind(vec![helper(26), exit()]), (FaultKind::WrongContext(26), 0));
    assert_eq!(kind(vec![call(-1)]), (FaultKind::CallDepth, 0));
    // A jump to nowhere that is not taken does no harm.
    assert_eq!(run(vec![branch(Cond::Ne, R0, 0, 100), exit()]).fault, None);
}

#[test]
fn the_number_of_a_helper_may_be_in_a_register() {
    let by_register = |id| vec![mov(R3, id), Insn::Call { callee: Callee::Reg(R3) }, exit()];
    let outcome = run(by_register(7));
    assert_eq!((outcome.fault, outcome.retired), (None, 3));
    let mut env = FixedEnv::default();
    assert_eq!(outcome.retval, u64::from(env.random_u32()));
    assert_eq!(fault(by_register(4)).kind, FaultKind::UnknownHelper(4));
    assert_eq!(fault(by_register(-1)).kind, FaultKind::UnknownHelper(u32::MAX));
}

#[test]
fn the_budget_ends_loops() {
    let outcome = run(vec![add(R0, 1), jump(-2)]);
    assert_eq!(outcome.fault.map(|fault| fault.kind), Some(FaultKind::Budget));
    assert_eq!(outcome.retired, 10_002);
    // Recursion through calls is bounded by depth; a loop of calls by the budget.
    let outcome = run(vec![call(1), jump(-2), exit()]);
    assert_eq!(outcome.fault.map(|fault| fault.kind), Some(FaultKind::Budget));
}

#[test]
fn retired_counts_instructions() {
    let [wide, pad] = wide(R0, 1 << 40);
    for (insns, wanted) in [
        (vec![exit()], 1),
        (vec![wide, pad, exit()], 2),
        (vec![jump(1), mov(R0, 1), exit()], 2),
        (vec![call(1), exit(), mov(R0, 0), exit()], 4),
        (vec![mov(R1, 10), alu64(AluOp::Sub, R1, 1), branch(Cond::Ne, R1, 0, -2), exit()], 22),
        // One that faults is not counted.
        (vec![mov(R0, 0), load(Size::B, R0, R0, 0), exit()], 1),
        (vec![helper(7), helper(8), exit()], 3),
    ] {
        assert_eq!(run(insns.clone()).retired, wanted, "{insns:?}");
    }
}

#[test]
fn what_is_not_there_is_refused_by_name() {
    let refusal = |insn: Insn| {
        let program = Program::from_insns("test", ProgType::Xdp, vec![insn, Insn::Pad, exit()], vec![]);
        Code::new(&program).unwrap_err().code
    };
    assert_eq!(refusal(Insn::Call { callee: Callee::Kfunc(Kfunc { id: 7, module: 0 }) }), "kfunc-unsupported");
    assert_eq!(refusal(Insn::LoadImm64 { dst: R1, value: Wide::Map(MapIndex(0)) }), "map-not-bound");
    let large = MapSpec { name: "huge".to_owned(), ..spec(MapType::ARRAY, 4, 1 << 20, 5000, 0) };
    let refusal = Engine::new(EngineConfig::default(), &[large]).unwrap_err();
    assert_eq!((refusal.code, refusal.headline().contains("huge")), ("map-too-large", true));
    let many = EngineConfig { cpus: u32::MAX, ..EngineConfig::default() };
    for maps in [spec(MapType::PERCPU_ARRAY, 4, 1 << 15, u32::MAX, 0), spec(MapType::HASH, 4, 4, 1 << 31, 0)] {
        assert_eq!(Engine::new(many.clone(), &[maps]).unwrap_err().code, "map-too-large");
    }
    let packets = EngineConfig { packet_max: u32::MAX, xdp_headroom: u32::MAX, ..EngineConfig::default() };
    assert_eq!(Engine::new(packets, &[]).unwrap_err().code, "arena-full");
    let arena = spec(MapType(33), 0, 0, 1, 0);
    let refusal = Engine::new(EngineConfig::default(), &[arena]).unwrap_err();
    assert_eq!(refusal.code, "map-kind-unsupported");
    assert!(refusal.reason.contains("arena"), "{refusal}");
}

#[test]
fn a_packet_longer_than_the_buffer_is_said_so() {
    let mut engine = Engine::new(EngineConfig { packet_max: 100, ..EngineConfig::default() }, &[]).unwrap();
    let code = code(vec![exit()], &[]);
    let mut run = |packet: &[u8]| {
        engine.run(&code, RunInput { context: XDP, packet }, &mut FixedEnv::default(), &mut NoObserver).fault
    };
    assert_eq!(run(&[0; 100]), None);
    assert_eq!(run(&[0; 101]).map(|fault| fault.kind), Some(FaultKind::PacketTooLong));
}

/// Reads the 8 bytes before the packet after growing it by 8.
fn peek_headroom() -> Vec<Insn> {
    vec![mov(R6, R1), mov(R2, -8), helper(44), load(Size::W, R2, R6, 0), load(Size::D, R0, R2, 0), exit()]
}

#[test]
fn a_run_sees_nothing_of_the_one_before() {
    let mut engine = engine(&[]);
    let peek = code(peek_headroom(), &[]);
    let dirty = code(
        vec![
            mov(R6, R1),
            mov(R2, -8),
            helper(44),
            load(Size::W, R2, R6, 0),
            store(Size::D, R2, 0, -1),
            store(Size::D, R10, -8, -1),
            mov(R0, 0),
            exit(),
        ],
        &[],
    );
    let skb = code(vec![exit()], &[]);
    let stack = code(vec![load(Size::D, R0, R10, -8), exit()], &[]);
    let mut run = |code: &Code, context| {
        let input = RunInput { context, packet: &[9; 300] };
        let outcome = engine.run(code, input, &mut FixedEnv::default(), &mut NoObserver);
        assert_eq!(outcome.fault, None);
        outcome.retval
    };
    assert_eq!(run(&dirty, XDP), 0);
    assert_eq!((run(&stack, XDP), run(&peek, XDP)), (0, 0));
    // An skb stands lower in the buffer, where the next XDP packet has its headroom.
    run(&skb, ContextInput::Skb(SkbFields::default()));
    assert_eq!(run(&peek, XDP), 0);
}

/// Writes down all it is shown.
#[derive(Default)]
struct Witness {
    insns: Vec<usize>,
    spans: Vec<(usize, usize)>,
    accesses: Vec<(MemAccess, u64)>,
    helpers: Vec<(u32, u64)>,
    map_ops: Vec<(MapOp, AccessLog)>,
}

impl Observer for Witness {
    const INSNS: bool = true;
    const SPANS: bool = true;
    const ACCESSES: bool = true;

    fn insn(&mut self, slot: usize) {
        self.insns.push(slot);
    }

    fn span(&mut self, first: usize, past: usize) {
        self.spans.push((first, past));
    }

    fn access(&mut self, access: &MemAccess, value: u64) {
        self.accesses.push((*access, value));
    }

    fn helper(&mut self, call: &HelperCall, result: u64) {
        self.helpers.push((call.id, result));
    }

    fn map_op(&mut self, op: &MapOp, log: &AccessLog) {
        self.map_ops.push((*op, log.clone()));
    }
}

#[test]
fn an_observer_sees_every_step() {
    let maps = [spec(MapType::ARRAY, 4, 8, 4, 0)];
    let [wide, pad] = map(R1, 0);
    let insns = vec![
        store(Size::W, R10, -4, 2),
        wide,
        pad,
        mov(R2, R10),
        add(R2, -4),
        helper(1),
        branch(Cond::Ne, R0, 0, 1),
        exit(),
        mov(R1, 5),
        atomic(AtomicOp::Add, true, Size::D, R0, 0, R1),
        load(Size::H, R0, R0, 0),
        exit(),
    ];
    let mut witness = Witness::default();
    let outcome = run_with(insns, &maps, &mut witness);
    assert_eq!((outcome.fault, outcome.retval, outcome.retired), (None, 5, 10));
    assert_eq!(witness.insns, [0, 1, 3, 4, 5, 6, 8, 9, 10, 11]);
    assert_eq!(witness.spans, [(0, 6), (6, 7), (8, 12)]);
    // Each of the tail calls may leave seven callers behind.
    const FRAMES: u32 = 8 + 33 * 7;
    let at = |slot, kind, region, off, size| MemAccess { slot, kind, region, off, size };
    let value = RegionKind::Map(MapId(0));
    assert_eq!(
        witness.accesses,
        [
            (at(0, MemAccessKind::Store, RegionKind::Stack, FRAMES * STACK_FRAME - 4, Size::W), 2),
            (at(9, MemAccessKind::Atomic, value, 16, Size::D), 0),
            (at(10, MemAccessKind::Load, value, 16, Size::H), 5),
        ]
    );
    assert_eq!(witness.helpers.len(), 1);
    let (op, log) = &witness.map_ops[0];
    assert_eq!(*op, MapOp { map: MapId(0), kind: MapOpKind::Lookup, ok: true });
    assert_eq!(log.accesses(), []);
}

#[test]
fn spans_cover_what_retires() {
    let insns =
        vec![mov(R1, 5), call(3), alu64(AluOp::Sub, R1, 1), branch(Cond::Ne, R1, 0, -3), exit(), add(R0, 1), exit()];
    let mut witness = Witness::default();
    let outcome = run_with(insns, &[], &mut witness);
    let covered: Vec<usize> = witness.spans.iter().flat_map(|&(first, past)| first..past).collect();
    assert_eq!(covered, witness.insns);
    assert_eq!(covered.len() as u64, outcome.retired);
}

/// Answers in place of the machine.
struct Replayer;

impl Observer for Replayer {
    const ACCESSES: bool = true;

    fn loaded(&mut self, access: &MemAccess, _: Option<AtomicOp>, value: u64) -> u64 {
        if matches!(access.region, RegionKind::Map(_)) { 41 } else { value }
    }

    fn answer(&mut self, call: &HelperCall, _: &Arena) -> Option<u64> {
        (call.id == 7).then_some(1000)
    }
}

#[test]
fn a_replayer_substitutes_loads_and_helper_results() {
    let maps = [spec(MapType::ARRAY, 4, 8, 1, 0)];
    let [wide, pad] = [Insn::LoadImm64 { dst: R6, value: Wide::MapValue { map: MapIndex(0), off: 0 } }, Insn::Pad];
    let insns = vec![
        wide,
        pad,
        helper(7),
        load(Size::D, R1, R6, 0),
        add(R0, R1),
        mov(R1, 1),
        atomic(AtomicOp::Add, true, Size::D, R6, 0, R1),
        add(R0, R1),
        load(Size::B, R1, R10, -1),
        add(R0, R1),
        exit(),
    ];
    let outcome = run_with(insns, &maps, &mut Replayer);
    assert_eq!((outcome.fault, outcome.retval), (None, 1082));
}

#[test]
fn a_strict_machine_holds_accesses_to_one_value() {
    let maps = [spec(MapType::ARRAY, 4, 12, 4, 0)];
    let insns = |off| {
        let [wide, pad] = [Insn::LoadImm64 { dst: R6, value: Wide::MapValue { map: MapIndex(0), off: 0 } }, Insn::Pad];
        vec![wide, pad, load(Size::W, R0, R6, off), exit()]
    };
    let run = |off, strict| {
        let mut engine = Engine::new(EngineConfig { strict, ..EngineConfig::default() }, &maps).unwrap();
        let input = RunInput { context: XDP, packet: &[0; 64] };
        engine.run(&code(insns(off), &maps), input, &mut FixedEnv::default(), &mut NoObserver).fault.map(|f| f.kind)
    };
    assert_eq!((run(8, false), run(8, true)), (None, None));
    assert_eq!((run(9, false), run(9, true)), (None, Some(FaultKind::AcrossElements)));
    assert_eq!((run(16, false), run(16, true)), (None, None));
    assert_eq!((run(57, false), run(57, true)), (Some(FaultKind::OutOfBounds), Some(FaultKind::OutOfBounds)));
}

#[test]
fn global_data_starts_as_the_object_says() {
    let mut data = spec(MapType::ARRAY, 4, 16, 1, 0);
    data.initial = Some((1..=16).collect());
    let maps = [spec(MapType::HASH, 4, 4, 8, 0), data];
    let [wide, pad] = [Insn::LoadImm64 { dst: R6, value: Wide::MapValue { map: MapIndex(1), off: 8 } }, Insn::Pad];
    let outcome = run_with(vec![wide, pad, load(Size::D, R0, R6, 0), exit()], &maps, &mut NoObserver);
    assert_eq!((outcome.fault, outcome.retval), (None, 0x100f_0e0d_0c0b_0a09));
}

#[test]
fn a_lookup_in_a_hash_map_follows_its_chain() {
    let maps = [spec(MapType::HASH, 4, 8, 4, 0)];
    let mut engine = engine(&maps);
    let mut map = engine.map(MapId(0)).unwrap();
    map.update(&7u32.to_le_bytes(), &1u64.to_le_bytes(), 0).unwrap();
    let kinds: Vec<_> = map.log().accesses().iter().map(|a| (a.kind, a.dependent)).collect();
    // Lock, bucket head, free list, entry, bucket head, unlock.
    use AccessKind::*;
    assert_eq!(kinds, [(Atomic, false), (Read, false), (Atomic, false), (Write, true), (Write, false), (Write, false)]);
    map.lookup(&7u32.to_le_bytes()).unwrap();
    let reads: Vec<_> = map.log().accesses().iter().map(|a| (a.kind, a.len, a.dependent)).collect();
    assert_eq!(reads, [(Read, 4, false), (Read, 12, true)]);
}
