//! What the firmware's routines do: helpers over memory of every kind, atomic operations, metadata, redirects, events.

use bpf::insn::{AluOp, AtomicOp, Cond, Insn, Operand, Reg, Size, Wide, Width};

use super::{CHECKED, Draft, FOLD, SLOTS, alu, copy, helper, load, set, store};

/// Maps that only these programs have, by their place in the list.
pub const LPM: u32 = 4;
pub const LRU: u32 = 5;
pub const PER_CPU: u32 = 6;
pub const EVENTS: u32 = 7;
pub const RING: u32 = 8;
pub const DEVICES: u32 = 9;
pub const COUNTERS: u32 = 10;

impl Draft {
    pub(super) fn routine(&mut self) {
        match self.rng.below(12) {
            11 => self.either_memory(),
            0 => self.clock(),
            1 => self.checksum(),
            2 | 3 => self.look_up_anywhere(),
            4 => self.metadata(),
            5 => self.redirect(),
            6 => self.event(),
            7 => self.copy_bytes(),
            8 => self.atomic_in_value(),
            9 => self.atomic_on_stack(),
            _ => self.update_anywhere(),
        }
    }

    /// A slot of the stack that has just been written whole.
    fn whole_slot(&mut self) -> i16 {
        let slot = -8 * (1 + self.rng.below(SLOTS as u64) as i16);
        // Arguments that are set already may be addresses, which differ between the machines.
        self.out.push(store(Size::D, Reg::R10, slot, Reg::R9));
        self.written.push(slot);
        slot
    }

    fn stack_pointer(&mut self, dst: Reg, at: i16) {
        self.out.extend([copy(dst, Reg::R10), alu(AluOp::Add, dst, Operand::Imm(at.into()))]);
    }

    fn packet_pointer(&mut self, dst: Reg, bytes: i16) {
        let off = self.rng.below((FOLD - bytes) as u64) as i32;
        self.out.extend([copy(dst, Reg::R7), alu(AluOp::Add, dst, Operand::Imm(off))]);
    }

    /// Eight readable bytes: in the packet, on the stack aligned or not.
    fn eight_bytes(&mut self, dst: Reg) {
        match self.rng.below(3) {
            0 => self.packet_pointer(dst, 8),
            1 => {
                let slot = self.whole_slot();
                self.stack_pointer(dst, slot);
            }
            _ => {
                let slot = self.whole_slot().min(-16);
                for at in [slot, slot + 8] {
                    self.out.push(store(Size::D, Reg::R10, at, Reg::R9));
                    self.written.push(at);
                }
                let by = 1 + self.rng.below(7) as i16;
                self.stack_pointer(dst, slot + by);
            }
        }
    }

    fn keep_result(&mut self) {
        self.out.push(copy(Reg::R9, Reg::R0));
        self.refill();
    }

    fn clock(&mut self) {
        let id = self.rng.pick(&[5, 8, 118, 125, 160, 208]);
        self.out.push(helper(id));
        self.keep_result();
    }

    fn checksum(&mut self) {
        let seed = self.number();
        self.out.push(Insn::Mov { width: Width::W32, dst: Reg::R9, src: Operand::Reg(seed), sext: None });
        for (pointer, size) in [(Reg::R1, Reg::R2), (Reg::R3, Reg::R4)] {
            if self.rng.once_in(4) {
                self.out.extend([set(pointer, 0), set(size, 0)]);
            } else {
                self.eight_bytes(pointer);
                let bytes = self.rng.pick(&[4, 8]);
                self.out.push(set(size, bytes));
            }
        }
        self.out.extend([copy(Reg::R5, Reg::R9), helper(28)]);
        self.keep_result();
    }

    /// Skips what `body` emits where a register is 0.
    fn unless_null(&mut self, reg: Reg, body: impl FnOnce(&mut Self)) {
        let at = self.out.len();
        self.out.push(Insn::Branch { width: Width::W64, cond: Cond::Eq, dst: reg, src: Operand::Imm(0), off: 0 });
        body(self);
        let over = (self.out.len() - at - 1) as i16;
        if let Insn::Branch { off, .. } = &mut self.out[at] {
            *off = over;
        }
    }

