//! Translation of the load balancer for the Agilio; throughput is counted in BPF slots.

use std::hint::black_box;
use std::path::Path;

use bpf::facts::Facts;
use bpf::object::Object;
use bpf::verifier::{self, Options};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nic_model::profile;
use offload_jit::{Mode, compile};

fn translate(criterion: &mut Criterion) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/programs/l4lb.bpf.o");
    let bytes = std::fs::read(path).expect("the object is committed");
    let program = Object::parse(&bytes).and_then(|object| object.program(None, None)).expect("the object is good");
    let slots = program.insns.len() as u64;
    let options = Options { device_bound: true, ..Options::default() };
    let program = verifier::verify(program, &options).accepted().expect("the program is good");
    let facts = Facts::of(&program);
    let card = profile::builtin("agilio-cx-2x40").expect("it comes with the project").capabilities;

    let mut group = criterion.benchmark_group("compile");
    group.throughput(Throughput::Elements(slots));
    group.bench_function("l4lb", |b| b.iter(|| compile(black_box(&program), &facts, &card, Mode::Driver)));
    group.finish();
}

criterion_group!(benches, translate);
criterion_main!(benches);
