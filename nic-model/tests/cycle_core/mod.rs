//! A core that executes one instruction a cycle, and a world in which everything happens by an event of its own.
//!
//! It shares the instruction table with the core by bursts, the memories and the event queue, and nothing else.

#![allow(dead_code, reason = "each test uses a part of it")]

mod semantics;
mod world;

use std::sync::Arc;

use nic_model::core::{CoreConfig, Fate, Outcome, PacketId, Task, Trap, TrapKind};
use nic_model::des::Time;
use nic_model::firmware::{PacketVector, Place, Routine, Step, VECTOR_WORDS, Verdict};
use nic_model::isa::{Op, Swap, Target};
use nic_model::memory::{Action, AddressMap, AtomicOp, ByteOrder, Location, MemoryKind};
use semantics::{Bubble, Effect, Request};

pub use world::{Tasks, World};

/// What the contexts of a core share.
pub struct Shared {
    pub local: Vec<u32>,
    pub product: u64,
    pub random: u64,
}

impl Shared {
    /// The sequence that the core by bursts documents: splitmix64, high half.
    fn next_random(&mut self) -> u32 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    Ready,
    Running,
    /// It waits from this cycle on.
    Waiting(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Receive(usize),
    Program,
    Epilogue(usize, Verdict),
    Trapped(usize),
}

/// One context.
pub struct Context {
    pub a: [u32; 32],
    pub b: [u32; 32],
    pub transfer_in: [u32; 64],
    pub transfer_out: [u32; 64],
    pub pointers: [u32; 4],
    /// Writes of pointers: instructions until they act, pointer, value.
    writes: Vec<(u32, usize, u32)>,
    n: bool,
    z: bool,
    c: bool,
    v: bool,
    previous: u32,
    left: u32,
    csr: Option<(u64, u32)>,
    signals: u16,
    wake: (u16, bool),
    number: u8,
    pc: u16,
    slots: u8,
    after_slots: AfterSlots,
    executed: u64,
    state: State,
    doing: Doing,
    task: Option<Task>,
    /// Its packet's vector is not in local memory yet.
    fresh: bool,
    trap: Option<(u16, TrapKind)>,
}

#[derive(Debug, Clone, Copy)]
enum AfterSlots {
    Jump { to: u16, bubble: u32, empty: u32 },
    Wait(Option<u16>),
}

impl Context {
    fn settle(&mut self) {
        while let Some(&(0, pointer, value)) = self.writes.first() {
            self.pointers[pointer] = value & !3;
            self.writes.remove(0);
        }
    }

    /// That many slots have gone by.
    fn pass(&mut self, slots: u32) {
        for write in &mut self.writes {
            write.0 = write.0.saturating_sub(slots);
        }
    }

    fn met_by(&self, there: u16) -> bool {
        let (signals, any) = self.wake;
        signals == 0 || if any { there & signals != 0 } else { there & signals == signals }
    }

    /// Wakes it if it has what it waits for.
    fn look(&mut self) {
        if matches!(self.state, State::Waiting(_)) && self.met_by(self.signals) {
            self.signals &= !self.wake.0;
            self.state = State::Ready;
        }
    }
}

/// A command under way.
pub struct Flight {
    pub context: usize,
    pub packet: PacketId,
    pub signal: u16,
    pub push: Option<(u8, u8)>,
    pub pull: Option<(u8, u8)>,
    pub queued: bool,
    pub pending: bool,
    pub orphan: bool,
    pub back: Option<Time>,
    pub words: [u32; 32],
    pub at: Location,
    pub bytes: u16,
    pub action: Action,
}

/// What a core wants of the world after a cycle.
pub enum Wish {
    /// This flight's command leaves the queue in that many cycles, pulling its data first.
    Issue {
        flight: usize,
        pull: u64,
    },
    Finished {
        context: usize,
        outcome: Outcome,
    },
}

/// A core.
pub struct CycleCore {
    pub config: CoreConfig,
    pub shared: Shared,
    pub contexts: Vec<Context>,
    pub flights: Vec<Flight>,
    addresses: AddressMap,
    code: Arc<Vec<Option<Op>>>,
    start: u16,
    receive: Routine,
    drop: Routine,
    pass: Routine,
    running: Option<usize>,
    last: usize,
    /// First cycle at which it can do something again.
    busy: u64,
    /// Cycle at which the latest burst ended.
    ended: u64,
}

impl CycleCore {
    pub fn begin(&mut self, context: usize, task: Task) {
        let context = &mut self.contexts[context];
        (context.state, context.doing) = (State::Ready, Doing::Receive(0));
        (context.task, context.trap) = (Some(task), None);
        (context.signals, context.wake, context.slots) = (0, (0, false), 0);
        (context.executed, context.csr, context.fresh) = (0, None, true);
    }

