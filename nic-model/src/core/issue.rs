//! Issuing memory commands.

use super::context::Wake;
use super::exec::Flow;
use super::flight::{FIRMWARE_SIGNAL, Flight, Span};
use super::machine::{Halt, Machine};
use super::{CoreOut, TrapKind};
use crate::des::Time;
use crate::isa::{AddressMode, Cmd, Command, DataOverride, Indirect, Override, Source, Swap, Target};
use crate::memory::{Action, AtomicOp, ByteOrder, Location, MAX_WORDS, MemCommand};

/// What a command of the instruction set asks of a memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Meaning {
    action: Action,
    bytes: u32,
    /// The operand is the 16 bits of data that overrides carry.
    immediate: bool,
}

/// The meaning of a memory command, if it is one that this card models. `length` is the length field: units less one.
fn meaning(command: Command, length: u32) -> Option<Meaning> {
    if command.target != Target::Mem {
        return None;
    }
    let order = ByteOrder { swap: command.token & 2 != 0, le: command.token & 1 != 0 };
    let moves = |action, unit| Some(Meaning { action, bytes: (length + 1) * unit, immediate: false });
    let atomic = |op| {
        // Token bit 0 fetches, bit 1 says that the operand is immediate. Bit 2 of the length makes it 64 bits; bit 3, which
        // the driver sets with immediate data, chooses nothing here.
        let wide = length & 4 != 0;
        let words = if wide { 2 } else { 1 + (length & 3) };
        Some(Meaning {
            action: Action::Atomic { op, wide, fetch: command.token & 1 != 0 },
            bytes: 4 * words,
            immediate: command.token & 2 != 0,
        })
    };
    let bitwise = |op| {
        Some(Meaning {
            action: Action::Atomic { op, wide: false, fetch: command.token & 1 != 0 },
            bytes: 4 * (length + 1),
            immediate: command.token & 2 != 0,
        })
    };
    match (command.action, command.token) {
        (0, _) => moves(Action::Read(order), 8),
        (1, _) => moves(Action::Write(order), 8),
        (2, _) => moves(Action::Write(order), 1),
        (3, 0) => moves(Action::Read(ByteOrder::BIG), 4),
        (3, 1) => moves(Action::Read(ByteOrder::BIG), 1),
        (4, 0) => moves(Action::Write(ByteOrder::BIG), 4),
        (4, 1 | 3) => bitwise(AtomicOp::Exchange),
        (5, _) => bitwise(AtomicOp::Set),
        (6, _) => bitwise(AtomicOp::Clear),
        (7, _) => atomic(AtomicOp::Add),
        (8, _) => atomic(AtomicOp::AddSaturating),
        (9, _) => atomic(AtomicOp::Sub),
        (10, _) => atomic(AtomicOp::SubSaturating),
        (15, _) => bitwise(AtomicOp::Xor),
        (28, _) => moves(Action::Read(order), 4),
        (31, _) => moves(Action::Write(order), 4),
        _ => None,
    }
}

/// A command about to be issued.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub at: Location,
    pub bytes: u16,
    pub action: Action,
    pub signal: u16,
    pub push: Span,
    pub pull: Span,
    /// First word, where it does not come from a transfer register.
    pub operand: u32,
}

impl Machine {
    pub(super) fn unknown_command(&mut self, command: Command) -> Halt {
        self.trap(TrapKind::UnknownCommand { target_action: command.target_action(), token: command.token })
    }

    /// Deferred slots must not branch or give the core away.
    pub(super) fn check_no_slots(&mut self) -> Result<(), Halt> {
        if self.context().slots != 0 {
            return Err(self.unsupported("a branch or a wait in a deferred slot"));
        }
        Ok(())
    }

