//! Speed of the core: instructions of a burst, and whole packets through cores, memories and events.

#[path = "../tests/bench/mod.rs"]
mod bench;

use bench::asm::{a, alu, b, branch, copy, immed, local, nop, read32, verdict, words};
use bench::{Bench, core_config, door};
use bpf::program::{MapSpec, MapType};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nic_model::core::{ContextId, CoreCosts};
use nic_model::des::Time;
use nic_model::firmware::{Entry, Firmware, MapRoutine, Place, Routine, Step};
use nic_model::isa::*;
use nic_model::memory::{EngineTiming, MemoryKind, TouchKind};

const COSTS: CoreCosts =
    CoreCosts { instruction: 1, branch: 3, branch_bit: 3, jump: 3, switch: 0, wake: 4, pull: 8, command_queue: 8 };

const fn ns(n: u64) -> Time {
    Time::from_ns(n)
}

const TIMING: EngineTiming = EngineTiming {
    request: ns(25),
    read: ns(40),
    write: ns(50),
    atomic: ns(60),
    response: ns(25),
    service: Time::from_ps(1250),
    atomic_service: ns(4),
    beat: Time::from_ps(1250),
};

/// What fills a program: the mix that the driver's words show, roughly.
fn filler(n: usize, start: u16) -> Vec<Op> {
    let mut ops = Vec::new();
    for i in 0..n {
        let (d, s) = ((2 + i % 8) as u8, (4 + i % 5) as u8);
        ops.push(match i % 10 {
            0 | 3 => alu(AluOp::Add, Dst::both(d), a(d), b(s)),
            1 => alu(AluOp::AddCarry, Dst::both(d), a(d), Source::Imm(0)),
            2 | 7 => immed(a(s), 0),
            4 => alu(AluOp::And, Dst::both(d), b(s), Source::Imm(0xff)),
            5 => ShfMove {
                op: ShiftMove::Copy,
                dst: Dst::both(d),
                rhs: One::new(b(s), Idle::Zero),
                shift: Shift::Left(4),
                cc: CondCodes::Set,
                predicate: false,
            }
            .into(),
            6 => LdField {
                merge: Merge::new(Dst::both(d), Source::Reg(Reg::Xfer(1))).expect("a destination"),
                bytes: 3,
                shift: Shift::Rotate(16),
                cc: LoadCc::Keep,
                predicate: false,
            }
            .into(),
            8 => alu(AluOp::Sub, Dst::NONE, a(d), b(s)),
            _ => BrCond { cond: Cond::Eq, known: Known::Late, to: CodeAddress(start + i as u16 + 1), defer: 0 }.into(),
        });
    }
    ops
}

fn read_packet(offset: u8, words: u8) -> Op {
    read32(0, Address::sum(a(18), Source::Imm(offset)), words, Completion::wait(1))
}

/// About `n` instructions, two reads of the packet, and a look-up and a read of its value if there is a map.
fn program(n: usize, lookup: bool) -> Vec<u64> {
    let start = bench::layout().start;
    let mut ops = vec![copy(a(18), local(1, 2)), read_packet(0, 4)];
    ops.extend(filler(n / 2, start + 2));
    ops.push(read_packet(16, 8));
    if lookup {
        let back = start + ops.len() as u16 + 6;
        ops.push(alu(AluOp::And, Dst::to(a(10)), Reg::Xfer(0), Source::Imm(63)));
        ops.extend([copy(local(0, 0), Reg::Xfer(0)), nop()]);
        ops.extend([branch(door(Entry::MapLookup), 2), immed(a(0), 1), immed(b(0), back)]);
        ops.push(read32(0, Address::wide(b(1), a(0)), 2, Completion::wait(1)));
    }
    let at = start + ops.len() as u16;
    ops.extend(filler(n - n / 2, at));
    ops.extend(verdict(0x22));
    words(&ops)
}