    fn local_base(&self, context: usize) -> u32 {
        4096 / u32::from(self.config.contexts) * context as u32
    }

    /// Data and signal of a flight reach its context. One that waits already looks at once; what comes before the
    /// instant at which a wait begins is seen then, together.
    pub fn deliver(&mut self, flight: usize, now: Time) {
        let flight = &mut self.flights[flight];
        flight.pending = false;
        if flight.orphan {
            return;
        }
        let context = &mut self.contexts[flight.context];
        if let Some((first, count)) = flight.push {
            for i in 0..usize::from(count) {
                context.transfer_in[usize::from(first) + i] = flight.words[i];
            }
        }
        context.signals |= flight.signal;
        if let State::Waiting(since) = context.state
            && now > self.config.clock.at_cycle(since)
        {
            context.look();
        }
    }

    /// Pulls a flight's data.
    pub fn pull(&mut self, flight: usize) {
        let flight = &mut self.flights[flight];
        if let Some((first, count)) = flight.pull.take() {
            let from = &self.contexts[flight.context].transfer_out;
            for i in 0..usize::from(count) {
                flight.words[i] = from[usize::from(first) + i];
            }
        }
    }

    /// One cycle; `true` if a burst ended in it, so that the next context is chosen by another event of this cycle.
    #[must_use]
    pub fn tick(&mut self, cycle: u64, wishes: &mut Vec<Wish>) -> bool {
        for context in &mut self.contexts {
            if matches!(context.state, State::Waiting(since) if since <= cycle) {
                context.look();
            }
        }
        while cycle >= self.busy {
            let Some(running) = self.running else {
                let count = self.contexts.len();
                let next = (1..=count).map(|i| (self.last + i) % count);
                let Some(next) = next.into_iter().find(|&i| self.contexts[i].state == State::Ready) else {
                    return false;
                };
                let costs = &self.config.costs;
                let between = if cycle == self.ended { costs.switch } else { costs.wake };
                self.contexts[next].state = State::Running;
                (self.running, self.last) = (Some(next), next);
                self.busy = cycle + u64::from(between);
                continue;
            };
            match self.step(running, cycle, wishes) {
                Stepped::Took(cycles) => self.busy = cycle + cycles,
                Stepped::Stalled => return false,
                Stepped::Ended(cycles) => {
                    self.running = None;
                    self.busy = cycle + cycles;
                    self.ended = self.busy;
                    return cycles == 0;
                }
            }
        }
        false
    }

