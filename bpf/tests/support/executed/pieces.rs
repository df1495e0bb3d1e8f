//! What leads from one function to another: calls, callbacks, tail calls; and the functions there.

use super::*;

/// Forms of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    Helper,
    PacketLoad,
    /// A function of the program.
    Function,
    /// One that calls another.
    FunctionInFunction,
    /// Each calling the next, as many as there may be frames.
    EightFrames,
    PacketLoadInFunction,
    Loop,
    LoopInLoop,
    /// What is called back calls a function.
    FunctionInLoop,
    /// A function that has another called back.
    LoopInFunction,
    Walk,
    TailCall,
    TailCallInFunction,
}

impl Form {
    pub const ALL: [Form; 13] = [
        Form::Helper,
        Form::PacketLoad,
        Form::Function,
        Form::FunctionInFunction,
        Form::EightFrames,
        Form::PacketLoadInFunction,
        Form::Loop,
        Form::LoopInLoop,
        Form::FunctionInLoop,
        Form::LoopInFunction,
        Form::Walk,
        Form::TailCall,
        Form::TailCallInFunction,
    ];

    pub fn is_tail_call(self) -> bool {
        matches!(self, Form::TailCall | Form::TailCallInFunction)
    }
}

/// What else is in a function that is called back.
#[derive(Clone, Copy)]
enum Inside {
    Nothing,
    Loop(usize),
    Call(usize),
}

const BPF_LOOP: u32 = 181;
const FOR_EACH: u32 = 164;
const TAIL_CALL: u32 = 12;

impl Draft {
    /// Writes a function on its own; its number.
    fn function(&mut self, write: impl FnOnce(&mut Draft)) -> usize {
        let (out, names) = (std::mem::take(&mut self.out), std::mem::take(&mut self.names));
        write(self);
        let written = (std::mem::replace(&mut self.out, out), std::mem::replace(&mut self.names, names));
        self.functions.push(written);
        self.functions.len() - 1
    }

    fn call_to(&mut self, function: usize) {
        self.names.push((self.out.len(), function));
        self.out.push(call(0));
    }

    fn address_of(&mut self, dst: Reg, function: usize) {
        self.names.push((self.out.len(), function));
        self.out.extend([Insn::LoadImm64 { dst, value: Wide::Func { off: 0 } }, Insn::Pad]);
    }

    /// `f(number, number, a word of this stack, context)`.
    pub(super) fn call_function(&mut self) {
        self.calls += 1;
        let mut moves_packet = false;
        let function = match self.rng.below(7) {
            0 if self.ty.is_skb() => {
                self.forms.push(Form::PacketLoadInFunction);
                let imm = self.rng.between(0, 70) as i32;
                self.function(|draft| {
                    draft.out.extend([mov(R6, R4), mov(R7, R1)]);
                    draft.out.push(Insn::LoadPacket { size: Size::H, mode: PacketMode::Abs, imm });
                    draft.out.extend([add(R0, R7), exit()]);
                })
            }
            1 => {
                self.forms.push(Form::TailCallInFunction);
                moves_packet = self.ty != ProgType::SocketFilter;
                self.function(|draft| {
                    draft.out.extend([mov(R6, R4), mov(R7, R1), store(Size::D, R10, -8, R1)]);
                    draft.tail_call_to();
                    draft.out.extend([load(Size::D, R0, R10, -8), add(R0, R7), exit()]);
                })
            }
            2 => {
                self.forms.push(Form::FunctionInFunction);
                let inner = self.function(|draft| draft.plain(None));
                self.function(|draft| draft.plain(Some(inner)))
            }
            3 => {
                self.forms.push(Form::EightFrames);
                let mut inner = self.function(|draft| draft.plain(None));
                for _ in 0..6 {
                    inner = self.function(|draft| draft.plain(Some(inner)));
                }
                inner
            }
            4 => {
                self.forms.push(Form::LoopInFunction);
                let stop = self.rng.between(-1, 5) as i32;
                let round = self.function(|draft| draft.round(stop, Inside::Nothing));
                self.function(|draft| {
                    draft.out.extend([store(Size::D, R10, -8, R1), mov(R6, R3), mov(R1, R2), alu64(AluOp::And, R1, 7)]);
                    draft.address_of(R2, round);
                    draft.out.extend([mov(R3, R10), add(R3, -8), mov(R4, 0), helper(BPF_LOOP)]);
                    draft.out.extend([load(Size::D, R1, R10, -8), store(Size::D, R6, 0, R1), add(R0, R1), exit()]);
                })
            }
            _ => {
                self.forms.push(Form::Function);
                self.function(|draft| draft.plain(None))
            }
        };
        let word = -8 * self.rng.between(1, 8) as i32;
        self.out.extend([mov(R1, R9), mov(R2, self.rng.immediate()), mov(R3, R10), add(R3, word), mov(R4, R6)]);
        self.call_to(function);
        self.out.push(alu64(AluOp::Xor, R9, R0));
        if moves_packet {
            // Whatever program took the function's place may have moved it.
            self.reload();
        }
    }

