//! Random traffic through a card: every packet has exactly one end, whatever happens, and the same one every time.

use crate::device_world;

use device_world::{Left, World};
use nic_model::des::Time;
use nic_model::device::PortId;
use nic_model::profile::{CardProfile, builtin, builtin_value, from_value};
use nic_model::yaml::{Value, set};
use proptest::prelude::*;

/// A program is a verdict, a trap or nothing: what programs compute is the business of the core's tests.
#[derive(Debug, Clone, Copy)]
enum Program {
    None,
    Verdict(u16),
    Trap,
}

#[derive(Debug, Clone)]
struct Traffic {
    from_wire: Vec<(u64, bool, usize)>,
    from_host: Vec<(u64, u16, usize)>,
    buffers: u32,
    refill: bool,
    rx_buffer: u64,
    program: Program,
    one_port: bool,
}

fn program() -> impl Strategy<Value = Program> {
    prop_oneof![
        Just(Program::None),
        prop::sample::select(vec![0x11, 0x22, 0x44, 0x82, 0x00, 0x42]).prop_map(Program::Verdict),
        Just(Program::Trap),
    ]
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 60usize..70, 2 => 60usize..1_515, 1 => 0usize..9_400]
}

fn traffic() -> impl Strategy<Value = Traffic> {
    // Gaps in ns: bursts at one instant, line rate, quiet.
    let gap = || prop_oneof![2 => Just(0u64), 3 => 1u64..40, 1 => 1_000u64..20_000];
    (
        prop::collection::vec((gap(), any::<bool>(), size()), 0..400),
        prop::collection::vec((gap(), 0u16..4, size()), 0..100),
        0u32..100,
        any::<bool>(),
        prop::sample::select(vec![256u64, 2_048, 10_000]),
        program(),
        any::<bool>(),
    )
        .prop_map(|(from_wire, from_host, buffers, refill, rx_buffer, program, one_port)| Traffic {
            from_wire,
            from_host,
            buffers,
            refill,
            rx_buffer,
            program,
            one_port,
        })
}

/// The Agilio with everything scarce: two cores, few buffers, short queues, a window that is soon full.
fn scarce() -> CardProfile {
    let mut tree = builtin_value("agilio-cx-2x40").unwrap();
    for (path, value) in [
        ("cores", Value::from(2)),
        ("islands", Value::from(2)),
        ("packet_buffers.bytes", Value::from("8 KiB")),
        ("packet_buffers.host", Value::from(2)),
        ("mac.rx_fifo", Value::from("12 KiB")),
        ("egress.queue", Value::from(6)),
        ("reorder.window", Value::from(12)),
        ("dma.reads", Value::from(3)),
    ] {
        set(&mut tree, path, value).unwrap();
    }
    from_value(tree).unwrap()
}

fn run(card: CardProfile, traffic: &Traffic) -> World {
    let mut world = World::new(card, 2, traffic.rx_buffer, traffic.buffers);
    if !traffic.refill {
        world.host.refill = None;
    }
    let ports: &[PortId] = if traffic.one_port { &[PortId(1)] } else { &[PortId(0), PortId(1)] };
    match traffic.program {
        Program::None => {}
        Program::Verdict(result) => world.device.attach(ports, &device_world::verdict(result)).unwrap(),
        Program::Trap => world.device.attach(ports, &[1]).unwrap(),
    }
    let mut at = Time::from_us(5);
    for (i, (gap, port, len)) in traffic.from_wire.iter().enumerate() {
        at += Time::from_ns(*gap);
        world.offer(at, u8::from(*port), i as u64, vec![i as u8; *len]);
    }
    at = Time::from_us(5);
    for (i, (gap, queue, len)) in traffic.from_host.iter().enumerate() {
        at += Time::from_ns(*gap);
        world.send(at, *queue, 10_000 + i as u64, vec![i as u8; *len]);
    }
    world.run(Time::from_us(1_000_000));
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn every_packet_has_one_end(traffic in traffic(), plenty: bool) {
        let card = if plenty { builtin("agilio-cx-2x40").unwrap() } else { scarce() };
        let world = run(card, &traffic);
        world.assert_conserved();
        // Frames leave a port one after the other, and those of one stream in the order they came.
        for port in [PortId(0), PortId(1)] {
            let mut free = Time::ZERO;
            let mut last_id = 0;
            for (id, left) in &world.left {
                let Left::Wire { port: p, first_bit, last_bit, bytes } = left else { continue };
                if *p != port {
                    continue;
                }
                prop_assert!(*first_bit >= free && bytes.len() >= 60);
                free = *last_bit;
                if id.0 < 10_000 {
                    prop_assert!(id.0 >= last_id);
                    last_id = id.0;
                }
            }
        }
    }

    #[test]
    fn a_run_repeats(traffic in traffic()) {
        let (first, second) = (run(scarce(), &traffic), run(scarce(), &traffic));
        prop_assert_eq!(first.left, second.left);
    }
}
