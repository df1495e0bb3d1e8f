//! The parts that main functions are put together from.

use super::*;

/// Atomic operations and whether they fetch.
const ATOMICS: [(AtomicOp, bool); 10] = [
    (AtomicOp::Add, false),
    (AtomicOp::Add, true),
    (AtomicOp::Or, false),
    (AtomicOp::Or, true),
    (AtomicOp::And, false),
    (AtomicOp::And, true),
    (AtomicOp::Xor, false),
    (AtomicOp::Xor, true),
    (AtomicOp::Xchg, true),
    (AtomicOp::Cmpxchg, true),
];

impl Draft {
    pub(super) fn snippet(&mut self) {
        let again = self.calls < 3;
        match self.rng.below(17) {
            0..=2 => self.compute(),
            3 | 4 => self.access(),
            5 => self.atomics(),
            6 => self.bounded_loop(),
            7 => self.jumps(),
            8 => self.context(),
            9 => self.packet_loads(),
            10 | 11 if again => self.call_function(),
            12 => self.map_helpers(),
            13 => self.packet_helpers(),
            14 if again => self.loop_callback(),
            15 if again => self.walk_callback(),
            16 if again => self.tail_call(),
            _ => self.compute(),
        }
    }

    fn compute(&mut self) {
        self.numbers();
        let mut insns = Vec::new();
        for _ in 0..2 + self.rng.below(8) {
            let dst = self.rng.pick(&FREE);
            match self.rng.below(10) {
                0 | 1 => insns.push(arith::comparison(&mut self.rng, dst, &FREE)),
                2 => insns.push(Insn::MayGoto { off: 0 }),
                3 => insns.extend(wide(dst, self.rng.word())),
                4 => {
                    let src = Operand::Reg(self.rng.pick(&FREE));
                    insns.push(Insn::Mov { width: Width::W32, dst, src, sext: Some(self.rng.pick(&[8, 16])) });
                }
                5 => {
                    let src = Operand::Imm(self.rng.immediate());
                    insns.push(Insn::Mov { width: arith::width(&mut self.rng), dst, src, sext: None });
                }
                _ => insns.push(arith::operation(&mut self.rng, dst, &FREE)),
            }
        }
        self.block(insns);
        self.gather();
    }

    /// Somewhere with `size` bytes in it: a register and an offset.
    fn place(&mut self, size: Size, aligned: bool) -> (Reg, i16) {
        let bytes = size.bytes() as i16;
        let packet = !aligned && self.ty != ProgType::SocketFilter;
        let (base, first, len) =
            self.rng.pick(&[(R10, -64, 64), (R8, 0, 64), if packet { (R7, 0, 34) } else { (R8, 0, 64) }]);
        let off = self.rng.below((len - bytes + 1) as u64) as i16;
        // Linux wants accesses to the stack aligned.
        (base, first + if aligned || base == R10 { off / bytes * bytes } else { off })
    }

    fn access(&mut self) {
        self.numbers();
        let mut insns = Vec::new();
        for _ in 0..1 + self.rng.below(6) {
            let size = self.rng.pick(&SIZES);
            let (kind, reg) = (self.rng.below(6), self.rng.pick(&FREE));
            let (base, off) = self.place(size, kind > 3);
            insns.push(match kind {
                0 => load(size, reg, base, off),
                1 => Insn::Load { size, sext: size != Size::D, dst: reg, base, off },
                2 => store(size, base, off, reg),
                3 => store(size, base, off, self.rng.immediate()),
                4 => Insn::LoadAcquire { size, dst: reg, base, off },
                _ => Insn::StoreRelease { size, base, off, src: reg },
            });
        }
        self.block(insns);
        self.gather();
    }

    fn atomics(&mut self) {
        self.numbers();
        let mut insns = Vec::new();
        for _ in 0..1 + self.rng.below(4) {
            let size = self.rng.pick(&[Size::W, Size::D]);
            let (base, off) = self.place(size, true);
            let (op, fetch) = self.rng.pick(&ATOMICS);
            insns.push(atomic(op, fetch, size, base, off, self.rng.pick(&FREE)));
        }
        self.block(insns);
        self.gather();
    }

    fn bounded_loop(&mut self) {
        let rounds = self.rng.between(1, 9) as i32;
        self.out.extend([mov(R3, 0), mov(R4, R9)]);
        if self.rng.once_in(2) {
            // Left by its counter; `may_goto` bounds it for Linux.
            let op = arith::operation(&mut self.rng, R4, &[R4]);
            self.out.extend([Insn::MayGoto { off: 4 }, op, add(R3, 1), branch(Cond::Eq, R3, rounds, 1), jump(-5)]);
        } else {
            let op = arith::operation(&mut self.rng, R4, &[R3, R4]);
            self.out.extend([op, add(R3, 1), branch(Cond::Lt, R3, rounds, -3)]);
        }
        self.out.push(alu64(AluOp::Xor, R9, R4));
    }