    /// A memory command.
    pub(super) fn command(&mut self, op: &Cmd) -> Result<Flow, Halt> {
        if op.completion.swap != Swap::No {
            self.check_no_slots()?;
        }
        self.touch(op.address.high)?;
        self.touch(op.address.low)?;
        self.queue_slot()?;
        let (length, data) = self.overrides(op.indirect)?;
        let length = length.unwrap_or(op.count.length()).into();
        let Some(meaning) = meaning(op.command, length) else { return Err(self.unknown_command(op.command)) };
        let Meaning { action, bytes, immediate } = meaning;
        let address = self.address(op)?;
        let located = match op.address.mode {
            AddressMode::Sum32 => self.addresses.resolve32(self.config.island, address as u32, bytes),
            AddressMode::Ab40 | AddressMode::Ba40 => self.addresses.resolve40(address, bytes),
        };
        let Some(at) = located else { return Err(self.trap(TrapKind::BadAddress { address, bytes })) };
        let words = bytes.div_ceil(4);
        let whole = Span { first: op.xfer, count: words as u8 };
        let (push, pull, operand) = match action {
            Action::Read(_) => (whole, Span::default(), 0),
            Action::Atomic { fetch, .. } if immediate => match data {
                Some(data) => (if fetch { whole } else { Span::default() }, Span::default(), u32::from(data)),
                None => return Err(self.unsupported("an immediate command without immediate data")),
            },
            Action::Atomic { fetch: true, .. } => (whole, whole, 0),
            _ => (Span::default(), whole, 0),
        };
        let most = u32::from(self.registers.transfers()).min(MAX_WORDS as u32);
        let moves = push.count.max(pull.count);
        if moves != 0 && (words > most || u32::from(op.xfer) + words > u32::from(self.registers.transfers())) {
            return Err(self.trap(TrapKind::TransferRegisters { first: op.xfer, count: words as u8 }));
        }
        // Signal 0 is none.
        let signal = if op.completion.signal == 0 { 0 } else { 1 << (op.completion.signal & 15) };
        let words_out = Request { at, bytes: bytes as u16, action, signal, push, pull, operand };
        self.issue(words_out);
        Ok(match op.completion.swap {
            Swap::No => Flow::Next,
            Swap::After(defer) => {
                self.context().wake = Wake { signals: signal, any: false };
                Flow::Wait { defer }
            }
        })
    }

    /// Length and immediate data that an indirect command takes from the previous result.
    fn overrides(&mut self, indirect: Indirect) -> Result<(Option<u8>, Option<u16>), Halt> {
        if !indirect.0 {
            return Ok((None, None));
        }
        let read = Override::from_word(self.context().previous);
        // Nothing but length and data is modelled.
        let modelled =
            |read: &Override| *read == Override { length: read.length, data: read.data, ..Override::default() };
        match read.filter(modelled) {
            Some(Override { length, data: None, .. }) => Ok((length, None)),
            Some(Override { length, data: Some((DataOverride::Immediate, data)), .. }) => Ok((length, Some(data))),
            _ => Err(self.unsupported("this override of an indirect command")),
        }
    }

    fn address(&mut self, op: &Cmd) -> Result<u64, Halt> {
        let read = |machine: &mut Machine, source: Source| machine.read(source);
        let (high, low) = (read(self, op.address.high)?, read(self, op.address.low)?);
        Ok(match op.address.mode {
            AddressMode::Sum32 => u64::from(high.wrapping_add(low)),
            AddressMode::Ab40 | AddressMode::Ba40 => ((u64::from(high) << 8) + u64::from(low)) & 0xff_ffff_ffff,
        })
    }

    /// Makes sure that the command queue has room at this cycle.
    pub(super) fn queue_slot(&mut self) -> Result<(), Halt> {
        if !self.flights.has_room() {
            return Err(self.unsupported("a memory command while 4,096 are under way"));
        }
        let (clock, cycle) = (&self.clock, self.cycle);
        if self.queue.has_room(self.config.costs.command_queue.max(1), || clock.time(cycle)) {
            return Ok(());
        }
        Err(if self.queue.is_unsure() && self.cycle > self.known { Halt::Later } else { Halt::QueueFull })
    }

    /// Puts a command into the queue, which has room.
    pub(super) fn issue(&mut self, request: Request) {
        let context = self.context_id();
        let packet = self.context().task.packet;
        let pull_cycle = self.cycle + u64::from(self.config.costs.pull);
        let pending = request.signal != 0 || request.push.count != 0;
        let core = self.config.id;
        let flight = self.flights.add(|flight, number| Flight {
            command: MemCommand {
                core,
                context,
                packet,
                flight,
                engine: request.at.engine,
                offset: request.at.offset,
                bytes: request.bytes,
                action: request.action,
            },
            signal: request.signal,
            push: request.push,
            pull: request.pull,
            pull_cycle,
            back: Time::NEVER,
            pending,
            orphan: false,
            number,
        });
        if let Action::Atomic { wide, .. } = request.action
            && request.pull.count == 0
        {
            // Every number of an immediate atomic takes the same operand; the high word of a wide one is zero.
            let words = self.flights.words_mut(flight);
            words.fill(request.operand);
            if wide {
                words[1] = 0;
            }
        }
        self.queue.enter();
        let current = self.context();
        current.pushing |= request.push.mask();
        current.pulling |= request.pull.mask();
        if request.signal == FIRMWARE_SIGNAL {
            current.firmware_commands += 1;
            current.unwaited = true;
            current.signals &= !FIRMWARE_SIGNAL;
        }
        let leaves = if request.pull.count == 0 { self.cycle } else { pull_cycle };
        let engine = usize::from(request.at.engine.0);
        let arrives = self.clock.time(leaves) + self.request_times[engine];
        self.counters.commands += 1;
        self.out.push(CoreOut::Command { arrives, flight });
    }
}
