//! The firmware as a core carries it out: routines around the program, map helpers.

use super::burst::End;
use super::code::CodeStore;
use super::context::{Activity, Stage, Wake};
use super::flight::{FIRMWARE_SIGNAL, Span};
use super::issue::Request;
use super::machine::{Halt, LOCAL_WORDS, Machine};
use super::{Fate, TaskKind, TrapKind};
use crate::firmware::{
    Action as Verb, CONTEXT_BLOCK_BYTES, CONTEXT_BLOCK_OFFSET, Entry, Firmware, PacketVector, Place, Routine,
    STACK_BASE_REGISTER, Step, VECTOR_PORT, VECTOR_PROTOCOL, VECTOR_WORDS, Verdict,
};
use crate::isa::Bank;
use crate::memory::{Action, Location, MAX_WORDS, MapOp, MemoryKind, TableId, TouchKind};

/// Registers that a map helper may change: R0 to R5 (CoreNIC reserves 12 to 22 of both banks).
pub(super) const CLOBBERED: u8 = 12;
/// What it leaves in those that hold no result, with the register's number in the low byte, so that a program that relies
/// on one shows itself.
pub(super) const CLOBBER: u32 = 0xdead_0000;
/// Result word of the plain path: pass, counted as such (Linux nfp driver, `jit.c`).
const PASS: u32 = 0x11 << 16;

/// `number` modulo `limit`, mostly without a division: addresses seldom wrap, and tables have powers of two.
fn within(number: u64, limit: u64) -> u64 {
    if number < limit {
        number
    } else if limit.is_power_of_two() {
        number & (limit - 1)
    } else {
        number % limit
    }
}

impl Stage {
    fn routine(self, firmware: &Firmware) -> &Routine {
        match self {
            Stage::Receive => &firmware.receive,
            Stage::Plain => &firmware.plain,
            Stage::Transmit => &firmware.transmit,
            Stage::Epilogue(verdict) => match verdict.action {
                Verb::Pass => &firmware.pass,
                Verb::Drop => &firmware.drop,
                Verb::Tx | Verb::Redirect => &firmware.tx,
            },
            Stage::Trapped => &firmware.drop,
            Stage::MapBefore => &firmware.map.before,
            Stage::MapEnter => &firmware.map.enter,
            Stage::MapAfter => &firmware.map.after,
            Stage::HelperBefore => &firmware.map.before,
            Stage::HelperEnter => &firmware.map.enter,
            Stage::HelperAfter => &firmware.map.after,
        }
    }
}

impl Machine {
    /// Byte address in local memory of the current context's share: its stack, then its packet vector.
    pub(super) fn local_base(&self) -> u32 {
        (self.current * LOCAL_WORDS * 4 / usize::from(self.config.contexts)) as u32
    }

    fn vector_base(&self) -> u32 {
        self.local_base() + self.config.stack_bytes.next_multiple_of(64)
    }

    /// The packet vector as it stands in local memory.
    pub(super) fn read_vector(&self) -> PacketVector {
        let at = (self.vector_base() / 4) as usize;
        let mut vector = PacketVector::default();
        if let Some(words) = self.local.get(at..at + VECTOR_WORDS) {
            vector.words.copy_from_slice(words);
        }
        vector
    }

    fn write_vector(&mut self, vector: &PacketVector) {
        let at = (self.vector_base() / 4) as usize;
        if let Some(words) = self.local.get_mut(at..at + VECTOR_WORDS) {
            words.copy_from_slice(&vector.words);
        }
    }

