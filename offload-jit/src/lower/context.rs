//! Fields of the program's context, which on the card is the packet vector.

use bpf::insn::Reg as BpfReg;
use nic_model::isa::{AluOp, Cond, Dst, Shift, ShiftOp};

use super::Lowering;
use super::home::{
    Home, PACKET_LENGTH, PACKET_POINTER, QUEUE_SELECTED, VECTOR_DEVICE, VECTOR_FLAGS, VECTOR_METADATA, VECTOR_QUEUE,
};
use crate::action::Field;

/// A queue number that the firmware refuses, for it has no more receive queues than this (Linux nfp driver,
/// `NFP_NET_MAX_RX_RINGS`).
const NO_QUEUE: u8 = 64;
/// The largest queue number that fits the vector's field.
const LARGEST_QUEUE: u8 = 0xff;

impl Lowering<'_> {
    /// `dst` = a field.
    pub(super) fn load_field(&mut self, dst: BpfReg, field: Field) {
        let dst = Home::of(dst);
        match field {
            Field::Data => self.asm.copy(dst.low.both(), PACKET_POINTER),
            Field::DataEnd => self.asm.alu(dst.low.both(), PACKET_LENGTH, AluOp::Add, PACKET_POINTER),
            Field::Length => self.asm.copy(dst.low.both(), PACKET_LENGTH),
            Field::Metadata => {
                self.asm.copy(dst.low.both(), PACKET_POINTER);
                self.asm.alu(dst.low.both(), dst.low.a(), AluOp::Sub, VECTOR_METADATA);
            }
            Field::Device => self.asm.copy(dst.low.both(), VECTOR_DEVICE),
            Field::Zero => self.asm.constant(dst.low.both(), 0),
        }
        self.asm.constant(dst.high.both(), 0);
    }

    /// Picks the receive queue; a number that does not fit the field becomes one that the firmware refuses.
    pub(super) fn select_queue(&mut self, src: BpfReg) {
        let src = Home::of(src).low;
        let end = self.asm.label();
        self.asm.alu(Dst::NONE, src.a(), AluOp::AndNot, LARGEST_QUEUE);
        // The two instructions that set the queue stand in the delay slots.
        self.asm.branch(Cond::Eq, end, 2);
        self.asm.shift_into(Dst::to(VECTOR_FLAGS), VECTOR_FLAGS, ShiftOp::Or, 1u8, Shift::Left(QUEUE_SELECTED));
        self.asm.field(Dst::to(VECTOR_QUEUE), 0b0001, src.b(), Shift::NONE);
        self.asm.field(Dst::to(VECTOR_QUEUE), 0b0001, NO_QUEUE, Shift::NONE);
        self.asm.bind(end);
    }
}
