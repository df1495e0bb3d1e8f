//! Random programs that look like what people write: header checks, map look-ups, keys on the stack, loops, calls; each
//! with a chance of the mistakes people make. And mutations of them.
//!
//! Registers by convention: R6 context, R7 start of packet, R8 its end, R9 a number; R0 to R5 are free. Snippets leave
//! early through a common end.

use bpf::insn::{AluOp, AtomicOp, Callee, Cond, Insn, Operand, PacketMode, Reg, Size, Wide, Width};
use bpf::program::{MapIndex, MapSpec, MapType, ProgType, Program};

use super::arith;
use super::asm::*;
use super::both::spec;
use super::rng::Rng;

/// A program in the making.
struct Draft {
    rng: Rng,
    ty: ProgType,
    out: Vec<Insn>,
    /// Branches to the end.
    leaves: Vec<usize>,
    /// Calls to the function behind the end.
    calls: Vec<usize>,
}

const SIZES: [Size; 4] = [Size::B, Size::H, Size::W, Size::D];
/// Registers a snippet may use for numbers.
const FREE: [Reg; 4] = [R2, R3, R4, R5];

/// The maps every program may use: hash, array, per-CPU array, and data that only user space writes.
pub fn maps() -> Vec<MapSpec> {
    vec![
        spec(MapType::HASH, 8, 16, 64, 0),
        spec(MapType::ARRAY, 4, 32, 8, 0),
        spec(MapType::PERCPU_ARRAY, 4, 8, 4, 0),
        spec(MapType::ARRAY, 4, 64, 1, 0),
    ]
}

/// A program of that type from that seed.
pub fn program(seed: u64, ty: ProgType) -> Program {
    let mut draft = Draft { rng: Rng::new(seed), ty, out: Vec::new(), leaves: Vec::new(), calls: Vec::new() };
    draft.out.push(mov(R6, R1));
    draft.reload();
    draft.out.push(mov(R9, 7));
    for _ in 0..1 + draft.rng.below(7) {
        draft.snippet();
    }
    draft.finish()
}

/// A socket filter that touches no packet directly, as anybody may load one.
pub fn filter(seed: u64) -> Program {
    let ty = ProgType::SocketFilter;
    let mut draft = Draft { rng: Rng::new(seed), ty, out: Vec::new(), leaves: Vec::new(), calls: Vec::new() };
    draft.out.extend([mov(R6, R1), store(Size::D, R10, -8, 0), store(Size::D, R10, -16, 0)]);
    draft.out.extend([mov(R7, R10), add(R7, -16), mov(R8, 5), helper(7), mov(R9, R0)]);
    for _ in 0..1 + draft.rng.below(6) {
        match draft.rng.below(16) {
            0..=2 => draft.map_value(),
            3 | 4 => draft.map_index(),
            5 => draft.stack(),
            6 => draft.context(),
            7 | 8 => draft.numbers(),
            9 => draft.update(),
            10 => draft.stack_at(),
            11 => draft.decided(),
            _ => draft.moved_value(),
        }
    }
    draft.finish()
}

/// A program with a few fields of a few instructions changed.
pub fn mutated(seed: u64, program: &Program) -> Program {
    let mut rng = Rng::new(seed);
    let mut insns = program.insns.clone();
    for _ in 0..1 + rng.below(3) {
        let slot = rng.below(insns.len() as u64) as usize;
        if let Some(insn) = mutant(&mut rng, &insns[slot]) {
            insns[slot] = insn;
        }
    }
    Program { insns, ..program.clone() }
}

fn any_reg(rng: &mut Rng) -> Reg {
    rng.pick(&[R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10])
}

fn nudge(rng: &mut Rng, off: i16) -> i16 {
    let by = rng.pick(&[-8, -4, -2, -1, 1, 2, 4, 8, 100]);
    off.saturating_add(by)
}