    /// The fields of a `struct __sk_buff`, behind the vector, where a context's share of local memory has room for them.
    fn write_context_block(&mut self, vector: &PacketVector) {
        const FIELDS: [(usize, usize); 3] = [(16, VECTOR_PROTOCOL), (36, VECTOR_PORT), (40, VECTOR_PORT)];
        const WIRE_LENGTH: usize = 160;
        let share = (LOCAL_WORDS * 4 / usize::from(self.config.contexts)) as u32;
        let stack = self.config.stack_bytes.next_multiple_of(64);
        if !self.config.context_block || stack + CONTEXT_BLOCK_OFFSET + CONTEXT_BLOCK_BYTES > share {
            return;
        }
        let at = ((self.vector_base() + CONTEXT_BLOCK_OFFSET) / 4) as usize;
        if let Some(block) = self.local.get_mut(at..at + CONTEXT_BLOCK_BYTES as usize / 4) {
            block.fill(0);
            for (field, word) in FIELDS {
                block[field / 4] = vector.words[word];
            }
            block[WIRE_LENGTH / 4] = vector.length();
        }
    }

    /// The first thing a context does with a packet is to put its vector into local memory.
    pub(super) fn take_up_packet(&mut self) {
        if std::mem::take(&mut self.context().fresh) {
            let vector = self.context().task.vector;
            self.write_vector(&vector);
            self.write_context_block(&vector);
        }
    }

    pub(super) fn spend(&mut self, instructions: u64) {
        self.cycle += instructions * u64::from(self.config.costs.instruction);
        self.context().executed += instructions;
    }

    /// Steps of a routine until one waits, and what follows the last.
    pub(super) fn routine(&mut self, code: &CodeStore, firmware: &Firmware, stage: Stage, step: u16) -> Option<End> {
        let steps = &stage.routine(firmware).steps;
        let mut next = step;
        while let Some(step) = steps.get(usize::from(next)) {
            match *step {
                Step::Run { instructions } => self.spend(u64::from(instructions)),
                Step::Command { memory, kind, place, bytes, wait } => {
                    self.context().activity = Activity::Routine { stage, step: next };
                    if let Err(halt) = self.queue_slot() {
                        return Some(halt.into());
                    }
                    let at = self.place(memory, place, bytes);
                    self.firmware_command(at, bytes, Action::Touch(kind), wait);
                    self.spend(1);
                    if wait {
                        self.context().activity = Activity::Routine { stage, step: next + 1 };
                        return self.firmware_wait();
                    }
                }
            }
            next += 1;
        }
        self.context().activity = Activity::Routine { stage, step: next };
        self.after(code, firmware, stage)
    }

    /// What follows a routine.
    fn after(&mut self, code: &CodeStore, firmware: &Firmware, stage: Stage) -> Option<End> {
        let next = |stage| Activity::Routine { stage, step: 0 };
        let plain = Verdict::decode(PASS).expect("a pass is an action");
        let activity = match stage {
            Stage::Receive if self.context().task.kind == TaskKind::Program => {
                self.start_program(code);
                Activity::Program
            }
            Stage::Receive => next(Stage::Plain),
            Stage::Plain => next(Stage::Epilogue(plain)),
            Stage::Transmit => return self.finish_packet(Fate::Verdict(Verdict { counter: None, ..plain })),
            Stage::Epilogue(verdict) => return self.finish_packet(Fate::Verdict(verdict)),
            Stage::Trapped => {
                let trap = self.noted_trap();
                return self.finish_packet(Fate::Trapped(trap));
            }
            Stage::MapBefore => {
                let instructions = self.context().call.key_instructions(&firmware.map);
                self.spend(instructions);
                Activity::MapFirst
            }
            Stage::MapEnter => Activity::MapAccess { index: 0, done: 0 },
            Stage::HelperBefore => {
                let instructions = self.helper_key_instructions(&firmware.map);
                self.spend(instructions);
                Activity::HelperFirst
            }
            Stage::HelperEnter => Activity::HelperAccess { index: 0, done: 0 },
            Stage::HelperAfter => Activity::HelperDone,
            Stage::MapAfter => {
                self.return_from_map();
                Activity::Program
            }
        };
        self.context().activity = activity;
        None
    }

