//! How fast a whole card is simulated: packets a second of wall time, small frames at 14 Mpps, one program each.

#![allow(missing_docs, reason = "criterion's macros make functions without")]

#[path = "../tests/device_world/mod.rs"]
mod device_world;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use device_world::{World, verdict, word};
use nic_model::des::Time;
use nic_model::device::PortId;
use nic_model::isa::Nop;
use nic_model::profile::builtin;

const PACKETS: u64 = 10_000;
/// Time from one packet to the next: 14 Mpps.
const GAP: Time = Time::from_ps(71_429);

/// A card with a program of `len` instructions that ends with an action byte.
fn world(len: usize, result: u16) -> World {
    let mut world = World::new(builtin("agilio-cx-2x40").expect("it comes with the project"), 8, 2_048, 4_096);
    let mut program = vec![word(Nop {}); len - 2];
    program.extend(verdict(result));
    world.device.attach(&[PortId(0), PortId(1)], &program).expect("it fits");
    world
}

fn run(mut world: World) -> World {
    let mut at = Time::from_us(5);
    for i in 0..PACKETS {
        world.offer(at, (i % 2) as u8, i, vec![0; 60]);
        if i % 16 == 15 {
            world.run(at);
        }
        at += GAP;
    }
    world.run(Time::NEVER);
    world
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("device");
    group.throughput(Throughput::Elements(PACKETS)).sample_size(20);
    for (name, len, result) in [
        ("drop", 2, 0x22),
        ("200 instructions, drop", 200, 0x22),
        ("200 instructions, send back", 200, 0x44),
        ("200 instructions, pass", 200, 0x11),
    ] {
        group.bench_function(name, |b| b.iter_batched(|| world(len, result), run, BatchSize::PerIteration));
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
