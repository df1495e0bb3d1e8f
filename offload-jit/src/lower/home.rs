//! Where things live while a program runs: the register convention between a translated program and the card's firmware.
//!
//! | what | place |
//! |---|---|
//! | Rn, n up to 9 | general purpose registers 2n (low half) and 2n+1, each mirrored in both banks |
//! | scratch | registers 20 and 21 of both banks |
//! | constants that are stored, numbers that are divided | registers 23 to 31 of both banks, in mode best |
//! | stack of the running function | local memory from the address in register 22 of bank A; pointer 0 stands there |
//! | length of the packet | register 22 of bank B |
//! | packet vector | local memory pointer 1: word 0 length, 1 device, 2 packet pointer, 3 bytes of metadata, 4 flags, 6 queue |
//! | context's other fields | local memory, 64 bytes behind the packet vector, at their offsets in `struct __sk_buff` |
//!
//! Because every half is in both banks, any two of them can be the two sources of one instruction.

use bpf::insn::Reg as BpfReg;
use nic_model::isa::{Bank, Dst, Reg};

/// The registers of a BPF register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Home {
    /// Low 32 bits.
    pub low: Gpr,
    /// High 32 bits.
    pub high: Gpr,
}

impl Home {
    pub(super) fn of(reg: BpfReg) -> Self {
        // Eleven registers at most, so the number is far below 256; R10 has no home and is never asked for.
        let low = 2 * reg.index() as u8;
        Self { low: Gpr(low), high: Gpr(low + 1) }
    }

    /// The halves, low first.
    pub(super) fn halves(self) -> [Gpr; 2] {
        [self.low, self.high]
    }
}

/// A general purpose register that exists in both banks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gpr(pub u8);

impl Gpr {
    /// Read through port A.
    pub(super) const fn a(self) -> Reg {
        Reg::Gpr(Bank::A, self.0)
    }

    /// Read through port B.
    pub(super) const fn b(self) -> Reg {
        Reg::Gpr(Bank::B, self.0)
    }

    /// Written in both banks.
    pub(super) const fn both(self) -> Dst {
        Dst::both(self.0)
    }
}

/// Scratch for constants and intermediate values.
pub(super) const SCRATCH: Gpr = Gpr(21);
/// Scratch for addresses that have to survive a constant in [`SCRATCH`].
pub(super) const ADDRESS: Gpr = Gpr(20);
/// Address of the running function's stack frame.
pub(super) const STACK_BASE: Reg = Reg::Gpr(Bank::A, 22);
/// Length of the packet.
pub(super) const PACKET_LENGTH: Reg = Reg::Gpr(Bank::B, 22);
/// A constant on its way to memory; the firmware may use these registers, so nothing lasts there.
pub(super) const CONSTANT: Home = Home { low: Gpr(23), high: Gpr(24) };
/// Where a called function finds its return address.
pub(super) const RETURN: Reg = SCRATCH.a();

/// A word of the packet vector.
const fn vector(offset: u8) -> Reg {
    Reg::Local { pointer: 1, offset }
}

/// Length of the packet in bits 0 to 13.
pub(super) const VECTOR_LENGTH: Reg = vector(0);
/// Number of the device the packet came in by.
pub(super) const VECTOR_DEVICE: Reg = vector(1);
/// Bytes of metadata in front of the packet.
pub(super) const VECTOR_METADATA: Reg = vector(3);
/// Address of the packet in the island's memory, with the packet's number in the upper bits.
pub(super) const PACKET_POINTER: Reg = vector(2);
/// Flags; [`QUEUE_SELECTED`] is one.
pub(super) const VECTOR_FLAGS: Reg = vector(4);
/// Receive queue, low byte.
pub(super) const VECTOR_QUEUE: Reg = vector(6);
/// Bit of [`VECTOR_FLAGS`]: the program picked the queue.
pub(super) const QUEUE_SELECTED: u8 = 4;

/// A word of the stack at local memory pointer 0.
pub(super) const fn stack_word(offset: u8) -> Reg {
    Reg::Local { pointer: 0, offset }
}
