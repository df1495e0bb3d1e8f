//! The core as a component: whose turn it is, and when.

use std::sync::Arc;

use bpf::diag::{At, Diagnostic};

use super::burst::End;
use super::code::CodeStore;
use super::context::State;
use super::flight::{Coming, Flight};
use super::machine::{LOCAL_WORDS, Machine};
use super::registers::Registers;
use super::{ContextId, CoreConfig, CoreCounters, CoreIn, CoreOut, FlightId, Outcome, PacketId, Resume};
use crate::des::{Component, Outbox, Priority, Time};
use crate::firmware::{Firmware, VECTOR_WORDS};
use crate::isa::Bank;
use crate::memory::{Action, Answer, Cargo, MapShape, MemCommand, Memories, Routine};

/// A flow processing core.
///
/// Contexts take turns: the core stays with one until it waits, then goes to the next that is ready, round about. The
/// choice is made by an event at the end of the burst, so everything that has arrived by then counts.
#[derive(Debug)]
#[repr(C)]
pub struct Core {
    /// Cycle and time of the event at which the core goes on, if one is scheduled. An earlier one makes a later one stale.
    resume: Option<(u64, Time)>,
    /// Cycle at which the latest burst ended or is to be continued.
    busy_until: u64,
    /// A context whose burst is to be continued.
    running: Option<usize>,
    /// Context that had the core last.
    last: usize,
    /// The running context stands still because the command queue is full.
    stalled: bool,
    machine: Machine,
    code: Arc<CodeStore>,
    firmware: Arc<Firmware>,
}

impl Core {
    /// A core of a card with these memories.
    ///
    /// # Errors
    /// `core-contexts` for other numbers of contexts than 1 to 4 and 8; `core-stack` for a stack that does not fit the
    /// context's share of local memory.
    pub fn new(
        config: CoreConfig,
        memories: &Memories,
        code: Arc<CodeStore>,
        firmware: Arc<Firmware>,
    ) -> Result<Core, Diagnostic> {
        let at = || At::Named(config.id.to_string());
        if !matches!(config.contexts, 1..=4 | 8) {
            return Err(Diagnostic::new("core-contexts", "a core cannot have that many contexts")
                .at(at())
                .limit("1 to 4, or 8", config.contexts));
        }
        let share = LOCAL_WORDS as u32 * 4 / u32::from(config.contexts);
        let room = share.saturating_sub(4 * VECTOR_WORDS as u32) / 64 * 64;
        if config.stack_bytes > room {
            return Err(Diagnostic::new("core-stack", "the stack does not fit local memory")
                .at(at())
                .limit(format!("{room} bytes a context"), format!("{} bytes", config.stack_bytes))
                .help("fewer contexts, or a smaller stack"));
        }
        let addresses = *memories.addresses();
        let request_times =
            (0..addresses.engines()).map(|n| memories.request_time(crate::memory::EngineId(n))).collect();
        let mut core = Core {
            machine: Machine::new(config, addresses, request_times),
            code,
            firmware,
            running: None,
            stalled: false,
            last: usize::from(config.contexts) - 1,
            busy_until: 0,
            resume: None,
        };
        core.machine.registers.set_constants(core.code.constants());
        core.set_maps(&memories.maps().shapes());
        Ok(core)
    }

    /// What the core is.
    pub fn config(&self) -> &CoreConfig {
        &self.machine.config
    }

    /// What it did so far.
    pub fn counters(&self) -> CoreCounters {
        self.machine.counters
    }

    /// Whether a context has no packet.
    pub fn is_free(&self, context: ContextId) -> bool {
        usize::from(context.0) < usize::from(self.machine.config.contexts)
            && self.machine.contexts[usize::from(context.0 & 7)].state == State::Free
    }

    /// Whether all contexts are free.
    pub fn is_idle(&self) -> bool {
        (0..self.machine.config.contexts).all(|context| self.is_free(ContextId(context)))
    }

    /// Replaces the code store; the core must be idle ([`Core::is_idle`]), or its contexts go on in the new program.
    pub fn load(&mut self, code: Arc<CodeStore>) {
        self.machine.registers.set_constants(code.constants());
        self.code = code;
    }