/// A neighbour of an instruction; wide loads stay.
fn mutant(rng: &mut Rng, insn: &Insn) -> Option<Insn> {
    let which = rng.below(4);
    Some(match *insn {
        Insn::Alu { width, op, dst, src } => match which {
            0 => Insn::Alu { width, op: rng.pick(&AluOp::ALL), dst, src },
            1 => Insn::Alu { width, op, dst: any_reg(rng), src },
            2 => Insn::Alu { width: arith::width(rng), op, dst, src },
            _ => match src {
                Operand::Imm(imm) if rng.once_in(2) => {
                    Insn::Alu { width, op, dst, src: Operand::Imm(imm.wrapping_add(rng.pick(&[-4, -1, 1, 4]))) }
                }
                Operand::Imm(_) => Insn::Alu { width, op, dst, src: Operand::Imm(rng.immediate()) },
                Operand::Reg(_) => Insn::Alu { width, op, dst, src: Operand::Reg(any_reg(rng)) },
            },
        },
        Insn::Mov { width, dst, src, sext } => match which {
            0 => Insn::Mov { width, dst: any_reg(rng), src, sext },
            1 => Insn::Mov { width: Width::W32, dst, src, sext: sext.filter(|s| *s < 32) },
            _ => Insn::Mov { width, dst, src: Operand::Reg(any_reg(rng)), sext },
        },
        Insn::Load { size, sext, dst, base, off } => match which {
            0 => Insn::Load { size: rng.pick(&SIZES), sext: false, dst, base, off },
            1 => Insn::Load { size, sext, dst, base, off: nudge(rng, off) },
            2 => Insn::Load { size, sext, dst, base: any_reg(rng), off },
            _ => Insn::Load { size, sext: size != Size::D, dst: any_reg(rng), base, off },
        },
        Insn::Store { size, base, off, src } => match which {
            0 => Insn::Store { size: rng.pick(&SIZES), base, off, src },
            1 => Insn::Store { size, base, off: nudge(rng, off), src },
            2 => Insn::Store { size, base: any_reg(rng), off, src },
            _ => Insn::Store { size, base, off, src: Operand::Reg(any_reg(rng)) },
        },
        Insn::Atomic { op, fetch, size, base, off, src } => match which {
            0 => Insn::Atomic { op: AtomicOp::Xchg, fetch: true, size, base, off, src },
            1 => Insn::Atomic { op, fetch, size, base: any_reg(rng), off, src },
            2 => Insn::Atomic { op, fetch, size, base, off: nudge(rng, off), src },
            _ => Insn::Atomic { op, fetch, size, base, off, src: any_reg(rng) },
        },
        Insn::Branch { width, cond, dst, src, off } => match which {
            0 => Insn::Branch { width, cond: rng.pick(&Cond::ALL), dst, src, off },
            1 => Insn::Branch { width, cond, dst: any_reg(rng), src, off },
            2 => Insn::Branch { width, cond, dst, src, off: off.saturating_add(rng.pick(&[-3, -1, 1, 3])) },
            _ => match src {
                Operand::Imm(_) => Insn::Branch { width, cond, dst, src: Operand::Imm(rng.immediate()), off },
                Operand::Reg(_) => Insn::Branch { width, cond, dst, src: Operand::Reg(any_reg(rng)), off },
            },
        },
        Insn::Call { callee: Callee::Helper(_) } => helper(rng.pick(&[1, 2, 3, 5, 7, 26, 28, 44, 9])),
        Insn::Neg { .. } | Insn::End { .. } => mov(any_reg(rng), any_reg(rng)),
        Insn::Jump { off, long } => Insn::Jump { off: off + rng.pick(&[-2, -1, 1, 2]), long },
        _ => return None,
    })
}

impl Draft {
    fn finish(mut self) -> Program {
        let end = self.out.len();
        self.out.extend([mov(R0, 2), exit()]);
        for slot in &self.leaves {
            if let Insn::Branch { off, .. } = &mut self.out[*slot] {
                *off = (end - slot - 1) as i16;
            }
        }
        let function = self.out.len();
        for slot in &self.calls {
            self.out[*slot] = call((function - slot - 1) as i32);
        }
        if !self.calls.is_empty() {
            self.function();
        }
        Program::from_insns("generated", self.ty, self.out, maps())
    }

