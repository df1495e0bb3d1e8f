//! The code store: words decoded once, when they are loaded.

use std::collections::BTreeMap;

use bpf::diag::{At, Diagnostic};

use super::micro::{Micro, Ready, join_constants};
use crate::firmware::{CodeLayout, Entry};
use crate::isa::{ContextMode, Op, check_ecc, decode};

/// What stands at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// An instruction.
    Op(Op),
    /// A door of the firmware.
    Entry(Entry),
    /// A word that is no instruction.
    Undecodable(u64),
    /// Nothing has been loaded here.
    Empty,
}

/// The words of a core's code store. Cores that run the same program share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeStore {
    slots: Vec<Slot>,
    /// The same made ready for the inner loop, in four- and in eight-context mode.
    micros: [Vec<Micro>; 2],
    /// Constants that they refer to.
    constants: Vec<u8>,
    start: u16,
    /// Programs that tail calls go to, by number.
    programs: BTreeMap<u32, u16>,
}

impl CodeStore {
    /// A code store with the firmware's doors and no program.
    pub fn new(layout: &CodeLayout) -> Self {
        let mut slots = vec![Slot::Empty; usize::from(layout.words)];
        for &(address, entry) in &layout.entries {
            if let Some(slot) = slots.get_mut(usize::from(address)) {
                *slot = Slot::Entry(entry);
            }
        }
        let micros = vec![Micro::OTHER; slots.len()];
        CodeStore {
            slots,
            micros: [micros.clone(), micros],
            constants: Vec::new(),
            start: layout.start,
            programs: BTreeMap::new(),
        }
    }

    /// The same with a program's words at the layout's start. The words are linked: addresses absolute, parity over
    /// the payload, no tags above it. A word that is no instruction, or whose parity is wrong, traps when it is executed.
    ///
    /// # Errors
    /// `program-too-long` for more words than there is room for.
    pub fn with_program(layout: &CodeLayout, words: &[u64]) -> Result<Self, Diagnostic> {
        if words.len() > usize::from(layout.room) {
            return Err(Diagnostic::new("program-too-long", "the program does not fit the code store")
                .at(At::Named("code store".to_owned()))
                .limit(format!("{} words", layout.room), format!("{} words", words.len()))
                .help("split the program, or use a card with a larger code store"));
        }
        let mut code = CodeStore::new(layout);
        for (slot, &word) in code.slots.iter_mut().skip(usize::from(layout.start)).zip(words) {
            *slot = match check_ecc(word) {
                Ok(payload) => decode(payload).map_or(Slot::Undecodable(word), Slot::Op),
                Err(_) => Slot::Undecodable(word),
            };
        }
        let mut ready = Ready::default();
        for (micros, mode) in code.micros.iter_mut().zip([ContextMode::Four, ContextMode::Eight]) {
            ready.mode = mode;
            for (micro, slot) in micros.iter_mut().zip(&code.slots) {
                if let Slot::Op(op) = slot {
                    *micro = ready.micro(op);
                }
            }
            join_constants(micros);
        }
        code.constants = ready.constants;
        Ok(code)
    }

    /// Names where programs start, by the numbers that program arrays hold.
    pub fn with_programs(mut self, programs: BTreeMap<u32, u16>) -> Self {
        self.programs = programs;
        self
    }

    /// Where the program of a number starts, if it is here.
    pub(super) fn program(&self, number: u32) -> Option<u16> {
        self.programs.get(&number).copied()
    }

    /// Where a program starts.
    pub fn start(&self) -> u16 {
        self.start
    }

    /// Instructions made ready, by address.
    #[inline]
    pub(super) fn micros(&self, mode: ContextMode) -> &[Micro] {
        &self.micros[if mode == ContextMode::Four { 0 } else { 1 }]
    }

    /// Constants that they refer to, in the order of their slots.
    pub(super) fn constants(&self) -> &[u8] {
        &self.constants
    }

    #[inline]
    pub(super) fn slot(&self, pc: u16) -> &Slot {
        self.slots.get(usize::from(pc)).unwrap_or(&Slot::Empty)
    }
}
