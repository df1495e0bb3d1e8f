//! The world: all components, and the one place where an output becomes the next component's input.
//!
//! ```text
//!  sources ──frames──▶ card ◀──PCIe──▶ host
//!                       │
//!                       └──frames──▶ the other end of the cable
//! ```

use std::collections::BTreeMap;

use bpf::diag::Diagnostic;
use nic_model::des::{Component, EventQueue, Outbox, Priority, Source, Time};
use nic_model::device::{self, CardToHost, ControlToHost, Device, Frame, PortId};
use nic_model::quantity::BitRate;
use slab::Slab;

use crate::capture::Capture;
use crate::host::control::{self, ControlPlane, Failure, Operation, Outcome};
use crate::host::user::{Act, Action, Reader};
use crate::host::{self, Host, Place};
use crate::measure::Tracker;
use crate::traffic::{Arrival, TrafficSource};

/// First event source of each part. Traffic comes first, then the host's queues, then the card's parts.
pub const TRAFFIC_SOURCES: Source = Source(0);
/// User space comes after the frames of its time, and before the host's queues; the driver of the card's maps with it.
pub const CONTROL_SOURCE: Source = Source(0xfe);
/// See [`CONTROL_SOURCE`].
const USER_SOURCE: Source = Source(0xff);
/// See [`TRAFFIC_SOURCES`].
pub const HOST_SOURCES: Source = Source(0x100);
/// See [`TRAFFIC_SOURCES`].
pub const CARD_SOURCES: Source = Source(0x1000);

/// What waits in the queue, in eight bytes: it goes in and out by one register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// The next frame of that source.
    Arrive(u32),
    /// What the card scheduled for itself.
    Card(device::Inner),
    /// What the host scheduled for itself.
    Host(host::Inner),
    /// The host has booted.
    Boot,
    /// User space does the action of that number.
    Act(u32),
    /// The same, to a map on the card.
    ActOnCard(u32),
    /// The program on the card is replaced by that of that number.
    Replace(u32),
    /// What the driver of the card's maps scheduled for itself.
    Control(control::Inner),
    /// Something of the card's about control messages reaches the host; its place among those on their way.
    ControlCross(u32),
    /// The reader of that number looks at its ring.
    Read(u32),
    /// A message of the card reaches the host; its place among those on their way.
    Cross(u32),
}

const _: () = assert!(size_of::<Event>() == 8);

/// A source and the port it plays into.
struct Playing {
    source: TrafficSource,
    port: PortId,
    line: BitRate,
    /// The frame that arrives next.
    next: Option<Arrival>,
}

/// One placement's world.
pub struct World {
    device: Device,
    host: Host,
    sources: Vec<Playing>,
    space: UserSpace,
    user: UserCounters,
    plane: ControlPlane,
    outcomes: Vec<Outcome>,
    between: Between,
}

/// What stands between the parts: what is to happen, what crosses from one to another, and what is noted of it.
struct Between {
    queue: EventQueue<Event>,
    tracker: Tracker,
    /// Messages of the card's on the link.
    crossing: Slab<CardToHost>,
    control_crossing: Slab<ControlToHost>,
    capture: Option<Capture>,
}

/// What user space is to do while packets flow, each with the hook whose maps it is about.
#[derive(Debug, Clone, Default)]
pub struct UserSpace {
    /// What it does to maps of the host, each with its map's name.
    pub actions: Vec<(Place, Action, String)>,
    /// What it does to maps on the card.
    pub on_card: Vec<Operation>,
    /// What it replaces the card's program with: words, and where programs begin in them.
    pub replacements: Vec<(Time, Vec<u64>, BTreeMap<u32, u16>)>,
    /// What rings it reads, with their names.
    pub readers: Vec<(Place, Reader, String)>,
}

/// What user space did while packets flowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UserCounters {
    /// Updates and deletions.
    pub writes: u64,
    /// Those that the map refused.
    pub refused: u64,
    /// Programs on the card replaced.
    pub replaced: u64,
    /// Those that were not, because the one before was being loaded.
    pub not_replaced: u64,
    /// Records read from rings.
    pub records: u64,
    /// Their bytes.
    pub record_bytes: u64,
}

impl World {
    /// A world of these parts; each source with the rate of its port's line. What leaves goes into `capture`.
    pub fn new(
        device: Device,
        (host, plane): (Host, ControlPlane),
        sources: Vec<(TrafficSource, BitRate)>,
        space: UserSpace,
        capture: Option<Capture>,
    ) -> Self {
        let playing =
            sources.into_iter().map(|(source, line)| Playing { port: source.port(), line, source, next: None });
        Self {
            device,
            host,
            sources: playing.collect(),
            space,
            user: UserCounters::default(),
            plane,
            outcomes: Vec::new(),
            between: Between {
                queue: EventQueue::default(),
                tracker: Tracker::default(),
                crossing: Slab::new(),
                control_crossing: Slab::new(),
                capture,
            },
        }
    }

