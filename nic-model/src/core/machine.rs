//! Registers and memory of a core, and how instructions get at them.

use super::clock::Clock;
use super::context::{Context, State};
use super::flight::{CommandQueue, FIRMWARE_SIGNAL, Flight, Flights};
use super::registers::{Registers, mirror};
use super::units::{Cam, Running};
use super::{ContextId, CoreConfig, CoreCounters, CoreOut, FlightId, TrapKind};
use crate::des::Time;
use crate::isa::{Bank, ContextMode, Dst, Reg, Source};
use crate::memory::{AddressMap, EngineId, MapShape, MemoryKind};

/// Words of local memory.
pub(super) const LOCAL_WORDS: usize = 1024;

/// Why an instruction did not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Halt {
    /// It has to be looked at again at its own cycle, when all that has happened until then is known.
    Later,
    /// The core stands still until its command queue has room.
    QueueFull,
    /// It trapped; [`Machine::fault`] says how.
    Trap,
}

/// Everything of a core that instructions touch, laid out as written: what every event of the core needs comes first.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Machine {
    /// The context whose instructions are executed.
    pub current: usize,
    /// Cycle at which the present instruction is executed.
    pub cycle: u64,
    /// Cycle up to which everything outside is known.
    pub known: u64,
    /// Contexts that are ready, one bit each.
    pub ready: u8,
    /// Contexts that wait for what they have already.
    pub met: u8,
    pub mode: ContextMode,
    pub queue: CommandQueue,
    pub flights: Flights,
    pub clock: Clock,
    /// Outputs of the present burst.
    pub out: Vec<CoreOut>,
    /// From the command queue to each engine.
    pub request_times: Vec<Time>,
    /// Engine and size of each memory as this core reaches it, by [`MemoryKind::ALL`].
    pub memories: [(EngineId, u64); 4],
    pub registers: Registers,
    pub local: Box<[u32; LOCAL_WORDS]>,
    pub config: CoreConfig,
    pub counters: CoreCounters,
    pub addresses: AddressMap,
    pub contexts: [Context; 8],
    pub maps: Vec<MapShape>,
    pub cam: Cam,
    pub running: Running,
    pub random: u64,
    /// Random numbers handed out, if they are recorded.
    pub random_log: Option<Vec<(super::PacketId, u32)>>,
    /// Times that routines of the core alone have seen, if they are recorded.
    pub time_log: Option<Vec<(super::PacketId, u64)>>,
    /// The latest trap.
    pub fault: TrapKind,
}

impl Machine {
    pub(super) fn new(config: CoreConfig, addresses: AddressMap, request_times: Vec<Time>) -> Self {
        let mode = if config.contexts <= 4 { ContextMode::Four } else { ContextMode::Eight };
        Machine {
            clock: Clock::new(config.clock),
            mode,
            memories: MemoryKind::ALL.map(|kind| (addresses.engine(kind, config.island), addresses.bytes(kind))),
            addresses,
            request_times,
            maps: Vec::new(),
            registers: Registers::new(mode),
            local: Box::new([0; LOCAL_WORDS]),
            contexts: std::array::from_fn(|_| Context::new()),
            ready: 0,
            met: 0,
            flights: Flights::default(),
            queue: CommandQueue::default(),
            cam: Cam::default(),
            running: Running::default(),
            random: config.seed,
            current: 0,
            cycle: 0,
            known: 0,
            fault: TrapKind::OutsideCode,
            out: Vec::new(),
            random_log: None,
            time_log: None,
            counters: CoreCounters::default(),
            config,
        }
    }

    /// Notes a trap.
    #[cold]
    pub(super) fn trap(&mut self, kind: TrapKind) -> Halt {
        self.fault = kind;
        Halt::Trap
    }

    /// The same for what is decodable but has no meaning here.
    #[cold]
    pub(super) fn unsupported(&mut self, what: &'static str) -> Halt {
        self.trap(TrapKind::Unsupported { what })
    }

    /// The context whose instructions are executed.
    #[inline(always)]
    pub(super) fn context(&mut self) -> &mut Context {
        &mut self.contexts[self.current & 7]
    }

    #[inline]
    pub(super) fn context_id(&self) -> ContextId {
        ContextId(self.current as u8)
    }

    /// A general purpose register of the running context.
    pub(super) fn read_gpr(&self, bank: Bank, n: u8) -> u32 {
        self.registers.get(self.current, Registers::gpr(self.mode, bank, n))
    }

    /// Writes one.
    pub(super) fn write_gpr(&mut self, bank: Bank, n: u8, value: u32) {
        self.registers.set(self.current, Registers::gpr(self.mode, bank, n), value);
    }

    /// A word of local memory by a pointer's byte address and an offset in words, which is ORed in.
    #[inline]
    fn local_index(&mut self, pointer: u8, offset: u8) -> Result<usize, Halt> {
        let context = self.context();
        context.settle_pointers();
        let address = context.local[usize::from(pointer & 3)];
        let index = (address >> 2 | u32::from(offset)) as usize;
        if index < LOCAL_WORDS { Ok(index) } else { Err(self.trap(TrapKind::LocalMemory { address })) }
    }