    /// The function behind the main one: a number from two numbers, by way of its own stack.
    fn function(&mut self) {
        let rng = &mut self.rng;
        self.out.push(mov(R6, R2));
        for _ in 0..1 + rng.below(3) {
            let dst = rng.pick(&[R1, R6]);
            self.out.push(arith::operation(rng, dst, &[R1, R6]));
        }
        let off = -8 * rng.between(1, 4) as i16;
        self.out.extend([store(Size::D, R10, off, R6), load(Size::D, R0, R10, off)]);
        self.out.extend([
            branch(Cond::Gt, R0, 1000, 1),
            add(R0, R1),
            Insn::Alu { width: Width::W64, op: AluOp::And, dst: R0, src: Operand::Imm(0xff) },
        ]);
        self.out.push(exit());
    }

    /// R7 and R8 from the context.
    fn reload(&mut self) {
        let (data, end) = if self.ty.is_skb() { (76, 80) } else { (0, 4) };
        self.out.extend([load(Size::W, R7, R6, data), load(Size::W, R8, R6, end)]);
    }

    /// A branch to the end.
    fn leave_if(&mut self, cond: Cond, dst: Reg, src: impl Source) {
        self.leaves.push(self.out.len());
        self.out.push(branch(cond, dst, src, 0));
    }

    /// Mistakes are made once in so many places.
    fn slip(&mut self) -> bool {
        self.rng.once_in(60)
    }

    fn snippet(&mut self) {
        match self.rng.below(16) {
            0..=2 => self.header(),
            3 | 4 => self.variable_header(),
            5 | 6 => self.map_value(),
            7 => self.map_index(),
            8 => self.stack(),
            9 => self.stack_index(),
            10 => self.numbers(),
            11 => self.helper_call(),
            12 => self.context(),
            13 => self.bounded_loop(),
            14 => self.local_call(),
            _ => self.update(),
        }
    }

    /// A header of constant length, checked and then read and written.
    fn header(&mut self) {
        let len = self.rng.between(1, 64) as i32;
        let checked = if self.slip() { len - 1 } else { len };
        self.out.extend([mov(R1, R7), add(R1, checked)]);
        match self.rng.below(4) {
            0 => self.leave_if(Cond::Gt, R1, R8),
            1 => self.leave_if(Cond::Lt, R8, R1),
            2 => self.leave_if(Cond::Gt, R1, R8),
            _ => {
                // The other way round: go on inside, leave outside.
                self.out.push(branch(Cond::Le, R1, R8, 1));
                let out = self.out.len();
                self.out.push(jump(0));
                self.out[out] = branch(Cond::Ge, R1, R1, 0);
                self.leaves.push(out);
            }
        }
        for _ in 0..1 + self.rng.below(4) {
            let size = self.rng.pick(&SIZES);
            let room = i64::from(len) - i64::from(size.bytes());
            let off = if room < 0 || self.slip() { self.rng.between(-2, 66) } else { self.rng.between(0, room) } as i16;
            let reg = self.rng.pick(&FREE);
            match self.rng.below(4) {
                0 => self.out.push(store(size, R7, off, self.rng.immediate())),
                1 => self.out.push(store(size, R7, off, R9)),
                _ => self.out.extend([load(size, reg, R7, off), add(R9, reg)]),
            }
        }
    }

