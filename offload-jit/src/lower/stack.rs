//! The stack: local memory, word by word, through one of two pointers.
//!
//! Pointer 0 stands at the frame's base and reaches its lowest 64 bytes. Anything else sets pointer 3 first, which takes
//! three slots to arrive. An offset is ORed into a pointer, not added, so an access through pointer 3 either falls into
//! one aligned window of eight words, or walks up with post-increment. `ld_field` names offsets up to 7 only: narrower
//! accesses to the words above are done in scratch.

use bpf::insn::{Reg as BpfReg, Size};
use nic_model::firmware::CONTEXT_BLOCK_OFFSET;
use nic_model::isa::{AluOp, Csr, Dst, Reg, Shift};

use super::Lowering;
use super::home::{Gpr, Home, SCRATCH, STACK_BASE, stack_word};
use crate::action::StackAt;

/// Bytes that pointer 0 reaches.
const NEAR: i32 = 64;
/// Bytes of an aligned window of local memory words.
const WINDOW: i32 = 32;
/// Largest offset `ld_field` can name.
const FIELD_REACH: i32 = 7;
/// Slots between writing a pointer and using it.
pub(super) const POINTER_DELAY: usize = 3;

/// How the words of one access are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Through {
    /// Pointer 0 and an offset.
    Base,
    /// Pointer 3 and an offset.
    Fixed,
    /// Pointer 3, moving up.
    Walking,
}

/// A part of an access that lies in one register half and in one local memory word.
#[derive(Debug, Clone, Copy)]
struct Slice {
    /// The register half.
    half: Gpr,
    /// First byte in it.
    half_byte: i32,
    /// The word, as an offset from the pointer.
    word: i32,
    /// First byte in the word.
    word_byte: i32,
    /// Bytes.
    len: i32,
    /// First of the access.
    first: bool,
    /// First that touches its half.
    new_half: bool,
    /// Last of the access.
    last: bool,
}

impl Slice {
    /// The shift that moves bytes at `from` to `to`.
    fn shift(from: i32, to: i32) -> Shift {
        let bits = (from.abs_diff(to) * 8) as u8;
        match from.cmp(&to) {
            std::cmp::Ordering::Equal => Shift::NONE,
            std::cmp::Ordering::Less => Shift::Left(bits),
            std::cmp::Ordering::Greater => Shift::Right(bits),
        }
    }

    /// Bytes of a word from `at` on that the slice covers.
    fn mask(self, at: i32) -> u8 {
        ((1u8 << self.len) - 1) << at
    }
}

