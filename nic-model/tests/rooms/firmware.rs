//! What runs around programs: routines, map helpers, the interface between them, traps.

use crate::bench;

use bench::asm::{a, alu, b, branch, copy, immed, immed_high, local, nop, read32, set_pointer, verdict, words};
use bench::{Arrival, Bench, HEADROOM, core_config, door, layout};
use bpf::errno::Errno;
use bpf::maps::{AccessKind, AccessLog, Map};
use bpf::program::{MapSpec, MapType};
use nic_model::core::{ContextId, CoreCosts, Fate, Outcome, TaskKind, TrapKind};
use nic_model::des::Time;
use nic_model::firmware::{
    Action as Verb, Entry, Firmware, MapRoutine, PacketVector, Place, Routine, StatCounter, Step,
};
use nic_model::isa::{Address, AluOp, Bank, Completion, Csr, Dst, Op, Reg, Source};
use nic_model::memory::{Action, EngineTiming, MemoryKind, TableId, TouchKind};
use nic_model::packet_pointer::packet_pointer;

const TIMING: EngineTiming = EngineTiming {
    request: Time::from_ns(10),
    read: Time::from_ns(30),
    write: Time::from_ns(20),
    atomic: Time::from_ns(40),
    response: Time::from_ns(10),
    service: Time::from_ns(1),
    atomic_service: Time::from_ns(2),
    beat: Time::ZERO,
};

const COSTS: CoreCosts =
    CoreCosts { instruction: 1, branch: 3, branch_bit: 3, jump: 3, switch: 0, wake: 4, pull: 8, command_queue: 8 };

fn run(instructions: u32) -> Step {
    Step::Run { instructions }
}

fn touch(memory: MemoryKind, kind: TouchKind, wait: bool) -> Step {
    Step::Command { memory, kind, place: Place::Shared { offset: 64 }, bytes: 8, wait }
}

fn routine(steps: &[Step]) -> Routine {
    Routine { steps: steps.to_vec() }
}

/// Firmware in which every routine can be told from the others by the memory it touches last.
fn firmware() -> Firmware {
    Firmware {
        receive: routine(&[run(10), touch(MemoryKind::Ctm, TouchKind::Read, true), run(5)]),
        plain: routine(&[run(20)]),
        pass: routine(&[touch(MemoryKind::Emem, TouchKind::Write, false)]),
        drop: routine(&[touch(MemoryKind::Imem, TouchKind::Atomic, false)]),
        tx: routine(&[touch(MemoryKind::Cls, TouchKind::Write, true)]),
        transmit: routine(&[run(7)]),
        map: MapRoutine::default(),
    }
}

fn bench(firmware: Firmware, maps: &[MapSpec], program: &[Op]) -> (Bench, Vec<TableId>) {
    let (mut bench, tables) = Bench::new(core_config(0, COSTS), TIMING, firmware, maps).expect("a card");
    bench.load(&words(program)).expect("room");
    bench.arrivals = Some(Vec::new());
    (bench, tables)
}

fn one(bench: &mut Bench, kind: TaskKind) -> (Time, Outcome) {
    let vector = bench.put_packet(4, &[1, 2, 3, 4, 5, 6, 7, 8]);
    bench.begin_kind(0, 0, kind, 7, vector);
    bench.run();
    let (at, _, outcome) = bench.finished.pop().expect("the packet is done");
    (at, outcome)
}

/// The memories that commands went to, in order of arrival.
fn memories(bench: &Bench) -> Vec<MemoryKind> {
    let kind = |arrival: &Arrival| bench.memories.addresses().memory(arrival.engine).0;
    bench.arrivals.iter().flatten().map(kind).collect()
}

#[test]
fn a_verdict_chooses_the_epilogue() {
    use MemoryKind::{Cls, Ctm, Emem, Imem};
    let cases = [
        (0x11, Verb::Pass, Some(StatCounter::Pass), Emem),
        (0x22, Verb::Drop, Some(StatCounter::Drop), Imem),
        (0x82, Verb::Drop, Some(StatCounter::Abort), Imem),
        (0x02, Verb::Drop, None, Imem),
        (0x44, Verb::Tx, Some(StatCounter::Tx), Cls),
    ];
    for (byte, action, counter, memory) in cases {
        let (mut bench, _) = bench(firmware(), &[], &verdict(byte));
        let (_, outcome) = one(&mut bench, TaskKind::Program);
        let Fate::Verdict(verdict) = outcome.fate else { panic!("{outcome:?}") };
        assert_eq!((verdict.action, verdict.counter, verdict.word), (action, counter, u32::from(byte) << 16));
        assert_eq!(memories(&bench), [Ctm, memory], "{byte:#x}");
    }
}