    /// A header whose length stands in the packet.
    fn variable_header(&mut self) {
        let at = self.rng.between(0, 20) as i16;
        self.out.extend([mov(R1, R7), add(R1, i32::from(at) + 1)]);
        self.leave_if(Cond::Gt, R1, R8);
        let mask = self.rng.pick(&[1, 7, 15, 31, 0x3c, 255]);
        self.out.extend([load(Size::B, R2, R7, at), alu64(AluOp::And, R2, mask)]);
        if self.rng.once_in(2) {
            let by = self.rng.between(0, 3) as i32;
            let width = arith::width(&mut self.rng);
            self.out.push(Insn::Alu { width, op: AluOp::Lsh, dst: R2, src: Operand::Imm(by) });
        }
        if self.slip() {
            self.out.push(alu64(AluOp::Sub, R2, 4));
        }
        self.out.extend([mov(R3, R7), add(R3, R2)]);
        let len = self.rng.between(1, 20) as i32;
        self.out.extend([mov(R4, R3), add(R4, len)]);
        self.leave_if(Cond::Gt, R4, R8);
        let size = self.rng.pick(&SIZES);
        let off = self.rng.between(0, (i64::from(len) - i64::from(size.bytes())).max(0)) as i16;
        if self.rng.once_in(3) {
            self.out.push(store(size, R3, off, R9));
        } else {
            self.out.extend([load(size, R5, R3, off), add(R9, R5)]);
        }
        if self.rng.once_in(4) {
            self.out.push(mov(R7, R3));
        }
    }

    /// A key on the stack, and a look-up with it; the value is in R0, or the program left.
    fn look_up(&mut self, index: u32) {
        if index == 0 {
            self.out.extend([store(Size::D, R10, -8, R9)]);
        } else {
            let key = self.rng.between(0, 9) as i32;
            match self.rng.below(3) {
                0 => self.out.push(store(Size::W, R10, -8, R9)),
                1 => self.out.push(store(Size::W, R10, -8, key)),
                _ => self.out.extend([mov(R1, key), store(Size::W, R10, -8, R1)]),
            }
        }
        self.out.extend([mov(R2, R10), add(R2, -8)]);
        self.out.extend(map(R1, index));
        self.out.push(helper(1));
        if !self.slip() {
            self.leave_if(Cond::Eq, R0, 0);
        }
    }

    fn map_value(&mut self) {
        let index = self.rng.below(3) as u32;
        self.look_up(index);
        let len = i64::from(maps()[index as usize].value_size);
        for _ in 0..1 + self.rng.below(3) {
            let size = self.rng.pick(&SIZES);
            let bytes = i64::from(size.bytes());
            let off = if self.slip() { self.rng.between(-4, len) } else { self.rng.between(0, len - bytes) } as i16;
            match self.rng.below(4) {
                0 => self.out.push(store(size, R0, off, R9)),
                1 if bytes >= 4 => {
                    let off = off / bytes as i16 * bytes as i16;
                    let op = self.rng.pick(&[AtomicOp::Add, AtomicOp::Or, AtomicOp::Xor, AtomicOp::And]);
                    let fetch = self.rng.once_in(3);
                    self.out.push(mov(R3, 1));
                    self.out.push(atomic(op, fetch, size, R0, off, R3));
                }
                _ => self.out.extend([load(size, R3, R0, off), add(R9, R3)]),
            }
        }
    }

    /// A variable index into a value.
    fn map_index(&mut self) {
        let direct = self.rng.once_in(2);
        if direct {
            let off = self.rng.below(8) as u32;
            let value = Wide::MapValue { map: MapIndex(3), off };
            self.out.extend([Insn::LoadImm64 { dst: R0, value }, Insn::Pad]);
        } else {
            self.look_up(1);
        }
        self.out.push(mov(R3, R9));
        match self.rng.below(4) {
            0 => self.out.push(alu64(AluOp::And, R3, 15)),
            1 => self.leave_if(Cond::Gt, R3, 15),
            2 => {
                let insn = Insn::Branch { width: Width::W32, cond: Cond::Gt, dst: R3, src: Operand::Imm(15), off: 0 };
                self.leaves.push(self.out.len());
                self.out.extend([insn, Insn::Mov { width: Width::W32, dst: R3, src: Operand::Reg(R3), sext: None }]);
            }
            _ => {
                self.leave_if(Cond::Sgt, R3, 15);
                if !self.slip() {
                    self.leave_if(Cond::Slt, R3, 0);
                }
            }
        }
        self.out.push(add(R0, R3));
        let size = self.rng.pick(&SIZES);
        let off = self.rng.between(0, 10) as i16;
        self.out.extend([load(size, R4, R0, off), add(R9, R4)]);
    }

