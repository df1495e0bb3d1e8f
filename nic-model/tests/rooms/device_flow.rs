//! A whole card in a small world: where packets go, when, and under which name they are lost.

use crate::device_world;

use device_world::{Left, World, verdict, word};
use nic_model::des::Time;
use nic_model::device::{Fate, HostToCard, LossPlace, PacketId, PortId, QueueId};
use nic_model::isa::{Alu, AluOp, CondCodes, Dst, Immed, ImmedShift, Load, Nop, Pair, Reg, Source};
use nic_model::profile::{CardProfile, builtin, builtin_value, from_value};
use nic_model::yaml::{Value, set};

/// Result words as the Linux driver's epilogue leaves them (action byte in bits 16 to 23).
const PASS: u16 = 0x11;
const DROP: u16 = 0x22;
const TX: u16 = 0x44;
const ABORTED: u16 = 0x82;

fn agilio() -> CardProfile {
    builtin("agilio-cx-2x40").unwrap()
}

fn agilio_with(values: &[(&str, Value)]) -> CardProfile {
    let mut tree = builtin_value("agilio-cx-2x40").unwrap();
    for (path, value) in values {
        set(&mut tree, path, value.clone()).unwrap();
    }
    from_value(tree).unwrap()
}

const BOTH: [PortId; 2] = [PortId(0), PortId(1)];

/// An IPv4 UDP packet of flow `flow`.
fn udp(flow: u64) -> Vec<u8> {
    let mut bytes =
        vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1];
    bytes.extend([198, 18, (flow >> 8) as u8, flow as u8]);
    bytes.extend([(flow >> 8) as u8, 9, 0, 7, 0, 26, 0, 0]);
    bytes.resize(60, 0);
    bytes
}

fn fates(world: &World, fate: Fate) -> usize {
    world.left.iter().filter(|(_, left)| *left == Left::Fate(fate)).count()
}

#[test]
fn without_a_program_packets_go_to_the_host() {
    let mut world = World::new(agilio(), 4, 2_048, 512);
    for i in 0..100 {
        world.offer(Time::from_us(10 + i), (i % 2) as u8, i, udp(i));
    }
    world.run(Time::NEVER);
    world.assert_conserved();
    let mut queues = [0; 8];
    for (id, left) in &world.left {
        let Left::Host { queue, at, bytes } = left else { panic!("{id:?} {left:?}") };
        assert_eq!(bytes, &udp(id.0));
        assert_eq!(u64::from(queue.0 / 4), id.0 % 2, "queues belong to ports");
        queues[usize::from(queue.0)] += 1;
        let latency = *at - Time::from_us(10 + id.0);
        assert!(latency > Time::from_ns(500) && latency < Time::from_us(5), "{latency}");
    }
    assert!(queues.iter().all(|n| *n > 0), "{queues:?}");
}

#[test]
fn verdicts_decide() {
    for (result, expected) in [(DROP, Some(Fate::Dropped)), (ABORTED, Some(Fate::Aborted)), (PASS, None), (TX, None)] {
        let mut world = World::new(agilio(), 1, 2_048, 512);
        world.device.attach(&BOTH, &verdict(result)).unwrap();
        for i in 0..50 {
            world.offer(Time::from_us(5 + i), 1, i, udp(i));
        }
        world.run(Time::NEVER);
        world.assert_conserved();
        for (id, left) in &world.left {
            match (left, expected) {
                (Left::Fate(fate), Some(expected)) => assert_eq!(*fate, expected),
                (Left::Host { queue, bytes, .. }, None) if result == PASS => {
                    assert_eq!((*queue, bytes), (QueueId(1), &udp(id.0)));
                }
                (Left::Wire { port, bytes, .. }, None) if result == TX => {
                    assert_eq!((*port, bytes), (PortId(1), &udp(id.0)));
                }
                other => panic!("{other:?} after {result:#x}"),
            }
        }
    }
}

#[test]
fn a_program_on_one_port_leaves_the_other_alone() {
    let mut world = World::new(agilio(), 1, 2_048, 512);
    world.device.attach(&[PortId(0)], &verdict(DROP)).unwrap();
    for i in 0..10 {
        world.offer(Time::from_us(5 + i), (i % 2) as u8, i, udp(i));
    }
    world.run(Time::NEVER);
    world.assert_conserved();
    assert_eq!((fates(&world, Fate::Dropped), world.device.counts().to_host), (5, 5));
    assert_eq!(world.device.attach(&[PortId(1)], &verdict(TX)).unwrap_err().code, "card-one-program");
    assert_eq!(world.device.attach(&[PortId(2)], &verdict(TX)).unwrap_err().code, "card-no-port");
    assert_eq!(world.device.attach(&BOTH, &vec![0; 2_801]).unwrap_err().code, "program-too-long");
    world.offer(Time::from_us(100), 0, 100, udp(0));
    world.run(Time::from_us(100));
    assert_eq!(world.device.attach(&[PortId(0)], &verdict(DROP)).unwrap_err().code, "card-busy");
}