    /// What a program finds when it starts: stack base in A22 and behind pointer 0, packet vector behind pointer 1.
    fn start_program(&mut self, code: &CodeStore) {
        self.begin_program(code.start());
    }

    /// The same for a program at an address.
    pub(super) fn begin_program(&mut self, start: u16) {
        let (stack, vector) = (self.local_base(), self.vector_base());
        self.write_gpr(Bank::A, STACK_BASE_REGISTER, stack);
        let context = self.context();
        context.local = [stack, vector, 0, 0];
        context.pc = start;
        context.slots = 0;
    }

    /// The program has left its result word in A0.
    pub(super) fn done(&mut self) -> Result<Activity, Halt> {
        let result = self.read_gpr(Bank::A, 0);
        match Verdict::decode(result) {
            Some(verdict) => Ok(Activity::Routine { stage: Stage::Epilogue(verdict), step: 0 }),
            None => Err(self.trap(TrapKind::NoAction { result })),
        }
    }

    /// Where a step's command goes. Addresses that a profile takes too far wrap around.
    pub(super) fn place(&mut self, memory: MemoryKind, place: Place, bytes: u16) -> Location {
        let packet = self.context().task.packet.0;
        let vector = self.context().task.vector;
        let offset = match place {
            Place::Packet { offset } if memory == MemoryKind::Ctm => {
                self.addresses.packet_base(vector.number()) + u64::from(vector.offset()) + u64::from(offset)
            }
            // Packets outside CTM lie in buffers of 2 KiB.
            Place::Packet { offset } => packet % 4096 * 2048 + u64::from(offset),
            Place::Shared { offset } => offset,
            Place::Striped { offset, stride, slots } => {
                offset + within(packet, slots.max(1).into()) * u64::from(stride)
            }
        };
        let (engine, size) = self.memories[memory as usize];
        let room = size.saturating_sub(u64::from(bytes)).max(1);
        Location { engine, offset: within(offset, room) }
    }

    pub(super) fn firmware_command(&mut self, at: Location, bytes: u16, action: Action, wait: bool) {
        let signal = if wait { FIRMWARE_SIGNAL } else { 0 };
        self.issue(Request { at, bytes, action, signal, push: Span::default(), pull: Span::default(), operand: 0 });
    }

    /// Waits for all firmware commands that are waited for at all.
    pub(super) fn firmware_wait(&mut self) -> Option<End> {
        let context = self.context();
        context.wake = Wake { signals: FIRMWARE_SIGNAL, any: false };
        context.unwaited = false;
        let pc = context.pc;
        self.wait(pc)
    }

    /// The program calls a map helper.
    pub(super) fn call_map(&mut self, entry: Entry) -> Result<Activity, Halt> {
        let table = self.read_gpr(Bank::A, 0);
        let resume = (self.read_gpr(Bank::B, 0) & 0x3fff) as u16;
        let shape = (table as usize).checked_sub(1).and_then(|index| self.maps.get(index)).copied();
        let Some(shape) = shape else { return Err(self.trap(TrapKind::BadMap { table })) };
        let flags = u64::from(self.read_gpr(Bank::A, 9)) << 32 | u64::from(self.read_gpr(Bank::A, 8));
        let cpu = u32::from(self.config.id.0) * u32::from(self.config.contexts) + self.current as u32;
        let mut call = std::mem::take(&mut self.context().call);
        call.place = shape.place;
        call.resume = resume;
        call.call.table = TableId(table);
        call.call.cpu = cpu;
        call.call.flags = flags;
        call.call.op = match entry {
            Entry::MapUpdate => MapOp::Update,
            Entry::MapDelete => MapOp::Delete,
            _ => MapOp::Lookup,
        };
        let copied = self.copy_local(0, shape.key, &mut call.call.key).and_then(|()| match entry {
            Entry::MapUpdate => self.copy_local(2, shape.value, &mut call.call.value),
            _ => Ok(()),
        });
        self.context().call = call;
        copied?;
        Ok(Activity::Routine { stage: Stage::MapBefore, step: 0 })
    }