#[test]
fn steps_take_the_time_they_say() {
    let (mut bench, _) = bench(firmware(), &[], &verdict(0x22));
    let (at, outcome) = one(&mut bench, TaskKind::Program);
    // Ten instructions and the command are 11 cycles of 1.25 ns; the command leaves in the eleventh, at 12.5 ns, and is
    // back 50 ns later, at cycle 50. The context wakes at cycle 54: five instructions, two of the program of which the
    // second fills a slot of the branch, two cycles lost, one of the epilogue.
    assert_eq!(at, Time::from_ps((54 + 5 + 2 + 2 + 1) * 1250));
    assert_eq!(outcome.instructions, 10 + 1 + 5 + 2 + 1);
    let arrivals = bench.arrivals.take().expect("they were asked for");
    assert_eq!(arrivals[0].at, Time::from_ps(12_500 + 10_000));
    assert_eq!(arrivals[1].at, Time::from_ps((54 + 9) * 1250 + 10_000));
}

#[test]
fn without_a_program_packets_take_the_plain_path_and_pass() {
    let (mut bench, _) = bench(firmware(), &[], &[]);
    let (at, outcome) = one(&mut bench, TaskKind::Plain);
    let Fate::Verdict(verdict) = outcome.fate else { panic!("{outcome:?}") };
    assert_eq!((verdict.action, verdict.counter), (Verb::Pass, Some(StatCounter::Pass)));
    assert_eq!(at, Time::from_ps((54 + 5 + 20 + 1) * 1250));
    assert_eq!(memories(&bench), [MemoryKind::Ctm, MemoryKind::Emem]);
}

#[test]
fn packets_of_the_host_take_the_transmit_routine_alone() {
    let (mut bench, _) = bench(firmware(), &[], &[]);
    let (at, outcome) = one(&mut bench, TaskKind::Transmit);
    let Fate::Verdict(verdict) = outcome.fate else { panic!("{outcome:?}") };
    assert_eq!((verdict.action, verdict.counter), (Verb::Pass, None));
    assert_eq!((at, outcome.instructions), (Time::from_ps(7 * 1250), 7));
}

#[test]
fn a_program_finds_its_packet_and_its_stack() {
    // Length and packet pointer into the vector's free words; the stack base and a word behind pointer 0 into others.
    let program = [
        copy(local(1, 1), local(1, 0)),
        copy(a(1), local(1, 2)),
        read32(0, Address::sum(a(1), Source::Imm(4)), 1, Completion::wait(1)),
        copy(local(1, 3), Reg::Xfer(0)),
        copy(local(1, 5), a(22)),
        immed(local(0, 0), 0x5ac),
        set_pointer(Csr::LM_ADDR2, a(22)),
        nop(),
        nop(),
        nop(),
        copy(local(1, 7), local(2, 0)),
    ];
    let program = [&program[..], &verdict(0x11)].concat();
    for context in 0..4 {
        let (mut bench, _) = bench(Firmware::default(), &[], &program);
        let vector = bench.put_packet(4, &[1, 2, 3, 4, 5, 6, 7, 8]);
        bench.begin(0, context, 1, vector);
        bench.run();
        let (_, at, outcome) = bench.finished[0];
        assert_eq!(at, ContextId(context));
        let words = outcome.vector.words;
        assert_eq!(words[..3], [8, 8, packet_pointer(4, HEADROOM)]);
        assert_eq!(words[3], 0x0807_0605);
        assert_eq!(words[5], 1024 * u32::from(context), "each context has its share of local memory");
        assert_eq!(words[7], 0x5ac);
    }
}

