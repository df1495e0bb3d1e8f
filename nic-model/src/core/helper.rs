//! Helpers as the firmware carries them out: a read of the helper's or map's descriptor, at whose arrival the routine acts,
//! then its accesses as commands.

use bpf::helpers::{CostClass, SkbState, proto};
use bpf::insn::AtomicOp;
use bpf::program::ProgType;

use super::TrapKind;
use super::burst::End;
use super::code::CodeStore;
use super::context::{Activity, Stage};
use super::machine::{Halt, LOCAL_WORDS, Machine};
use super::routine::{CLOBBER, CLOBBERED};
use crate::firmware::{Entry, Firmware, MapRoutine, Place};
use crate::isa::Bank;
use crate::memory::{Action, HelperCall, Location, MAX_WORDS, Operation, TouchKind, call_locally, is_local};

/// Tail calls that a packet may make (Linux, `MAX_TAIL_CALL_CNT`).
const MAX_TAIL_CALLS: u32 = 33;
/// First register of the arguments of an atomic routine: address, operand, number expected, two each; then which
/// operation; bank B of the one behind has the return address. The result takes the address's place.
const ATOMIC_ARGUMENTS: u8 = 23;
/// Where the code of an atomic operation stands.
const ATOMIC_CODE: u8 = ATOMIC_ARGUMENTS + 6;
/// Bit of that code: eight bytes.
const ATOMIC_WIDE: u32 = 8;
/// Operations by their code.
const ATOMICS: [AtomicOp; 6] =
    [AtomicOp::Add, AtomicOp::And, AtomicOp::Or, AtomicOp::Xor, AtomicOp::Xchg, AtomicOp::Cmpxchg];
/// Instructions of a routine that needs the core alone (assumed: reading a register or two, and arithmetic on it).
const LOCAL_INSTRUCTIONS: u64 = 8;

/// What the receive path knows of a packet: where the headers behind the Ethernet header begin.
fn received() -> SkbState {
    const ETHERNET: i32 = 14;
    SkbState {
        network: ETHERNET,
        mac_len: ETHERNET as u32,
        transport: Some(ETHERNET),
        ingress: true,
        ..SkbState::default()
    }
}

/// Whether a routine of the core alone reads the clock.
fn reads_clock(operation: Operation) -> bool {
    let clock = |id| proto(id).is_some_and(|row| row.cost == CostClass::Clock);
    matches!(operation, Operation::Helper(id) if clock(id))
}

impl Operation {
    /// Whether it works on a map, so that locks are around it.
    fn is_of_map(self) -> bool {
        matches!(self, Operation::Helper(id) if proto(id).is_some_and(|row| row.cost == CostClass::Map))
    }
}

impl Machine {
    fn argument(&self, n: u8) -> u64 {
        u64::from(self.read_gpr(Bank::A, n)) | u64::from(self.read_gpr(Bank::A, n + 1)) << 32
    }