    /// Runs until nothing is left to happen. `progress` hears of the number of packets that have arrived, now and then.
    ///
    /// # Errors
    /// A trace that can no longer be read, a capture that cannot be written; the rest is data.
    pub fn run(&mut self, mut progress: impl FnMut(u64)) -> Result<(), Diagnostic> {
        self.between.queue.push(Time::ZERO, Priority::Timer, HOST_SOURCES, Event::Boot);
        for source in 0..self.sources.len() {
            self.schedule_next(source)?;
        }
        for (number, (_, action, _)) in (0..).zip(&self.space.actions) {
            self.between.queue.push(action.at, Priority::Arrival, USER_SOURCE, Event::Act(number));
        }
        for (number, (at, ..)) in (0..).zip(&self.space.replacements) {
            self.between.queue.push(*at, Priority::Arrival, USER_SOURCE, Event::Replace(number));
        }
        for (number, operation) in (0..).zip(&self.space.on_card) {
            self.between.queue.push(operation.at, Priority::Arrival, USER_SOURCE, Event::ActOnCard(number));
        }
        for (number, (_, reader, _)) in (0..).zip(&self.space.readers) {
            self.between.queue.push(reader.every, Priority::Arrival, USER_SOURCE, Event::Read(number));
        }
        while let Some((now, event)) = self.between.queue.pop() {
            match event {
                Event::Arrive(source) => {
                    let source = source as usize;
                    let Playing { port, line, ref mut next, .. } = self.sources[source];
                    let arrival = next.take().expect("schedule_next enters the event with the arrival, one at a time");
                    let line_time = line.time_of(device::line_bytes(arrival.bytes.len()) * 8);
                    let id = self.between.tracker.arrive(now, arrival.bytes.len(), line_time);
                    let frame = Frame { id, bytes: arrival.bytes };
                    let wire = device::In::Wire { port, frame };
                    self.device.handle(now, wire, &mut self.between);
                    self.schedule_next(source)?;
                    if id.0.is_multiple_of(PROGRESS_STEP) {
                        progress(id.0);
                    }
                }
                Event::Card(event) => {
                    self.device.wake(now, event, &mut self.between);
                }
                Event::Host(event) => {
                    let (host, mut outbox) = self.host();
                    host.wake(now, event, &mut outbox);
                }
                Event::Act(number) => {
                    self.act(number, now);
                }
                Event::ActOnCard(number) => {
                    let operation = self.space.on_card[number as usize].clone();
                    let (plane, mut outbox) = self.plane();
                    plane.handle(now, control::In::Act(operation), &mut outbox);
                }
                Event::Replace(number) => {
                    let (_, words, starts) = std::mem::take(&mut self.space.replacements[number as usize]);
                    let done = self.device.replace(now, &words, &starts, &mut self.between);
                    self.user.replaced += u64::from(done.is_ok());
                    self.user.not_replaced += u64::from(done.is_err());
                }
                Event::Control(event) => {
                    let (plane, mut outbox) = self.plane();
                    plane.wake(now, event, &mut outbox);
                }
                Event::ControlCross(message) => {
                    let message = self.between.control_crossing.remove(message as usize);
                    let (plane, mut outbox) = self.plane();
                    plane.handle(now, control::In::Card(message), &mut outbox);
                }
                Event::Read(number) => {
                    self.read(number, now);
                    // Readers look once more after the last packet has ended, and then no more.
                    if self.between.tracker.open() > 0 || self.sources.iter().any(|playing| playing.next.is_some()) {
                        let again = now + self.space.readers[number as usize].1.every;
                        self.between.queue.push(again, Priority::Arrival, USER_SOURCE, Event::Read(number));
                    }
                }
                Event::Boot => {
                    let (host, mut outbox) = self.host();
                    host.handle(now, host::In::Start, &mut outbox);
                }
                Event::Cross(message) => {
                    let message = self.between.crossing.remove(message as usize);
                    let (host, mut outbox) = self.host();
                    host.handle(now, host::In::Pcie(message), &mut outbox);
                }
            }
        }
        progress(self.between.tracker.offered());
        self.between.capture.take().map_or(Ok(()), Capture::finish)
    }

    /// User space does something to a map of the host: at once.
    fn act(&mut self, number: u32, now: Time) {
        let (place, action, map) = &self.space.actions[number as usize];
        let done = self.host.hooks().act(*place, &action.act);
        if let Act::Write(_) = action.act {
            self.user.writes += 1;
            self.user.refused += u64::from(done.is_err());
        }
        let result = done.map_err(|errno| Failure { errno, why: "the map refused it".to_owned() });
        let (map, verb) = (map.clone(), action.act.name());
        self.outcomes.push(Outcome { map, verb, began: now, ended: now, result });
    }