#[test]
fn the_program_moves_the_packet_and_chooses_the_queue() {
    let program = [
        alu(AluOp::Sub, Dst::to(local(1, 0)), local(1, 0), Source::Imm(2)),
        copy(a(1), local(1, 2)),
        alu(AluOp::Add, Dst::to(a(1)), a(1), Source::Imm(2)),
        copy(local(1, 2), a(1)),
        immed(local(1, 4), 1 << 4),
        immed(local(1, 6), 5),
    ];
    let (mut bench, _) = bench(Firmware::default(), &[], &[&program[..], &verdict(0x11)].concat());
    let (_, outcome) = one(&mut bench, TaskKind::Program);
    assert_eq!(bench.packet(&outcome.vector), [3, 4, 5, 6, 7, 8]);
    assert_eq!(outcome.vector.queue(), Some(5));
    assert_eq!(PacketVector::new(8, 4, HEADROOM).queue(), None);
}

fn spec(ty: MapType, key_size: u32, value_size: u32) -> MapSpec {
    MapSpec { name: "m".to_owned(), ty, key_size, value_size, max_entries: 64, flags: 0, ..MapSpec::default() }
}

/// A program that calls a map helper with `key` on its stack and `value` behind it, and passes.
fn call(entry: Entry, table: u16, key: &[u16], value: u16) -> Vec<Op> {
    let mut ops: Vec<_> = key.iter().zip(0..).map(|(word, at)| immed(local(0, at), *word)).collect();
    ops.push(immed(local(0, 7), value));
    ops.push(alu(AluOp::Add, Dst::to(a(1)), a(22), Source::Imm(28)));
    ops.push(set_pointer(Csr::LM_ADDR2, a(1)));
    ops.extend([immed(a(8), 0), immed(a(9), 0), nop()]);
    let back = layout().start + ops.len() as u16 + 3;
    ops.extend([branch(door(entry), 2), immed(a(0), table), immed(b(0), back)]);
    // The result, where the test finds it in the end.
    ops.extend([copy(local(1, 1), a(0)), copy(local(1, 3), b(1)), copy(local(1, 5), a(5))]);
    ops.extend(verdict(0x11));
    ops
}

/// R0 as [`call`] leaves it in the packet vector.
fn r0(outcome: &Outcome) -> u64 {
    let words = outcome.vector.words;
    assert_eq!(words[5], 0xdead_0005, "firmware leaves nothing of use in R2");
    u64::from(words[3]) << 32 | u64::from(words[1])
}

#[test]
fn map_helpers_do_what_the_maps_do() {
    let maps = [spec(MapType::HASH, 8, 4), spec(MapType::ARRAY, 4, 4)];
    let firmware = Firmware::default;
    let (mut bench, tables) = bench(firmware(), &maps, &call(Entry::MapUpdate, 1, &[7, 9], 0x1234));
    let mut result = |ops: Vec<Op>| {
        bench.load(&words(&ops)).expect("room");
        let (_, outcome) = one(&mut bench, TaskKind::Program);
        let value = bench.memories.user_lookup(tables[0], &[7, 0, 0, 0, 9, 0, 0, 0]);
        (r0(&outcome), value)
    };
    let here = Ok(vec![0x34, 0x12, 0, 0]);
    assert_eq!(result(call(Entry::MapLookup, 1, &[7, 9], 0)), (0, Err(Errno::ENOENT)));
    assert_eq!(result(call(Entry::MapUpdate, 1, &[7, 9], 0x1234)), (0, here.clone()));
    let (address, _) = result(call(Entry::MapLookup, 1, &[7, 9], 0));
    assert_eq!(result(call(Entry::MapLookup, 1, &[7, 8], 0)), (0, here));
    assert_eq!(result(call(Entry::MapDelete, 1, &[7, 9], 0)), (0, Err(Errno::ENOENT)));
    let (error, _) = result(call(Entry::MapDelete, 1, &[7, 9], 0));
    assert_eq!(error, Errno::ENOENT.as_return());
    assert_eq!(result(call(Entry::MapDelete, 2, &[7], 0)).0, Errno::EINVAL.as_return(), "arrays have no delete");
    // The island of external memory in the high byte, the byte in the low half.
    assert_eq!(address >> 32, 24 << 24);
    assert!(address as u32 >= 1 << 20, "{address:#x} is in the maps' part of the memory");
}