    /// Registers put on the stack and taken back, whole and in parts.
    fn stack(&mut self) {
        let slot = -8 * self.rng.between(1, 6) as i16;
        let what = self.rng.pick(&[R6, R7, R8, R9, R9, R9]);
        let size = if what == R9 { self.rng.pick(&SIZES) } else { Size::D };
        self.out.push(store(size, R10, slot, what));
        if self.rng.once_in(3) {
            let part = self.rng.pick(&SIZES);
            let off = slot + (self.rng.below(8) as i16) / part.bytes() as i16 * part.bytes() as i16;
            self.out.push(store(part, R10, off, self.rng.immediate()));
        }
        let back = if self.slip() { self.rng.pick(&SIZES) } else { size };
        self.out.push(load(back, R3, R10, slot));
        match what {
            R9 => {
                if self.rng.once_in(2) {
                    self.leave_if(Cond::Gt, R3, 63);
                }
                self.out.push(add(R9, R3));
            }
            R7 => {
                self.out.extend([mov(R4, R3), add(R4, 4)]);
                self.leave_if(Cond::Gt, R4, R8);
                self.out.push(load(Size::W, R5, R7, 0));
            }
            _ => {}
        }
    }

    /// A variable offset into the stack.
    fn stack_index(&mut self) {
        for slot in 1..=4 {
            self.out.push(store(Size::D, R10, -8 * slot, self.rng.pick(&[0, 0, 5])));
        }
        self.out.extend([mov(R3, R9), alu64(AluOp::And, R3, self.rng.pick(&[7, 15, 31]))]);
        let wide = self.rng.once_in(3);
        if wide {
            self.out.push(alu64(AluOp::And, R3, 8));
        }
        self.out.extend([mov(R2, R10), add(R2, -32), add(R2, R3)]);
        let size = if wide { Size::D } else { Size::B };
        match self.rng.below(2) {
            0 => self.out.push(store(size, R2, 0, R9)),
            _ => self.out.extend([load(size, R4, R2, 0), add(R9, R4)]),
        }
        self.out.extend([load(Size::D, R4, R10, -16), alu64(AluOp::Xor, R9, R4)]);
    }

    /// The stack, through a pointer that moves by a number in a register.
    fn stack_at(&mut self) {
        for slot in 1..=4 {
            self.out.push(store(Size::D, R10, -8 * slot, self.rng.pick(&[0, 0, 5])));
        }
        let by = self.rng.pick(&[-8, -16, -32, -32, 8]);
        self.out.extend([mov(R2, R10), mov(R3, by)]);
        if self.rng.once_in(3) {
            self.out.extend([branch(Cond::Gt, R9, 5, 1), mov(R3, self.rng.pick(&[-8, -16]))]);
        }
        self.out.push(Insn::Alu { width: Width::W64, op: AluOp::Add, dst: R2, src: Operand::Reg(R3) });
        if self.rng.once_in(3) {
            self.out.extend([load(Size::D, R4, R10, -16), alu64(AluOp::And, R4, 8), add(R2, R4)]);
        }
        match self.rng.below(3) {
            0 => self.out.push(store(Size::D, R2, 0, R9)),
            1 => self.out.push(store(Size::D, R2, 0, R6)),
            _ => self.out.extend([load(Size::D, R4, R2, 0), add(R9, R4)]),
        }
    }

    /// A branch that only goes one way, with something on the other that no run does.
    fn decided(&mut self) {
        let size = self.rng.pick(&SIZES);
        let wrong = match self.rng.below(4) {
            0 => load(size, R4, R9, 0),
            1 => store(size, R8, 0, R9),
            2 => load(size, R4, R7, 8),
            _ => load(size, R4, R6, 4),
        };
        let cond = self.rng.pick(&[Cond::Eq, Cond::Le, Cond::Ge, Cond::Sle]);
        self.out.extend([mov(R3, 4), branch(cond, R3, 4, 1), wrong]);
        if self.rng.once_in(3) {
            self.out.extend([mov(R5, 4), branch(Cond::Ne, R3, R5, 1), add(R9, 1)]);
        }
    }

