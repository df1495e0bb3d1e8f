//! Random programs of what a card takes: arithmetic of both widths, shifts, products, quotients, byte order, packet bytes at
//! every alignment, copies, the stack at every depth and through a caller's pointer, comparisons, maps, random numbers,
//! moved packet ends, calls.
//!
//! R6 holds the context, R7 the packet's start, R8 the start of a part that lies at a variable offset. R0 to R5 and R9 are
//! numbers at every point where a snippet ends. At the end all of them are folded into the packet and the return code.

mod routines;

use bpf::insn::{AluOp, AtomicOp, ByteOrder, Callee, Cond, Insn, Operand, Reg, Size, Wide, Width};
use bpf::program::{Function, MapIndex, MapSpec, MapType, ProgType, Program};

use super::pair::Entry;
use super::rng::Rng;

/// Numbers.
const NUMBERS: [Reg; 7] = [Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5, Reg::R9];
/// What a call leaves undefined.
const CLOBBERED: [Reg; 5] = [Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5];
const SIZES: [Size; 4] = [Size::B, Size::H, Size::W, Size::D];
/// Packet bytes that are checked to be there.
const CHECKED: i16 = 56;
/// Bytes from R8 on that are checked to be there, if the program looks for them at all.
const CHECKED_PART: i16 = 16;
/// Where the numbers are folded to.
const FOLD: i16 = CHECKED - 8;
/// Stack that programs use, in 8-byte slots from the top; below 64 bytes of it pointer 0 does not reach.
const SLOTS: i16 = 14;

/// An array whose values are read at bytes 0 to 7 and added to at 8 to 15, a hash likewise with 32-bit counters, and a hash
/// that is updated.
fn maps() -> Vec<MapSpec> {
    let map = |name: &str, ty, key_size, value_size, max_entries| MapSpec {
        name: name.into(),
        ty,
        key_size,
        value_size,
        max_entries,
        flags: 0,
        ..MapSpec::default()
    };
    vec![
        map("array", MapType::ARRAY, 4, 16, 8),
        map("hash", MapType::HASH, 8, 16, 16),
        map("table", MapType::HASH, 8, 8, 16),
        map("data", MapType::ARRAY, 4, 32, 1),
        MapSpec { flags: bpf::maps::BPF_F_NO_PREALLOC, ..map("lpm", MapType::LPM_TRIE, 8, 8, 32) },
        map("lru", MapType::LRU_HASH, 8, 8, 8),
        map("per_cpu", MapType::PERCPU_ARRAY, 4, 8, 4),
        map("events", MapType::PERF_EVENT_ARRAY, 4, 4, 4),
        map("ring", MapType::RINGBUF, 0, 0, 65536),
        map("devices", MapType::DEVMAP, 4, 4, 8),
        map("counters", MapType::ARRAY, 4, 16, 4),
    ]
}

/// What the maps begin with: some keys of each.
pub fn entries() -> Vec<Entry> {
    let mut rng = Rng::new(99);
    let mut entries = Vec::new();
    for n in 0..6u32 {
        entries.push((0, n.to_le_bytes().to_vec(), rng.bytes(16)));
    }
    for n in (0..8u64).step_by(2) {
        entries.push((1, n.to_le_bytes().to_vec(), rng.bytes(16)));
        entries.push((2, n.to_le_bytes().to_vec(), rng.bytes(8)));
    }
    for n in 0..4u32 {
        let key = [(8 * n).to_le_bytes(), [1, 2, 3, 4]].concat();
        entries.push((routines::LPM as usize, key, rng.bytes(8)));
        entries.push((routines::DEVICES as usize, n.to_le_bytes().to_vec(), (n + 2).to_le_bytes().to_vec()));
    }
    entries
}