    /// A reader takes all that is in its ring.
    fn read(&mut self, number: u32, now: Time) {
        let (place, reader, name) = &self.space.readers[number as usize];
        for record in self.host.hooks().read(*place, reader.map) {
            self.user.records += 1;
            self.user.record_bytes += record.len() as u64;
            if let Some(capture) = &mut self.between.capture {
                capture.record(*place, name, now, &record);
            }
        }
    }

    fn schedule_next(&mut self, source: usize) -> Result<(), Diagnostic> {
        if let Some(arrival) = self.sources[source].source.next_frame()? {
            let from = Source(TRAFFIC_SOURCES.0 + source as u16);
            self.between.queue.push(arrival.last_bit, Priority::Arrival, from, Event::Arrive(source as u32));
            self.sources[source].next = Some(arrival);
        }
        Ok(())
    }

    /// The host, and where it says what it wants.
    fn host(&mut self) -> (&mut Host, HostBox<'_>) {
        let World { device, host, between, .. } = self;
        (host, HostBox { between, device })
    }

    /// The same of the driver of the card's maps.
    fn plane(&mut self) -> (&mut ControlPlane, PlaneBox<'_>) {
        let World { device, plane, between, .. } = self;
        (plane, PlaneBox { between, device })
    }

    /// What came of what user space did to maps, on the host and on the card.
    pub fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().chain(self.plane.outcomes())
    }

    /// The driver of the card's maps.
    pub fn control(&self) -> &ControlPlane {
        &self.plane
    }

    /// What user space did.
    pub fn user(&self) -> UserCounters {
        self.user
    }

    /// What became of the packets.
    pub fn tracker(&self) -> &Tracker {
        &self.between.tracker
    }

    /// The card.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The card, for its maps.
    pub fn device_mut(&mut self) -> &mut Device {
        &mut self.device
    }

    /// The host.
    pub fn host_mut(&mut self) -> &mut Host {
        &mut self.host
    }

    /// Events handled.
    pub fn events(&self) -> u64 {
        self.between.queue.popped()
    }
}

/// Packets between two calls of `progress`.
const PROGRESS_STEP: u64 = 4_096;

/// What becomes of the card's words.
impl Outbox<device::Inner, device::Out> for Between {
    fn send(&mut self, source: Source, out: device::Out) {
        match out {
            device::Out::Wire { port, frame, last_bit, .. } => {
                self.tracker.transmitted(last_bit, frame.id);
                if let Some(capture) = &mut self.capture {
                    capture.frame(port, last_bit, &frame.bytes);
                }
            }
            device::Out::Fate { packet, fate } => self.tracker.end(self.queue.now(), packet, fate.into()),
            device::Out::Pcie { at, message } => {
                let number = self.crossing.insert(message) as u32;
                self.queue.push(at, Priority::Arrival, source, Event::Cross(number));
            }
            device::Out::Control { at, message } => {
                let number = self.control_crossing.insert(message) as u32;
                self.queue.push(at, Priority::Arrival, source, Event::ControlCross(number));
            }
        }
    }

    fn wake(&mut self, at: Time, priority: Priority, source: Source, event: device::Inner) {
        self.queue.push(at, priority, source, Event::Card(event));
    }
}

/// What becomes of the host's words.
struct HostBox<'a> {
    between: &'a mut Between,
    device: &'a mut Device,
}

impl Outbox<host::Inner, host::Out> for HostBox<'_> {
    fn send(&mut self, _: Source, out: host::Out) {
        let now = self.between.queue.now();
        match out {
            // The link is the card's: it takes the message the moment the host issues it.
            host::Out::Pcie(message) => self.device.handle(now, device::In::Pcie(message), self.between),
            host::Out::Fate { packet, fate } => self.between.tracker.end(now, packet, fate.into()),
            host::Out::Copied { packet } => self.between.tracker.copied(now, packet),
            host::Out::CopiesLost(count) => self.between.tracker.copies_lost(count),
            host::Out::Sending { packet, by } => self.between.tracker.sent(packet, by),
        }
    }

    fn wake(&mut self, at: Time, priority: Priority, source: Source, event: host::Inner) {
        self.between.queue.push(at, priority, source, Event::Host(event));
    }
}

/// What becomes of the words of the driver of the card's maps.
struct PlaneBox<'a> {
    between: &'a mut Between,
    device: &'a mut Device,
}

impl Outbox<control::Inner, control::Out> for PlaneBox<'_> {
    fn send(&mut self, _: Source, control::Out(message): control::Out) {
        self.device.handle(self.between.queue.now(), device::In::Control(message), self.between);
    }

    fn wake(&mut self, at: Time, priority: Priority, source: Source, event: control::Inner) {
        self.between.queue.push(at, priority, source, Event::Control(event));
    }
}
