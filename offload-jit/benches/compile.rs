//! Translation in both modes; throughput is counted in BPF slots. The load balancer, and straight programs of up to 100,000
//! slots, whose time per slot must stay what it is for 4,000 but for a logarithm.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use bpf::facts::Facts;
use bpf::insn::Dialect;
use bpf::insn::asm::assemble;
use bpf::object::Object;
use bpf::program::{ProgType, Program};
use bpf::verifier::{self, Options, VerifiedProgram};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nic_model::profile::{self, Capabilities};
use offload_jit::{Mode, judge};

/// Slots of the programs that are made.
const SIZES: [usize; 4] = [1_000, 4_000, 10_000, 100_000];

/// What a program is made of: packet bytes, the stack, arithmetic of both widths, shifts, a branch.
const PART: &str = "r3 = *(u32 *)(r6 + 4)\nr4 = *(u16 *)(r6 + 12)\nr3 += r4\nr4 <<= 7\nr3 ^= 12345678\nw4 &= 255\n\
                    *(u64 *)(r10 - 16) = r3\nr5 = *(u64 *)(r10 - 16)\nr5 >>= 3\nif r5 > r4 goto +1\nr5 = 0\n\
                    *(u8 *)(r6 + 20) = r5\nw3 = w5\nr3 |= 64\nr0 = 2\nr9 = r3\n";

fn verified(program: Program) -> VerifiedProgram {
    let options = Options { device_bound: true, ..Options::default() };
    verifier::verify(program, &options).accepted().expect("the program is good")
}

/// A program of about so many slots.
fn long(slots: usize) -> VerifiedProgram {
    let start = "r6 = *(u32 *)(r1 + 0)\nr7 = *(u32 *)(r1 + 4)\nr8 = r6\nr8 += 40\nr0 = 1\nif r8 <= r7 goto +1\nexit\n";
    let parts = slots / PART.lines().count();
    let text = [start, &PART.repeat(parts), "exit\n"].concat();
    let insns = assemble(&text, "long", Dialect::Mc, &()).expect("it is an assembler's text");
    verified(Program::from_insns("long", ProgType::Xdp, insns, Vec::new()))
}

/// What a card takes. A program too long for its code store is refused in the end, when the work is done.
fn card(name: &str) -> Capabilities {
    profile::builtin(name).expect("it comes with the project").capabilities
}

fn translate(criterion: &mut Criterion) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/programs/l4lb.bpf.o");
    let bytes = std::fs::read(path).expect("the object is committed");
    let balancer = Object::parse(&bytes).and_then(|object| object.program(None, None)).expect("the object is good");
    let programs = [("l4lb".to_owned(), verified(balancer))];
    let made = SIZES.map(|slots| (slots.to_string(), long(slots)));
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(10).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    for (name, program) in programs.iter().chain(&made) {
        let facts = Facts::of(program);
        group.throughput(Throughput::Elements(program.program().insns.len() as u64));
        for (mode, card) in [(Mode::Driver, card("agilio-cx-2x40")), (Mode::Best, card("open-npu"))] {
            group.bench_function(BenchmarkId::new(mode.id(), name), |b| {
                b.iter(|| judge(black_box(program), &facts, &card, mode));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, translate);
criterion_main!(benches);