    fn move_local(&mut self, pointer: u8, by: u32) {
        let pointer = &mut self.context().local[usize::from(pointer & 3)];
        *pointer = pointer.wrapping_add(by);
    }

    /// Makes sure that transfer registers read now hold what they hold at this cycle. Called for all sources of an
    /// instruction before the first is read, since reading can move pointers.
    #[inline]
    pub(super) fn touch(&mut self, source: Source) -> Result<(), Halt> {
        match source {
            Source::Reg(Reg::Xfer(n)) if self.context().pushing != 0 => self.settle_transfer(n),
            Source::Reg(Reg::XferIndex(_)) if self.context().pushing != 0 => {
                let context = self.context();
                context.settle_pointers();
                let n = context.transfer_index;
                self.settle_transfer(n)
            }
            _ => Ok(()),
        }
    }

    fn settle_transfer(&mut self, n: u8) -> Result<(), Halt> {
        let n = self.mode.transfer(n) % self.registers.transfers();
        if self.context().pushing >> n & 1 == 0 {
            return Ok(());
        }
        self.settle_deliveries()
    }

    /// Lets everything reach the running context that reaches it by this cycle.
    pub(super) fn settle_deliveries(&mut self) -> Result<(), Halt> {
        let context = self.current & 7;
        let unanswered = self.flights.of(context).any(|(_, flight)| flight.pending && flight.back == Time::NEVER);
        if unanswered && self.cycle > self.known {
            return Err(Halt::Later);
        }
        let now = self.clock.time(self.cycle);
        while let Some(coming) = self.flights.first_due(Some(context))
            && coming.back <= now
        {
            self.deliver(coming.id);
        }
        Ok(())
    }

    /// Data and signal of a command reach its context.
    pub(super) fn deliver(&mut self, id: FlightId) {
        let &Flight { command, push, signal, orphan, .. } = self.flights.get(id);
        let index = usize::from(command.context.0 & 7);
        if !orphan && push.count != 0 {
            let words = &self.flights.words(id)[..usize::from(push.count)];
            self.registers.arrive(command.context, push.first, words);
        }
        self.flights.delivered(id);
        if orphan {
            return;
        }
        if push.count != 0 {
            self.contexts[index].pushing = self.under_way(index);
        }
        let context = &mut self.contexts[index];
        if signal == FIRMWARE_SIGNAL {
            // Firmware waits for several commands together.
            context.firmware_commands -= 1;
            if context.firmware_commands != 0 {
                return;
            }
        }
        context.signals |= signal;
        self.note_wait(index);
    }

    /// Notes whether a context waits for what it has already. Called where a wait begins and where a signal arrives.
    #[inline]
    pub(super) fn note_wait(&mut self, index: usize) {
        let context = &self.contexts[index & 7];
        if context.state == State::Waiting && context.wake.met_by(context.signals) {
            self.met |= 1 << (index & 7);
        }
    }

    /// Wakes a context that has what it waits for; the signals it waited for are consumed.
    #[inline]
    pub(super) fn wake_if_met(&mut self, index: usize) {
        let bit = 1 << (index & 7);
        if self.met & bit != 0 {
            let context = &mut self.contexts[index & 7];
            context.signals &= !context.wake.signals;
            context.state = State::Ready;
            self.met &= !bit;
            self.ready |= bit;
        }
    }

    /// The transfer registers of a context that commands under way still write to.
    fn under_way(&self, context: usize) -> u64 {
        let pending = self.flights.of(context).filter(|(_, flight)| flight.pending && !flight.orphan);
        pending.fold(0, |mask, (_, flight)| mask | flight.push.mask())
    }

    /// Pulls the data of a command out of its transfer registers.
    #[inline]
    pub(super) fn pull(&mut self, id: FlightId) {
        if self.flights.get(id).pull.count != 0 {
            self.pull_some(id);
        }
    }

    fn pull_some(&mut self, id: FlightId) {
        let flight = self.flights.get_mut(id);
        let span = std::mem::take(&mut flight.pull);
        let (context, index) = (flight.command.context, flight.context());
        self.registers.leave(context, span.first, &mut self.flights.words_mut(id)[..usize::from(span.count)]);
        let left = self.flights.of(index).fold(0, |mask, (_, flight)| mask | flight.pull.mask());
        self.contexts[index].pulling = left;
    }

    /// Pulls what would have been pulled before the running context overwrites one of its transfer registers now.
    fn pull_before_write(&mut self, n: u8) {
        let (context, cycle) = (self.current & 7, self.cycle);
        let covers = |flight: &Flight| flight.pull.mask() >> n & 1 != 0 && flight.pull_cycle <= cycle;
        loop {
            let due = self.flights.of(context).find(|(_, flight)| covers(flight)).map(|(id, _)| id);
            let Some(id) = due else { return };
            self.pull(id);
        }
    }

