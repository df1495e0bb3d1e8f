//! The host as one component: rings, interrupts and polls, with the hooks a packet meets on the way to the stack.

use std::collections::{BTreeMap, VecDeque};

use bpf::maps::MapId;
use nic_model::des::{Component, Outbox, Priority, Source, Time};
use nic_model::device::{CardToHost, Frame, HostToCard, PacketId, QueueId, RxMeta};

use super::behind::Handed;
use super::costs::HostCosts;
use super::hooks::{Hooks, Parcel, Processed, Sent, Verdict};

/// What can happen to the host.
#[derive(Debug, Clone, PartialEq)]
pub enum In {
    /// The driver has booted: rings are filled, interrupts armed.
    Start,
    /// A message of the card has arrived.
    Pcie(CardToHost),
}

/// Events the host schedules for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inner {
    /// Host memory has answered the oldest read of the card's for that queue.
    Answer(QueueId),
    /// The queue's interrupt handler has scheduled its poll, which begins.
    Poll(QueueId),
    /// The queue's core has finished a packet, or the work around polls, and goes on.
    Step(QueueId),
    /// The thread that takes what other cores hand to this core goes on.
    Thread(QueueId),
}

/// What the host tells the outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Out {
    /// A message to the card, issued now.
    Pcie(HostToCard),
    /// A packet ended in the host, now.
    Fate {
        /// Which.
        packet: PacketId,
        /// How.
        fate: Fate,
    },
    /// The host will send this packet; it ends when the card has put it on the wire.
    Sending {
        /// Which.
        packet: PacketId,
        /// The hook that sent it.
        by: Sent,
    },
    /// A program made a packet out of another. It ends as any packet does.
    Copied {
        /// Which: from [`COPIES`] on, in order.
        packet: PacketId,
    },
    /// Copies that there was no room for.
    CopiesLost(u64),
}

/// Numbers of packets that programs make begin here.
pub const COPIES: PacketId = PacketId(1 << 63);

/// Which program behind a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Behind {
    /// That of an entry of a device map.
    Device,
    /// That of an entry of a processor map.
    Processor,
}

/// How a packet ended in the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// The program at the XDP hook dropped it.
    XdpDropped,
    /// The program at the XDP hook aborted, faulted, or gave a verdict that does not exist.
    XdpAborted,
    /// The program at the tc hook dropped it.
    TcDropped,
    /// The program at the tc hook faulted; as Linux does for a fault it cannot have, the packet goes no further.
    TcAborted,
    /// The stack has it.
    Delivered,
    /// The transmit ring was full.
    TxRingFull,
    /// The redirect's device does not exist.
    NoDevice,
    /// A redirect into a port's receive path, which is not modelled.
    RedirectIngress,
    /// The redirect's device is down.
    DeviceDown,
    /// It was longer than the redirect's device takes.
    TooLong,
    /// Nothing is known of the station it was to be sent to.
    NoNeighbour,
    /// A map of processors handed it to one of them, whose stack has it.
    ToCpu,
    /// A program behind a redirect dropped it.
    DroppedBehind(Behind),
    /// A program behind a redirect aborted, faulted, or gave a verdict that it cannot give there.
    AbortedBehind(Behind),
    /// As many packets as the entry of the processor map allows waited there.
    CpuQueueFull,
    /// Programs of processor maps handed it round.
    HandedRound,
    /// A map of sockets handed it to a program in user space.
    ToSocket,
    /// It was to go to all devices of a map, and none took it.
    Nobody,
    /// The other end of a pair of virtual devices has it.
    ToPeer,
    /// A virtual device has received it.
    ToIngress,
    /// A virtual device has sent it.
    ToVirtual,
}

/// One packet being worked on.
#[derive(Debug)]
struct Work {
    frame: Frame,
    verdict: Verdict,
    copies: Vec<Parcel>,
    copies_lost: u64,
}