    /// A function of numbers that has its own stack and reaches its caller's.
    fn plain(&mut self, inner: Option<usize>) {
        self.out.extend([mov(R6, R1), mov(R7, R2), mov(R8, R3), load(Size::D, R0, R8, 0)]);
        for _ in 0..1 + self.rng.below(4) {
            let dst = self.rng.pick(&[R0, R6, R7]);
            let insn = arith::operation(&mut self.rng, dst, &[R0, R6, R7]);
            self.out.push(insn);
        }
        let own = -8 * self.rng.between(1, 4) as i16;
        self.out.extend([store(Size::D, R10, own, R0), store(Size::D, R8, 0, R6)]);
        if let Some(inner) = inner {
            self.out.extend([mov(R1, R7), mov(R2, R6), mov(R3, R10), add(R3, i32::from(own)), mov(R4, 0)]);
            self.call_to(inner);
            self.out.push(alu64(AluOp::Sub, R6, R0));
        }
        self.out.extend([load(Size::D, R0, R10, own), add(R0, R6), exit()]);
    }

    pub(super) fn tail_call(&mut self) {
        self.calls += 1;
        self.forms.push(Form::TailCall);
        self.tail_call_to();
    }

    /// To a slot that may be empty, or not even be there. R6 is the context.
    fn tail_call_to(&mut self) {
        self.out.push(mov(R1, R6));
        self.out.extend(map(R2, PROGRAMS));
        if self.rng.once_in(2) {
            self.out.push(mov(R3, self.rng.below(u64::from(SLOTS) + 2) as i32));
        } else {
            self.out.extend([load(Size::D, R3, R10, -8), alu64(AluOp::And, R3, 15)]);
        }
        self.out.push(helper(TAIL_CALL));
    }

    /// The function called back: number and context; it goes on or, at `stop`, does not.
    fn round(&mut self, stop: i32, inside: Inside) {
        self.out.extend([mov(R6, R1), mov(R7, R2), load(Size::D, R0, R7, 0)]);
        for _ in 0..1 + self.rng.below(3) {
            let insn = arith::operation(&mut self.rng, R0, &[R0, R6]);
            self.out.push(insn);
        }
        self.out.push(store(Size::D, R7, 0, R0));
        match inside {
            Inside::Nothing => {}
            Inside::Loop(inner) => {
                self.out.push(mov(R1, self.rng.below(5) as i32));
                self.address_of(R2, inner);
                self.out.extend([mov(R3, R7), mov(R4, 0), helper(BPF_LOOP)]);
            }
            Inside::Call(inner) => {
                self.out.extend([mov(R1, R0), mov(R2, R6), mov(R3, R7), mov(R4, 0)]);
                self.call_to(inner);
                self.out.extend([load(Size::D, R1, R7, 0), alu64(AluOp::Xor, R1, R0), store(Size::D, R7, 0, R1)]);
            }
        }
        self.out.extend([mov(R0, 0), branch(Cond::Ne, R6, stop, 1), mov(R0, 1), exit()]);
    }

    pub(super) fn loop_callback(&mut self) {
        self.calls += 1;
        let stop = self.rng.between(-1, 9) as i32;
        let (form, inside) = match self.rng.below(6) {
            0 | 1 => (Form::LoopInLoop, Inside::Loop(self.function(|draft| draft.round(2, Inside::Nothing)))),
            2 => (Form::FunctionInLoop, Inside::Call(self.function(|draft| draft.plain(None)))),
            _ => (Form::Loop, Inside::Nothing),
        };
        self.forms.push(form);
        let function = self.function(|draft| draft.round(stop, inside));
        if self.rng.once_in(2) {
            self.out.push(mov(R1, self.rng.pick(&[0, 1, 5, 12, -1])));
        } else {
            self.out.extend([mov(R1, R9), alu64(AluOp::And, R1, 15)]);
        }
        self.address_of(R2, function);
        let word = -8 * self.rng.between(1, 8) as i32;
        self.out.extend([mov(R3, R10), add(R3, word), mov(R4, 0), helper(BPF_LOOP), add(R9, R0)]);
    }

    /// A walk over a map. Hashes are walked in an order of each engine's own, so that what is gathered is a sum.
    pub(super) fn walk_callback(&mut self) {
        self.calls += 1;
        self.forms.push(Form::Walk);
        let index = self.rng.pick(&[HASH, ARRAY]);
        let stop = if index == ARRAY { self.rng.between(-1, 6) as i32 } else { -1 };
        let op = self.rng.pick(&[AluOp::Mul, AluOp::Xor, AluOp::Rsh]);
        let by = self.rng.between(1, 40) as i32;
        let function = self.function(|draft| {
            draft.out.extend([load(Size::W, R5, R2, 0), load(Size::D, R0, R3, 0), mov(R6, R5)]);
            draft.out.extend([alu64(op, R0, by), add(R0, R5), store(Size::D, R3, 0, R0)]);
            draft.out.extend([load(Size::D, R1, R4, 0), add(R1, R0), store(Size::D, R4, 0, R1)]);
            draft.out.extend([mov(R0, 0), branch(Cond::Ne, R6, stop, 1), mov(R0, 1), exit()]);
        });
        self.out.extend(map(R1, index));
        self.address_of(R2, function);
        let word = -8 * self.rng.between(1, 8) as i32;
        self.out.extend([mov(R3, R10), add(R3, word), mov(R4, 0), helper(FOR_EACH), add(R9, R0)]);
    }
}
