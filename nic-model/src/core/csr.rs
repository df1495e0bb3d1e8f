//! Local control and status registers.

use super::context::{Pointer, hardware_number};
use super::machine::{Halt, Machine};
use crate::isa::Csr;

/// Cycles in which the time stamp counts one (NFP-6000: 16).
const TIMESTAMP_CYCLES: u64 = 16;

/// The pointer registers, by the local CSR that writes them.
pub(super) const POINTERS: [(Csr, Pointer); 11] = [
    (Csr::LM_ADDR0, Pointer::Local(0)),
    (Csr::LM_ADDR1, Pointer::Local(1)),
    (Csr::LM_ADDR2, Pointer::Local(2)),
    (Csr::LM_ADDR3, Pointer::Local(3)),
    (Csr::LM_ADDR0_BYTE, Pointer::LocalAndByte(0)),
    (Csr::LM_ADDR1_BYTE, Pointer::LocalAndByte(1)),
    (Csr::LM_ADDR2_BYTE, Pointer::LocalAndByte(2)),
    (Csr::LM_ADDR3_BYTE, Pointer::LocalAndByte(3)),
    (Csr::BYTE_INDEX, Pointer::Byte),
    (Csr::XFER_INDEX, Pointer::Transfer),
    (Csr::XFER_AND_BYTE_INDEX, Pointer::TransferAndByte),
];

impl Machine {
    /// What a read of a local CSR finds.
    pub(super) fn read_csr(&mut self, csr: Csr) -> Result<u32, Halt> {
        let number = hardware_number(self.context_id(), self.config.contexts);
        let timestamp = self.cycle / TIMESTAMP_CYCLES;
        let context = self.context();
        context.settle_pointers();
        let local = |n: usize| context.local[n];
        Ok(match csr {
            Csr::LM_ADDR0 => local(0),
            Csr::LM_ADDR1 => local(1),
            Csr::LM_ADDR2 => local(2),
            Csr::LM_ADDR3 => local(3),
            Csr::BYTE_INDEX => u32::from(context.byte_index),
            Csr::XFER_INDEX => u32::from(context.transfer_index) << 2,
            Csr::ALU_OUT => context.previous,
            Csr::CONTEXT_STATUS => u32::from(number),
            Csr::WAKEUP => u32::from(context.wake.signals),
            Csr::SIGNALS => {
                self.settle_deliveries()?;
                u32::from(self.context().signals & !super::flight::FIRMWARE_SIGNAL)
            }
            Csr::TIMESTAMP_LOW => timestamp as u32,
            Csr::TIMESTAMP_HIGH => (timestamp >> 32) as u32,
            Csr::RANDOM => self.next_random(),
            _ => return Err(self.unsupported("reading this local CSR")),
        })
    }

    /// Writes a local CSR; pointers act some instructions later.
    pub(super) fn write_csr(&mut self, csr: Csr, value: u32) -> Result<(), Halt> {
        match POINTERS.iter().find(|(written, _)| *written == csr) {
            Some(&(_, pointer)) => self.context().write_pointer(pointer, value),
            None if csr == Csr::RANDOM => self.random = value.into(),
            None => return Err(self.unsupported("writing this local CSR")),
        }
        Ok(())
    }
}
