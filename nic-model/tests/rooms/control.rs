//! Control messages through a whole card: over PCIe, in time, beside packets.

use bpf::program::{MapSpec, MapType};
use nic_model::control::{Answer, Body, EntryOp, EntryRequest, Request, Slots, Status};
use nic_model::des::Time;
use nic_model::device::{Device, Fate, PortId};
use nic_model::memory::{MemoryKind, TableId};
use nic_model::profile::{CardProfile, builtin};

use crate::device_world::{Left, World, verdict};

fn agilio() -> CardProfile {
    builtin("agilio-cx-2x40").unwrap()
}

fn world(card: CardProfile) -> (World, TableId) {
    let mut world = World::new(card, 1, 2_048, 64);
    let spec = MapSpec { ty: MapType::HASH, key_size: 4, value_size: 4, max_entries: 64, ..MapSpec::default() };
    let table = world.device.memories().create_map(spec, &[]).unwrap();
    (world, table)
}

fn update(tag: u16, table: TableId, n: u8) -> Vec<u8> {
    let entry = EntryRequest::new(EntryOp::Update, table.0, 1, 0, Slots::FIXED, &[n; 4], &[n; 4]);
    Request { tag, body: Body::Entry(entry) }.encode()
}

fn external(device: &mut Device) -> u64 {
    let counters = device.memories().all_counters().find(|(memory, ..)| *memory == MemoryKind::Emem);
    counters.expect("every card has external memory").2.commands()
}

#[test]
fn a_request_crosses_the_link_and_its_answer_too() {
    let (mut world, table) = world(agilio());
    let at = Time::from_us(5);
    world.run(Time::from_us(4));
    let before = external(&mut world.device);
    world.request(at, update(3, table, 7));
    world.run(Time::NEVER);
    let (arrived, bytes) = &world.host.answers[0];
    let Ok((3, Answer::Entry(answer))) = Answer::decode(bytes) else { panic!("{bytes:?}") };
    assert_eq!((answer.status, answer.count, bytes.len()), (Status::SUCCESS, 1, 16 + 128));
    assert_eq!(world.device.memories().user_lookup(table, &[7; 4]), Ok(vec![7; 4]));
    // Doorbell, two reads of some 600 ns each, the work, a write of some 200 ns.
    let took = *arrived - at;
    assert!(took > Time::from_ns(2 * 546 + 200) && took < Time::from_us(10), "{took}");
    assert!(world.host.told[0] >= *arrived, "the interrupt comes behind the message");
    assert!(external(&mut world.device) > before, "the operation's accesses go to its memory");
    let counters = world.device.control_counters();
    assert_eq!((counters.messages, counters.operations), (1, 1));
}

#[test]
fn requests_are_carried_out_in_their_order() {
    let (mut world, table) = world(agilio());
    for tag in 0..40u16 {
        world.request(Time::from_us(5), update(tag, table, (tag % 8) as u8));
    }
    world.run(Time::NEVER);
    let tags: Vec<u16> = world.host.answers.iter().map(|(_, bytes)| Answer::decode(bytes).unwrap().0).collect();
    assert_eq!(tags, (0..40).collect::<Vec<_>>());
    assert!(world.host.answers.is_sorted_by_key(|(at, _)| *at));
    assert_eq!((world.host.told.len(), world.device.memories().user_entries(table).len()), (40, 8));
    // One core does it all: no two answers are closer than an operation's waits.
    let gaps = world.host.answers.windows(2).map(|pair| pair[1].0 - pair[0].0);
    assert!(gaps.min().unwrap() > Time::from_ns(300));
}

#[test]
fn who_asks_for_what_nobody_knows_hears_nothing_and_others_go_on() {
    let (mut world, table) = world(agilio());
    world.request(Time::from_us(5), vec![99, 1, 0, 1]);
    world.request(Time::from_us(5), update(2, table, 1));
    world.run(Time::NEVER);
    assert_eq!(world.host.answers.len(), 1);
    assert_eq!(world.device.control_counters().unanswered, 1);
}

/// The core for messages uses the engines and the link that packets use.
#[test]
fn packets_make_messages_wait() {
    let alone = {
        let (mut world, table) = world(agilio());
        world.request(Time::from_us(20), update(0, table, 1));
        world.run(Time::NEVER);
        world.host.answers[0].0
    };
    // Slow external memory, that the firmware's way to the host writes to for every packet.
    let mut slow = agilio();
    slow.memories.emem.banks.value = 1;
    slow.memories.emem.service.value.0 = 400_000;
    let time = |packets: u64| {
        let (mut world, table) = world(slow.clone());
        world.line_rate(0, 0, packets, 64, |_| vec![0; 60]);
        world.request(Time::from_us(20), update(0, table, 1));
        world.run(Time::NEVER);
        world.assert_conserved();
        world.host.answers[0].0
    };
    let (quiet, busy) = (time(0), time(2_000));
    assert!(quiet >= alone && busy > quiet + Time::from_us(1), "{alone} {quiet} {busy}");
}

/// Result words that drop, and that send back.
const DROP: u16 = 0x22;
const TX: u16 = 0x44;

#[test]
fn a_program_is_replaced_core_after_core_and_every_packet_meets_one() {
    let (mut world, _) = world(agilio());
    assert_eq!(world.replace(&verdict(TX)), Err("card-no-program"));
    world.device.attach(&[PortId(0)], &verdict(DROP)).unwrap();
    // Fewer than the card takes: none is lost for another reason.
    for id in 0..10_000 {
        world.offer(Time::from_ns(1_000 + 40 * id), 0, id, vec![0; 60]);
    }
    world.run(Time::from_us(50));
    assert_eq!(world.replace(&verdict(TX)), Ok(()));
    assert_eq!(world.replace(&verdict(DROP)), Err("card-busy"));
    world.run(Time::NEVER);
    world.assert_conserved();
    let [reload] = world.device.reloads() else { panic!("one replacement") };
    let took = reload.ended.expect("all cores have it") - reload.began;
    // Two words of eight bytes a core, some 580 ns each, fifty cores one after the other.
    assert!(took > Time::from_us(50) && took < Time::from_us(120), "{took}");
    let dropped = world.left.iter().filter(|(_, left)| *left == Left::Fate(Fate::Dropped)).count();
    let back: Vec<Time> = world
        .left
        .iter()
        .filter_map(|(_, left)| match left {
            Left::Wire { last_bit, .. } => Some(*last_bit),
            _ => None,
        })
        .collect();
    assert_eq!(dropped + back.len(), 10_000);
    assert!(dropped > 1_000 && back.len() > 5_000, "{dropped} {}", back.len());
    assert!(back[0] > reload.began, "nobody is sent back before");
    // Once more, on the card that now runs the other.
    assert_eq!(world.replace(&verdict(DROP)), Ok(()));
    world.run(Time::NEVER);
    assert_eq!(world.device.reloads().len(), 2);
}

#[test]
fn a_card_without_live_reload_says_so() {
    let mut card = agilio();
    card.capabilities.live_reload.value = false;
    let (mut world, _) = world(card);
    world.device.attach(&[PortId(0)], &verdict(DROP)).unwrap();
    assert_eq!(world.replace(&verdict(TX)), Err("card-no-live-reload"));
}
