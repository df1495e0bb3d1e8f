//! The world: all components, and the one place where an output becomes the next component's input.
//!
//! ```text
//!  sources ──frames──▶ card ◀──PCIe──▶ host
//!                       │
//!                       └──frames──▶ the other end of the cable
//! ```

use bpf::diag::Diagnostic;
use nic_model::des::{Component, EventQueue, Outbox, Priority, Source, Time};
use nic_model::device::{self, Device, Frame, PortId};
use nic_model::quantity::BitRate;

use crate::host::{self, Host};
use crate::measure::Tracker;
use crate::traffic::{Arrival, TrafficSource};

/// First event source of each part. Traffic comes first, then the host's queues, then the card's parts.
pub const TRAFFIC_SOURCES: Source = Source(0);
/// See [`TRAFFIC_SOURCES`].
pub const HOST_SOURCES: Source = Source(0x100);
/// See [`TRAFFIC_SOURCES`].
pub const CARD_SOURCES: Source = Source(0x1000);

/// What waits in the queue.
#[derive(Debug, Clone, PartialEq)]
enum Event {
    /// The next frame of a source.
    Arrive { source: usize, arrival: Arrival },
    /// For the card.
    Card(device::In),
    /// For the host.
    Host(host::In),
}

/// A source and the port it plays into.
struct Playing {
    source: TrafficSource,
    port: PortId,
    line: BitRate,
}

/// One placement's world.
pub struct World {
    queue: EventQueue<Event>,
    device: Device,
    host: Host,
    sources: Vec<Playing>,
    tracker: Tracker,
    card_box: Outbox<device::In, device::Out>,
    host_box: Outbox<host::In, host::Out>,
}

impl World {
    /// A world of these parts; each source with the rate of its port's line.
    pub fn new(device: Device, host: Host, sources: Vec<(TrafficSource, BitRate)>) -> Self {
        let playing = sources.into_iter().map(|(source, line)| Playing { port: source.port(), line, source });
        Self {
            queue: EventQueue::default(),
            device,
            host,
            sources: playing.collect(),
            tracker: Tracker::default(),
            card_box: Outbox::default(),
            host_box: Outbox::default(),
        }
    }

    /// Runs until nothing is left to happen. `progress` hears of the number of packets that have arrived, now and then.
    ///
    /// # Errors
    /// A trace that can no longer be read; the rest is data.
    pub fn run(&mut self, mut progress: impl FnMut(u64)) -> Result<(), Diagnostic> {
        let start = host::In::Inner(host::Inner::Start);
        self.queue.push(Time::ZERO, Priority::Timer, HOST_SOURCES, Event::Host(start));
        for source in 0..self.sources.len() {
            self.schedule_next(source)?;
        }
        while let Some((now, event)) = self.queue.pop() {
            match event {
                Event::Arrive { source, arrival } => {
                    let Playing { port, line, .. } = self.sources[source];
                    let line_time = line.time_of(device::line_bytes(arrival.bytes.len()) * 8);
                    let id = self.tracker.arrive(now, arrival.bytes.len(), line_time);
                    let frame = Frame { id, bytes: arrival.bytes };
                    self.card(now, device::In::Wire { port, frame });
                    self.schedule_next(source)?;
                    if id.0.is_multiple_of(PROGRESS_STEP) {
                        progress(id.0);
                    }
                }
                Event::Card(event) => self.card(now, event),
                Event::Host(event) => self.host(now, event),
            }
        }
        progress(self.tracker.offered());
        Ok(())
    }

    fn schedule_next(&mut self, source: usize) -> Result<(), Diagnostic> {
        if let Some(arrival) = self.sources[source].source.next_frame()? {
            let from = Source(TRAFFIC_SOURCES.0 + source as u16);
            self.queue.push(arrival.last_bit, Priority::Arrival, from, Event::Arrive { source, arrival });
        }
        Ok(())
    }

    fn card(&mut self, now: Time, event: device::In) {
        self.device.handle(now, event, &mut self.card_box);
        self.settle(now);
    }

    fn host(&mut self, now: Time, event: host::In) {
        self.host.handle(now, event, &mut self.host_box);
        self.settle(now);
    }

    /// Turns what the components said into the next inputs, until both outboxes are empty.
    fn settle(&mut self, now: Time) {
        while !self.card_box.is_empty() || !self.host_box.is_empty() {
            for wake in self.card_box.wakes.drain(..) {
                self.queue.push(wake.at, wake.priority, wake.source, Event::Card(wake.event));
            }
            for wake in self.host_box.wakes.drain(..) {
                self.queue.push(wake.at, wake.priority, wake.source, Event::Host(wake.event));
            }
            for (source, out) in self.card_box.sends.drain(..) {
                match out {
                    device::Out::Wire { frame, last_bit, .. } => self.tracker.transmitted(last_bit, frame.id),
                    device::Out::Fate { packet, fate } => self.tracker.end(now, packet, fate.into()),
                    device::Out::Pcie { at, message } => {
                        self.queue.push(at, Priority::Arrival, source, Event::Host(host::In::Pcie(message)));
                    }
                }
            }
            for (_, out) in self.host_box.sends.drain(..) {
                match out {
                    // The link is the card's: it takes the message the moment the host issues it.
                    host::Out::Pcie(message) => {
                        self.device.handle(now, device::In::Pcie(message), &mut self.card_box);
                    }
                    host::Out::Fate { packet, fate } => self.tracker.end(now, packet, fate.into()),
                    host::Out::Sending { packet, by } => self.tracker.sent(packet, by),
                }
            }
        }
    }

    /// What became of the packets.
    pub fn tracker(&self) -> &Tracker {
        &self.tracker
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
        self.queue.popped()
    }
}

/// Packets between two calls of `progress`.
const PROGRESS_STEP: u64 = 4_096;