fn firmware() -> Firmware {
    let run = |instructions| Step::Run { instructions };
    let touch =
        |memory, kind, wait| Step::Command { memory, kind, place: Place::Packet { offset: 0 }, bytes: 32, wait };
    let steps = |steps: &[Step]| Routine { steps: steps.to_vec() };
    Firmware {
        receive: steps(&[
            run(20),
            touch(MemoryKind::Ctm, TouchKind::Read, true),
            run(40),
            touch(MemoryKind::Cls, TouchKind::Read, true),
            run(38),
        ]),
        drop: steps(&[
            run(20),
            touch(MemoryKind::Imem, TouchKind::Atomic, false),
            run(10),
            touch(MemoryKind::Ctm, TouchKind::Write, false),
        ]),
        map: MapRoutine {
            before: steps(&[run(20)]),
            per_key_word: 4,
            enter: steps(&[run(10)]),
            per_access: 8,
            after: steps(&[run(20)]),
            ..MapRoutine::default()
        },
        ..Firmware::default()
    }
}

fn card(words: &[u64]) -> Bench {
    let spec = MapSpec {
        name: "m".into(),
        ty: MapType::HASH,
        key_size: 4,
        value_size: 8,
        max_entries: 1024,
        flags: 0,
        ..MapSpec::default()
    };
    let (mut bench, tables) = Bench::new(core_config(0, COSTS), TIMING, firmware(), &[spec]).expect("a card");
    for key in 0..512u32 {
        bench.memories.user_update(tables[0], &key.to_le_bytes(), &[1; 8], 0).expect("room");
    }
    let shapes = bench.memories.maps().shapes();
    bench.cores[0].set_maps(&shapes);
    bench.load(words).expect("room");
    bench
}

/// Keeps all contexts busy until `packets` are done.
fn run(bench: &mut Bench, packets: u64) -> u64 {
    let vectors: Vec<_> =
        (0..4u32).map(|i| bench.put_packet(8 * i, &(i * 77 % 512).to_le_bytes().repeat(30))).collect();
    for (context, vector) in (0..).zip(&vectors) {
        bench.begin(0, context, context.into(), *vector);
    }
    let mut begun = 4;
    let mut done = 0;
    while done < packets {
        assert!(bench.step(), "something happens");
        while let Some((_, ContextId(context), outcome)) = bench.finished.pop() {
            assert!(matches!(outcome.fate, nic_model::core::Fate::Verdict(_)), "{outcome:?}");
            done += 1;
            if begun < packets {
                bench.begin(0, context, begun, vectors[usize::from(context)]);
                begun += 1;
            }
        }
    }
    done
}

fn packets(c: &mut Criterion) {
    let mut group = c.benchmark_group("packets");
    const PACKETS: u64 = 10_000;
    group.throughput(Throughput::Elements(PACKETS)).sample_size(10);
    for (name, n, lookup) in [("drop", 10, false), ("parse of 200", 200, false), ("look-up of 200", 200, true)] {
        let words = program(n, lookup);
        group.bench_function(name, |b| {
            b.iter_batched(|| card(&words), |mut bench| run(&mut bench, PACKETS), criterion::BatchSize::LargeInput)
        });
    }
    group.finish();
}

/// One context, no command: what an instruction costs.
fn instructions(c: &mut Criterion) {
    let mut group = c.benchmark_group("instructions");
    const N: usize = 5_000;
    let mut ops = filler(N, bench::layout().start);
    ops.extend(verdict(0x22));
    let words = words(&ops);
    group.throughput(Throughput::Elements(20 * N as u64));
    let mut bench = card(&words);
    group.bench_function("burst", |b| {
        b.iter(|| {
            for id in 0..20 {
                let vector = bench.put_packet(0, &[0; 64]);
                bench.begin(0, 0, id, vector);
                bench.run();
                bench.finished.clear();
            }
        })
    });
    group.finish();
}

criterion_group!(benches, instructions, packets);
criterion_main!(benches);