    fn look_up_anywhere(&mut self) {
        let map = self.rng.pick(&[1, LPM, LRU]);
        self.eight_bytes(Reg::R2);
        if map == LPM && self.rng.once_in(2) {
            let slot = self.whole_slot();
            let length = self.rng.below(33) as i32;
            self.out.push(Insn::Store { size: Size::W, base: Reg::R10, off: slot, src: Operand::Imm(length) });
            self.stack_pointer(Reg::R2, slot);
        }
        self.map(Reg::R1, map);
        self.out.push(helper(1));
        let size = self.rng.pick(&[Size::B, Size::W, Size::D]);
        self.unless_null(Reg::R0, |draft| {
            draft.out.extend([load(size, Reg::R9, Reg::R0, 0)]);
            draft.out.push(store(size, Reg::R0, 0, Reg::R9));
        });
        self.fill(Reg::R0);
        self.refill();
    }

    /// One access to a value or to the stack, as it turns out.
    fn either_memory(&mut self) {
        let slot = self.whole_slot();
        self.eight_bytes(Reg::R2);
        let map = self.rng.pick(&[1, LRU]);
        self.map(Reg::R1, map);
        self.out.push(helper(1));
        self.stack_pointer(Reg::R3, slot);
        self.unless_null(Reg::R0, |draft| draft.out.push(copy(Reg::R3, Reg::R0)));
        let (to, from) =
            (self.rng.pick(&[Size::B, Size::H, Size::W, Size::D]), self.rng.pick(&[Size::B, Size::W, Size::D]));
        let at = |size: Size, n: u64| (n % (8 / u64::from(size.bytes())) * u64::from(size.bytes())) as i16;
        let (first, second) = (self.rng.below(8), self.rng.below(8));
        self.out.push(load(from, Reg::R4, Reg::R3, at(from, first)));
        self.out.push(store(to, Reg::R3, at(to, second), Reg::R9));
        self.out.push(load(Size::D, Reg::R9, Reg::R3, 0));
        self.out.push(alu(AluOp::Xor, Reg::R9, Operand::Reg(Reg::R4)));
        self.fill(Reg::R0);
        self.refill();
    }

    fn update_anywhere(&mut self) {
        let map = self.rng.pick(&[LPM, LRU, 2]);
        if map == LPM {
            let slot = self.whole_slot();
            let length = self.rng.below(33) as i32;
            self.out.push(Insn::Store { size: Size::W, base: Reg::R10, off: slot, src: Operand::Imm(length) });
            self.stack_pointer(Reg::R2, slot);
        } else {
            self.eight_bytes(Reg::R2);
        }
        if self.rng.once_in(4) {
            self.map(Reg::R1, map);
            self.out.push(helper(3));
        } else {
            self.eight_bytes(Reg::R3);
            self.out.push(set(Reg::R4, 0));
            self.map(Reg::R1, map);
            self.out.push(helper(2));
        }
        self.keep_result();
    }

    fn metadata(&mut self) {
        let by = 4 * (self.rng.below(12) as i32 - 8);
        self.out.extend([copy(Reg::R1, Reg::R6), set(Reg::R2, by), helper(54), copy(Reg::R9, Reg::R0)]);
        self.parse();
        for reg in [Reg::R0, Reg::R1, Reg::R2, Reg::R3, Reg::R4, Reg::R5] {
            self.fill(reg);
        }
        self.out.extend([
            load(Size::W, Reg::R2, Reg::R6, 8),
            copy(Reg::R3, Reg::R2),
            alu(AluOp::Add, Reg::R3, Operand::Imm(4)),
        ]);
        let at = self.out.len();
        self.out.push(Insn::Branch {
            width: Width::W64,
            cond: Cond::Gt,
            dst: Reg::R3,
            src: Operand::Reg(Reg::R7),
            off: 2,
        });
        self.out.extend([store(Size::W, Reg::R2, 0, Reg::R9), load(Size::H, Reg::R9, Reg::R2, 1)]);
        debug_assert!(self.out.len() == at + 3);
        for reg in [Reg::R2, Reg::R3] {
            self.fill(reg);
        }
    }