struct Draft {
    /// Arithmetic that only mode best takes.
    wide: bool,
    rng: Rng,
    out: Vec<Insn>,
    /// Slots of the stack that hold something.
    written: Vec<i16>,
    /// It asks for redirects.
    redirects: bool,
    /// Branches to the end.
    leaves: Vec<usize>,
    /// Calls of the function behind the end.
    calls: Vec<usize>,
    /// That function takes an address of its caller's stack in R4.
    takes_pointer: bool,
}

/// The program of a seed; with `wide`, of what only mode best takes.
pub fn program(seed: u64, wide: bool) -> Program {
    let mut rng = Rng::new(seed);
    let mut draft = Draft {
        wide,
        takes_pointer: rng.once_in(2),
        rng,
        out: Vec::new(),
        written: Vec::new(),
        redirects: false,
        leaves: Vec::new(),
        calls: Vec::new(),
    };
    draft.start();
    for _ in 0..4 + draft.rng.below(12) {
        draft.snippet();
    }
    draft.finish(seed)
}

fn mov(dst: Reg, src: Operand) -> Insn {
    Insn::Mov { width: Width::W64, dst, src, sext: None }
}

fn set(dst: Reg, imm: i32) -> Insn {
    mov(dst, Operand::Imm(imm))
}

fn copy(dst: Reg, src: Reg) -> Insn {
    mov(dst, Operand::Reg(src))
}

fn alu(op: AluOp, dst: Reg, src: Operand) -> Insn {
    Insn::Alu { width: Width::W64, op, dst, src }
}

fn load(size: Size, dst: Reg, base: Reg, off: i16) -> Insn {
    Insn::Load { size, sext: false, dst, base, off }
}

fn store(size: Size, base: Reg, off: i16, src: Reg) -> Insn {
    Insn::Store { size, base, off, src: Operand::Reg(src) }
}

fn helper(id: u32) -> Insn {
    Insn::Call { callee: Callee::Helper(id) }
}

impl Draft {
    fn number(&mut self) -> Reg {
        self.rng.pick(&NUMBERS)
    }

    fn width(&mut self) -> Width {
        if self.rng.once_in(3) { Width::W32 } else { Width::W64 }
    }

    fn immediate(&mut self) -> i32 {
        const EDGES: [i32; 16] =
            [0, 1, 2, 127, 128, 255, 256, 65535, 65536, 0x00ff_ff00, i32::MAX, -1, -2, -255, -256, -65536];
        if self.rng.once_in(3) { self.rng.word() as i32 } else { self.rng.pick(&EDGES) }
    }

    fn operand(&mut self) -> Operand {
        if self.rng.once_in(2) { Operand::Reg(self.number()) } else { Operand::Imm(self.immediate()) }
    }

    /// A branch that leaves for the end.
    fn leave_if(&mut self, cond: Cond, dst: Reg, src: Operand) {
        self.leaves.push(self.out.len());
        self.out.push(Insn::Branch { width: Width::W64, cond, dst, src, off: 0 });
    }

    /// R6 to R8, and a number in every other register.
    fn start(&mut self) {
        self.out.push(copy(Reg::R6, Reg::R1));
        self.parse();
        for reg in NUMBERS {
            self.fill(reg);
        }
    }

    /// R7 = start of the packet, of which enough bytes are there, or the end with 1.
    fn parse(&mut self) {
        self.out.extend([
            load(Size::W, Reg::R7, Reg::R6, 0),
            load(Size::W, Reg::R2, Reg::R6, 4),
            set(Reg::R0, 1),
            copy(Reg::R3, Reg::R7),
            alu(AluOp::Add, Reg::R3, Operand::Imm(CHECKED.into())),
        ]);
        self.out.push(Insn::Branch {
            width: Width::W64,
            cond: Cond::Le,
            dst: Reg::R3,
            src: Operand::Reg(Reg::R2),
            off: 1,
        });
        self.out.push(Insn::Exit);
    }

