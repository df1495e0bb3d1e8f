//! Simulated packets per second of wall time, one core, full timing: programs on the card.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sim::progress::Progress;
use sim::scenario::Scenario;
use sim::simulate;

fn card(c: &mut Criterion) {
    let mut group = c.benchmark_group("offload");
    group.sample_size(10);
    for (file, name) in [("drop.yaml", "drop"), ("quickstart.yaml", "firewall"), ("l4lb.yaml", "l4lb")] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(file);
        let mut scenario = Scenario::load(&path).unwrap_or_else(|d| panic!("{d}"));
        scenario.variants.retain(|v| v.name == "offload");
        scenario.plays[0].repeat = 16;
        group.throughput(Throughput::Elements(scenario.plays[0].packets()));
        group.bench_function(name, |b| {
            b.iter(|| {
                let results = simulate::scenario(black_box(&scenario), 1, &Progress::hidden(), None);
                results.unwrap_or_else(|_| panic!("{name} runs"))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, card);
criterion_main!(benches);
