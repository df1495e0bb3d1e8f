//! The receive queue that a program on the card chooses is the host's ring that its packets come to.

use nic_model::des::{Component, EventQueue, Kept, Priority, Source, Time};
use nic_model::device::{CardToHost, Device, Frame, HostToCard, In, Inner, Out, PacketId, PortId, QueueId};
use offload_jit::Mode;
use sim::card;
use sim::scenario::Scenario;

use crate::support::scenario::{self, scenarios};

const QUEUES: u16 = 4;

/// The ring each frame comes to.
fn rings(mut device: Device, frames: &[Vec<u8>]) -> Vec<u16> {
    enum Event {
        To(In),
        Own(Inner),
    }
    let (mut queue, mut outbox) = (EventQueue::default(), Kept::<Inner, Out>::default());
    let push =
        |queue: &mut EventQueue<Event>, at, event| queue.push(at, Priority::Arrival, Source(60_000), Event::To(event));
    for ring in 0..2 * QUEUES {
        let bell = HostToCard::RxDoorbell { queue: QueueId(ring), count: 512 };
        push(&mut queue, Time::ZERO, In::Pcie(bell));
    }
    for (id, bytes) in (0..).zip(frames) {
        let frame = Frame { id: PacketId(id), bytes: bytes.clone() };
        push(&mut queue, Time::from_us(10 + id), In::Wire { port: PortId((id % 2) as u8), frame });
    }
    let mut found = vec![u16::MAX; frames.len()];
    while let Some((now, event)) = queue.pop() {
        match event {
            Event::To(event) => device.handle(now, event, &mut outbox),
            Event::Own(event) => device.wake(now, event, &mut outbox),
        }
        for wake in outbox.wakes.drain(..) {
            queue.push(wake.at, wake.priority, wake.source, Event::Own(wake.event));
        }
        for (_, out) in outbox.sends.drain(..) {
            match out {
                Out::Pcie { at, message: CardToHost::ReadRxDescriptors { queue: ring, count } } => {
                    push(&mut queue, at, In::Pcie(HostToCard::RxDescriptors { queue: ring, count }));
                }
                Out::Pcie { message: CardToHost::RxPacket { queue: ring, frame, meta }, .. } => {
                    assert_eq!(meta.hash, None, "who chose has no hash");
                    found[frame.id.0 as usize] = ring.0;
                }
                _ => {}
            }
        }
    }
    found
}

/// By the program's own description: IPv4 by the last two bits of its source, all else queue 0; each port has its rings.
fn expected(id: usize, bytes: &[u8]) -> u16 {
    let ipv4 = bytes.len() >= 34 && bytes[12..14] == [8, 0];
    let within = if ipv4 { u16::from(bytes[29]) % QUEUES } else { 0 };
    (id % 2) as u16 * QUEUES + within
}

#[test]
fn packets_come_to_the_ring_that_the_program_chose() {
    let pick = Scenario::load(&scenarios().join("pick.yaml")).expect("the scenario is sound");
    let mut frames = scenario::frames(&scenarios().join("traces/mixed.pcap"));
    frames.truncate(400);
    let wanted: Vec<u16> = frames.iter().enumerate().map(|(id, bytes)| expected(id, bytes)).collect();
    for ring in 0..QUEUES {
        assert!(wanted.iter().filter(|wanted| **wanted % QUEUES == ring).count() > 10, "the trace has some for each");
    }
    for mode in [Mode::Driver, Mode::Best] {
        let mut device = card::device(&pick.nic, QUEUES, 1, Source(0)).expect("the card has so many");
        card::offload(&mut device, &pick.programs["pick"], mode).expect("it is sound").expect("the card takes it");
        assert_eq!(rings(device, &frames), wanted, "{mode:?}");
    }
}

#[test]
fn only_a_card_takes_who_chooses() {
    let run = |change| scenario::run(&scenario::changed("pick", &[change]));
    let refused = run(("hash: {queues: 4}", "native: {attach: {xdp-native: pick}}"));
    let (code, said) = (refused.code(), refused.said());
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the program chooses the receive queue, which only programs for a card may"), "{said}");
    // A card that does not select queues says so.
    let narrow = "nic: {profile: agilio-cx-2x40, set: {capabilities.queue_select: false}}";
    let said = run(("nic: agilio-cx-2x40", narrow)).said();
    assert!(said.contains("rx_queue_index"), "{said}");
}