    /// A number from the packet, or a constant.
    fn fill(&mut self, reg: Reg) {
        match self.rng.below(4) {
            0 => {
                let imm = self.immediate();
                self.out.push(set(reg, imm));
            }
            1 => {
                let value =
                    self.rng.word() & [u64::MAX, 0xffff_ffff, 0xffff_ffff_0000_0000][self.rng.below(3) as usize];
                self.out.extend([Insn::LoadImm64 { dst: reg, value: Wide::Value(value) }, Insn::Pad]);
            }
            _ => self.packet_load(reg),
        }
    }

    fn packet_load(&mut self, dst: Reg) {
        let size = self.rng.pick(&SIZES);
        let off = self.rng.below(CHECKED as u64 - u64::from(size.bytes()) + 1) as i16;
        self.out.push(load(size, dst, Reg::R7, off));
    }

    fn snippet(&mut self) {
        if self.wide && self.rng.once_in(2) {
            return match self.rng.below(4) {
                0 => self.data(),
                1 => self.wide_arithmetic(),
                _ => self.routine(),
            };
        }
        match self.rng.below(16) {
            0..=2 => self.arithmetic(),
            3 => self.shift(),
            4 => self.product(),
            5 => self.quotient(),
            6 => self.byte_order(),
            7 => {
                for _ in 0..1 + self.rng.below(4) {
                    let reg = self.number();
                    self.packet_load(reg);
                }
            }
            8 => self.packet_store(),
            9 => self.copies(),
            10 => self.stack(),
            11 => self.branch(),
            12 => self.look_up(),
            13 => self.update(),
            14 => self.resize(),
            _ => self.call(),
        }
    }

    fn arithmetic(&mut self) {
        for _ in 0..1 + self.rng.below(5) {
            let (width, dst) = (self.width(), self.number());
            let src = self.operand();
            self.out.push(match self.rng.below(8) {
                0 => Insn::Neg { width, dst },
                1 | 2 => Insn::Mov { width, dst, src, sext: None },
                _ => {
                    let op = self.rng.pick(&[AluOp::Add, AluOp::Sub, AluOp::And, AluOp::Or, AluOp::Xor]);
                    Insn::Alu { width, op, dst, src }
                }
            });
        }
    }

    fn shift(&mut self) {
        let (width, dst) = (self.width(), self.number());
        let op = self.rng.pick(&[AluOp::Lsh, AluOp::Rsh, AluOp::Arsh]);
        let bits = if width == Width::W64 { 64 } else { 32 };
        if self.rng.once_in(2) {
            let src = Operand::Imm(self.rng.below(bits) as i32);
            self.out.push(Insn::Alu { width, op, dst, src });
            return;
        }
        let by = self.number();
        // Amounts below 32, of 32 and more, and any; from 1 on, for the driver's left shift by a 0 is a fault.
        match self.rng.below(3) {
            0 => self.out.extend([alu(AluOp::And, by, Operand::Imm(30)), alu(AluOp::Or, by, Operand::Imm(1))]),
            1 if bits == 64 => {
                self.out.extend([alu(AluOp::And, by, Operand::Imm(63)), alu(AluOp::Or, by, Operand::Imm(32))]);
            }
            _ => self
                .out
                .extend([alu(AluOp::And, by, Operand::Imm(bits as i32 - 1)), alu(AluOp::Or, by, Operand::Imm(1))]),
        }
        self.out.push(Insn::Alu { width, op, dst, src: Operand::Reg(by) });
    }

    /// Factors of 16 or of 32 bits.
    fn product(&mut self) {
        let (width, dst, src) = (self.width(), self.number(), self.number());
        for reg in [dst, src] {
            let narrow = if self.rng.once_in(2) {
                alu(AluOp::And, reg, Operand::Imm(0xffff))
            } else {
                Insn::Mov { width: Width::W32, dst: reg, src: Operand::Reg(reg), sext: None }
            };
            self.out.push(narrow);
        }
        let src = if self.rng.once_in(2) { Operand::Reg(src) } else { Operand::Imm(self.immediate() & i32::MAX) };
        self.out.push(Insn::Alu { width, op: AluOp::Mul, dst, src });
    }