impl Work {
    fn new(frame: Frame, done: Processed) -> Self {
        let Processed { verdict, copies, copies_lost, .. } = done;
        Self { frame, verdict, copies, copies_lost }
    }
}

/// A core's thread for what other cores hand over.
#[derive(Debug, Default)]
struct Thread {
    /// What waits.
    handed: VecDeque<(Frame, Handed)>,
    /// How much of it came by each entry.
    waiting: BTreeMap<(MapId, u32), u32>,
    work: Option<Work>,
    awake: bool,
}

/// State of a queue's poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Napi {
    /// Waiting for an interrupt.
    Idle,
    /// An interrupt came; the poll has not begun.
    Scheduled,
    /// Polling, with so much of the budget left.
    Polling(u32),
}

struct Queue {
    /// Packets the card has written, in ring order.
    received: VecDeque<(Frame, RxMeta)>,
    /// Receive buffers to announce with the next doorbell.
    refill: u32,
    /// Packets taken since the beginning.
    rx_seen: u64,
    /// What the card gets for its reads, in their order.
    answers: VecDeque<HostToCard>,
    /// Frames on the transmit ring whose data the card has not read.
    transmit: VecDeque<Frame>,
    /// How many of them the card has read the descriptors of.
    described: usize,
    /// Descriptors to announce with the next doorbell.
    unannounced: u32,
    /// Descriptors in use: until the driver sees their completion.
    tx_used: u32,
    /// Completions since the beginning, and those the driver has seen.
    tx_completed: u64,
    tx_seen: u64,
    napi: Napi,
    work: Option<Work>,
    last_interrupt: Option<Time>,
    busy: Time,
    polls: u64,
}

impl Queue {
    fn new() -> Self {
        Self {
            received: VecDeque::new(),
            refill: 0,
            rx_seen: 0,
            answers: VecDeque::new(),
            transmit: VecDeque::new(),
            described: 0,
            unannounced: 0,
            tx_used: 0,
            tx_completed: 0,
            tx_seen: 0,
            napi: Napi::Idle,
            work: None,
            last_interrupt: None,
            busy: Time::ZERO,
            polls: 0,
        }
    }
}

/// Most packets whose buffers are given back by one doorbell in the middle of a poll.
const REFILL_BATCH: u32 = 32;

/// Where the host puts what it wants done.
trait Posts: Outbox<Inner, Out> {}

impl<O: Outbox<Inner, Out>> Posts for O {}

/// A host with `per_port` receive queues a port; the queues of one number, of all ports, share a core.
pub struct Host {
    costs: HostCosts,
    hooks: Hooks,
    queues: Vec<Queue>,
    per_port: u16,
    /// When each core is done with what it has begun.
    core_free: Vec<Time>,
    /// Source of queue 0; queue `n` is `n` further.
    first_source: u16,
    /// What other cores have handed over, by core.
    threads: Vec<Thread>,
    /// Copies that programs have made.
    copies: u64,
}

impl Host {
    /// A host of these costs with programs at its hooks; it takes sources from `first_source` on.
    pub fn new(costs: HostCosts, hooks: Hooks, ports: u8, per_port: u16, first_source: Source) -> Self {
        let queues = (0..u16::from(ports) * per_port).map(|_| Queue::new()).collect();
        let core_free = vec![Time::ZERO; usize::from(per_port)];
        let threads = (0..per_port).map(|_| Thread::default()).collect();
        Self { costs, hooks, queues, per_port, core_free, first_source: first_source.0, threads, copies: 0 }
    }

    fn ports(&self) -> u16 {
        self.queues.len() as u16 / self.per_port
    }

    /// The hooks, for their counters and maps.
    pub fn hooks(&mut self) -> &mut Hooks {
        &mut self.hooks
    }

    /// How long each core has worked, on the queues of all ports.
    pub fn core_busy(&self) -> Vec<Time> {
        let mut busy = vec![Time::ZERO; usize::from(self.per_port)];
        for (queue, state) in self.queues.iter().enumerate() {
            busy[queue % usize::from(self.per_port)] += state.busy;
        }
        busy
    }