    /// What the running context does at a cycle.
    fn step(&mut self, index: usize, cycle: u64, wishes: &mut Vec<Wish>) -> Stepped {
        if std::mem::take(&mut self.contexts[index].fresh) {
            let task = self.contexts[index].task.expect("it has a packet");
            let vector = (self.local_base(index) + self.config.stack_bytes) as usize / 4;
            self.shared.local[vector..vector + VECTOR_WORDS].copy_from_slice(&task.vector.words);
        }
        let context = &mut self.contexts[index];
        let (routine, step) = match context.doing {
            Doing::Program => return self.instruction(index, cycle, wishes),
            Doing::Receive(step) => (&self.receive, step),
            Doing::Epilogue(step, verdict) => {
                let drops = verdict.action == nic_model::firmware::Action::Drop;
                (if drops { &self.drop } else { &self.pass }, step)
            }
            Doing::Trapped(step) => (&self.drop, step),
        };
        let next = match context.doing {
            Doing::Receive(step) => Doing::Receive(step + 1),
            Doing::Epilogue(step, verdict) => Doing::Epilogue(step + 1, verdict),
            Doing::Trapped(step) => Doing::Trapped(step + 1),
            Doing::Program => Doing::Program,
        };
        let cost = u64::from(self.config.costs.instruction);
        match routine.steps.get(step).copied() {
            Some(Step::Run { instructions }) => {
                context.doing = next;
                context.executed += u64::from(instructions);
                Stepped::Took(cost * u64::from(instructions))
            }
            Some(Step::Command { memory, kind, place, bytes, wait }) => {
                if self.queue_is_full() {
                    return Stepped::Stalled;
                }
                let at = self.place(index, memory, place);
                self.issue(index, at, bytes, Action::Touch(kind), if wait { 1 } else { 0 }, None, None, 0, wishes);
                let context = &mut self.contexts[index];
                context.doing = next;
                context.executed += 1;
                if wait {
                    context.wake = (1, false);
                    context.state = State::Waiting(cycle + cost);
                    Stepped::Ended(cost)
                } else {
                    Stepped::Took(cost)
                }
            }
            None => self.after_routine(index, wishes),
        }
    }

    fn after_routine(&mut self, index: usize, wishes: &mut Vec<Wish>) -> Stepped {
        let (id, base) = (self.config.id, self.local_base(index));
        let vector = base + self.config.stack_bytes;
        let context = &mut self.contexts[index];
        let fate = match context.doing {
            Doing::Receive(_) => {
                context.a[22] = base;
                context.pointers = [base, vector, 0, 0];
                (context.pc, context.slots, context.doing) = (self.start, 0, Doing::Program);
                return Stepped::Took(0);
            }
            Doing::Program => return Stepped::Took(0),
            Doing::Epilogue(_, verdict) => Fate::Verdict(verdict),
            Doing::Trapped(_) => {
                let (pc, kind) = context.trap.expect("it trapped");
                let context = nic_model::core::ContextId(index as u8);
                Fate::Trapped(Trap { core: id, context, pc, kind })
            }
        };
        let task = context.task.expect("it has a packet");
        context.state = State::Free;
        context.pass(u32::MAX);
        context.settle();
        let mut words = PacketVector::default();
        let at = vector as usize / 4;
        words.words.copy_from_slice(&self.shared.local[at..at + VECTOR_WORDS]);
        let outcome = Outcome {
            packet: task.packet,
            kind: task.kind,
            fate,
            vector: words,
            instructions: context.executed,
            redirect: None,
        };
        for flight in self.flights.iter_mut().filter(|flight| flight.context == index) {
            flight.orphan = true;
        }
        wishes.push(Wish::Finished { context: index, outcome });
        Stepped::Ended(0)
    }

    fn place(&self, index: usize, memory: MemoryKind, place: Place) -> Location {
        let task = self.contexts[index].task.expect("it has a packet");
        let offset = match place {
            Place::Packet { offset } => {
                self.addresses.packet_base(task.vector.number()) + u64::from(task.vector.offset() + offset)
            }
            Place::Shared { offset } => offset,
            Place::Striped { offset, stride, slots } => offset + task.packet.0 % u64::from(slots) * u64::from(stride),
        };
        Location { engine: self.addresses.engine(memory, self.config.island), offset }
    }

    fn queue_is_full(&self) -> bool {
        let queued = self.flights.iter().filter(|flight| flight.queued).count();
        queued >= self.config.costs.command_queue as usize
    }

