//! A small world around a card: cables without delay, and a host whose memory answers after a fixed time.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::{BTreeMap, VecDeque};

use nic_model::des::{Component, EventQueue, Kept, Priority, Source, Time};
use nic_model::device::{
    CardToHost, ControlToCard, ControlToHost, Device, Fate, Frame, HostSetup, HostToCard, In, Inner, Out, PacketId,
    PortId, QueueId,
};
use nic_model::isa::{Bank, Br, CodeAddress, Dst, Immed, ImmedShift, Load, Op, Reg, encode, with_ecc};
use nic_model::profile::CardProfile;
use nic_model::quantity::Bytes;

/// A word of the code store.
pub fn word(op: impl Into<Op>) -> u64 {
    with_ecc(encode(&op.into()).unwrap())
}

/// A program that ends with an action byte: `immed[gprA_0, result, <<16]`, then to the firmware's door at address 1.
pub fn verdict(result: u16) -> Vec<u64> {
    let dst = Dst::to(Reg::Gpr(Bank::A, 0));
    vec![
        word(Immed { load: Load { dst, value: result }, invert: false, shift: ImmedShift::Two, predicate: false }),
        word(Br { to: CodeAddress(1), defer: 0 }),
    ]
}

/// What leaves the card, in the order in which it says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    Wire { port: PortId, first_bit: Time, last_bit: Time, bytes: Vec<u8> },
    Host { queue: QueueId, at: Time, bytes: Vec<u8> },
    Fate(Fate),
}

#[derive(Debug, Clone, PartialEq)]
enum Event {
    Card(In),
    Own(Inner),
    Host(CardToHost),
    Control(ControlToHost),
}

/// A host that reads and answers, and puts up a buffer again some time after it got a packet.
#[derive(Debug)]
pub struct Host {
    pub memory: Time,
    pub refill: Option<Time>,
    pub to_send: BTreeMap<QueueId, VecDeque<Frame>>,
    pub completed: BTreeMap<QueueId, u32>,
    pub interrupts: Vec<(Time, QueueId)>,
    /// Control messages the card has not read.
    pub requests: VecDeque<Vec<u8>>,
    /// Those whose lengths it has.
    pub described: usize,
    /// What it answered, and when the interrupt told of it.
    pub answers: Vec<(Time, Vec<u8>)>,
    pub told: Vec<Time>,
}

pub struct World {
    pub device: Device,
    pub host: Host,
    pub left: Vec<(PacketId, Left)>,
    pub entered: Vec<PacketId>,
    queue: EventQueue<Event>,
    outbox: Kept<Inner, Out>,
    host_source: Source,
    wire_source: Source,
}

impl World {
    pub fn new(card: CardProfile, queues: u16, rx_buffer: u64, buffers: u32) -> Self {
        let source = Device::sources(&card);
        let ports = u16::from(*card.mac.ports);
        let device = Device::new(card, HostSetup { queues, rx_buffer: Bytes(rx_buffer) }, 1, Source(0)).unwrap();
        let mut world = World {
            device,
            host: Host {
                memory: Time::from_ns(200),
                refill: Some(Time::from_us(1)),
                to_send: BTreeMap::new(),
                completed: BTreeMap::new(),
                interrupts: Vec::new(),
                requests: VecDeque::new(),
                described: 0,
                answers: Vec::new(),
                told: Vec::new(),
            },
            left: Vec::new(),
            entered: Vec::new(),
            queue: EventQueue::default(),
            outbox: Kept::default(),
            host_source: Source(source),
            wire_source: Source(source + 1),
        };
        for queue in 0..queues * ports {
            if buffers > 0 {
                world.say(Time::ZERO, HostToCard::RxDoorbell { queue: QueueId(queue), count: buffers });
            }
        }
        world
    }

    /// The host says something at `at`.
    pub fn say(&mut self, at: Time, message: HostToCard) {
        self.queue.push(at, Priority::Arrival, self.host_source, Event::Card(In::Pcie(message)));
    }

    /// The host sends a control message at `at`; several in the order of the calls.
    pub fn request(&mut self, at: Time, message: Vec<u8>) {
        self.host.requests.push_back(message);
        self.control(at, ControlToCard::Doorbell(1));
    }