    /// Polls begun, over all queues.
    pub fn polls(&self) -> u64 {
        self.queues.iter().map(|q| q.polls).sum()
    }

    fn source(&self, queue: QueueId) -> Source {
        Source(self.first_source + queue.0)
    }

    fn wake_at(&self, at: Time, priority: Priority, queue: QueueId, event: Inner, outbox: &mut impl Posts) {
        outbox.wake(at, priority, self.source(queue), event);
    }

    /// The core of a queue spends `cost`, from now or from when it is free: when it is done.
    fn spend(&mut self, now: Time, queue: QueueId, cost: Time) -> Time {
        self.queue(queue).busy += cost;
        let core = &mut self.core_free[usize::from(queue.0 % self.per_port)];
        *core = now.max(*core) + cost;
        *core
    }

    fn queue(&mut self, queue: QueueId) -> &mut Queue {
        &mut self.queues[usize::from(queue.0)]
    }

    fn start(&mut self, outbox: &mut impl Posts) {
        // One descriptor stays free, so that a full ring differs from an empty one.
        let count = self.costs.rx_descriptors.saturating_sub(1);
        for queue in (0..self.queues.len() as u16).map(QueueId) {
            let source = self.source(queue);
            outbox.send(source, Out::Pcie(HostToCard::RxDoorbell { queue, count }));
            outbox.send(source, Out::Pcie(HostToCard::ArmInterrupt { queue, rx_seen: 0, tx_seen: 0 }));
        }
    }

    fn hear(&mut self, now: Time, message: CardToHost, outbox: &mut impl Posts) {
        match message {
            CardToHost::RxPacket { queue, frame, meta } => self.queue(queue).received.push_back((frame, meta)),
            CardToHost::Interrupt { queue } => self.interrupt(now, queue, outbox),
            CardToHost::TxComplete { queue, count } => self.queue(queue).tx_completed += u64::from(count),
            CardToHost::ReadRxDescriptors { queue, count } => {
                self.answer(now, queue, HostToCard::RxDescriptors { queue, count }, outbox);
            }
            CardToHost::ReadTxDescriptors { queue, count } => {
                let q = self.queue(queue);
                let lengths: Vec<u32> =
                    q.transmit.iter().skip(q.described).take(count as usize).map(|f| f.bytes.len() as u32).collect();
                q.described += lengths.len();
                self.answer(now, queue, HostToCard::TxDescriptors { queue, lengths }, outbox);
            }
            CardToHost::ReadTxData { queue, .. } => {
                let q = self.queue(queue);
                let frame = q.transmit.pop_front().expect("the card reads the data of frames it has described");
                q.described -= 1;
                self.answer(now, queue, HostToCard::TxData { queue, frame }, outbox);
            }
        }
    }

    /// Host memory answers a read: all take the same time, so each queue's come in order.
    fn answer(&mut self, now: Time, queue: QueueId, message: HostToCard, outbox: &mut impl Posts) {
        self.queue(queue).answers.push_back(message);
        let at = now + self.costs.dma_read;
        self.wake_at(at, Priority::Arrival, queue, Inner::Answer(queue), outbox);
    }

    fn interrupt(&mut self, now: Time, queue: QueueId, outbox: &mut impl Posts) {
        let (interrupt, moderation) = (self.costs.interrupt, self.costs.moderation);
        let q = self.queue(queue);
        if q.napi != Napi::Idle {
            return;
        }
        let fires = q.last_interrupt.map_or(now, |last| now.max(last + moderation));
        q.last_interrupt = Some(fires);
        q.napi = Napi::Scheduled;
        self.wake_at(fires + interrupt, Priority::Timer, queue, Inner::Poll(queue), outbox);
    }