    /// The program has come to the door of a helper, or of an atomic operation.
    pub(super) fn call_helper(&mut self, entry: Entry) -> Result<Activity, Halt> {
        let mut call = std::mem::take(&mut self.context().helper);
        let resume = match entry {
            Entry::Helper(id) => {
                call.operation = Operation::Helper(id);
                call.args = std::array::from_fn(|n| self.argument(2 * n as u8 + 2));
                // The program says in A0 which type it is of.
                call.ty = if self.read_gpr(Bank::A, 0) & 1 == 0 { ProgType::Xdp } else { ProgType::SchedCls };
                self.read_gpr(Bank::B, 0)
            }
            _ => {
                let code = self.read_gpr(Bank::A, ATOMIC_CODE);
                let op = ATOMICS[(code & (ATOMIC_WIDE - 1)) as usize % ATOMICS.len()];
                call.operation = Operation::Atomic { op, wide: code & ATOMIC_WIDE != 0 };
                call.args =
                    std::array::from_fn(|n| if n < 3 { self.argument(ATOMIC_ARGUMENTS + 2 * n as u8) } else { 0 });
                self.read_gpr(Bank::B, ATOMIC_CODE + 1)
            }
        };
        if call.ty == ProgType::SchedCls && !call.skb_used {
            call.skb = received();
        }
        call.cpu = u32::from(self.config.id.0) * u32::from(self.config.contexts) + self.current as u32;
        call.island = self.config.island;
        call.local_base = self.local_base();
        call.vector_at = self.config.stack_bytes.next_multiple_of(64);
        let share = LOCAL_WORDS / usize::from(self.config.contexts);
        let first = self.current * share;
        call.local.clear();
        call.local.extend_from_slice(&self.local[first..first + share]);
        let local = is_local(call.operation) || self.is_local_number(&call);
        let packet = self.context().task.packet;
        if local {
            call.now_ns = self.clock.time(self.cycle).ps() / 1000;
            call_locally(&mut call);
            if let Some(log) = &mut self.time_log
                && reads_clock(call.operation)
            {
                log.push((packet, call.now_ns));
            }
        }
        let context = self.context();
        context.helper = call;
        context.call.resume = (resume & 0x3fff) as u16;
        if local {
            self.spend(LOCAL_INSTRUCTIONS);
            return Ok(Activity::HelperDone);
        }
        Ok(Activity::Routine { stage: Stage::HelperBefore, step: 0 })
    }

    /// Whether an atomic operation is on the stack.
    fn is_local_number(&self, call: &HelperCall) -> bool {
        let at = call.args[0];
        matches!(call.operation, Operation::Atomic { .. }) && at < (LOCAL_WORDS * 4) as u64
    }

    /// The first command: the read of a descriptor, or for an atomic operation the number itself.
    pub(super) fn helper_first(&mut self, firmware: &Firmware) -> Option<End> {
        if let Err(halt) = self.queue_slot() {
            return Some(halt.into());
        }
        let map = &firmware.map;
        let call = &self.context().helper;
        let (operation, args) = (call.operation, call.args);
        let (at, bytes, kind) = match operation {
            Operation::Helper(id) => {
                let bytes = map.descriptor_bytes;
                let number = if operation.is_of_map() { args[0] % (self.maps.len() as u64 + 1) } else { u64::from(id) };
                let offset = map.descriptor_offset + number * u64::from(bytes);
                (self.place(map.descriptors, Place::Shared { offset }, bytes), bytes, TouchKind::Read)
            }
            Operation::Atomic { wide, .. } => {
                let bytes = if wide { 8 } else { 4 };
                match self.number_at(args[0], bytes) {
                    Some(at) => (at, bytes, TouchKind::Atomic),
                    None => {
                        let address = args[0];
                        self.trap(TrapKind::BadAddress { address, bytes: bytes.into() });
                        let pc = self.context().call.resume;
                        return self.give_up(pc);
                    }
                }
            }
        };
        self.firmware_command(at, bytes, Action::Helper(kind), true);
        self.spend(1);
        self.context().activity = match operation.is_of_map() {
            true => Activity::Routine { stage: Stage::HelperEnter, step: 0 },
            false => Activity::HelperAccess { index: 0, done: 0 },
        };
        self.firmware_wait()
    }

    fn number_at(&self, address: u64, bytes: u16) -> Option<Location> {
        let whole = ((address >> 32 << 8) + (address & 0xffff_ffff)) & 0xff_ffff_ffff;
        self.addresses.resolve40(whole, bytes.into())
    }