    /// Tells the firmware of the card's maps ([`crate::memory::CardMaps::shapes`]).
    pub fn set_maps(&mut self, shapes: &[MapShape]) {
        self.machine.maps = shapes.to_vec();
    }

    /// Starts the record of random numbers that programs read; without this call nothing is recorded.
    pub fn start_random_log(&mut self) {
        self.machine.random_log = Some(Vec::new());
    }

    /// The random numbers read so far, in order, each with its packet; the record starts anew.
    pub fn take_random_log(&mut self) -> Vec<(PacketId, u32)> {
        self.machine.random_log.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Starts the record of times that programs read.
    pub fn start_time_log(&mut self) {
        self.machine.time_log = Some(Vec::new());
    }

    /// The times read so far, in nanoseconds, each with its packet; the record starts anew.
    pub fn take_time_log(&mut self) -> Vec<(PacketId, u64)> {
        self.machine.time_log.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// A command of this core that reaches its engine now, and what travels with it.
    #[inline]
    pub fn command(&mut self, flight: FlightId) -> (MemCommand, Cargo<'_>) {
        self.machine.pull(flight);
        let Machine { flights, contexts, .. } = &mut self.machine;
        let Flight { command, .. } = *flights.get(flight);
        let context = usize::from(command.context.0 & 7);
        let call = match command.action {
            Action::Map => Some(Routine::Map(&mut contexts[context].call.call)),
            Action::Helper(_) => Some(Routine::Helper(&mut contexts[context].helper)),
            _ => None,
        };
        (command, Cargo { words: flights.words_mut(flight), call })
    }

    /// How the latest packet of a context ended, until it gets the next.
    pub fn outcome(&self, context: ContextId) -> Option<Outcome> {
        self.machine.contexts[usize::from(context.0 & 7)].outcome
    }

    /// A general purpose register of a context, by its number in the context.
    pub fn gpr(&self, context: ContextId, bank: Bank, n: u8) -> u32 {
        self.machine.registers.get(usize::from(context.0), Registers::gpr(self.machine.mode, bank, n))
    }

    /// A transfer register of a context: what came in, and what is to go out.
    pub fn transfer(&self, context: ContextId, n: u8) -> (u32, u32) {
        let (registers, mode) = (&self.machine.registers, self.machine.mode);
        let get = |slot| registers.get(usize::from(context.0), slot);
        (get(Registers::transfer_in(mode, n)), get(Registers::transfer_out(mode, n)))
    }

    /// Local memory, all contexts' shares.
    pub fn local_memory(&self) -> &[u32] {
        &self.machine.local[..]
    }

    /// The core is to look at its contexts at that cycle, if not earlier.
    fn schedule(&mut self, cycle: u64, outbox: &mut impl Outbox<Resume, CoreOut>) {
        if self.resume.is_none_or(|(resume, _)| cycle < resume) {
            let time = self.machine.clock.time(cycle);
            self.resume = Some((cycle, time));
            outbox.wake(time, Priority::Core, self.machine.config.source, Resume);
        }
    }

    /// Schedules the next look after the event of cycle `now`, given what is known by then.
    fn plan(&mut self, now: u64, outbox: &mut impl Outbox<Resume, CoreOut>) {
        let machine = &self.machine;
        let earliest = self.busy_until.max(now);
        let from = |time: Time| machine.clock.cycle(time).max(earliest);
        let next = if self.running.is_some() {
            if self.stalled { machine.queue.next_free().map(from) } else { Some(earliest) }
        } else if machine.ready | machine.met != 0 {
            Some(earliest)
        } else {
            let first = machine.flights.due().find(|coming| self.wakes(machine.flights.get(coming.id)));
            first.map(|coming| from(coming.back))
        };
        if let Some(cycle) = next {
            self.schedule(cycle, outbox);
        }
    }

    /// The same after an engine has said when a command is taken and answered; nothing else has changed.
    fn plan_answer(&mut self, wakes: bool, answer: Answer, outbox: &mut impl Outbox<Resume, CoreOut>) {
        let time = match self.running {
            Some(_) if self.stalled => answer.taken,
            None if wakes => answer.back,
            _ => return,
        };
        if self.resume.is_some_and(|(_, resume)| resume <= time) {
            return;
        }
        self.schedule(self.machine.clock.cycle(time).max(self.busy_until), outbox);
    }

    /// Whether a command may wake a context that waits.
    fn wakes(&self, flight: &Flight) -> bool {
        let state = self.machine.contexts[flight.context()].state;
        flight.pending && flight.signal != 0 && !flight.orphan && state == State::Waiting
    }

    /// Lets everything reach its context that reaches it by `now`, in order of time, and wakes those that have what they
    /// wait for. Signals that came before a wait began are all seen by it together.
    fn deliver(&mut self, now: Time) {
        while let Some(Coming { back, id, context }) = self.machine.flights.first_due(None)
            && back <= now
        {
            let began = self.machine.clock.time(self.machine.contexts[context].waiting_since);
            if back > began {
                self.machine.wake_if_met(context);
            }
            self.machine.deliver(id);
            if back > began {
                self.machine.wake_if_met(context);
            }
        }
        while self.machine.met != 0 {
            self.machine.wake_if_met(self.machine.met.trailing_zeros() as usize);
        }
    }

    /// The next ready context after the one that had the core last.
    fn choose(&self) -> Option<usize> {
        let ready = self.machine.ready;
        let behind = ready & (!1u8 << self.last);
        let chosen = if behind != 0 { behind } else { ready };
        (chosen != 0).then(|| chosen.trailing_zeros() as usize)
    }

    /// The event of this cycle: a burst goes on or a new one begins.
    fn resume(&mut self, now: Time, cycle: u64) {
        self.machine.known = cycle;
        let start = match self.running {
            Some(context) => {
                if self.stalled {
                    self.machine.counters.stall_cycles += cycle - self.busy_until;
                }
                self.machine.current = context;
                cycle
            }
            None => {
                self.deliver(now);
                let Some(context) = self.choose() else { return };
                self.last = context;
                self.machine.current = context;
                self.machine.ready &= !(1 << context);
                self.machine.contexts[context].state = State::Running;
                let costs = &self.machine.config.costs;
                let between = if cycle == self.busy_until { costs.switch } else { costs.wake };
                self.machine.counters.switch_cycles += u64::from(between);
                cycle + u64::from(between)
            }
        };
        self.machine.cycle = start;
        let end = self.machine.burst(&self.code, &self.firmware);
        self.busy_until = self.machine.cycle;
        self.running = matches!(end, End::Later | End::QueueFull).then_some(self.machine.current);
        self.stalled = end == End::QueueFull;
    }
}

impl Component for Core {
    type In = CoreIn;
    type Wake = Resume;
    type Out = CoreOut;

    // Inlined, since every caller knows which event it is.
    #[inline(always)]
    fn handle(&mut self, now: Time, event: CoreIn, outbox: &mut impl Outbox<Resume, CoreOut>) {
        match event {
            CoreIn::Begin { context, task } => {
                if !self.is_free(context) {
                    return;
                }
                self.machine.contexts[usize::from(context.0 & 7)].begin(task);
                self.machine.ready |= 1 << (context.0 & 7);
                self.plan(self.machine.clock.cycle(now), outbox);
            }
            CoreIn::Answer { flight, answer } => {
                let wakes = self.wakes(self.machine.flights.get(flight));
                self.machine.queue.answered(answer.taken);
                self.machine.flights.answered(flight, answer.back);
                self.plan_answer(wakes, answer, outbox);
            }
        }
    }

    fn wake(&mut self, now: Time, _: Resume, outbox: &mut impl Outbox<Resume, CoreOut>) {
        let Some((cycle, time)) = self.resume else { return };
        if time != now {
            return;
        }
        self.resume = None;
        self.resume(now, cycle);
        for &out in &self.machine.out {
            outbox.send(self.machine.config.source, out);
        }
        self.machine.out.clear();
        self.plan(cycle, outbox);
    }
}