    fn poll(&mut self, now: Time, queue: QueueId, outbox: &mut impl Posts) {
        let (budget, poll) = (self.costs.napi_budget, self.costs.poll);
        let q = self.queue(queue);
        q.napi = Napi::Polling(budget);
        q.polls += 1;
        // Transmit completions are taken first, as drivers do.
        q.tx_used -= (q.tx_completed - q.tx_seen) as u32;
        q.tx_seen = q.tx_completed;
        let done = self.spend(now, queue, poll);
        self.wake_at(done, Priority::Core, queue, Inner::Step(queue), outbox);
    }

    /// Ends the packet in work, then takes the next or ends the poll.
    fn step(&mut self, now: Time, queue: QueueId, outbox: &mut impl Posts) {
        if let Some(work) = self.queue(queue).work.take() {
            self.finish(now, queue, work, outbox);
        }
        let q = self.queue(queue);
        let left = match q.napi {
            Napi::Polling(left) => left,
            other => unreachable!("a core steps inside a poll, not when {other:?}"),
        };
        if left > 0
            && let Some((frame, meta)) = q.received.pop_front()
        {
            q.napi = Napi::Polling(left - 1);
            q.rx_seen += 1;
            q.refill += 1;
            if q.refill >= REFILL_BATCH {
                self.ring_receive(queue, outbox);
            }
            self.take(now, queue, frame, &meta, outbox);
            return;
        }
        self.ring_receive(queue, outbox);
        for port in 0..self.ports() {
            self.ring_transmit(QueueId(port * self.per_port + queue.0 % self.per_port), outbox);
        }
        let q = self.queue(queue);
        if left == 0 || !q.received.is_empty() {
            // The budget is used up and the queue goes to the end of the poll list, where it is alone.
            self.poll(now, queue, outbox);
            return;
        }
        q.napi = Napi::Idle;
        let (rx_seen, tx_seen) = (q.rx_seen, q.tx_seen);
        let source = self.source(queue);
        outbox.send(source, Out::Pcie(HostToCard::ArmInterrupt { queue, rx_seen, tx_seen }));
    }

    fn take(&mut self, now: Time, queue: QueueId, mut frame: Frame, meta: &RxMeta, outbox: &mut impl Posts) {
        let processed = self.hooks.process(now, queue, &mut frame, meta, &self.costs);
        let done = self.spend(now, queue, processed.cost);
        self.queue(queue).work = Some(Work::new(frame, processed));
        self.wake_at(done, Priority::Core, queue, Inner::Step(queue), outbox);
    }

    /// What is decided on a packet happens, and on the copies made of it.
    fn finish(&mut self, now: Time, queue: QueueId, work: Work, outbox: &mut impl Posts) {
        for Parcel { bytes, verdict } in work.copies {
            let packet = PacketId(COPIES.0 + self.copies);
            self.copies += 1;
            outbox.send(self.source(queue), Out::Copied { packet });
            self.conclude(now, queue, Frame { id: packet, bytes }, verdict, outbox);
        }
        if work.copies_lost > 0 {
            outbox.send(self.source(queue), Out::CopiesLost(work.copies_lost));
        }
        self.conclude(now, queue, work.frame, work.verdict, outbox);
    }

    fn conclude(&mut self, now: Time, queue: QueueId, frame: Frame, verdict: Verdict, outbox: &mut impl Posts) {
        let source = self.source(queue);
        let packet = frame.id;
        match verdict {
            Verdict::End(fate) => outbox.send(source, Out::Fate { packet, fate }),
            Verdict::Send { by, port } => {
                let limit = self.costs.tx_descriptors;
                // The same core's queue of the port it goes to.
                let queue = QueueId(u16::from(port.0) * self.per_port + queue.0 % self.per_port);
                let source = self.source(queue);
                let q = self.queue(queue);
                if q.tx_used >= limit {
                    outbox.send(source, Out::Fate { packet, fate: Fate::TxRingFull });
                    return;
                }
                q.tx_used += 1;
                q.unannounced += 1;
                q.transmit.push_back(frame);
                outbox.send(source, Out::Sending { packet, by });
                // XDP rings the doorbell once a poll, the queue discipline for every packet.
                if by == Sent::Tc {
                    self.ring_transmit(queue, outbox);
                }
            }
            Verdict::Hand(handed) => self.hand_over(now, queue, frame, handed, outbox),
        }
    }