#[test]
fn frames_no_card_takes_are_lost_by_name() {
    let mut world = World::new(agilio(), 1, 2_048, 512);
    world.device.attach(&BOTH, &verdict(PASS)).unwrap();
    for (id, len) in [(0, 59), (1, 60), (2, 9_235), (3, 9_234), (4, 2_048), (5, 2_049), (6, 0)] {
        world.offer(Time::from_us(10 * (id + 1)), 0, id, vec![id as u8; len]);
    }
    world.run(Time::NEVER);
    world.assert_conserved();
    let fate_of = |id| world.left.iter().find(|(packet, _)| *packet == PacketId(id)).map(|(_, left)| left.clone());
    let lost = |place| Some(Left::Fate(Fate::Lost(place)));
    assert_eq!(fate_of(0), lost(LossPlace::Runt));
    assert_eq!(fate_of(6), lost(LossPlace::Runt));
    assert_eq!(fate_of(2), lost(LossPlace::Oversize));
    assert_eq!(fate_of(3), lost(LossPlace::RxBufferTooSmall));
    assert_eq!(fate_of(5), lost(LossPlace::RxBufferTooSmall));
    assert!(matches!(fate_of(4), Some(Left::Host { bytes, .. }) if bytes == vec![4; 2_048]));
}

#[test]
fn a_jumbo_frame_outgrows_its_buffer_and_stays_whole() {
    let mut world = World::new(agilio(), 1, 10_000, 512);
    world.device.attach(&BOTH, &verdict(TX)).unwrap();
    let jumbo: Vec<u8> = (0..9_014u32).map(|i| (i * 7) as u8).collect();
    world.offer(Time::from_us(10), 0, 0, jumbo.clone());
    world.run(Time::NEVER);
    world.assert_conserved();
    assert!(matches!(&world.left[0].1, Left::Wire { bytes, .. } if *bytes == jumbo));
}

/// A word of the packet vector, which the firmware keeps behind local memory pointer 1.
const fn vector(offset: u8) -> Reg {
    Reg::Local { pointer: 1, offset }
}

/// Changes a word of the packet vector by a constant.
fn change(offset: u8, op: AluOp, by: u8) -> u64 {
    let src = Pair::new(vector(offset), Source::Imm(by));
    word(Alu { op, dst: Dst::to(vector(offset)), src, cc: CondCodes::Set, predicate: false })
}

/// One packet of distinct bytes through a program; what became of it.
fn one_packet(start: &[u64], result: u16, len: usize) -> Left {
    let mut world = World::new(agilio(), 8, 10_000, 512);
    let mut program = start.to_vec();
    program.extend(verdict(result));
    world.device.attach(&BOTH, &program).unwrap();
    world.offer(Time::from_us(10), 0, 0, (0..len).map(|i| (i % 251) as u8).collect());
    world.run(Time::NEVER);
    world.assert_conserved();
    world.left[0].1.clone()
}

#[test]
fn what_a_program_does_to_start_and_length_happens_to_the_frame() {
    let bytes = |range: std::ops::Range<usize>| range.map(|i| (i % 251) as u8).collect::<Vec<u8>>();
    let strip = [change(2, AluOp::Add, 14), change(0, AluOp::Sub, 14)];
    for (len, expected) in [(100, bytes(14..100)), (1_514, bytes(14..1_514)), (9_000, bytes(14..9_000))] {
        assert!(matches!(one_packet(&strip, TX, len), Left::Wire { bytes, .. } if bytes == expected), "{len}");
        assert!(matches!(one_packet(&strip, PASS, len), Left::Host { bytes, .. } if bytes == expected), "{len}");
    }
    // Room in front of the packet, then bytes nobody wrote; a frame is padded on the wire and nowhere else.
    let grow = [change(2, AluOp::Sub, 20), change(0, AluOp::Add, 20)];
    assert!(
        matches!(one_packet(&grow, TX, 100), Left::Wire { bytes: b, .. } if b.len() == 120 && b[20..] == bytes(0..100))
    );
    let shrink = [change(0, AluOp::Sub, 40)];
    assert!(matches!(one_packet(&shrink, PASS, 60), Left::Host { bytes: b, .. } if b == bytes(0..20)));
    assert!(
        matches!(one_packet(&shrink, TX, 60), Left::Wire { bytes: b, .. } if b.len() == 60 && b[..20] == bytes(0..20))
    );
    assert!(matches!(one_packet(&shrink, PASS, 9_000), Left::Host { bytes: b, .. } if b == bytes(0..8_960)));
}