    /// The accesses of a routine as commands: reads and atomics are waited for before the next that depends on one and at
    /// the end, writes are posted. An atomic operation has none: its first command was all.
    pub(super) fn helper_access(&mut self, firmware: &Firmware, index: u32, done: u32) -> Option<End> {
        let (mut index, mut done) = (index, done);
        if index == 0 && done == 0 {
            let words = u64::from(std::mem::take(&mut self.context().helper.local_words));
            self.spend(words);
        }
        loop {
            let context = self.context();
            context.activity = Activity::HelperAccess { index, done };
            let atomic = matches!(context.helper.operation, Operation::Atomic { .. });
            let touch = context.helper.touches.get(index as usize).copied().filter(|_| !atomic);
            if context.unwaited && touch.is_none_or(|touch| touch.dependent && done == 0) {
                return self.firmware_wait();
            }
            let Some(touch) = touch else {
                let of_map = self.context().helper.operation.is_of_map();
                self.context().activity = match of_map {
                    true => Activity::Routine { stage: Stage::HelperAfter, step: 0 },
                    false => Activity::HelperDone,
                };
                return None;
            };
            if let Err(halt) = self.queue_slot() {
                return Some(halt.into());
            }
            let bytes = (touch.bytes - done).min(4 * MAX_WORDS as u32);
            let offset = touch.offset + u64::from(done);
            let at = self.place(touch.memory, Place::Shared { offset }, bytes as u16);
            self.firmware_command(at, bytes as u16, Action::Touch(touch.kind), touch.kind != TouchKind::Write);
            // The command, and the words that go through the core.
            self.spend(1 + u64::from(bytes.div_ceil(4)));
            done += bytes;
            if done >= touch.bytes {
                (index, done) = (index + 1, 0);
                self.spend(u64::from(firmware.map.per_access));
            }
        }
    }

    /// Instructions before the first command that depend on the operands.
    pub(super) fn helper_key_instructions(&mut self, routine: &MapRoutine) -> u64 {
        let of_map = self.context().helper.operation.is_of_map();
        let table = self.context().helper.args[0];
        let shape = usize::try_from(table).ok().and_then(|n| n.checked_sub(1)).and_then(|n| self.maps.get(n));
        let words = shape.filter(|_| of_map).map_or(0, |shape| shape.key.div_ceil(4));
        u64::from(routine.per_key_word) * u64::from(words)
    }

    /// Local memory and registers get what the routine left; the program goes on behind the call, or another begins.
    pub(super) fn helper_done(&mut self, code: &CodeStore) -> Option<End> {
        let call = std::mem::take(&mut self.context().helper);
        let share = LOCAL_WORDS / usize::from(self.config.contexts);
        let first = self.current * share;
        if call.local.len() == share {
            self.local[first..first + share].copy_from_slice(&call.local);
        }
        let (result, operation, tail, made) = (call.result, call.operation, call.tail, call.tail_calls);
        self.context().helper = call;
        let resume = self.context().call.resume;
        self.context().activity = Activity::Program;
        let value = match result {
            Ok(value) => value,
            Err(fault) => {
                self.trap(TrapKind::Helper { fault });
                return self.give_up(resume);
            }
        };
        self.cycle += u64::from(self.config.costs.jump);
        match operation {
            Operation::Atomic { .. } => {
                for (n, half) in (ATOMIC_ARGUMENTS..).zip([value as u32, (value >> 32) as u32]) {
                    self.write_gpr(Bank::A, n, half);
                    self.write_gpr(Bank::B, n, half);
                }
            }
            Operation::Helper(_) => {
                for n in 0..CLOBBERED {
                    let value = match n {
                        0 => value as u32,
                        1 => (value >> 32) as u32,
                        n => CLOBBER | u32::from(n),
                    };
                    self.write_gpr(Bank::A, n, value);
                    self.write_gpr(Bank::B, n, value);
                }
            }
        }
        let start = tail.filter(|_| made < MAX_TAIL_CALLS).and_then(|program| code.program(program));
        match start {
            Some(start) => {
                self.context().helper.tail_calls += 1;
                self.begin_program(start);
            }
            None => self.context().pc = resume,
        }
        None
    }
}