    /// Bytes of local memory behind a pointer, as the host orders them.
    fn copy_local(&mut self, pointer: usize, bytes: u32, to: &mut Vec<u8>) -> Result<(), Halt> {
        let context = self.context();
        context.settle_pointers();
        let address = context.local[pointer];
        let first = (address / 4) as usize;
        let words = bytes.div_ceil(4) as usize;
        to.clear();
        let Some(from) = first.checked_add(words).and_then(|end| self.local.get(first..end)) else {
            return Err(self.trap(TrapKind::LocalMemory { address }));
        };
        to.extend(from.iter().flat_map(|word| word.to_le_bytes()));
        to.truncate(bytes as usize);
        Ok(())
    }

    /// The first command of a map helper: the read of the map's descriptor, at whose arrival the operation acts.
    pub(super) fn map_first(&mut self, firmware: &Firmware) -> Option<End> {
        if let Err(halt) = self.queue_slot() {
            return Some(halt.into());
        }
        let map = &firmware.map;
        let slots = self.maps.len() as u32 + 1;
        let table = u64::from(self.context().call.call.table.0 % slots);
        let offset = map.descriptor_offset + table * u64::from(map.descriptor_bytes);
        let at = self.place(map.descriptors, Place::Shared { offset }, map.descriptor_bytes);
        self.firmware_command(at, map.descriptor_bytes, Action::Map, true);
        self.spend(1);
        self.context().activity = Activity::Routine { stage: Stage::MapEnter, step: 0 };
        self.firmware_wait()
    }

    /// The accesses of a map operation as commands: reads and atomics are waited for before the next that depends on one
    /// and at the end, writes are posted.
    pub(super) fn map_access(&mut self, firmware: &Firmware, index: u32, done: u32) -> Option<End> {
        let (mut index, mut done) = (index, done);
        loop {
            let context = self.context();
            context.activity = Activity::MapAccess { index, done };
            let access = context.call.call.log.accesses().get(index as usize).copied();
            let place = context.call.place;
            if context.unwaited && access.is_none_or(|access| access.dependent && done == 0) {
                return self.firmware_wait();
            }
            let Some(access) = access else {
                self.context().activity = Activity::Routine { stage: Stage::MapAfter, step: 0 };
                return None;
            };
            if let Err(halt) = self.queue_slot() {
                return Some(halt.into());
            }
            let bytes = (access.len - done).min(4 * MAX_WORDS as u32);
            let kind = TouchKind::from(access.kind);
            let offset = place.base + u64::from(access.off) + u64::from(done);
            let at = self.place(place.memory, Place::Shared { offset }, bytes as u16);
            self.firmware_command(at, bytes as u16, Action::Touch(kind), kind != TouchKind::Write);
            self.spend(1);
            done += bytes;
            if done >= access.len {
                (index, done) = (index + 1, 0);
                self.spend(u64::from(firmware.map.per_access));
            }
        }
    }

    /// R0 gets the result, and the program goes on at the address it left in B0.
    fn return_from_map(&mut self) {
        let call = &self.context().call;
        let (resume, place) = (call.resume, call.place);
        let result = match call.call.op {
            MapOp::Lookup => call.call.found.map_or(0, |offset| place.pointer(offset)),
            MapOp::Update | MapOp::Delete => call.call.result.map_or_else(bpf::errno::Errno::as_return, |()| 0),
        };
        for n in 0..CLOBBERED {
            let value = match n {
                0 => result as u32,
                1 => (result >> 32) as u32,
                n => CLOBBER | u32::from(n),
            };
            self.write_gpr(Bank::A, n, value);
            self.write_gpr(Bank::B, n, value);
        }
        self.context().pc = resume;
        self.cycle += u64::from(self.config.costs.jump);
    }
}