    fn quotient(&mut self) {
        let (width, dst) = (self.width(), self.number());
        let divisor = match self.rng.below(3) {
            0 => 2 + self.rng.below(1000) as i32,
            1 => 1 << (1 + self.rng.below(30)),
            _ => (self.rng.word() as i32 & i32::MAX).max(2),
        };
        self.out.push(Insn::Mov { width: Width::W32, dst, src: Operand::Reg(dst), sext: None });
        self.out.push(Insn::Alu { width, op: AluOp::Div, dst, src: Operand::Imm(divisor) });
    }

    /// Products and quotients of any numbers, signed ones, shifts by anything, sign extensions, byte orders, stores of
    /// constants.
    fn wide_arithmetic(&mut self) {
        use AluOp::*;
        for _ in 0..1 + self.rng.below(3) {
            let (width, dst, src) = (self.width(), self.number(), self.operand());
            let insn = match self.rng.below(8) {
                0 | 1 => Insn::Alu { width, op: Mul, dst, src },
                2 | 3 => {
                    let op = self.rng.pick(&[Div, Mod, Sdiv, Smod]);
                    if src == Operand::Imm(0) {
                        continue;
                    }
                    Insn::Alu { width, op, dst, src }
                }
                4 => {
                    let op = self.rng.pick(&[Lsh, Rsh, Arsh]);
                    Insn::Alu { width, op, dst, src: Operand::Reg(self.number()) }
                }
                5 => {
                    let bits = self.rng.pick(if width == Width::W64 { &[8, 16, 32] } else { &[8, 16] });
                    Insn::Mov { width, dst, src: Operand::Reg(self.number()), sext: Some(bits) }
                }
                6 => {
                    let (order, bits) =
                        (self.rng.pick(&[ByteOrder::Le, ByteOrder::Swap]), self.rng.pick(&[16, 32, 64]));
                    Insn::End { order, dst, bits }
                }
                _ => {
                    let size = self.rng.pick(&SIZES);
                    let imm = Operand::Imm(self.immediate());
                    if self.rng.once_in(2) {
                        let off = self.rng.below(FOLD as u64 - u64::from(size.bytes()) + 1) as i16;
                        Insn::Store { size, base: Reg::R7, off, src: imm }
                    } else {
                        let slot = -8 * (1 + self.rng.below(SLOTS as u64) as i16);
                        self.written.push(slot);
                        Insn::Store { size: Size::D, base: Reg::R10, off: slot, src: imm }
                    }
                }
            };
            self.out.push(insn);
        }
        let (sext, size) = (self.rng.once_in(2), self.rng.pick(&[Size::B, Size::H, Size::W]));
        if sext {
            let off = self.rng.below(CHECKED as u64 - u64::from(size.bytes()) + 1) as i16;
            let dst = self.number();
            self.out.push(Insn::Load { size, sext, dst, base: Reg::R7, off });
        }
    }

    /// Reads and writes global data.
    fn data(&mut self) {
        let (base, size, value) = (Reg::R5, self.rng.pick(&SIZES), self.rng.pick(&[Reg::R0, Reg::R3]));
        let at = self.rng.below(16) as u32;
        let off = self.rng.below(16 - u64::from(size.bytes()) + 1) as i16;
        self.out
            .extend([Insn::LoadImm64 { dst: base, value: Wide::MapValue { map: MapIndex(3), off: at } }, Insn::Pad]);
        let imm = self.immediate();
        self.out.push(match self.rng.below(3) {
            0 => load(size, value, base, off),
            1 => store(size, base, off, value),
            _ => Insn::Store { size, base, off, src: Operand::Imm(imm) },
        });
        self.fill(base);
    }

    fn byte_order(&mut self) {
        let (dst, bits) = (self.number(), self.rng.pick(&[16, 32, 64]));
        self.out.push(Insn::End { order: ByteOrder::Be, dst, bits });
    }

