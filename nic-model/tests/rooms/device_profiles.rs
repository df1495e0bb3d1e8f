//! Whatever a user writes into a card profile: a diagnostic, or a card that runs.

use crate::device_world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use device_world::{World, verdict};
use nic_model::des::{Source, Time};
use nic_model::device::{Device, HostSetup, PortId};
use nic_model::profile::{builtin, builtin_value, from_value};
use nic_model::quantity::Bytes;
use nic_model::yaml::{Value, set};

/// Values at the ends of what each kind of value can be.
fn extremes() -> Vec<Value> {
    let numbers = [0u64, 1, 3, 65_535, u64::from(u32::MAX), u64::MAX];
    let texts = ["0 ps", "1 ps", "213 s", "18000000 s", "0 B", "1 B", "64 KiB", "16777215 TiB", "1 Hz", "18 GHz"];
    let rates = ["0 bps", "1 bps", "18000000 Tbps", "0 pps", "1 pps", "18000000 Gpps"];
    let steps = |step: &str| {
        let text = format!("- {step}\n- {step}\n");
        nic_model::yaml::parse_value("steps", &text).expect("it is YAML").0
    };
    let routines = [
        steps("run: {instructions: 4294967295}"),
        steps(
            "command: {memory: emem, kind: write, place: {shared: {offset: 18446744073709551615}}, bytes: 65535, wait: true}",
        ),
        steps(
            "command: {memory: cls, kind: read, place: {striped: {offset: 0, stride: 4294967295, slots: 0}}, bytes: 0, wait: false}",
        ),
        steps("command: {memory: ctm, kind: atomic, place: {packet: {offset: 4294967295}}, bytes: 64, wait: true}"),
    ];
    numbers
        .map(Value::from)
        .into_iter()
        .chain(texts.map(Value::from))
        .chain(rates.map(Value::from))
        .chain(routines)
        .collect()
}

#[test]
fn no_value_of_a_profile_breaks_the_card() {
    let base = builtin_value("agilio-cx-2x40").unwrap();
    let (mut taken, mut refused, mut broken) = (0, 0, Vec::new());
    for place in builtin("agilio-cx-2x40").unwrap().provenance() {
        for value in extremes() {
            let mut tree = base.clone();
            set(&mut tree, &place.path, value.clone()).unwrap();
            let Ok(card) = from_value(tree) else {
                refused += 1;
                continue;
            };
            let host = HostSetup { queues: 1, rx_buffer: Bytes(2_048) };
            if Device::new(card.clone(), host, 1, Source(0)).is_err() {
                refused += 1;
                continue;
            }
            taken += 1;
            let run = || {
                let mut world = World::new(card, 1, 2_048, 16);
                // A card may be too small for a program of two words, and then runs without.
                let _ = world.device.attach(&[PortId(0)], &verdict(0x11));
                for i in 0..40 {
                    world.offer(
                        Time::from_ns(5_000 + 100 * i),
                        0,
                        i,
                        vec![i as u8; if i % 8 == 0 { 1_514 } else { 60 }],
                    );
                }
                world.send(Time::from_us(6), 0, 1_000, vec![0; 60]);
                world.run(Time::from_us(1_000));
            };
            if catch_unwind(AssertUnwindSafe(run)).is_err() {
                broken.push(format!("{}: {value:?}", place.path));
            }
        }
    }
    assert!(
        broken.is_empty(),
        "{} of {taken} cards panicked, {refused} were refused:\n{}",
        broken.len(),
        broken.join("\n")
    );
    assert!(taken > 200 && refused > 1_000, "{taken} {refused}");
}
