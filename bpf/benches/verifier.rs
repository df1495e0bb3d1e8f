//! The verifier and the facts on the scenarios' programs.
//!
//! Beside it stands what the running kernel says of the same programs: `bpftool -d prog load` prints
//! `verification time N usec`.

use std::path::Path;

use bpf::facts::Facts;
use bpf::object::Object;
use bpf::verifier::{Options, verify};
use criterion::{Criterion, criterion_group, criterion_main};

fn verifier(c: &mut Criterion) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/programs");
    for name in ["drop", "firewall", "l4lb", "l4lb_tc"] {
        let bytes = std::fs::read(dir.join(format!("{name}.bpf.o"))).expect("the programs are part of the project");
        let program = Object::parse(&bytes).expect("an object").program(None, None).expect("it has one program");
        c.bench_function(&format!("verify {name}"), |b| b.iter(|| verify(program.clone(), &Options::default())));
        let verified = verify(program, &Options::default()).accepted().expect("it is accepted");
        c.bench_function(&format!("facts {name}"), |b| b.iter(|| Facts::of(&verified)));
    }
}

criterion_group!(benches, verifier);
criterion_main!(benches);