    fn packet_store(&mut self) {
        let (size, src) = (self.rng.pick(&SIZES), self.number());
        let off = self.rng.below(FOLD as u64 - u64::from(size.bytes()) + 1) as i16;
        self.out.push(store(size, Reg::R7, off, src));
    }

    /// A run of loads and stores, up or down. Of words the driver leaves the wrong one in the register, so it is filled
    /// again.
    fn copies(&mut self) {
        let (size, through) = (self.rng.pick(&SIZES), self.number());
        let bytes = size.bytes() as i16;
        let count = 1 + self.rng.below((20 / bytes) as u64) as i16;
        let room = (FOLD - count * bytes) as u64 + 1;
        let (src, dst) = (self.rng.below(room) as i16, self.rng.below(room) as i16);
        let down = self.rng.once_in(2);
        for n in 0..count {
            let at = bytes * if down { count - 1 - n } else { n };
            self.out.extend([load(size, through, Reg::R7, src + at), store(size, Reg::R7, dst + at, through)]);
        }
        self.fill(through);
    }

    /// Writes slots whole, reads parts of them.
    fn stack(&mut self) {
        for _ in 0..1 + self.rng.below(4) {
            let slot = -8 * (1 + self.rng.below(SLOTS as u64) as i16);
            let src = self.number();
            self.out.push(store(Size::D, Reg::R10, slot, src));
            self.written.push(slot);
        }
        for _ in 0..self.rng.below(5) {
            let slot = self.rng.pick(&self.written);
            let (size, reg) = (self.rng.pick(&SIZES), self.number());
            let within = self.rng.below(8 / u64::from(size.bytes())) as i16 * size.bytes() as i16;
            let insn = if self.rng.once_in(2) {
                load(size, reg, Reg::R10, slot + within)
            } else {
                store(size, Reg::R10, slot + within, reg)
            };
            self.out.push(insn);
        }
    }

    /// A comparison over a few moves.
    fn branch(&mut self) {
        use Cond::*;
        let cond = self.rng.pick(&[Eq, Ne, Gt, Ge, Lt, Le, Set, Sgt, Sge, Slt, Sle]);
        let (width, dst, src) = (self.width(), self.number(), self.operand());
        let at = self.out.len();
        self.out.push(Insn::Branch { width, cond, dst, src, off: 0 });
        self.arithmetic();
        let over = (self.out.len() - at - 1) as i16;
        if let Insn::Branch { off, .. } = &mut self.out[at] {
            *off = over;
        }
    }

    /// The key of a map at a place of the stack, and its address in R2.
    fn key(&mut self, size: Size, slot: i16) {
        let key = self.number();
        self.out.extend([alu(AluOp::And, key, Operand::Imm(7)), store(size, Reg::R10, slot, key)]);
        self.written.push(slot);
        if size != Size::D {
            self.out.push(store(Size::W, Reg::R10, slot + 4, key));
        }
        self.out.extend([copy(Reg::R2, Reg::R10), alu(AluOp::Add, Reg::R2, Operand::Imm(slot.into()))]);
    }

    fn map(&mut self, dst: Reg, map: u32) {
        self.out.extend([Insn::LoadImm64 { dst, value: Wide::Map(MapIndex(map)) }, Insn::Pad]);
    }