/// What a look-up of `key` accesses, as the map itself tells.
fn accesses(bench: &Bench, table: TableId, key: &[u8]) -> (u64, Vec<bpf::maps::Access>) {
    let card_map = bench.memories.maps().get(table).expect("it was created");
    let map: &Map = card_map.map();
    let mut region = vec![0; map.region_size() as usize];
    let place = card_map.place();
    bench.memories.store(place.memory, 0).read(place.base, &mut region);
    let mut log = AccessLog::new();
    map.lookup(&mut bpf::maps::Linear(&mut region), &mut log, 0, key).expect("the key is there");
    (place.base, log.accesses().to_vec())
}

#[test]
fn a_look_up_takes_its_round_trips_one_after_the_other() {
    let firmware = Firmware {
        map: MapRoutine {
            before: routine(&[run(4)]),
            per_key_word: 3,
            enter: routine(&[touch(MemoryKind::Emem, TouchKind::Atomic, true)]),
            per_access: 6,
            after: routine(&[touch(MemoryKind::Emem, TouchKind::Write, false), run(2)]),
            ..MapRoutine::default()
        },
        ..Firmware::default()
    };
    let (mut bench, tables) = bench(firmware, &[spec(MapType::HASH, 8, 4)], &call(Entry::MapLookup, 1, &[7, 9], 0));
    let key = [7, 0, 0, 0, 9, 0, 0, 0];
    bench.memories.user_update(tables[0], &key, &[1, 2, 3, 4], 0).expect("room");
    let (base, accesses) = accesses(&bench, tables[0], &key);
    let (_, outcome) = one(&mut bench, TaskKind::Program);
    assert_ne!(r0(&outcome), 0);
    let arrivals = bench.arrivals.take().expect("they were asked for");
    // The descriptor, the lock, the accesses of the map, the release.
    assert_eq!(arrivals.len(), 1 + 1 + accesses.len() + 1);
    assert_eq!((arrivals[0].action, arrivals[0].bytes), (Action::Map, 24));
    assert_eq!(bench.memories.addresses().memory(arrivals[0].engine).0, MemoryKind::Imem);
    let of_map = &arrivals[2..2 + accesses.len()];
    for (arrival, access) in of_map.iter().zip(&accesses) {
        assert_eq!(access.kind, AccessKind::Read);
        assert_eq!(arrival.action, Action::Touch(TouchKind::Read));
        assert_eq!((arrival.offset, u32::from(arrival.bytes)), (base + u64::from(access.off), access.len));
    }
    // A dependent access leaves when the one before is back: 50 ns there and back, four cycles to wake, and the
    // instructions between them that the wait does not hide.
    for (pair, access) in of_map.windows(2).zip(&accesses[1..]) {
        let apart = pair[1].at.since(pair[0].at);
        assert_eq!(apart >= Time::from_ns(50), access.dependent, "{apart} apart");
    }
    assert!(accesses.iter().any(|access| access.dependent), "a hash map's entry is found through its bucket");
}

#[test]
fn long_values_are_written_by_several_commands() {
    let (mut bench, tables) =
        bench(Firmware::default(), &[spec(MapType::ARRAY, 4, 300)], &call(Entry::MapUpdate, 1, &[5], 0x77));
    let (_, outcome) = one(&mut bench, TaskKind::Program);
    assert_eq!(r0(&outcome), 0);
    let value = bench.memories.user_lookup(tables[0], &[5, 0, 0, 0]).expect("the index is good");
    assert_eq!(value[..4], [0x77, 0, 0, 0]);
    let bytes: Vec<_> = bench.arrivals.iter().flatten().skip(1).map(|arrival| arrival.bytes).collect();
    assert_eq!(bytes, [128, 128, 44]);
}