    #[expect(clippy::too_many_arguments, reason = "a command has as many parts")]
    fn issue(
        &mut self,
        index: usize,
        at: Location,
        bytes: u16,
        action: Action,
        signal: u16,
        push: Option<(u8, u8)>,
        pull: Option<(u8, u8)>,
        operand: u32,
        wishes: &mut Vec<Wish>,
    ) {
        let mut words = [0; 32];
        if let Action::Atomic { wide, .. } = action {
            words = [operand; 32];
            if wide {
                words[1] = 0;
            }
        }
        let context = &mut self.contexts[index];
        if signal == 1 {
            context.signals &= !1;
        }
        let packet = context.task.expect("it has a packet").packet;
        wishes.push(Wish::Issue {
            flight: self.flights.len(),
            pull: if pull.is_some() { u64::from(self.config.costs.pull) } else { 0 },
        });
        self.flights.push(Flight {
            context: index,
            packet,
            signal,
            push,
            pull,
            queued: true,
            pending: signal != 0 || push.is_some(),
            orphan: false,
            back: None,
            words,
            at,
            bytes,
            action,
        });
    }

    fn trapped(&mut self, index: usize, pc: u16, kind: TrapKind, cycles: u64) -> Stepped {
        let context = &mut self.contexts[index];
        (context.trap, context.doing, context.slots) = (Some((pc, kind)), Doing::Trapped(0), 0);
        context.pass(u32::MAX);
        context.settle();
        Stepped::Took(cycles)
    }

    fn instruction(&mut self, index: usize, cycle: u64, wishes: &mut Vec<Wish>) -> Stepped {
        let context = &mut self.contexts[index];
        let pc = context.pc;
        // The test's firmware has one door that programs of the test use.
        if pc == 1 {
            let result = context.a[0];
            return match Verdict::decode(result) {
                Some(verdict) => {
                    context.doing = Doing::Epilogue(0, verdict);
                    Stepped::Took(0)
                }
                None => self.trapped(index, pc, TrapKind::NoAction { result }, 0),
            };
        }
        let code = Arc::clone(&self.code);
        let Some(Some(op)) = code.get(usize::from(pc)) else {
            return self.trapped(index, pc, TrapKind::OutsideCode, 0);
        };
        let waits = matches!(op, Op::Cmd(op) if op.completion.swap != Swap::No);
        if matches!(op, Op::Cmd(_)) && !(waits && context.slots != 0) && self.queue_is_full() {
            return Stepped::Stalled;
        }
        let context = &mut self.contexts[index];
        let effect = match context.execute(&mut self.shared, op, cycle) {
            Ok(Effect::Command(request)) => self.command(index, *request, wishes),
            other => other,
        };
        let effect = match effect {
            Ok(effect) => effect,
            Err(kind) => return self.trapped(index, pc, kind, 0),
        };
        let costs = self.config.costs;
        let cost = u64::from(costs.instruction);
        let limit = self.config.budget;
        let context = &mut self.contexts[index];
        context.executed += 1;
        context.pass(1);
        if context.executed > limit {
            return self.trapped(index, pc, TrapKind::Budget { limit }, cost);
        }
        if context.slots != 0 && !matches!(effect, Effect::None) {
            return self.trapped(index, pc, TrapKind::Unsupported { what: "slots" }, cost);
        }
        context.pc = pc + 1;
        match effect {
            Effect::None if context.slots == 0 => Stepped::Took(cost),
            Effect::None => {
                context.slots -= 1;
                if context.slots == 0 { self.land(index, cycle, cost) } else { Stepped::Took(cost) }
            }
            Effect::Jump { to, defer, bubble } => {
                let bubble = match bubble {
                    Bubble::Branch => costs.branch,
                    Bubble::Bit => costs.branch_bit,
                    Bubble::Register => costs.jump,
                };
                context.after_slots = AfterSlots::Jump {
                    to,
                    bubble: bubble.saturating_sub(defer.into()),
                    empty: 3u32.saturating_sub(defer.into()),
                };
                context.slots = defer;
                if defer == 0 { self.land(index, cycle, cost) } else { Stepped::Took(cost) }
            }
            Effect::Wait { signals, any, defer, resume } => {
                context.wake = (signals, any);
                context.after_slots = AfterSlots::Wait(resume);
                context.slots = defer;
                if defer == 0 { self.land(index, cycle, cost) } else { Stepped::Took(cost) }
            }
            Effect::Command(_) => Stepped::Took(cost),
        }
    }

