//! One event in, all that comes of it out.

use super::*;
use crate::des::{Component, Kept, Priority, Source, Time, Wake};
use crate::ids::CoreId;
use crate::profile::builtin;
use crate::quantity::Bytes;

fn device() -> Device {
    let host = HostSetup { queues: 2, rx_buffer: Bytes(2_048) };
    Device::new(builtin("agilio-cx-2x40").unwrap(), host, 1, Source(100)).unwrap()
}

/// What an event at `now` makes the card do: outputs, and events to come.
fn after(device: &mut Device, now: Time, event: In) -> (Vec<Out>, Vec<Wake<Inner>>) {
    let mut outbox = Kept::default();
    device.handle(now, event, &mut outbox);
    contents(outbox)
}

/// The same for an event it scheduled.
fn after_wake(device: &mut Device, now: Time, event: Inner) -> (Vec<Out>, Vec<Wake<Inner>>) {
    let mut outbox = Kept::default();
    device.wake(now, event, &mut outbox);
    contents(outbox)
}

fn contents(outbox: Kept<Inner, Out>) -> (Vec<Out>, Vec<Wake<Inner>>) {
    (outbox.sends.into_iter().map(|(_, out)| out).collect(), outbox.wakes)
}

fn wire(id: u64, len: usize) -> In {
    In::Wire { port: PortId(0), frame: Frame { id: PacketId(id), bytes: vec![0; len] } }
}

fn wake(at: u64, priority: Priority, source: u16, event: Inner) -> Wake<Inner> {
    Wake { at: Time::from_ps(at), priority, source: Source(source), event }
}

#[test]
fn a_frame_enters_packet_memory_and_meets_a_context() {
    let mut device = device();
    let ns = Time::from_ns;
    // 200 ns to the FIFO, 4.8 ns copying, 400 ns to a context.
    let (out, wakes) = after(&mut device, ns(1_000), wire(7, 60));
    assert_eq!((out, wakes), (vec![], vec![wake(1_604_800, Priority::Arrival, 101, Inner::Ready(Slot(0)))]));
    // The way in is taken for 31.25 ns: the next frame waits in the FIFO.
    let (out, wakes) = after(&mut device, ns(1_010), wire(8, 60));
    assert_eq!((out, wakes), (vec![], vec![wake(1_031_250, Priority::Timer, 100, Inner::Look)]));
    let (out, wakes) = after_wake(&mut device, Time::from_ps(1_031_250), Inner::Look);
    assert_eq!((out, wakes), (vec![], vec![wake(1_636_050, Priority::Arrival, 101, Inner::Ready(Slot(1)))]));
    // The first core of the first island looks at its contexts at the next cycle of 800 MHz.
    let (out, wakes) = after_wake(&mut device, Time::from_ps(1_604_800), Inner::Ready(Slot(0)));
    assert_eq!((out, wakes), (vec![], vec![wake(1_605_000, Priority::Core, 105, Inner::Resume(CoreId(0)))]));
    assert_eq!(device.in_work(), 2);
}

#[test]
fn what_is_no_frame_ends_at_once() {
    let mut device = device();
    for (id, len, place) in [(1, 59, LossPlace::Runt), (2, 9_235, LossPlace::Oversize)] {
        let (out, wakes) = after(&mut device, Time::ZERO, wire(id, len));
        assert_eq!((out, wakes), (vec![Out::Fate { packet: PacketId(id), fate: Fate::Lost(place) }], vec![]));
    }
    assert_eq!(device.counts().lost[..2], [1, 1]);
}

#[test]
fn a_doorbell_crosses_the_link_and_descriptors_are_fetched() {
    let mut device = device();
    let doorbell = HostToCard::RxDoorbell { queue: QueueId(1), count: 20 };
    // 28 bytes at 57.88 Gbit/s, and 100 ns.
    let (out, wakes) = after(&mut device, Time::ZERO, In::Pcie(doorbell.clone()));
    assert_eq!((out, wakes), (vec![], vec![wake(103_871, Priority::Arrival, 102, Inner::Crossed(0))]));
    let (out, wakes) = after_wake(&mut device, Time::from_ps(103_871), Inner::Crossed(0));
    assert_eq!(wakes, vec![]);
    let counts: Vec<u32> = out
        .iter()
        .map(|out| match out {
            Out::Pcie { at, message: CardToHost::ReadRxDescriptors { queue: QueueId(1), count } } => {
                assert!(*at > Time::from_ns(290) && *at < Time::from_ns(340), "{at}");
                *count
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(counts, [16, 4]);
}

#[test]
fn counters_stand_in_a_fixed_order_and_start_at_nothing() {
    let device = device();
    let counters = device.counters(Time::from_us(1));
    let names: Vec<&str> = counters.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names[..5], ["mac.rx.0.line", "mac.rx.0.fifo", "mac.rx.0.frames", "mac.rx.0.bytes", "mac.rx.1.line"]);
    assert!(names.contains(&"cores") && names.contains(&"memory.ctm.4") && names.contains(&"memory.emem"));
    let mut unique = names.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), names.len());
    for counter in &counters {
        match counter.measure {
            Measure::Share { busy, of } => assert!(busy == Time::ZERO && of >= Time::from_us(1), "{counter:?}"),
            Measure::Level { peak, limit } => assert!(peak == 0 && limit > 0, "{counter:?}"),
            Measure::Count(count) => assert_eq!(count, 0, "{counter:?}"),
        }
    }
    assert_eq!(Measure::Level { peak: 1, limit: 4 }.ppm(), Some(250_000));
}

#[test]
fn loss_places_are_counted_in_the_order_of_their_list() {
    for (index, place) in LossPlace::ALL.into_iter().enumerate() {
        assert_eq!(place as usize, index);
    }
}

#[test]
fn a_host_the_card_cannot_serve_is_refused() {
    for queues in [0, 9] {
        let host = HostSetup { queues, rx_buffer: Bytes(2_048) };
        let refused = Device::new(builtin("agilio-cx-2x40").unwrap(), host, 1, Source(0)).unwrap_err();
        assert_eq!(refused.code, "card-queues");
    }
}
