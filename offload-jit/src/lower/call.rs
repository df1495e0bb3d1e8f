//! Calls of helpers: the firmware's map and event routines, and what the card does in line.
//!
//! A routine of the firmware takes its return address in register 0 of bank B and gives the context back there. It finds a
//! map's number in register 0 of bank A, the key at local memory pointer 0 and a new value at pointer 2. It keeps R6 to R9
//! and the registers of [`super::home`], and sets pointer 0 back to where it found it.

use bpf::insn::Reg as BpfReg;
use nic_model::isa::{AluOp, Cond, Csr, Dst, Shift, Source};

use super::Lowering;
use super::home::{Gpr, Home, PACKET_LENGTH, PACKET_POINTER, SCRATCH, STACK_BASE, VECTOR_LENGTH};
use super::stack::POINTER_DELAY;
use crate::action::{EventData, MapHelper};
use crate::admit::Hook;
use crate::asm::External;

/// The least a packet may shrink to: an Ethernet header (Linux, `ETH_HLEN`).
const SHORTEST_PACKET: u8 = 14;
/// What a helper returns when it refuses its arguments (Linux, `-EINVAL`).
const INVALID: i32 = -22;

/// Register 0, which takes a routine's first argument in bank A and its return address in bank B.
const FIRST: Gpr = Gpr(0);
/// Register 1.
const SECOND: Gpr = Gpr(1);

impl Lowering<'_> {
    /// A map helper. The key is read through pointer 0, which stands at the frame's base already if the key is there.
    pub(super) fn call_map(&mut self, helper: MapHelper, key: Option<i32>) {
        let key_elsewhere = key.is_none_or(|at| self.frame.depth as i32 + at != 0);
        if key_elsewhere {
            self.asm.csr_write(Csr::LM_ADDR0, Home::of(BpfReg::R2).low.b());
        }
        if helper == MapHelper::Update {
            self.asm.csr_write(Csr::LM_ADDR2, Home::of(BpfReg::R3).low.b());
        }
        let table = Home::of(BpfReg::R1).low.a();
        self.call_firmware(External::Helper(helper.number()), FIRST, table.into());
        if key_elsewhere {
            self.restore_stack_pointer();
        }
    }

    /// `bpf_perf_event_output`: the routine is told what kind of memory the data is in.
    pub(super) fn call_event(&mut self, data: EventData) {
        // The kernel's numbers of register types, which the firmware shares (Linux nfp driver, `fw.h`).
        let kind = match data {
            EventData::Null => 1,
            EventData::MapValue => 4,
            EventData::Stack => 6,
            EventData::Packet => 8,
        };
        self.call_firmware(External::Helper(EVENT_OUTPUT), SECOND, Source::Imm(kind));
    }

    /// Any helper: the firmware takes its arguments where they are, and learns the program's type.
    pub(super) fn call_helper(&mut self, id: u32, changes_packet: bool) {
        let ty = u8::from(self.hook == Hook::Tc);
        self.call_firmware(External::Routine(id), FIRST, Source::Imm(ty));
        if changes_packet {
            self.prologue();
        }
    }

    /// Jumps to a routine with one argument in bank A; argument and return address are set in the delay slots.
    fn call_firmware(&mut self, routine: External, register: Gpr, argument: Source) {
        let back = self.asm.label();
        self.asm.branch_external(None, routine, 2);
        self.asm.copy(Dst::to(register.a()), argument);
        self.asm.address(Dst::to(FIRST.b()), back);
        self.asm.bind(back);
    }

    /// Sets pointer 0 back to the frame's base.
    pub(super) fn restore_stack_pointer(&mut self) {
        self.asm.csr_write(Csr::LM_ADDR0, STACK_BASE);
        self.asm.nops(POINTER_DELAY);
    }

    /// `bpf_get_prandom_u32`: the instruction after the read takes the value.
    pub(super) fn call_random(&mut self) {
        self.asm.csr_read(Csr::RANDOM);
        self.answer(0);
    }

    /// R0 = `value`.
    fn answer(&mut self, value: i32) {
        self.constant(BpfReg::R0, i64::from(value) as u64);
    }

    /// `bpf_xdp_adjust_head`. Growing into the room in front is limited by the buffer, shrinking by the header.
    pub(super) fn adjust_head(&mut self, certain: bool) {
        let delta = Home::of(BpfReg::R2).low.a();
        if certain {
            self.asm.alu(Dst::to(PACKET_POINTER), delta, AluOp::Add, PACKET_POINTER);
            self.asm.alu(Dst::to(PACKET_LENGTH), PACKET_LENGTH, AluOp::Sub, delta);
            self.asm.alu(Dst::to(VECTOR_LENGTH), VECTOR_LENGTH, AluOp::Sub, delta);
            self.answer(0);
            return;
        }
        let (invalid, end) = (self.asm.label(), self.asm.label());
        // The packet pointer's offset is its low 16 bits; the packet's number above them must not be touched.
        self.asm.alu(Dst::to(SCRATCH.a()), delta, AluOp::Add16, PACKET_POINTER);
        self.asm.alu(Dst::NONE, SCRATCH.a(), AluOp::Sub, self.head.least);
        self.asm.branch(Cond::CarryClear, invalid, 0);
        self.asm.alu(Dst::NONE, self.head.most, AluOp::Sub, SCRATCH.a());
        self.asm.branch(Cond::CarryClear, invalid, 0);
        self.asm.alu(Dst::to(SCRATCH.b()), PACKET_LENGTH, AluOp::Sub, delta);
        self.asm.alu(Dst::NONE, SCRATCH.b(), AluOp::Sub, SHORTEST_PACKET);
        self.asm.branch(Cond::Minus, invalid, 0);
        self.answer(0);
        self.asm.field(Dst::to(PACKET_POINTER), 0b0011, SCRATCH.a(), Shift::NONE);
        self.asm.jump(end, 2);
        self.asm.alu(Dst::to(PACKET_LENGTH), PACKET_LENGTH, AluOp::Sub, delta);
        self.asm.alu(Dst::to(VECTOR_LENGTH), VECTOR_LENGTH, AluOp::Sub, delta);
        self.asm.bind(invalid);
        self.answer(INVALID);
        self.asm.bind(end);
    }

    /// `bpf_xdp_adjust_tail`, which only shrinks here: adding the negative number must carry.
    pub(super) fn adjust_tail(&mut self) {
        let delta = Home::of(BpfReg::R2).low.a();
        let (invalid, end) = (self.asm.label(), self.asm.label());
        self.asm.alu(Dst::to(SCRATCH.a()), PACKET_LENGTH, AluOp::Add, delta);
        self.asm.branch(Cond::CarryClear, invalid, 0);
        self.asm.alu(Dst::NONE, SCRATCH.a(), AluOp::Sub, SHORTEST_PACKET);
        self.asm.branch(Cond::Minus, invalid, 0);
        self.asm.alu(Dst::to(PACKET_LENGTH), PACKET_LENGTH, AluOp::Add, delta);
        self.asm.alu(Dst::to(VECTOR_LENGTH), VECTOR_LENGTH, AluOp::Add, delta);
        self.asm.jump(end, 2);
        self.answer(0);
        self.asm.bind(invalid);
        self.answer(INVALID);
        self.asm.bind(end);
    }
}

/// `bpf_perf_event_output`'s number.
const EVENT_OUTPUT: u32 = 25;