#[test]
fn a_packet_that_leaves_its_buffer_is_lost() {
    let trap = Left::Fate(Fate::Lost(LossPlace::ProgramTrap));
    assert_eq!(one_packet(&[change(2, AluOp::Add, 200)], TX, 60), trap);
    assert_eq!(one_packet(&[change(0, AluOp::Add, 69)], TX, 60), trap);
    assert!(matches!(one_packet(&[change(0, AluOp::Add, 68)], TX, 60), Left::Wire { bytes, .. } if bytes.len() == 128));
    assert_eq!(one_packet(&[change(0, AluOp::Sub, 47)], TX, 60), trap);
    assert_eq!(one_packet(&[change(0, AluOp::Add, 1)], TX, 9_000), trap);
}

#[test]
fn a_program_chooses_the_receive_queue() {
    let choose = |queue: u16| {
        let set = |offset, value| {
            let load = Load { dst: Dst::to(vector(offset)), value };
            word(Immed { load, invert: false, shift: ImmedShift::None, predicate: false })
        };
        one_packet(&[set(4, 1 << 4), set(6, queue)], PASS, 60)
    };
    assert!(matches!(choose(5), Left::Host { queue: QueueId(5), .. }));
    assert!(matches!(choose(0), Left::Host { queue: QueueId(0), .. }));
    // A queue the port does not have is no choice.
    assert!(matches!(choose(8), Left::Host { queue: QueueId(0), .. }));
}

#[test]
fn a_trap_costs_the_packet_and_nothing_else() {
    let mut world = World::new(agilio(), 1, 2_048, 512);
    world.device.attach(&BOTH, &[0x3ff]).unwrap();
    for i in 0..20 {
        world.offer(Time::from_us(5 + i), 0, i, udp(i));
    }
    world.run(Time::NEVER);
    world.assert_conserved();
    assert_eq!(fates(&world, Fate::Lost(LossPlace::ProgramTrap)), 20);
    assert_eq!(world.device.traps().len(), 16, "the first traps are kept");
}

#[test]
fn without_receive_buffers_packets_are_lost_by_name() {
    let mut world = World::new(agilio(), 1, 2_048, 10);
    world.host.refill = None;
    for i in 0..25 {
        world.offer(Time::from_us(20 + i), 0, i, udp(i));
    }
    world.run(Time::NEVER);
    world.assert_conserved();
    assert_eq!(fates(&world, Fate::Lost(LossPlace::NoRxDescriptor)), 15);
    assert_eq!(world.device.counts().to_host, 10);
}

#[test]
fn a_full_transmit_queue_loses_by_name() {
    // What comes in at two ports' rate of small frames leaves by one slow line.
    let card = agilio_with(&[("mac.rate", Value::from("40 Gbps")), ("egress.queue", Value::from(4))]);
    let mut world = World::new(card, 1, 2_048, 0);
    world.device.attach(&BOTH, &verdict(TX)).unwrap();
    for i in 0..200 {
        world.offer(Time::from_us(10), 0, i, vec![0; 1_514]);
    }
    world.run(Time::NEVER);
    world.assert_conserved();
    assert!(fates(&world, Fate::Lost(LossPlace::TxQueueFull)) > 0);
    assert!(fates(&world, Fate::Lost(LossPlace::MacRxFifo)) > 0);
}

#[test]
fn slow_cores_fill_the_buffers_and_that_is_the_name() {
    let card = agilio_with(&[("cores", Value::from(1)), ("islands", Value::from(1)), ("clock", Value::from("20 MHz"))]);
    let mut world = World::new(card, 1, 2_048, 0);
    world.device.attach(&BOTH, &verdict(DROP)).unwrap();
    world.line_rate(0, 0, 4_000, 64, udp);
    world.run(Time::NEVER);
    world.assert_conserved();
    assert!(fates(&world, Fate::Lost(LossPlace::NoPacketBuffer)) > 1_000);
    assert_eq!(fates(&world, Fate::Lost(LossPlace::MacRxFifo)), 0);
}