impl Lowering<'_> {
    /// `dst` = bytes of the stack.
    pub(super) fn load_stack(&mut self, size: Size, dst: BpfReg, base: BpfReg, off: i16, at: StackAt, zext: bool) {
        let dst = Home::of(dst);
        let (through, start) = self.stack_pointer(size, base, off, at);
        let narrow = size != Size::D;
        if through != Through::Base {
            // Clearing the upper half serves as one of the slots.
            self.asm.nops(POINTER_DELAY - usize::from(narrow && zext));
        }
        if narrow {
            self.clear_upper(dst, zext);
        }
        for slice in slices(dst, start, size, through) {
            self.load_slice(slice, through);
        }
    }

    /// Bytes of a register to the stack.
    pub(super) fn store_stack(&mut self, size: Size, base: BpfReg, off: i16, src: Home, at: StackAt) {
        let (through, start) = self.stack_pointer(size, base, off, at);
        if through != Through::Base {
            self.asm.nops(POINTER_DELAY);
        }
        for slice in slices(src, start, size, through) {
            self.store_slice(slice, through);
        }
    }

    /// Picks the pointer and, if it is not the one that stands, sets it. Returns the byte the access starts at, counted
    /// from where the pointer will be.
    fn stack_pointer(&mut self, size: Size, base: BpfReg, off: i16, at: StackAt) -> (Through, i32) {
        let bytes = size.bytes() as i32;
        let from_base = |pointer: i32| self.frame.depth as i32 + i32::from(off) + pointer;
        match at {
            StackAt::Context => {
                // The block stands behind the packet vector.
                let start = i32::from(off);
                self.asm.csr_read(Csr::LM_ADDR1);
                self.asm.constant(Dst::to(SCRATCH.a()), 0);
                let at = CONTEXT_BLOCK_OFFSET + start as u32;
                let at = self.asm.wide_operand(at, SCRATCH.b());
                self.asm.alu(Dst::to(SCRATCH.b()), SCRATCH.a(), AluOp::Add, at);
                self.asm.csr_write(Csr::LM_ADDR3, SCRATCH.b());
                (Through::Walking, start)
            }
            StackAt::Register(pointer) => {
                // The low two bits of the address are dropped on the way into the pointer.
                let start = from_base(pointer);
                let off = self.asm.wide_operand(off as u32, SCRATCH.b());
                self.asm.alu(Dst::to(SCRATCH.b()), Home::of(base).low.a(), AluOp::Add, off);
                self.asm.csr_write(Csr::LM_ADDR3, SCRATCH.b());
                (Through::Walking, start)
            }
            StackAt::Own(pointer) => {
                let start = from_base(pointer);
                if start + bytes <= NEAR {
                    return (Through::Base, start);
                }
                let window = start.div_euclid(WINDOW);
                let one_window = window == (start + bytes - 1).div_euclid(WINDOW);
                let (through, unit) = if one_window { (Through::Fixed, WINDOW) } else { (Through::Walking, 4) };
                let to = start.div_euclid(unit) * unit;
                let operand = self.asm.wide_operand(to as u32, SCRATCH.b());
                self.asm.alu(Dst::to(SCRATCH.b()), STACK_BASE, AluOp::Add, operand);
                self.asm.csr_write(Csr::LM_ADDR3, SCRATCH.b());
                (through, start - to)
            }
        }
    }

    fn load_slice(&mut self, slice: Slice, through: Through) {
        let step = steps(slice, through);
        if slice.len == 4 {
            let word = if step { INCREMENT } else { word(slice, through) };
            self.asm.copy(slice.half.both(), word);
            return;
        }
        let from = if slice.word <= FIELD_REACH {
            word(slice, through)
        } else {
            // A second half of the same word finds it in scratch already.
            if slice.first || !slice.new_half {
                self.asm.copy(Dst::to(SCRATCH.a()), word(slice, through));
            }
            SCRATCH.a()
        };
        let by = Slice::shift(slice.word_byte, slice.half_byte);
        let mask = slice.mask(slice.half_byte);
        if slice.new_half {
            self.asm.field_clear(slice.half.both(), mask, from, by);
        } else {
            self.asm.field(slice.half.both(), mask, from, by);
        }
        if step {
            self.asm.copy(Dst::NONE, INCREMENT);
        }
    }

    fn store_slice(&mut self, slice: Slice, through: Through) {
        let step = steps(slice, through);
        if slice.len == 4 {
            let word = if step { INCREMENT } else { word(slice, through) };
            self.asm.copy(Dst::to(word), slice.half.b());
            return;
        }
        let far = slice.word > FIELD_REACH;
        let to = if far { SCRATCH.a() } else { word(slice, through) };
        if far && (slice.first || slice.last) {
            // Only the first and the last word keep bytes of their own.
            self.asm.copy(Dst::to(to), word(slice, through));
        }
        let by = Slice::shift(slice.half_byte, slice.word_byte);
        self.asm.field(Dst::to(to), slice.mask(slice.word_byte), slice.half.b(), by);
        if slice.new_half || slice.last {
            if far {
                self.asm.copy(Dst::to(word(slice, through)), to);
            }
            if step {
                self.asm.copy(Dst::NONE, INCREMENT);
            }
        }
    }
}

/// The word at pointer 3, which then moves up.
const INCREMENT: Reg = Reg::LocalIncrement { pointer: 3 };

/// The word of a slice.
fn word(slice: Slice, through: Through) -> Reg {
    match through {
        Through::Base => stack_word(slice.word as u8),
        Through::Fixed | Through::Walking => Reg::Local { pointer: 3, offset: slice.word as u8 },
    }
}

/// Whether a walking pointer moves up with this slice.
fn steps(slice: Slice, through: Through) -> bool {
    through == Through::Walking && slice.new_half && !slice.last
}

/// Cuts an access at every word of local memory and at every register half.
fn slices(register: Home, start: i32, size: Size, through: Through) -> Vec<Slice> {
    let mut slices: Vec<Slice> = Vec::new();
    let end = start + size.bytes() as i32;
    let mut at = start;
    while at < end {
        let done = at - start;
        let (half, half_byte) = (register.halves()[usize::from(done >= 4)], done % 4);
        let word_byte = at.rem_euclid(4);
        let len = (end - at).min(4 - half_byte).min(4 - word_byte);
        slices.push(Slice {
            half,
            half_byte,
            word: if through == Through::Walking { 0 } else { at.div_euclid(4) },
            word_byte,
            len,
            first: done == 0,
            new_half: slices.last().is_none_or(|before| before.half != half),
            last: at + len == end,
        });
        at += len;
    }
    slices
}
