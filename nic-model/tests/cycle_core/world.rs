//! Cycle-by-cycle cores and memories: every pull, arrival, delivery and freed queue slot is an event.

use std::sync::Arc;

use nic_model::core::{ContextId, FlightId, Outcome, Task};
use nic_model::des::{EventQueue, Priority, Time};
use nic_model::firmware::{CodeLayout, Firmware};
use nic_model::isa::{check_ecc, decode};
use nic_model::memory::{Cargo, MemCommand, Memories};

use super::{AfterSlots, Context, CycleCore, Doing, Shared, State, Wish};
use crate::bench::Arrival;

enum Event {
    Begin {
        core: usize,
        context: usize,
        task: Task,
    },
    Tick {
        core: usize,
        cycle: u64,
    },
    Pull {
        core: usize,
        flight: usize,
    },
    Arrive {
        core: usize,
        flight: usize,
    },
    /// An engine takes the command out of the queue.
    Taken {
        core: usize,
        flight: usize,
    },
    /// Something is back for a context of the core.
    Back {
        core: usize,
    },
}

/// For cores and contexts the packets they get, one after the other: each this time after the end of the one before.
pub type Tasks = Vec<(usize, usize, Vec<(Time, Task)>)>;

/// The world of the cycle-by-cycle cores.
pub struct World {
    pub memories: Memories,
    pub cores: Vec<CycleCore>,
    pub finished: Vec<(Time, u16, ContextId, Outcome)>,
    pub arrivals: Vec<Arrival>,

    pub tasks: Tasks,
    queue: EventQueue<Event>,
    /// Packets each core has not finished.
    remaining: Vec<usize>,
    cycles: u64,
}

impl World {
    /// Cores of these kinds with one program.
    pub fn new(
        memories: Memories,
        configs: &[nic_model::core::CoreConfig],
        layout: &CodeLayout,
        words: &[u64],
        firmware: &Firmware,
    ) -> World {
        let mut code = vec![None; usize::from(layout.start)];
        code.extend(words.iter().map(|&word| check_ecc(word).ok().and_then(|payload| decode(payload).ok())));
        let code = Arc::new(code);
        let core = |config: &nic_model::core::CoreConfig| CycleCore {
            config: *config,
            shared: Shared { local: vec![0; 1024], product: 0, random: config.seed },
            contexts: (0..config.contexts).map(new_context).collect(),
            flights: Vec::new(),
            addresses: *memories.addresses(),
            code: Arc::clone(&code),
            start: layout.start,
            receive: firmware.receive.clone(),
            drop: firmware.drop.clone(),
            pass: firmware.pass.clone(),
            running: None,
            last: usize::from(config.contexts) - 1,
            busy: 0,
            ended: 0,
        };
        let cores: Vec<_> = configs.iter().map(core).collect();
        let mut queue = EventQueue::default();
        for (index, core) in cores.iter().enumerate() {
            queue.push(Time::ZERO, Priority::Core, core.config.source, Event::Tick { core: index, cycle: 0 });
        }
        World {
            memories,
            cores,
            finished: Vec::new(),
            arrivals: Vec::new(),
            tasks: Vec::new(),
            queue,
            remaining: Vec::new(),
            cycles: 0,
        }
    }

    /// Runs until every task is done, and what is under way has arrived.
    pub fn run(&mut self) {
        self.remaining = vec![0; self.cores.len()];
        for (core, context, tasks) in &mut self.tasks {
            self.remaining[*core] += tasks.len();
            tasks.reverse();
            if let Some((at, task)) = tasks.pop() {
                let source = self.cores[*core].config.source;
                let event = Event::Begin { core: *core, context: *context, task };
                self.queue.push(at, Priority::Arrival, source, event);
            }
        }
        while let Some((now, event)) = self.queue.pop() {
            self.take(now, event);
        }
    }