    /// A packet waits for another core, whose thread wakes up as fast as an interrupt comes through (assumed).
    fn hand_over(&mut self, now: Time, queue: QueueId, frame: Frame, handed: Handed, outbox: &mut impl Posts) {
        let (source, packet, wakes) = (self.source(queue), frame.id, now + self.costs.interrupt);
        let core = QueueId(handed.cpu);
        let Some(thread) = self.threads.get_mut(usize::from(core.0)) else {
            return outbox.send(source, Out::Fate { packet, fate: Fate::NoDevice });
        };
        let waiting = thread.waiting.entry(handed.entry).or_default();
        if *waiting >= handed.length {
            return outbox.send(source, Out::Fate { packet, fate: Fate::CpuQueueFull });
        }
        *waiting += 1;
        thread.handed.push_back((frame, handed));
        if !std::mem::replace(&mut thread.awake, true) {
            self.wake_at(wakes, Priority::Timer, core, Inner::Thread(core), outbox);
        }
    }

    /// Ends the packet that a core's thread has in work, then takes the next or sleeps.
    fn thread(&mut self, now: Time, core: QueueId, outbox: &mut impl Posts) {
        let at = usize::from(core.0);
        if let Some(work) = self.threads[at].work.take() {
            self.finish(now, core, work, outbox);
            for port in 0..self.ports() {
                self.ring_transmit(QueueId(port * self.per_port + core.0), outbox);
            }
        }
        let thread = &mut self.threads[at];
        let Some((mut frame, handed)) = thread.handed.pop_front() else {
            thread.awake = false;
            return;
        };
        if let Some(waiting) = thread.waiting.get_mut(&handed.entry) {
            *waiting -= 1;
        }
        let processed = self.hooks.on_processor(now, core, &mut frame, &handed, &self.costs);
        let done = self.spend(now, core, processed.cost);
        self.threads[at].work = Some(Work::new(frame, processed));
        self.wake_at(done, Priority::Core, core, Inner::Thread(core), outbox);
    }

    fn ring_receive(&mut self, queue: QueueId, outbox: &mut impl Posts) {
        let count = std::mem::take(&mut self.queue(queue).refill);
        if count > 0 {
            outbox.send(self.source(queue), Out::Pcie(HostToCard::RxDoorbell { queue, count }));
        }
    }

    fn ring_transmit(&mut self, queue: QueueId, outbox: &mut impl Posts) {
        let count = std::mem::take(&mut self.queue(queue).unannounced);
        if count > 0 {
            outbox.send(self.source(queue), Out::Pcie(HostToCard::TxDoorbell { queue, count }));
        }
    }
}

impl Component for Host {
    type In = In;
    type Wake = Inner;
    type Out = Out;

    fn handle(&mut self, now: Time, event: In, outbox: &mut impl Outbox<Inner, Out>) {
        match event {
            In::Start => self.start(outbox),
            In::Pcie(message) => self.hear(now, message, outbox),
        }
    }

    fn wake(&mut self, now: Time, event: Inner, outbox: &mut impl Outbox<Inner, Out>) {
        match event {
            Inner::Answer(queue) => {
                let message = self.queue(queue).answers.pop_front().expect("every answer is put there with its event");
                outbox.send(self.source(queue), Out::Pcie(message));
            }
            Inner::Poll(queue) => self.poll(now, queue, outbox),
            Inner::Step(queue) => self.step(now, queue, outbox),
            Inner::Thread(core) => self.thread(now, core, outbox),
        }
    }
}
