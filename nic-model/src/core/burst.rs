//! Bursts: what a context does between two waits, executed at once.

use super::code::{CodeStore, Slot};
use super::context::{Activity, BRANCH_SLOTS, Stage, State, Then};
use super::exec::{Flow, JumpCost};
use super::machine::{Halt, Machine};
use super::{CoreOut, Fate, Outcome, Trap, TrapKind};
use crate::firmware::{Entry, Firmware};

/// How a burst ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The context waits.
    Wait,
    /// The context is free.
    Free,
    /// The context goes on, at the machine's cycle, when what happens until then is known.
    Later,
    /// The context goes on when the command queue has room.
    QueueFull,
}

impl From<Halt> for End {
    fn from(halt: Halt) -> End {
        match halt {
            Halt::QueueFull => End::QueueFull,
            Halt::Later | Halt::Trap => End::Later,
        }
    }
}

impl Machine {
    /// Executes the current context from the machine's cycle on. Afterwards the cycle is that at which the burst ended.
    #[inline(never)]
    pub(super) fn burst(&mut self, code: &CodeStore, firmware: &Firmware) -> End {
        let begin = self.cycle;
        let executed = self.context().executed;
        self.counters.bursts += 1;
        self.take_up_packet();
        let end = loop {
            let end = match self.context().activity {
                Activity::Program => self.program(code),
                Activity::Routine { stage, step } => self.routine(code, firmware, stage, step),
                Activity::MapFirst => self.map_first(firmware),
                Activity::MapAccess { index, done } => self.map_access(firmware, index, done),
                Activity::HelperFirst => self.helper_first(firmware),
                Activity::HelperAccess { index, done } => self.helper_access(firmware, index, done),
                Activity::HelperDone => self.helper_done(code),
            };
            if let Some(end) = end {
                break end;
            }
        };
        self.counters.instructions += self.context().executed - executed;
        self.counters.busy_cycles += self.cycle - begin;
        end
    }

    /// Instructions until something ends them; `None` if the context goes on with another activity.
    fn program(&mut self, code: &CodeStore) -> Option<End> {
        let cost = u64::from(self.config.costs.instruction);
        loop {
            self.run_ready(code.micros(self.mode));
            let pc = self.context().pc;
            let flow = match code.slot(pc) {
                Slot::Op(op) => op.visit(self),
                &Slot::Entry(entry) => return self.enter(entry),
                &Slot::Undecodable(word) => Err(self.trap(TrapKind::Undecodable { word })),
                Slot::Empty => Err(self.trap(TrapKind::OutsideCode)),
            };
            let flow = match flow {
                Ok(flow) => flow,
                Err(Halt::Trap) => return self.give_up(pc),
                Err(halt) => return Some(halt.into()),
            };
            self.cycle += cost;
            let limit = self.config.budget;
            let context = self.context();
            context.executed += 1;
            if context.executed > limit {
                self.trap(TrapKind::Budget { limit });
                return self.give_up(pc);
            }
            let in_slot = context.slots != 0;
            match flow {
                Flow::Next => {
                    context.pc = pc.wrapping_add(1);
                    if in_slot {
                        context.slots -= 1;
                        if context.slots == 0
                            && let Some(end) = self.after_slots()
                        {
                            return end;
                        }
                    }
                }
                Flow::Jump { .. } | Flow::Wait { .. } if in_slot => {
                    self.unsupported("a branch or a wait in a deferred slot");
                    return self.give_up(pc);
                }
                Flow::Jump { to, defer, cost } => {
                    let penalty = self.penalty(cost).saturating_sub(u32::from(defer));
                    let context = self.context();
                    let empty = BRANCH_SLOTS.saturating_sub(defer);
                    context.then = Then::Jump { to, penalty, empty };
                    if defer == 0 {
                        context.land(to, empty);
                        self.cycle += u64::from(penalty);
                    } else {
                        context.pc = pc.wrapping_add(1);
                        context.slots = defer;
                    }
                }
                Flow::Wait { defer } => {
                    context.pc = pc.wrapping_add(1);
                    context.then = Then::Wait;
                    if defer == 0 {
                        return self.wait(pc);
                    }
                    context.slots = defer;
                }
            }
        }
    }