    /// What follows the deferred slots.
    fn land(&mut self, index: usize, cycle: u64, cost: u64) -> Stepped {
        let coming = self
            .flights
            .iter()
            .filter(|flight| flight.context == index && flight.pending && !flight.orphan)
            .fold(0, |signals, flight| signals | flight.signal);
        let context = &mut self.contexts[index];
        match context.after_slots {
            AfterSlots::Jump { to, bubble, empty } => {
                context.pc = to;
                context.pass(empty);
                Stepped::Took(cost + u64::from(bubble))
            }
            AfterSlots::Wait(resume) => {
                if !context.met_by(context.signals | coming) {
                    let (pc, signals) = (context.pc - 1, context.wake.0);
                    return self.trapped(index, pc, TrapKind::Deadlock { signals }, cost);
                }
                context.pass(u32::MAX);
                context.settle();
                context.pc = resume.unwrap_or(context.pc);
                context.state = State::Waiting(cycle + cost);
                Stepped::Ended(cost)
            }
        }
    }

    /// Issues a command of the program.
    fn command(&mut self, index: usize, request: Request, wishes: &mut Vec<Wish>) -> semantics::Outcome {
        let Request { op, address, length, immediate } = request;
        let unknown = TrapKind::UnknownCommand { target_action: op.command.target_action(), token: op.command.token };
        if op.command.target != Target::Mem {
            return Err(unknown);
        }
        let token = op.command.token;
        let order = ByteOrder { swap: token >= 2, le: token % 2 == 1 };
        let units = length + 1;
        let fetch = token % 2 == 1;
        let number = |op, wide| Action::Atomic { op, wide, fetch };
        let (action, bytes) = match (op.command.action, token) {
            (0, _) => (Action::Read(order), 8 * units),
            (1, _) => (Action::Write(order), 8 * units),
            (2, _) => (Action::Write(order), units),
            (3, 1) => (Action::Read(ByteOrder::BIG), units),
            (28, _) => (Action::Read(order), 4 * units),
            (31, _) => (Action::Write(order), 4 * units),
            (5, _) => (number(AtomicOp::Set, false), 4 * units),
            (7, _) if length & 4 != 0 => (number(AtomicOp::Add, true), 8),
            (7, _) => (number(AtomicOp::Add, false), 4 * (1 + (length & 3))),
            _ => return Err(unknown),
        };
        let located = match op.address.mode {
            nic_model::isa::AddressMode::Sum32 => self.addresses.resolve32(self.config.island, address as u32, bytes),
            _ => self.addresses.resolve40(address, bytes),
        };
        let Some(at) = located else { return Err(TrapKind::BadAddress { address, bytes }) };
        let words = bytes.div_ceil(4);
        let is_atomic = matches!(action, Action::Atomic { .. });
        let is_immediate = is_atomic && token >= 2;
        if is_immediate && immediate.is_none() {
            return Err(TrapKind::Unsupported { what: "immediate" });
        }
        let reads = matches!(action, Action::Read(_)) || is_atomic && fetch;
        let writes = matches!(action, Action::Write(_)) || is_atomic && !is_immediate;
        if (reads || writes) && (words > 32 || u32::from(op.xfer) + words > 64) {
            return Err(TrapKind::TransferRegisters { first: op.xfer, count: words as u8 });
        }
        let span = Some((op.xfer, words as u8));
        let signal = if op.completion.signal == 0 { 0 } else { 1 << op.completion.signal };
        let operand = immediate.map_or(0, u32::from);
        let (push, pull) = (span.filter(|_| reads), span.filter(|_| writes));
        self.issue(index, at, bytes as u16, action, signal, push, pull, operand, wishes);
        Ok(match op.completion.swap {
            Swap::No => Effect::None,
            Swap::After(defer) => Effect::Wait { signals: signal, any: false, defer, resume: None },
        })
    }
}

enum Stepped {
    /// It goes on after so many cycles.
    Took(u64),
    /// It tries again in the next cycle.
    Stalled,
    /// It has given the core away after so many cycles.
    Ended(u64),
}