    fn redirect(&mut self) {
        self.redirects = true;
        if self.rng.once_in(2) {
            let ifindex = self.rng.below(9) as i32;
            let flags = i32::from(self.rng.once_in(8));
            self.out.extend([set(Reg::R1, ifindex), set(Reg::R2, flags), helper(23)]);
        } else {
            let key = self.number();
            self.out.extend([copy(Reg::R2, key), alu(AluOp::And, Reg::R2, Operand::Imm(7))]);
            let flags = self.rng.below(4) as i32;
            self.out.push(set(Reg::R3, flags));
            self.map(Reg::R1, DEVICES);
            self.out.push(helper(51));
        }
        self.keep_result();
    }

    fn event(&mut self) {
        if self.rng.once_in(2) {
            let slot = self.whole_slot();
            self.stack_pointer(Reg::R2, slot);
            self.out.extend([set(Reg::R3, 8), set(Reg::R4, 0)]);
            self.map(Reg::R1, RING);
            self.out.push(helper(130));
        } else {
            let slot = self.whole_slot();
            self.stack_pointer(Reg::R4, slot);
            let packet = self.rng.below(40);
            let flags = 0xffff_ffff | packet << 32;
            self.out.extend([Insn::LoadImm64 { dst: Reg::R3, value: Wide::Value(flags) }, Insn::Pad]);
            self.out.extend([set(Reg::R5, 8), copy(Reg::R1, Reg::R6)]);
            self.map(Reg::R2, EVENTS);
            self.out.push(helper(25));
        }
        self.keep_result();
    }

    fn copy_bytes(&mut self) {
        let slot = self.whole_slot();
        self.stack_pointer(Reg::R3, slot);
        let off = self.rng.below(CHECKED as u64 + 200) as i32;
        let id = if self.rng.once_in(2) && off < i32::from(FOLD) - 8 { 190 } else { 189 };
        self.out.extend([copy(Reg::R1, Reg::R6), set(Reg::R2, off), set(Reg::R4, 8), helper(id)]);
        self.keep_result();
    }

    fn atomic(&mut self, base: Reg, off: i16, src: Reg) -> Insn {
        use AtomicOp::*;
        let op = self.rng.pick(&[Add, And, Or, Xor, Xchg, Cmpxchg]);
        let fetch = matches!(op, Xchg | Cmpxchg) || self.rng.once_in(2);
        let size = self.rng.pick(&[Size::W, Size::D]);
        Insn::Atomic { op, fetch, size, base, off, src }
    }

    fn atomic_in_value(&mut self) {
        let slot = self.whole_slot();
        let key = self.rng.below(5) as i32;
        self.out.push(Insn::Store { size: Size::W, base: Reg::R10, off: slot, src: Operand::Imm(key) });
        self.stack_pointer(Reg::R2, slot);
        let map = self.rng.pick(&[COUNTERS, PER_CPU]);
        self.map(Reg::R1, map);
        self.out.push(helper(1));
        let insns: Vec<Insn> = (0..1 + self.rng.below(3))
            .map(|_| {
                let off = 8 * self.rng.below(2) as i16;
                self.atomic(Reg::R3, if map == COUNTERS { off } else { 0 }, Reg::R9)
            })
            .collect();
        self.unless_null(Reg::R0, |draft| {
            draft.out.push(copy(Reg::R3, Reg::R0));
            draft.fill(Reg::R0);
            for insn in insns {
                draft.out.push(insn);
            }
        });
        self.fill(Reg::R0);
        self.refill();
    }

    fn atomic_on_stack(&mut self) {
        let slot = self.whole_slot();
        let src = self.rng.pick(&[Reg::R1, Reg::R2, Reg::R9]);
        let insn = self.atomic(Reg::R10, slot, src);
        self.out.push(insn);
        self.out.push(load(Size::D, Reg::R3, Reg::R10, slot));
    }
}