    fn penalty(&self, cost: JumpCost) -> u32 {
        match cost {
            JumpCost::Branch => self.config.costs.branch,
            JumpCost::Bit => self.config.costs.branch_bit,
            JumpCost::Register => self.config.costs.jump,
        }
    }

    /// What follows the last deferred slot: `Some` if the loop of instructions is left.
    fn after_slots(&mut self) -> Option<Option<End>> {
        let context = self.context();
        match context.then {
            Then::Jump { to, penalty, empty } => {
                context.land(to, empty);
                self.cycle += u64::from(penalty);
                None
            }
            Then::Wait => {
                let pc = context.pc.wrapping_sub(1);
                Some(self.wait(pc))
            }
        }
    }

    /// The context gives the core away at the machine's cycle, for what [`super::context::Context::wake`] says.
    pub(super) fn wait(&mut self, pc: u16) -> Option<End> {
        let cycle = self.cycle;
        if !self.will_wake() {
            let signals = self.context().wake.signals;
            self.trap(TrapKind::Deadlock { signals });
            return self.give_up(pc);
        }
        let context = self.context();
        context.flush_pointers();
        if let Some(to) = context.resume.take() {
            context.pc = to;
        }
        context.state = State::Waiting;
        context.waiting_since = cycle;
        self.note_wait(self.current);
        Some(End::Wait)
    }

    /// Whether the signals that are there and those on their way suffice for the wait.
    fn will_wake(&mut self) -> bool {
        let current = self.current & 7;
        let (wake, mut there) = (self.context().wake, self.context().signals);
        // What is waited for is mostly the latest that was issued.
        let mut coming = self.flights.of(current).rev().filter(|(_, flight)| flight.pending && !flight.orphan);
        wake.met_by(there)
            || coming.any(|(_, flight)| {
                there |= flight.signal;
                wake.met_by(there)
            })
    }

    /// Notes a trap of the running packet, once; its context goes on with the epilogue of a trap.
    pub(super) fn give_up(&mut self, pc: u16) -> Option<End> {
        let kind = self.fault;
        self.counters.traps += 1;
        let context = self.context();
        context.trap = Some((pc, kind));
        context.slots = 0;
        context.resume = None;
        context.flush_pointers();
        context.activity = Activity::Routine { stage: Stage::Trapped, step: 0 };
        None
    }

    /// The packet is done. Data that comes for it later goes nowhere, so what comes until now must be known.
    pub(super) fn finish_packet(&mut self, fate: Fate) -> Option<End> {
        let id = self.context_id();
        if self.context().pushing != 0
            && let Err(halt) = self.settle_deliveries()
        {
            return Some(halt.into());
        }
        self.flights.orphan(self.current & 7);
        let vector = self.read_vector();
        let at = self.clock.time(self.cycle);
        let context = self.context();
        context.state = State::Free;
        context.pushing = 0;
        context.flush_pointers();
        let outcome = Outcome {
            packet: context.task.packet,
            kind: context.task.kind,
            fate,
            vector,
            instructions: context.executed,
            redirect: context.helper.redirect,
        };
        context.outcome = Some(outcome);
        self.counters.packets += 1;
        self.out.push(CoreOut::Finished { at, context: id });
        Some(End::Free)
    }

    /// The trap of the running packet.
    pub(super) fn noted_trap(&mut self) -> Trap {
        let (core, context) = (self.config.id, self.context_id());
        let (pc, kind) = self.context().trap.unwrap_or((0, TrapKind::OutsideCode));
        Trap { core, context, pc, kind }
    }

    /// The program has come to a door of the firmware.
    fn enter(&mut self, entry: Entry) -> Option<End> {
        let pc = self.context().pc;
        let entered = match entry {
            Entry::Done => self.done(),
            Entry::MapLookup | Entry::MapUpdate | Entry::MapDelete => self.call_map(entry),
            Entry::Helper(_) | Entry::Atomic => self.call_helper(entry),
        };
        match entered {
            Ok(activity) => {
                self.context().activity = activity;
                None
            }
            Err(Halt::Trap) => self.give_up(pc),
            Err(halt) => Some(halt.into()),
        }
    }
}