    /// Looks up, and reads and counts in what is found.
    fn look_up(&mut self) {
        let array = self.rng.once_in(2);
        let slot = -8 * (1 + self.rng.below(SLOTS as u64) as i16);
        self.key(if array { Size::W } else { Size::D }, slot);
        self.map(Reg::R1, if array { 0 } else { 1 });
        self.out.push(helper(1));
        let at = self.out.len();
        self.out.push(Insn::Branch { width: Width::W64, cond: Cond::Eq, dst: Reg::R0, src: Operand::Imm(0), off: 0 });
        let size = self.rng.pick(&SIZES);
        let off = self.rng.below(8 - u64::from(size.bytes()) + 1) as i16;
        self.out.extend([load(size, Reg::R3, Reg::R0, off), copy(Reg::R9, Reg::R3)]);
        if self.rng.once_in(2) {
            match self.rng.below(3) {
                0 => self.out.push(set(Reg::R3, 1)),
                1 => self.out.push(alu(AluOp::And, Reg::R3, Operand::Imm(0xffff))),
                _ => {}
            }
            let (size, off) = if array { (Size::D, 8) } else { (Size::W, self.rng.pick(&[8, 12])) };
            self.out.push(Insn::Atomic { op: AtomicOp::Add, fetch: false, size, base: Reg::R0, off, src: Reg::R3 });
        }
        let over = (self.out.len() - at - 1) as i16;
        if let Insn::Branch { off, .. } = &mut self.out[at] {
            *off = over;
        }
        self.fill(Reg::R0);
        self.refill();
    }

    /// Updates or deletes.
    fn update(&mut self) {
        let value = self.number();
        self.out.push(store(Size::D, Reg::R10, -16, value));
        self.written.push(-16);
        self.key(Size::D, -8);
        if self.rng.once_in(3) {
            self.map(Reg::R1, 2);
            self.out.push(helper(3));
        } else {
            self.out.extend([copy(Reg::R3, Reg::R10), alu(AluOp::Add, Reg::R3, Operand::Imm(-16))]);
            let flags = self.rng.below(3) as i32;
            self.out.push(set(Reg::R4, flags));
            self.map(Reg::R1, 2);
            self.out.push(helper(2));
        }
        self.refill();
    }

    fn call(&mut self) {
        if self.rng.once_in(2) {
            self.out.push(helper(7));
        } else {
            if self.takes_pointer {
                let slot = -8 * (1 + self.rng.below(SLOTS as u64) as i16);
                let src = self.number();
                self.out.extend([
                    store(Size::D, Reg::R10, slot, src),
                    copy(Reg::R4, Reg::R10),
                    alu(AluOp::Add, Reg::R4, Operand::Imm(slot.into())),
                ]);
                self.written.push(slot);
            }
            self.calls.push(self.out.len());
            self.out.push(Insn::Call { callee: Callee::Local(0) });
        }
        self.refill();
    }

    /// Moves the packet's start, or cuts its end.
    fn resize(&mut self) {
        let head = self.rng.once_in(2);
        let by = if head { self.rng.below(30) as i32 - 20 } else { -1 - self.rng.below(4) as i32 };
        self.out.push(copy(Reg::R1, Reg::R6));
        match self.number() {
            // Now and then by a number that is no constant.
            reg if self.rng.once_in(3) && reg != Reg::R1 => {
                let mask = alu(AluOp::And, reg, Operand::Imm(3));
                self.out.extend([mask, set(Reg::R2, by), alu(AluOp::Sub, Reg::R2, Operand::Reg(reg))]);
                if reg == Reg::R2 {
                    self.out.push(set(Reg::R2, by));
                }
            }
            _ => self.out.push(set(Reg::R2, by)),
        }
        self.out.push(helper(if head { 44 } else { 65 }));
        self.out.push(copy(Reg::R9, Reg::R0));
        self.parse();
        self.fill(Reg::R0);
        self.refill();
    }

    /// Numbers in what a call left undefined.
    fn refill(&mut self) {
        for reg in CLOBBERED {
            self.fill(reg);
        }
    }