    /// Jumps over what another way leads to.
    fn jumps(&mut self) {
        let compare = arith::comparison(&mut self.rng, R9, &[R9]);
        if let Insn::Branch { width, cond, dst, src, .. } = compare {
            self.out.push(Insn::Branch { width, cond, dst, src, off: 1 });
        }
        self.out.extend([
            Insn::Jump { off: 2, long: self.rng.once_in(2) },
            add(R9, 77),
            Insn::Neg { width: Width::W64, dst: R9 },
        ]);
    }

    fn context(&mut self) {
        if !self.ty.is_skb() {
            return self.out.extend([load(Size::W, R3, R6, self.rng.pick(&[12, 16])), add(R9, R3)]);
        }
        let off = self.rng.pick(&[0, 4, 8, 16, 32, 40, 48, 52, 64]);
        if self.rng.once_in(3) {
            let writable: &[i16] = if self.ty == ProgType::SocketFilter { &[48, 64] } else { &[8, 32, 48, 52] };
            self.out.push(store(Size::W, R6, self.rng.pick(writable), R9));
        }
        let size = if off >= 48 { self.rng.pick(&[Size::W, Size::H, Size::B]) } else { Size::W };
        self.out.extend([load(size, R3, R6, off), add(R9, R3)]);
    }

    fn packet_loads(&mut self) {
        if !self.ty.is_skb() {
            return self.access();
        }
        let size = self.rng.pick(&[Size::B, Size::H, Size::W]);
        // Most of them hit: one that does not ends the program.
        let imm = match self.rng.below(8) {
            0 => -0x20_0000 + self.rng.below(30) as i32,
            1 => -0x10_0000 + self.rng.below(30) as i32,
            2 => self.rng.between(0, 80) as i32,
            _ => self.rng.between(0, 20) as i32,
        };
        if self.rng.once_in(2) {
            self.out.push(Insn::LoadPacket { size, mode: PacketMode::Abs, imm });
        } else {
            self.out.extend([mov(R3, R9), alu64(AluOp::And, R3, 7)]);
            self.out.push(Insn::LoadPacket { size, mode: PacketMode::Ind(R3), imm });
        }
        self.forms.push(Form::PacketLoad);
        self.out.push(alu64(AluOp::Xor, R9, R0));
    }

    fn map_helpers(&mut self) {
        // A key of 0 to 15 below the words.
        self.out.extend([mov(R1, R9), alu64(AluOp::And, R1, 15), store(Size::W, R10, -72, R1)]);
        self.out.extend([store(Size::D, R10, -96, R9), store(Size::D, R10, -88, 5)]);
        for _ in 0..1 + self.rng.below(3) {
            self.out.extend([mov(R2, R10), add(R2, -72)]);
            self.out.extend(map(R1, HASH));
            match self.rng.below(4) {
                0 => self.out.extend([helper(3), add(R9, R0)]),
                1 => {
                    self.out.extend([mov(R3, R10), add(R3, -96), mov(R4, self.rng.pick(&[0, 1, 2]))]);
                    self.out.extend([helper(2), add(R9, R0)]);
                }
                _ => {
                    self.out.extend([helper(1), branch(Cond::Eq, R0, 0, 4)]);
                    self.out.extend([load(Size::D, R3, R0, 8), add(R9, R3), store(Size::D, R0, 0, R9)]);
                    self.out.push(atomic(AtomicOp::Add, true, Size::W, R0, 12, R3));
                }
            }
        }
        self.forms.push(Form::Helper);
    }

    fn packet_helpers(&mut self) {
        self.forms.push(Form::Helper);
        if self.ty == ProgType::SocketFilter || self.ty.is_skb() && self.rng.once_in(2) {
            self.out.extend([mov(R1, R6), mov(R2, self.rng.between(0, 60) as i32), mov(R3, R10), add(R3, -16)]);
            self.out.extend([mov(R4, self.rng.pick(&[1, 4, 8, 16])), helper(26), add(R9, R0)]);
        } else if self.rng.once_in(2) {
            self.out.extend([mov(R1, R10), add(R1, -16), mov(R2, self.rng.pick(&[4, 8, 16]))]);
            self.out.extend([mov(R3, R10), add(R3, -40), mov(R4, self.rng.pick(&[4, 8, 24])), mov(R5, R9)]);
            self.out.extend([helper(28), alu64(AluOp::Xor, R9, R0)]);
        } else if self.ty.is_skb() {
            self.out.extend([mov(R1, R6), mov(R2, self.rng.between(0, 60) as i32), mov(R3, R10), add(R3, -8)]);
            self.out.extend([mov(R4, self.rng.pick(&[1, 3, 8])), mov(R5, 0), helper(9), add(R9, R0)]);
            self.reload();
        } else {
            let id = self.rng.pick(&[44, 65]);
            self.out.extend([mov(R1, R6), mov(R2, self.rng.between(-20, 20) as i32), helper(id), add(R9, R0)]);
            self.reload();
        }
    }
}