#[test]
fn traps_are_named_with_their_place() {
    let start = layout().start;
    let wide = |high, low| Address::wide(b(high), a(low));
    let packet = || Address::sum(a(18), Source::Imm(0));
    let cases: Vec<(Vec<Op>, u16, TrapKind)> = vec![
        (vec![branch(9000, 0)], 9000, TrapKind::OutsideCode),
        (vec![nop()], start + 1, TrapKind::OutsideCode),
        (
            vec![immed_high(b(1), 0x100), read32(0, wide(1, 2), 1, Completion::wait(1))],
            start + 1,
            TrapKind::BadAddress { address: 1 << 32, bytes: 4 },
        ),
        (
            vec![
                immed(a(18), 0xffff),
                alu(AluOp::Or, Dst::to(a(18)), a(18), Source::Imm(0)),
                read32(0, packet(), 2, Completion::POSTED),
                immed_high(a(18), 4),
                read32(0, packet(), 2, Completion::POSTED),
            ],
            start + 4,
            TrapKind::BadAddress { address: 0x4_0000, bytes: 8 },
        ),
        (
            vec![immed(a(1), 4096), set_pointer(Csr::LM_ADDR3, a(1)), nop(), nop(), nop(), copy(a(2), local(3, 0))],
            start + 5,
            TrapKind::LocalMemory { address: 4096 },
        ),
        (vec![branch(start, 0)], start, TrapKind::Budget { limit: 1_000_000 }),
        (
            vec![branch(door(Entry::MapLookup), 2), immed(a(0), 3), immed(b(0), 0)],
            door(Entry::MapLookup),
            TrapKind::BadMap { table: 3 },
        ),
        (verdict(0x80).to_vec(), door(Entry::Done), TrapKind::NoAction { result: 0x80_0000 }),
        (vec![read32(62, packet(), 3, Completion::POSTED)], start, TrapKind::TransferRegisters { first: 62, count: 3 }),
        (
            vec![
                nic_model::isa::CtxArb {
                    wait: nic_model::isa::Wait::All(1 << 4),
                    resume: nic_model::isa::Resume(None),
                    defer: 0,
                }
                .into(),
            ],
            start,
            TrapKind::Deadlock { signals: 1 << 4 },
        ),
    ];
    for (program, pc, kind) in cases {
        let (mut bench, _) = bench(firmware(), &[], &program);
        let (_, outcome) = one(&mut bench, TaskKind::Program);
        let Fate::Trapped(trap) = outcome.fate else { panic!("{kind}: {outcome:?}") };
        assert_eq!((trap.kind, trap.pc), (kind, pc));
        assert_eq!((trap.core.0, trap.context), (0, ContextId(0)));
        assert_eq!(memories(&bench).last(), Some(&MemoryKind::Imem), "{kind}: the epilogue of a drop frees the packet");
        assert_eq!(bench.cores[0].counters().traps, 1);
        // The context takes the next packet.
        bench.load(&words(&verdict(0x11))).expect("room");
        let (_, next) = one(&mut bench, TaskKind::Program);
        assert!(matches!(next.fate, Fate::Verdict(_)), "{next:?}");
    }
}

#[test]
fn a_word_that_is_no_instruction_traps_when_it_is_executed() {
    let mut program = words(&[nop(), nop()]);
    program.extend(words(&verdict(0x11)));
    program[1] ^= 1;
    let (mut bench, _) = bench(firmware(), &[], &[]);
    bench.load(&program).expect("room");
    let (_, outcome) = one(&mut bench, TaskKind::Program);
    let Fate::Trapped(trap) = outcome.fate else { panic!("{outcome:?}") };
    assert_eq!((trap.kind, trap.pc), (TrapKind::Undecodable { word: program[1] }, layout().start + 1));
    assert_eq!(trap.to_string(), format!("core 0 context 0 at 0x0101: undecodable word {:#x}", program[1]));
}

#[test]
fn programs_that_do_not_fit_are_refused() {
    let (mut bench, _) = bench(firmware(), &[], &[]);
    let refusal = bench.load(&vec![0; 8001]).expect_err("there are 8000 words");
    assert_eq!((refusal.code, refusal.actual.as_deref()), ("program-too-long", Some("8001 words")));
}

#[test]
fn random_numbers_are_recorded_with_their_packet() {
    let read = nic_model::isa::CsrRead { csr: Csr::RANDOM, idle: nic_model::isa::Idle::Zero };
    let program = [read.into(), immed(a(1), 0), copy(local(1, 1), a(1))];
    let (mut bench, _) = bench(Firmware::default(), &[], &[&program[..], &verdict(0x11)].concat());
    bench.cores[0].start_random_log();
    let (_, outcome) = one(&mut bench, TaskKind::Program);
    assert_eq!(bench.cores[0].take_random_log(), [(outcome.packet, outcome.vector.words[1])]);
    assert_eq!(bench.cores[0].take_random_log(), []);
    assert_eq!(bench.cores[0].gpr(ContextId(0), Bank::A, 1), outcome.vector.words[1]);
}
