//! The registers of a core's contexts.

use super::ContextId;
use crate::isa::{Bank, ContextMode};

/// Slots of one context's file: 32 registers of bank A, 32 of bank B, 64 transfer registers in, 64 out, the program's
/// constants, and one that takes results without destination. A power of two, so that an index in a byte needs no check.
pub(super) const FILE: usize = 256;
/// Where each kind begins.
const BANK_B: u8 = 32;
const TRANSFER_IN: u8 = 64;
const TRANSFER_OUT: u8 = 128;
/// Transfer registers, in and out.
pub(super) const TRANSFERS: std::ops::Range<u8> = TRANSFER_IN..FIRST_CONSTANT;
/// Where the constants begin, and how many there can be.
pub(super) const FIRST_CONSTANT: u8 = 192;
pub(super) const CONSTANTS: usize = 63;
/// Takes results that go nowhere.
pub(super) const NOWHERE: u8 = 255;

/// General purpose and transfer registers of all contexts.
#[derive(Debug, Clone)]
pub(super) struct Registers {
    mode: ContextMode,
    pub files: Box<[[u32; FILE]; 8]>,
}

impl Registers {
    pub(super) fn new(mode: ContextMode) -> Self {
        Registers { mode, files: Box::new([[0; FILE]; 8]) }
    }

    /// Puts a program's constants into every context's file.
    pub(super) fn set_constants(&mut self, constants: &[u8]) {
        for file in self.files.iter_mut() {
            for (slot, &constant) in file[usize::from(FIRST_CONSTANT)..][..CONSTANTS].iter_mut().zip(constants) {
                *slot = constant.into();
            }
        }
    }

    /// Transfer registers a side that a context owns.
    pub(super) const fn transfers(&self) -> u8 {
        match self.mode {
            ContextMode::Four => 64,
            ContextMode::Eight => 32,
        }
    }

    /// Slot of a general purpose register.
    pub(super) const fn gpr(mode: ContextMode, bank: Bank, n: u8) -> u8 {
        let n = mode.register(n) & 31;
        match bank {
            Bank::A => n,
            Bank::B => BANK_B + n,
        }
    }

    /// Slot of a transfer register that data comes in by; `n` is the number in an instruction.
    pub(super) const fn transfer_in(mode: ContextMode, n: u8) -> u8 {
        TRANSFER_IN + (mode.transfer(n) & 63)
    }

    /// Slot of a transfer register that data goes out by.
    pub(super) const fn transfer_out(mode: ContextMode, n: u8) -> u8 {
        TRANSFER_OUT + (mode.transfer(n) & 63)
    }

    /// A slot of a context's file.
    #[inline]
    pub(super) fn get(&self, context: usize, slot: u8) -> u32 {
        self.files[context & 7][usize::from(slot)]
    }

    /// The same to change.
    #[inline]
    pub(super) fn set(&mut self, context: usize, slot: u8, value: u32) {
        self.files[context & 7][usize::from(slot)] = value;
    }

    /// Context and slot of a register by its number in the whole bank of 128.
    pub(super) const fn absolute(&self, bank: Bank, n: u8) -> (usize, u8) {
        let own = match self.mode {
            ContextMode::Four => 32,
            ContextMode::Eight => 16,
        };
        let slot = n % own + if matches!(bank, Bank::A) { 0 } else { BANK_B };
        ((n / own) as usize & 7, slot)
    }

    /// Words that arrive for a context, from its transfer register `first` on.
    pub(super) fn arrive(&mut self, context: ContextId, first: u8, words: &[u32]) {
        let file = &mut self.files[usize::from(context.0 & 7)];
        let first = usize::from(TRANSFER_IN + (first & 63));
        file[first..first + words.len()].copy_from_slice(words);
    }

    /// Words that leave a context, from its transfer register `first` on.
    pub(super) fn leave(&self, context: ContextId, first: u8, words: &mut [u32]) {
        let file = &self.files[usize::from(context.0 & 7)];
        let first = usize::from(TRANSFER_OUT + (first & 63));
        words.copy_from_slice(&file[first..first + words.len()]);
    }
}

/// The slot of the same register number in the other bank.
pub(super) const fn mirror(slot: u8) -> u8 {
    slot ^ BANK_B
}