    /// A pointer into a value, moved by a register.
    fn moved_value(&mut self) {
        self.look_up(1);
        self.out.extend([mov(R2, R0), load(Size::B, R3, R2, 0)]);
        let bound = self.rng.pick(&[3, 7, 15, 31, 63]);
        match self.rng.below(5) {
            0 => self.out.push(alu64(AluOp::And, R3, bound)),
            1 => self.leave_if(Cond::Gt, R3, bound),
            2 => self.out.push(mov(R3, bound)),
            3 => self.out.extend([alu64(AluOp::And, R3, 15), alu64(AluOp::Sub, R3, self.rng.pick(&[0, 4, 16]))]),
            _ => self.out.extend([alu64(AluOp::And, R3, 7), branch(Cond::Gt, R9, 9, 1), mov(R3, 8)]),
        }
        if self.rng.once_in(3) {
            self.out.push(add(R2, self.rng.pick(&[4, 8, 15, 16])));
        }
        match self.rng.below(5) {
            0 => self.out.push(Insn::Alu { width: Width::W64, op: AluOp::Sub, dst: R2, src: Operand::Reg(R3) }),
            // The number is the destination.
            1 => self.out.extend([add(R3, R2), mov(R2, R3)]),
            // A number or a pointer moves by the register.
            2 => self.out.extend([branch(Cond::Gt, R9, 70, 2), mov(R2, R9), jump(0), add(R2, R3)]),
            _ => self.out.push(add(R2, R3)),
        }
        let size = self.rng.pick(&SIZES);
        let off = self.rng.between(0, 9) as i16;
        match self.rng.below(4) {
            0 => self.out.push(store(size, R2, off, R9)),
            1 => self.out.push(store(Size::D, R2, off, R6)),
            _ => self.out.extend([load(size, R4, R2, off), add(R9, R4)]),
        }
    }

    /// Arithmetic, and a branch around some of it.
    fn numbers(&mut self) {
        self.out.extend([helper(7), mov(R3, R0), mov(R4, R9)]);
        for _ in 0..1 + self.rng.below(5) {
            let dst = self.rng.pick(&[R0, R3, R4]);
            let insn = arith::operation(&mut self.rng, dst, &[R0, R3, R4]);
            let compare = arith::comparison(&mut self.rng, dst, &[R0, R3, R4]);
            if let (true, Insn::Branch { width, cond, dst, src, .. }) = (self.rng.once_in(3), compare) {
                self.out.push(Insn::Branch { width, cond, dst, src, off: 1 });
            }
            self.out.push(insn);
        }
        self.out.push(mov(R9, R4));
    }

    fn helper_call(&mut self) {
        match self.rng.below(if self.ty.is_skb() { 7 } else { 5 }) {
            0 => self.out.extend([helper(5), add(R9, R0)]),
            1 => {
                self.out.extend([mov(R1, 1), mov(R2, 0), helper(23)]);
            }
            2 => {
                // A checksum over stack bytes of constant or bounded length.
                self.out.extend([store(Size::D, R10, -8, 1), store(Size::D, R10, -16, R9)]);
                self.out.extend([mov(R3, R10), add(R3, -16)]);
                if self.rng.once_in(2) {
                    self.out.extend([mov(R4, R9), alu64(AluOp::And, R4, self.rng.pick(&[4, 12, 16, 31]))]);
                } else {
                    self.out.push(mov(R4, self.rng.pick(&[4, 8, 16, 20])));
                }
                self.out.extend([mov(R1, 0), mov(R2, 0), mov(R5, 0), helper(28), add(R9, R0)]);
            }
            3 => self.out.extend([helper(8), alu64(AluOp::And, R0, 3), add(R9, R0)]),
            4 if !self.ty.is_skb() => {
                let id = self.rng.pick(&[44, 65]);
                self.out.extend([mov(R1, R6), mov(R2, self.rng.between(-14, 14) as i32), helper(id)]);
                self.leave_if(Cond::Ne, R0, 0);
                if !self.slip() {
                    self.reload();
                }
            }
            5 => {
                // Bytes of the packet to the stack.
                self.out.extend([mov(R1, R6), mov(R2, 0), mov(R3, R10), add(R3, -16)]);
                let len = self.rng.pick(&[1, 4, 8, 16]);
                self.out.extend([mov(R4, len), helper(26)]);
                self.leave_if(Cond::Slt, R0, 0);
                self.out.extend([load(Size::B, R3, R10, -16), add(R9, R3)]);
            }
            _ => {
                // Bytes of the stack to the packet.
                self.out.extend([store(Size::D, R10, -8, R9), mov(R1, R6), mov(R2, 2), mov(R3, R10), add(R3, -8)]);
                self.out.extend([mov(R4, 6), mov(R5, 0), helper(9)]);
                self.leave_if(Cond::Ne, R0, 0);
                if !self.slip() {
                    self.reload();
                }
            }
        }
    }