    /// The program is replaced now.
    pub fn replace(&mut self, words: &[u64]) -> Result<(), &'static str> {
        let now = self.queue.now();
        let done = self.device.replace(now, words, &BTreeMap::new(), &mut self.outbox);
        self.deliver(now);
        done.map_err(|why| why.code)
    }

    fn control(&mut self, at: Time, message: ControlToCard) {
        self.queue.push(at, Priority::Arrival, self.host_source, Event::Card(In::Control(message)));
    }

    /// A frame's last bit reaches a port at `at`.
    pub fn offer(&mut self, at: Time, port: u8, id: u64, bytes: Vec<u8>) {
        let frame = Frame { id: PacketId(id), bytes };
        self.entered.push(frame.id);
        let event = Event::Card(In::Wire { port: PortId(port), frame });
        self.queue.push(at, Priority::Arrival, self.wire_source, event);
    }

    /// Frames of `size` bytes, FCS counted, back to back at a port's line rate.
    pub fn line_rate(&mut self, port: u8, first_id: u64, count: u64, size: usize, bytes: impl Fn(u64) -> Vec<u8>) {
        let rate = self.device.profile().mac.rate.value;
        for i in 0..count {
            let at = rate.time_of((i + 1) * (size as u64 + 20) * 8);
            let mut frame = bytes(i);
            frame.resize(size - 4, 0);
            self.offer(at, port, first_id + i, frame);
        }
    }

    /// The host wants a frame sent at `at`.
    pub fn send(&mut self, at: Time, queue: u16, id: u64, bytes: Vec<u8>) {
        let frame = Frame { id: PacketId(id), bytes };
        self.entered.push(frame.id);
        self.host.to_send.entry(QueueId(queue)).or_default().push_back(frame);
        self.say(at, HostToCard::TxDoorbell { queue: QueueId(queue), count: 1 });
    }

    /// Runs until nothing is under way, or `until`.
    pub fn run(&mut self, until: Time) -> Time {
        while self.queue.next_time().is_some_and(|at| at <= until) {
            let Some((now, event)) = self.queue.pop() else { break };
            match event {
                Event::Card(event) => {
                    self.device.handle(now, event, &mut self.outbox);
                    self.deliver(now);
                }
                Event::Own(event) => {
                    self.device.wake(now, event, &mut self.outbox);
                    self.deliver(now);
                }
                Event::Host(message) => self.host_hears(now, message),
                Event::Control(message) => self.host_hears_control(now, message),
            }
        }
        self.queue.now()
    }

    /// Events handled so far.
    pub fn events(&self) -> u64 {
        self.queue.popped()
    }

    fn deliver(&mut self, now: Time) {
        for wake in self.outbox.wakes.drain(..) {
            assert!(wake.at >= now, "at {now}: {wake:?}");
            self.queue.push(wake.at, wake.priority, wake.source, Event::Own(wake.event));
        }
        for (source, out) in self.outbox.sends.drain(..) {
            match out {
                Out::Wire { port, frame, first_bit, last_bit } => {
                    assert!(now <= first_bit && first_bit < last_bit);
                    self.left.push((frame.id, Left::Wire { port, first_bit, last_bit, bytes: frame.bytes }));
                }
                Out::Fate { packet, fate } => self.left.push((packet, Left::Fate(fate))),
                Out::Pcie { at, message } => {
                    assert!(now <= at);
                    self.queue.push(at, Priority::Arrival, source, Event::Host(message));
                }
                Out::Control { at, message } => {
                    assert!(now <= at);
                    self.queue.push(at, Priority::Arrival, source, Event::Control(message));
                }
            }
        }
    }

    fn host_hears(&mut self, now: Time, message: CardToHost) {
        let answer = now + self.host.memory;
        match message {
            CardToHost::ReadRxDescriptors { queue, count } => {
                self.say(answer, HostToCard::RxDescriptors { queue, count });
            }
            CardToHost::RxPacket { queue, frame, .. } => {
                self.left.push((frame.id, Left::Host { queue, at: now, bytes: frame.bytes }));
                if let Some(refill) = self.host.refill {
                    self.say(now + refill, HostToCard::RxDoorbell { queue, count: 1 });
                }
            }
            CardToHost::ReadTxDescriptors { queue, count } => {
                let lengths = vec![60; count as usize];
                self.say(answer, HostToCard::TxDescriptors { queue, lengths });
            }
            CardToHost::ReadTxData { queue, .. } => {
                let frame = self.host.to_send.get_mut(&queue).and_then(VecDeque::pop_front).expect("a frame was sent");
                self.say(answer, HostToCard::TxData { queue, frame });
            }
            CardToHost::TxComplete { queue, count } => *self.host.completed.entry(queue).or_default() += count,
            CardToHost::Interrupt { queue } => self.host.interrupts.push((now, queue)),
        }
    }

    fn host_hears_control(&mut self, now: Time, message: ControlToHost) {
        let answer = now + self.host.memory;
        match message {
            ControlToHost::ReadDescriptors(count) => {
                let wanted = self.host.requests.iter().skip(self.host.described).take(count as usize);
                let lengths: Vec<u32> = wanted.map(|message| message.len() as u32).collect();
                assert_eq!(lengths.len(), count as usize, "no more than was announced");
                self.host.described += lengths.len();
                self.control(answer, ControlToCard::Descriptors(lengths));
            }
            ControlToHost::ReadMessage(bytes) => {
                let message = self.host.requests.pop_front().expect("a message was announced");
                assert_eq!(message.len(), bytes as usize);
                self.host.described -= 1;
                self.control(answer, ControlToCard::Message(message));
            }
            ControlToHost::Message(bytes) => self.host.answers.push((now, bytes)),
            ControlToHost::Interrupt => self.host.told.push(now),
        }
    }

    /// Fails unless every packet that entered has left exactly once.
    pub fn assert_conserved(&self) {
        let mut left: Vec<PacketId> = self.left.iter().map(|(id, _)| *id).collect();
        let mut entered = self.entered.clone();
        left.sort_unstable();
        entered.sort_unstable();
        assert_eq!(left, entered, "packets that left are not the packets that entered");
        assert_eq!(self.device.in_work(), 0);
        let counts = self.device.counts();
        let ends = counts.to_wire + counts.to_host + counts.dropped + counts.aborted + counts.lost.iter().sum::<u64>();
        assert_eq!(counts.from_wire + counts.from_host, ends);
        assert_eq!(entered.len() as u64, ends);
    }
}
