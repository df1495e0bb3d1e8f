//! Packet memory: single reads and writes, windows read once and taken apart, copies, and classic BPF's checked loads.
//!
//! A read command fills the *in* side of the transfer registers with words in host order; a write takes the *out* side.
//! The context waits for every one of them.

use bpf::insn::{Reg as BpfReg, Size};
use nic_model::isa::{Address, AluOp, Cond, Dst, Reg, Shift, Source, Swap};

use super::Lowering;
use super::home::{Home, PACKET_LENGTH, PACKET_POINTER, SCRATCH};
use crate::action::{CopyRun, Window};
use crate::asm::{Command, External};

/// Bytes of a transfer register.
const WORD: u16 = 4;
/// Units a command can count by itself; more need an override of its length.
const DIRECT_UNITS: u16 = 8;

/// Transfer register `n`.
const fn xfer(n: u8) -> Reg {
    Reg::Xfer(n)
}

impl Lowering<'_> {
    /// `dst` = bytes of the packet, with a command of its own.
    pub(super) fn load_packet(&mut self, size: Size, dst: BpfReg, base: BpfReg, off: i16, zext: bool) {
        let off = self.asm.narrow_operand(off as u32, SCRATCH.b());
        self.read(Address::sum(Home::of(base).low.a(), off), size);
        self.take_read(size, Home::of(dst), zext);
    }

    /// Reads one value into the first transfer registers, as whole words.
    pub(super) fn read(&mut self, address: Address, size: Size) {
        let words = size.bytes().div_ceil(u32::from(WORD)) as u16;
        self.asm.command(Command::MEM_READ32_SWAP, 0, address, words, Swap::After(0));
    }

    /// Moves what [`Self::read`] fetched to its register; bytes beyond the value are cut off.
    pub(super) fn take_read(&mut self, size: Size, dst: Home, zext: bool) {
        match size {
            Size::B | Size::H => self.asm.field_clear(dst.low.both(), low_bytes(size.bytes()), xfer(0), Shift::NONE),
            Size::W => self.asm.copy(dst.low.both(), xfer(0)),
            Size::D => {
                self.asm.copy(dst.low.both(), xfer(0));
                self.asm.copy(dst.high.both(), xfer(1));
            }
        }
        if size != Size::D {
            self.clear_upper(dst, zext);
        }
    }

    /// `dst` = bytes of a window, which is read first if this load is its first.
    pub(super) fn load_window(&mut self, size: Size, dst: BpfReg, base: BpfReg, off: i16, window: Window, zext: bool) {
        if window.fill {
            self.fill_window(base, window);
        }
        let at = i32::from(off) - i32::from(window.start);
        self.take_bytes(Home::of(dst), at as u16, size, zext);
    }

    fn fill_window(&mut self, base: BpfReg, window: Window) {
        let off = self.asm.narrow_operand(i32::from(window.start) as u32, SCRATCH.b());
        let words = window.end.abs_diff(window.start).div_ceil(WORD);
        self.bulk(Command::MEM_READ32_SWAP, 0, Address::sum(Home::of(base).low.a(), off), words);
    }

    /// A command of any length, with its override in front where it needs one.
    fn bulk(&mut self, command: Command, xfer: u8, address: Address, units: u16) {
        if units > DIRECT_UNITS {
            self.asm.long_command(command, xfer, address, units, Swap::After(0));
        } else {
            self.asm.command(command, xfer, address, units, Swap::After(0));
        }
    }

    /// `dst` = bytes `at` and on of what lies in the transfer registers, little endian. A value reaches over up to three
    /// of them.
    fn take_bytes(&mut self, dst: Home, at: u16, size: Size, zext: bool) {
        let (first, skip) = ((at / WORD) as u8, (at % WORD) as u8);
        let bytes = size.bytes() as u8;
        if skip == 0 {
            match size {
                Size::B | Size::H => {
                    self.asm.field_clear(dst.low.both(), low_bytes(bytes.into()), xfer(first), Shift::NONE)
                }
                Size::W => self.asm.copy(dst.low.both(), xfer(first)),
                Size::D => {
                    self.asm.copy(dst.low.both(), xfer(first));
                    self.asm.copy(dst.high.both(), xfer(first + 1));
                }
            }
        } else {
            // What the first word gives to the low half, and what the second has to add to fill it.
            let given = bytes.min(4 - skip);
            let missing = bytes.min(4) - given;
            self.asm.field_clear(dst.low.both(), low_bytes(given.into()), xfer(first), Shift::Right(skip * 8));
            if missing > 0 {
                self.asm.field(
                    dst.low.both(),
                    low_bytes(missing.into()) << given,
                    xfer(first + 1),
                    Shift::Left(given * 8),
                );
            }
            if size == Size::D {
                self.asm.field_clear(dst.high.both(), low_bytes(given.into()), xfer(first + 1), Shift::Right(skip * 8));
                self.asm.field(
                    dst.high.both(),
                    low_bytes(missing.into()) << given,
                    xfer(first + 2),
                    Shift::Left(given * 8),
                );
            }
        }
        if size != Size::D {
            self.clear_upper(dst, zext);
        }
    }

    /// Bytes of a register to the packet.
    pub(super) fn store_packet(&mut self, size: Size, base: BpfReg, off: i16, src: Home) {
        let off = self.asm.narrow_operand(off as u32, SCRATCH.b());
        let words = size.bytes().div_ceil(u32::from(WORD)) as usize;
        for (n, half) in (0..).zip(src.halves().into_iter().take(words)) {
            self.asm.copy(Dst::to(xfer(n)), half.a());
        }
        let address = Address::sum(Home::of(base).low.a(), off);
        self.asm.command(Command::MEM_WRITE8_SWAP, 0, address, size.bytes() as u16, Swap::After(0));
    }

    /// A run of loads and stores as one read and one or two writes.
    pub(super) fn copy_run(&mut self, run: &CopyRun) {
        let words = run.len.div_ceil(WORD);
        let source = self.copy_source(run);
        self.bulk(Command::MEM_READ32_SWAP, 0, source, words);
        for n in 0..words as u8 {
            self.asm.copy(Dst::to(xfer(n)), xfer(n));
        }
        self.write_run(run);
        self.leave_last_value(run);
    }

    fn copy_source(&mut self, run: &CopyRun) -> Address {
        if run.from_map {
            self.value_address(run.src, run.src_off)
        } else {
            let off = self.asm.narrow_operand(run.src_off as u32, SCRATCH.b());
            Address::sum(Home::of(run.src).low.a(), off)
        }
    }

    /// Words where the length is a multiple of four, bytes up to 8 and with a length override up to 32; anything else is
    /// words and then the remaining bytes.
    fn write_run(&mut self, run: &CopyRun) {
        let len = run.len;
        let (words, rest) = (len / WORD, len % WORD);
        if len <= 8 {
            self.write_part(run, Command::MEM_WRITE8_SWAP, 0, len);
        } else if rest == 0 {
            self.write_part(run, Command::MEM_WRITE32_SWAP, 0, words);
        } else if len <= 32 {
            self.write_part(run, Command::MEM_WRITE8_SWAP, 0, len);
        } else if len <= 40 {
            self.write_part(run, Command::MEM_WRITE32_SWAP, 0, DIRECT_UNITS);
            self.write_part(run, Command::MEM_WRITE8_SWAP, DIRECT_UNITS, len - 32);
        } else {
            self.write_part(run, Command::MEM_WRITE32_SWAP, 0, words);
            self.write_part(run, Command::MEM_WRITE8_SWAP, words, rest);
        }
    }

    /// Writes `units` units from transfer register `first` on to their place in the run.
    fn write_part(&mut self, run: &CopyRun, command: Command, first: u16, units: u16) {
        let off = i32::from(run.dst_off) + i32::from(first * WORD);
        let off = self.asm.narrow_operand(off as u32, SCRATCH.b());
        self.bulk(command, first as u8, Address::sum(Home::of(run.dst).low.a(), off), units);
    }

    /// The register the bytes went through ends with a value of the run ([`CopyRun::left_at`]).
    fn leave_last_value(&mut self, run: &CopyRun) {
        let dst = Home::of(run.through);
        let bytes = run.size.bytes() as u16;
        let at = run.left_at();
        let (word, skip) = ((at / WORD) as u8, (at % WORD) as u8);
        match run.size {
            Size::B | Size::H => {
                let by = if skip == 0 { Shift::NONE } else { Shift::Right(skip * 8) };
                self.asm.field_clear(dst.low.both(), low_bytes(bytes.into()), xfer(word), by);
            }
            Size::W => self.asm.copy(dst.low.both(), xfer(word)),
            Size::D => {
                self.asm.copy(dst.low.both(), xfer(word));
                self.asm.copy(dst.high.both(), xfer(word + 1));
            }
        }
        if run.size != Size::D {
            self.asm.constant(dst.high.both(), 0);
        }
    }

    /// R0 = bytes of the packet, big endian; the program is aborted where they reach beyond the packet's end.
    pub(super) fn load_classic(&mut self, size: Size, index: Option<BpfReg>, offset: u16, zext: bool) {
        let (bytes, offset) = (size.bytes(), u32::from(offset));
        let at: Source = if let Some(index) = index {
            let offset = self.asm.wide_operand(offset, SCRATCH.b());
            self.asm.alu(SCRATCH.both(), Home::of(index).low.a(), AluOp::Add, offset);
            self.asm.alu(Dst::to(SCRATCH.a()), SCRATCH.a(), AluOp::Add, bytes as u8);
            self.abort_beyond(SCRATCH.a().into());
            SCRATCH.b().into()
        } else {
            let end = self.asm.wide_operand(offset + bytes, SCRATCH.a());
            self.abort_beyond(end);
            self.asm.narrow_operand(offset, SCRATCH.b())
        };
        // A word is read even for less: the value then stands in its upper bytes.
        self.asm.command(Command::MEM_READ8, 0, Address::sum(PACKET_POINTER, at), WORD, Swap::After(0));
        let dst = Home::of(BpfReg::R0);
        match 4 - bytes as u8 {
            0 => self.asm.copy(dst.low.both(), xfer(0)),
            spare => self.asm.shift(dst.low.both(), xfer(0), Shift::Right(spare * 8)),
        }
        self.clear_upper(dst, zext);
    }

    fn abort_beyond(&mut self, end: Source) {
        self.asm.alu(Dst::NONE, PACKET_LENGTH, AluOp::Sub, end);
        self.asm.branch_external(Some(Cond::CarryClear), External::Abort, 0);
    }
}

/// Byte mask of the low `n` bytes of a word.
const fn low_bytes(n: u32) -> u8 {
    ((1u16 << n) - 1) as u8
}
