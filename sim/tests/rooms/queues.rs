//! The receive queue that a program on the card chooses is the host's ring that its packets come to.

use std::path::Path;
use std::process::Command;

use nic_model::des::{Component, EventQueue, Kept, Priority, Source, Time};
use nic_model::device::{CardToHost, Device, Frame, HostToCard, In, Inner, Out, PacketId, PortId, QueueId};
use offload_jit::Mode;
use sim::card;
use sim::scenario::Scenario;
use sim::traffic::{Record, TraceReader};

const QUEUES: u16 = 4;

fn scenarios() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

/// The first frames of the project's trace.
fn frames(count: usize) -> Vec<Vec<u8>> {
    let mut reader = TraceReader::open(&scenarios().join("traces/mixed.pcap")).expect("the trace opens");
    let (mut frames, mut record) = (Vec::new(), Record::default());
    while frames.len() < count && reader.next_into(&mut record).expect("the trace is sound") {
        frames.push(record.bytes.clone());
    }
    frames
}

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
    let scenario = Scenario::load(&scenarios().join("pick.yaml")).expect("the scenario is sound");
    let frames = frames(400);
    let wanted: Vec<u16> = frames.iter().enumerate().map(|(id, bytes)| expected(id, bytes)).collect();
    for ring in 0..QUEUES {
        assert!(wanted.iter().filter(|wanted| **wanted % QUEUES == ring).count() > 10, "the trace has some for each");
    }
    for mode in [Mode::Driver, Mode::Best] {
        let mut device = card::device(&scenario.nic, QUEUES, 1, Source(0)).expect("the card has so many");
        card::offload(&mut device, &scenario.programs["pick"], mode).expect("it is sound").expect("the card takes it");
        assert_eq!(rings(device, &frames), wanted, "{mode:?}");
    }
}

#[test]
fn only_a_card_takes_who_chooses() {
    let text = std::fs::read_to_string(scenarios().join("pick.yaml")).expect("the scenario is there");
    let absolute = format!("{}/", scenarios().display());
    let text = text.replace("pcap: ", &format!("pcap: {absolute}")).replace("object: ", &format!("object: {absolute}"));
    let run = |text: &str| {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        std::fs::write(directory.path().join("case.yaml"), text).expect("the directory can be written");
        let sim = Command::new(env!("CARGO_BIN_EXE_sim"))
            .current_dir(directory.path())
            .args(["run", "case.yaml", "--quiet"])
            .output()
            .expect("the tool runs");
        (sim.status.code(), String::from_utf8_lossy(&[sim.stdout, sim.stderr].concat()).into_owned())
    };
    let (code, said) = run(&text.replace("hash: {queues: 4}", "native: {attach: {xdp-native: pick}}"));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the program chooses the receive queue, which only programs for a card may"), "{said}");
    // A card that does not select queues says so.
    let narrow = "nic: {profile: agilio-cx-2x40, set: {capabilities.queue_select: false}}";
    let (_, said) = run(&text.replace("nic: agilio-cx-2x40", narrow));
    assert!(said.contains("rx_queue_index"), "{said}");
}