    fn take(&mut self, now: Time, event: Event) {
        match event {
            Event::Begin { core, context, task } => self.cores[core].begin(context, task),
            Event::Tick { core, cycle } => {
                self.cycles += 1;
                assert!(self.cycles < 3_000_000, "the run does not end");
                let mut wishes = Vec::new();
                let again = self.cores[core].tick(cycle, &mut wishes);
                let clock = self.cores[core].config.clock;
                let source = self.cores[core].config.source;
                for wish in wishes {
                    self.grant(now, core, cycle, wish);
                }
                if again {
                    self.queue.push(now, Priority::Core, source, Event::Tick { core, cycle });
                } else if self.remaining[core] > 0 {
                    let next = Event::Tick { core, cycle: cycle + 1 };
                    self.queue.push(clock.at_cycle(cycle + 1), Priority::Core, source, next);
                }
            }
            Event::Pull { core, flight } => {
                self.cores[core].pull(flight);
                self.leave(now, core, flight);
            }
            Event::Arrive { core, flight } => {
                let under_way = &self.cores[core].flights[flight];
                let command = MemCommand {
                    core: self.cores[core].config.id,
                    context: ContextId(under_way.context as u8),
                    packet: under_way.packet,
                    flight: FlightId(0),
                    engine: under_way.at.engine,
                    offset: under_way.at.offset,
                    bytes: under_way.bytes,
                    action: under_way.action,
                };
                let under_way = &mut self.cores[core].flights[flight];
                let answer = self.memories.serve(now, &command, Cargo { words: &mut under_way.words, call: None });
                self.arrivals.push(Arrival::new(now, &command, &under_way.words));
                under_way.back = Some(answer.back);
                let source = self.cores[core].config.source;
                self.queue.push(answer.taken, Priority::Signal, source, Event::Taken { core, flight });
                self.queue.push(answer.back, Priority::Signal, source, Event::Back { core });
            }
            Event::Taken { core, flight } => self.cores[core].flights[flight].queued = false,
            Event::Back { core } => {
                // Of several at one instant the one issued first.
                let due = |f: &super::Flight| f.pending && f.back == Some(now);
                if let Some(flight) = self.cores[core].flights.iter().position(due) {
                    self.cores[core].deliver(flight, now);
                }
            }
        }
    }

    fn grant(&mut self, now: Time, core: usize, cycle: u64, wish: Wish) {
        let config = self.cores[core].config;
        match wish {
            Wish::Issue { flight, .. } if self.cores[core].flights[flight].pull.is_none() => {
                self.leave(now, core, flight);
            }
            Wish::Issue { flight, pull } => {
                let at = config.clock.at_cycle(cycle + pull);
                self.queue.push(at, Priority::Pull, config.source, Event::Pull { core, flight });
            }
            Wish::Finished { context, outcome } => {
                self.finished.push((now, config.id.0, ContextId(context as u8), outcome));
                self.remaining[core] -= 1;
                let row = self.tasks.iter_mut().find(|(c, x, _)| (*c, *x) == (core, context));
                if let Some((after, task)) = row.and_then(|(.., tasks)| tasks.pop()) {
                    let event = Event::Begin { core, context, task };
                    self.queue.push(now + after, Priority::Arrival, config.source, event);
                }
            }
        }
    }

    fn leave(&mut self, now: Time, core: usize, flight: usize) {
        let under_way = &self.cores[core].flights[flight];
        let arrives = now + self.memories.request_time(under_way.at.engine);
        let source = self.cores[core].config.source;
        self.queue.push(arrives, Priority::Memory, source, Event::Arrive { core, flight });
    }
}

fn new_context(index: u8) -> Context {
    Context {
        a: [0; 32],
        b: [0; 32],
        transfer_in: [0; 64],
        transfer_out: [0; 64],
        pointers: [0; 4],
        writes: Vec::new(),
        n: false,
        z: true,
        c: false,
        v: false,
        previous: 0,
        left: 0,
        csr: None,
        signals: 0,
        wake: (0, false),
        number: 2 * index,
        pc: 0,
        slots: 0,
        after_slots: AfterSlots::Wait(None),
        executed: 0,
        state: State::Free,
        doing: Doing::Program,
        task: None,
        fresh: false,
        trap: None,
    }
}