    /// A part of the packet at a variable offset, if it is there: bytes 0 to 15 behind `R9 & 31`.
    fn variable_part(&mut self) {
        self.out.extend([
            alu(AluOp::And, Reg::R9, Operand::Imm(31)),
            copy(Reg::R8, Reg::R7),
            alu(AluOp::Add, Reg::R8, Operand::Reg(Reg::R9)),
            copy(Reg::R5, Reg::R8),
            alu(AluOp::Add, Reg::R5, Operand::Imm(CHECKED_PART.into())),
            load(Size::W, Reg::R4, Reg::R6, 4),
        ]);
        self.leave_if(Cond::Gt, Reg::R5, Operand::Reg(Reg::R4));
        for reg in [Reg::R4, Reg::R5] {
            let size = self.rng.pick(&SIZES);
            let off = self.rng.below(CHECKED_PART as u64 - u64::from(size.bytes()) + 1) as i16;
            self.out.push(load(size, reg, Reg::R8, off));
        }
    }

    /// Folds the numbers into the packet, and the lowest bits into the return code.
    fn finish(mut self, seed: u64) -> Program {
        for reg in NUMBERS.into_iter().skip(1) {
            let op = self.rng.pick(&[AluOp::Add, AluOp::Xor, AluOp::Sub]);
            self.out.push(alu(op, Reg::R0, Operand::Reg(reg)));
            if self.rng.once_in(3) {
                self.out.push(Insn::End { order: ByteOrder::Be, dst: Reg::R0, bits: 64 });
            }
        }
        self.out.push(store(Size::D, Reg::R7, FOLD, Reg::R0));
        if self.rng.once_in(2) {
            self.variable_part();
            self.out.extend([alu(AluOp::Xor, Reg::R4, Operand::Reg(Reg::R5)), store(Size::W, Reg::R7, 0, Reg::R4)]);
        }
        let end = self.out.len();
        let codes = if self.redirects { 5 } else { 3 };
        self.out.extend([
            load(Size::B, Reg::R0, Reg::R7, FOLD),
            alu(AluOp::And, Reg::R0, Operand::Imm(codes)),
            Insn::Exit,
        ]);
        for slot in &self.leaves {
            if let Insn::Branch { off, .. } = &mut self.out[*slot] {
                *off = (end - slot - 1) as i16;
            }
        }
        let start = self.out.len();
        for slot in &self.calls {
            self.out[*slot] = Insn::Call { callee: Callee::Local((start - slot - 1) as i32) };
        }
        let mut function = None;
        if !self.calls.is_empty() {
            function = Some(Function::new("callee", start));
            self.callee();
        }
        let maps = if self.wide { maps() } else { maps()[..4].to_vec() };
        let mut program = Program::from_insns(&format!("seed_{seed}"), ProgType::Xdp, self.out, maps);
        program.functions.extend(function);
        program
    }

    /// A function of five numbers, with a frame of its own and now and then registers that it must give back.
    fn callee(&mut self) {
        self.written.clear();
        if self.rng.once_in(2) {
            self.out.extend([copy(Reg::R6, Reg::R1), alu(AluOp::Xor, Reg::R6, Operand::Reg(Reg::R2))]);
        } else {
            self.out.extend([copy(Reg::R0, Reg::R2), alu(AluOp::Sub, Reg::R0, Operand::Imm(5))]);
        }
        let uses_r6 = matches!(self.out[self.out.len() - 2], Insn::Mov { dst: Reg::R6, .. });
        let slot = -8 * (1 + self.rng.below(SLOTS as u64) as i16);
        self.out.push(store(Size::D, Reg::R10, slot, Reg::R3));
        if self.takes_pointer {
            let size = self.rng.pick(&SIZES);
            let within = self.rng.below(8 / u64::from(size.bytes())) as i16 * size.bytes() as i16;
            if self.rng.once_in(2) {
                self.out.push(store(size, Reg::R4, within, Reg::R5));
            }
            self.out.push(load(size, Reg::R4, Reg::R4, within));
        } else {
            self.out.push(load(Size::W, Reg::R4, Reg::R10, slot + 4));
        }
        if uses_r6 {
            self.out.push(copy(Reg::R0, Reg::R6));
        }
        self.out.extend([alu(AluOp::Add, Reg::R0, Operand::Reg(Reg::R4)), Insn::Exit]);
    }
}