    /// Reads a source operand; [`Machine::touch`] has been called for it.
    #[inline]
    pub(super) fn read(&mut self, source: Source) -> Result<u32, Halt> {
        match source {
            Source::Imm(value) => Ok(u32::from(value)),
            Source::Reg(Reg::Gpr(bank, n)) => Ok(self.read_gpr(bank, n)),
            Source::Reg(reg) => self.read_other(reg),
        }
    }

    fn read_other(&mut self, reg: Reg) -> Result<u32, Halt> {
        match reg {
            Reg::Gpr(bank, n) => Ok(self.read_gpr(bank, n)),
            Reg::Absolute(bank, n) => {
                let (context, slot) = self.registers.absolute(bank, n);
                Ok(self.registers.get(context, slot))
            }
            Reg::Xfer(n) => Ok(self.registers.get(self.current, Registers::transfer_in(self.mode, n))),
            Reg::XferIndex(step) => {
                let n = self.step_transfer(step);
                Ok(self.registers.get(self.current, Registers::transfer_in(ContextMode::Four, n)))
            }
            Reg::Local { pointer, offset } => Ok(self.local[self.local_index(pointer, offset)?]),
            Reg::LocalIncrement { pointer } => {
                let value = self.local[self.local_index(pointer, 0)?];
                self.move_local(pointer, 4);
                Ok(value)
            }
            Reg::LocalDecrement { pointer } => {
                let value = self.local[self.local_index(pointer, 0)?];
                self.move_local(pointer, 4u32.wrapping_neg());
                Ok(value)
            }
            Reg::Neighbour(_) | Reg::NeighbourIndex(_) => Err(self.trap(NEIGHBOUR)),
        }
    }

    /// The transfer register that `XferIndex` points to; the index then moves.
    fn step_transfer(&mut self, step: crate::isa::Step) -> u8 {
        let own = self.registers.transfers();
        let context = self.context();
        context.settle_pointers();
        let n = context.transfer_index % own;
        context.transfer_index = match step {
            crate::isa::Step::Hold => n,
            crate::isa::Step::Increment => (n + 1) % own,
            crate::isa::Step::Decrement => (n + own - 1) % own,
        };
        n
    }

    /// Writes a result to its destination.
    #[inline]
    pub(super) fn write(&mut self, dst: Dst, value: u32) -> Result<(), Halt> {
        match dst.reg {
            None => Ok(()),
            Some(Reg::Gpr(bank, n)) => {
                let slot = Registers::gpr(self.mode, bank, n);
                self.write_slot(self.current, slot, dst.both, value);
                Ok(())
            }
            Some(reg) => self.write_other(reg, dst.both, value),
        }
    }

    #[inline]
    fn write_slot(&mut self, context: usize, slot: u8, both: bool, value: u32) {
        self.registers.set(context, slot, value);
        if both {
            self.registers.set(context, mirror(slot), value);
        }
    }

    fn write_other(&mut self, reg: Reg, both: bool, value: u32) -> Result<(), Halt> {
        match reg {
            Reg::Gpr(bank, n) => self.write_slot(self.current, Registers::gpr(self.mode, bank, n), both, value),
            Reg::Absolute(bank, n) => {
                let (context, slot) = self.registers.absolute(bank, n);
                self.write_slot(context, slot, both, value);
            }
            Reg::Xfer(n) => {
                let n = self.mode.transfer(n);
                self.write_transfer(n, value);
            }
            Reg::XferIndex(step) => {
                let n = self.step_transfer(step);
                self.write_transfer(n, value);
            }
            Reg::Local { pointer, offset } => {
                let at = self.local_index(pointer, offset)?;
                self.local[at] = value;
            }
            Reg::LocalIncrement { pointer } => {
                let at = self.local_index(pointer, 0)?;
                self.local[at] = value;
                self.move_local(pointer, 4);
            }
            Reg::LocalDecrement { pointer } => {
                let at = self.local_index(pointer, 0)?;
                self.local[at] = value;
                self.move_local(pointer, 4u32.wrapping_neg());
            }
            Reg::Neighbour(_) | Reg::NeighbourIndex(_) => return Err(self.trap(NEIGHBOUR)),
        }
        Ok(())
    }

    fn write_transfer(&mut self, n: u8, value: u32) {
        let n = n % self.registers.transfers();
        if self.context().pulling >> n & 1 != 0 {
            self.pull_before_write(n);
        }
        self.registers.set(self.current, Registers::transfer_out(ContextMode::Four, n), value);
    }

    /// The next random number, as programs read it.
    pub(super) fn next_random(&mut self) -> u32 {
        // splitmix64: any seed will do, and every state is followed by another.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let value = ((z ^ z >> 31) >> 32) as u32;
        let packet = self.context().task.packet;
        if let Some(log) = &mut self.random_log {
            log.push((packet, value));
        }
        value
    }
}

const NEIGHBOUR: TrapKind = TrapKind::Unsupported { what: "a next-neighbour register" };