#[test]
fn packets_leave_a_port_in_the_order_they_came() {
    let mut world = World::new(agilio(), 1, 2_048, 0);
    world.device.attach(&BOTH, &verdict(TX)).unwrap();
    // Sizes that differ much, so that later ones would be done earlier.
    for i in 0..2_000u64 {
        let len = if i % 3 == 0 { 1_514 } else { 60 };
        world.offer(Time::from_ns(10_000 + 200 * i), 0, i, vec![i as u8; len]);
    }
    world.run(Time::NEVER);
    world.assert_conserved();
    let order: Vec<u64> = world.left.iter().map(|(id, _)| id.0).collect();
    assert_eq!(order, (0..2_000).collect::<Vec<_>>());
    let mut free = Time::ZERO;
    for (_, left) in &world.left {
        let Left::Wire { first_bit, last_bit, .. } = left else { panic!("{left:?}") };
        assert!(*first_bit >= free);
        free = *last_bit;
    }
}

#[test]
fn the_hosts_frames_are_sent_and_completed() {
    let mut world = World::new(agilio(), 2, 2_048, 0);
    for i in 0..500 {
        world.send(Time::from_us(10), (i % 4) as u16, i, udp(i));
    }
    world.run(Time::NEVER);
    world.assert_conserved();
    for queue in 0..4u64 {
        let port = PortId((queue / 2) as u8);
        let sent: Vec<u64> = world.left.iter().map(|(id, _)| id.0).filter(|id| id % 4 == queue).collect();
        assert!(sent.is_sorted() && sent.len() == 125);
        assert!(world.left.iter().all(|(id, left)| {
            id.0 % 4 != queue || matches!(left, Left::Wire { port: p, bytes, .. } if *p == port && *bytes == udp(id.0))
        }));
        assert_eq!(world.host.completed[&QueueId(queue as u16)], 125);
    }
    assert_eq!(world.device.counts().from_host, 500);
}

#[test]
fn an_armed_interrupt_follows_the_packet() {
    let mut world = World::new(agilio(), 1, 2_048, 64);
    let queue = QueueId(0);
    world.say(Time::from_us(5), HostToCard::ArmInterrupt { queue, rx_seen: 0, tx_seen: 0 });
    world.offer(Time::from_us(10), 0, 0, udp(0));
    world.offer(Time::from_us(11), 0, 1, udp(1));
    world.run(Time::from_us(100));
    let Left::Host { at, .. } = world.left[0].1 else { panic!("{:?}", world.left) };
    assert_eq!(world.host.interrupts.len(), 1);
    assert!(world.host.interrupts[0].0 >= at && world.host.interrupts[0].0 < at + Time::from_ns(500));
    world.say(Time::from_us(200), HostToCard::ArmInterrupt { queue, rx_seen: 1, tx_seen: 0 });
    world.run(Time::NEVER);
    assert_eq!(world.host.interrupts.len(), 2, "the second packet was written before the interrupt was armed");
}

#[test]
fn the_same_world_twice_gives_the_same_bytes() {
    let run = || {
        let mut world = World::new(agilio(), 3, 2_048, 128);
        world.device.attach(&[PortId(0)], &verdict(TX)).unwrap();
        world.line_rate(0, 0, 3_000, 64, udp);
        world.line_rate(1, 10_000, 3_000, 200, udp);
        let end = world.run(Time::NEVER);
        (end, world.events(), world.device.counters(end), world.left)
    };
    assert!(run() == run());
}

/// Throughput of a program at 64-byte line rate on both ports, in packets per second of simulated time.
fn throughput(card: CardProfile, program: &[u64]) -> u64 {
    const COUNT: u64 = 40_000;
    let mut world = World::new(card, 1, 2_048, 0);
    world.device.attach(&BOTH, program).unwrap();
    world.line_rate(0, 0, COUNT, 64, udp);
    world.line_rate(1, COUNT, COUNT, 64, udp);
    let end = world.run(Time::NEVER);
    world.assert_conserved();
    let counts = world.device.counts();
    (counts.dropped + counts.to_wire) * 1_000_000_000_000 / end.ps()
}

/// hXDP (OSDI 2020, final text): XDP_DROP of 64-byte frames at 32 Mpps on the NFP-4000. Fitted, so within 3 %.
#[test]
fn a_drop_reaches_the_published_rate() {
    let rate = throughput(agilio(), &verdict(DROP));
    assert!(rate.abs_diff(32_000_000) < 1_000_000, "{rate} packets/s");
}

/// A vendor's talk of 2017: about 3 Mpps a core for a program that writes and sends back; such a program is 52 words long
/// when the Linux driver translates it. Fitted, so within 10 %.
#[test]
fn a_core_sends_back_at_the_published_rate() {
    let card = agilio_with(&[("cores", Value::from(1)), ("islands", Value::from(1))]);
    let mut program = vec![word(Nop {}); 50];
    program.extend(verdict(TX));
    let rate = throughput(card, &program);
    assert!(rate.abs_diff(3_000_000) < 300_000, "{rate} packets/s");
}