    fn context(&mut self) {
        if self.ty.is_skb() {
            let off = self.rng.pick(&[0, 4, 8, 16, 32, 40, 48, 52, 60, 68, 144, 152, 168, 100]);
            let size = self.rng.pick(&[Size::W, Size::W, Size::H, Size::B, Size::D]);
            if self.rng.once_in(3) {
                self.out.push(store(Size::W, R6, self.rng.pick(&[8, 32, 48, 52, 44, 12]), R9));
            } else if off != 168 {
                self.out.extend([load(size, R3, R6, off), add(R9, R3)]);
            }
            if self.rng.once_in(4) {
                let mode = if self.rng.once_in(2) { PacketMode::Abs } else { PacketMode::Ind(R9) };
                let size = self.rng.pick(&[Size::B, Size::H, Size::W]);
                self.out.extend([Insn::LoadPacket { size, mode, imm: 12 }, add(R9, R0)]);
            }
        } else {
            let off = self.rng.pick(&[12, 12, 16, 16, 8, 20]);
            self.out.extend([load(Size::W, R3, R6, off)]);
            match off {
                8 => {
                    // Metadata up to the packet's start.
                    self.out.extend([mov(R4, R3), add(R4, 4), load(Size::W, R5, R6, 0)]);
                    self.leave_if(Cond::Gt, R4, R5);
                    self.out.push(load(Size::W, R5, R3, 0));
                }
                _ => self.out.push(add(R9, R3)),
            }
        }
    }

    /// A loop with a constant number of rounds.
    fn bounded_loop(&mut self) {
        let rounds = self.rng.between(1, 12) as i32;
        let step = if self.slip() { 0 } else { 1 };
        self.out.extend([mov(R3, 0), mov(R4, 0)]);
        let top = self.out.len();
        self.out.push(add(R3, step));
        let insn = arith::operation(&mut self.rng, R4, &[R3, R4]);
        self.out.push(insn);
        if self.rng.once_in(2) {
            self.out.extend([branch(Cond::Set, R9, rounds, 1), add(R4, 3)]);
        }
        let back = top as i64 - self.out.len() as i64 - 1;
        self.out.push(branch(Cond::Lt, R3, rounds, back as i16));
        self.out.push(add(R9, R4));
    }

    fn local_call(&mut self) {
        self.out.extend([mov(R1, R9), mov(R2, self.rng.immediate())]);
        self.calls.push(self.out.len());
        self.out.push(jump(0));
        self.out.push(add(R9, R0));
    }

    /// An entry written or removed.
    fn update(&mut self) {
        self.out.extend([store(Size::D, R10, -8, R9), store(Size::D, R10, -24, 0), store(Size::D, R10, -16, R9)]);
        self.out.extend([mov(R2, R10), add(R2, -8)]);
        let remove = self.rng.once_in(3);
        if !remove {
            self.out.extend([mov(R3, R10), add(R3, -24), mov(R4, 0)]);
        }
        self.out.extend(map(R1, 0));
        self.out.push(helper(if remove { 3 } else { 2 }));
    }
}
