//! The pre-decoded form: 16 bytes an operation, one opcode for each combination of operation, width and operand, so that
//! the engine dispatches once.

use crate::insn::{AluOp, Cond, Operand, Reg, Width};

/// One pre-decoded operation. What the fields mean depends on the opcode.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Op {
    pub code: Opcode,
    /// Destination or left-hand register; the address register of a store.
    pub dst: Lane,
    /// Source register; the address register of a load.
    pub src: Lane,
    /// Jumps: index of the operation to go to. Memory: offset, sign-extended. Otherwise see [`Opcode`].
    pub at: u32,
    /// Immediate, already extended to 64 bits.
    pub imm: u64,
}

/// A register, as a type whose every value indexes an array of [`Lane::COUNT`], so that the engine checks none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Lane {
    L0,
    L1,
    L2,
    L3,
    L4,
    L5,
    L6,
    L7,
    L8,
    L9,
    L10,
}

impl Lane {
    pub const COUNT: usize = Reg::COUNT;
}

const LANES: [Lane; Lane::COUNT] = {
    use Lane::*;
    [L0, L1, L2, L3, L4, L5, L6, L7, L8, L9, L10]
};

impl Op {
    pub const fn new(code: Opcode) -> Op {
        Op { code, dst: Lane::L0, src: Lane::L0, at: 0, imm: 0 }
    }

    /// An operation of two operands. An immediate is sign-extended, and of a 32-bit operation cut to its low half.
    pub fn with(code: Opcode, dst: Reg, src: Operand, width: Width) -> Op {
        let op = Op::new(code).dst(dst);
        match src {
            Operand::Reg(src) => op.src(src),
            Operand::Imm(imm) if width == Width::W32 => Op { imm: u64::from(imm as u32), ..op },
            Operand::Imm(imm) => Op { imm: i64::from(imm) as u64, ..op },
        }
    }

    pub const fn dst(self, reg: Reg) -> Op {
        Op { dst: LANES[reg.index()], ..self }
    }

    pub const fn src(self, reg: Reg) -> Op {
        Op { src: LANES[reg.index()], ..self }
    }
}

/// Rows of binary arithmetic and of comparisons: operation, then its opcodes (64-bit register, 64-bit immediate, 32-bit
/// register, 32-bit immediate). Handed to a macro `$with`, together with its own arguments.
macro_rules! with_operations {
    ($with:ident $($args:tt)*) => {
        $with! {
            [alu
                Add Add64R Add64I Add32R Add32I;
                Sub Sub64R Sub64I Sub32R Sub32I;
                Mul Mul64R Mul64I Mul32R Mul32I;
                Div Div64R Div64I Div32R Div32I;
                Sdiv Sdiv64R Sdiv64I Sdiv32R Sdiv32I;
                Mod Mod64R Mod64I Mod32R Mod32I;
                Smod Smod64R Smod64I Smod32R Smod32I;
                Or Or64R Or64I Or32R Or32I;
                And And64R And64I And32R And32I;
                Xor Xor64R Xor64I Xor32R Xor32I;
                Lsh Lsh64R Lsh64I Lsh32R Lsh32I;
                Rsh Rsh64R Rsh64I Rsh32R Rsh32I;
                Arsh Arsh64R Arsh64I Arsh32R Arsh32I;
            ]
            [jump
                Eq Jeq64R Jeq64I Jeq32R Jeq32I;
                Ne Jne64R Jne64I Jne32R Jne32I;
                Gt Jgt64R Jgt64I Jgt32R Jgt32I;
                Ge Jge64R Jge64I Jge32R Jge32I;
                Lt Jlt64R Jlt64I Jlt32R Jlt32I;
                Le Jle64R Jle64I Jle32R Jle32I;
                Set Jset64R Jset64I Jset32R Jset32I;
                Sgt Jsgt64R Jsgt64I Jsgt32R Jsgt32I;
                Sge Jsge64R Jsge64I Jsge32R Jsge32I;
                Slt Jslt64R Jslt64I Jslt32R Jslt32I;
                Sle Jsle64R Jsle64I Jsle32R Jsle32I;
            ]
            $($args)*
        }
    };
}
pub(super) use with_operations;

macro_rules! opcodes {
    (
        [alu $($alu:ident $a64r:ident $a64i:ident $a32r:ident $a32i:ident;)*]
        [jump $($cond:ident $j64r:ident $j64i:ident $j32r:ident $j32i:ident;)*]
        $($(#[$doc:meta])* $other:ident,)*
    ) => {
        /// What an [`Op`] does.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum Opcode {
            $($a64r, $a64i, $a32r, $a32i,)*
            $($j64r, $j64i, $j32r, $j32i,)*
            $($(#[$doc])* $other,)*
        }

        impl Opcode {
            /// The opcode of a binary operation.
            pub fn alu(op: AluOp, width: Width, src: Operand) -> Opcode {
                match (op, width, src) {
                    $(
                        (AluOp::$alu, Width::W64, Operand::Reg(_)) => Opcode::$a64r,
                        (AluOp::$alu, Width::W64, Operand::Imm(_)) => Opcode::$a64i,
                        (AluOp::$alu, Width::W32, Operand::Reg(_)) => Opcode::$a32r,
                        (AluOp::$alu, Width::W32, Operand::Imm(_)) => Opcode::$a32i,
                    )*
                }
            }

            /// The opcode of a conditional jump.
            pub fn branch(cond: Cond, width: Width, src: Operand) -> Opcode {
                match (cond, width, src) {
                    $(
                        (Cond::$cond, Width::W64, Operand::Reg(_)) => Opcode::$j64r,
                        (Cond::$cond, Width::W64, Operand::Imm(_)) => Opcode::$j64i,
                        (Cond::$cond, Width::W32, Operand::Reg(_)) => Opcode::$j32r,
                        (Cond::$cond, Width::W32, Operand::Imm(_)) => Opcode::$j32i,
                    )*
                }
            }
        }
    };
}

with_operations! { opcodes
    /// `dst = src`
    Mov64R,
    /// `dst = (u32)src`
    Mov32R,
    /// `dst = imm`: moves of either width and wide loads of constants.
    Const,
    /// `dst = (s64)(sN)src`, N in `at`.
    Movsx64,
    /// `dst = (u32)(s32)(sN)src`, N in `at`.
    Movsx32,
    /// `dst = -dst`
    Neg64,
    /// `dst = (u32)-dst`
    Neg32,
    /// Swaps the low 16 bits; the rest is cleared.
    Swap16,
    /// Swaps the low 32 bits; the rest is cleared.
    Swap32,
    /// Swaps all.
    Swap64,
    /// Keeps the low 16 bits.
    Low16,
    /// `dst` = handle of map `at`.
    MapHandle,
    /// `dst` = address of byte `imm` of the first value of map `at`.
    MapValue,
    /// Loads of 1, 2, 4, 8 bytes.
    Load8,
    Load16,
    Load32,
    Load64,
    /// Sign-extending loads.
    LoadS8,
    LoadS16,
    LoadS32,
    /// Stores of a register.
    Store8R,
    Store16R,
    Store32R,
    Store64R,
    /// Stores of an immediate.
    Store8I,
    Store16I,
    Store32I,
    Store64I,
    /// Atomic operation [`super::decode::atomic_of`]`(imm)` on 4 bytes.
    Atomic32,
    /// The same on 8 bytes.
    Atomic64,
    /// Load from the packet as classic BPF does; offset `imm`, size `at`.
    PacketAbs,
    /// The same with `src` added to the offset.
    PacketInd,
    /// Jump.
    Ja,
    /// Jump once the function has passed it too often.
    MayGoto,
    /// Call of the function at `at`.
    CallLocal,
    /// Call of row `at` of the helper table.
    CallHelper,
    /// Call of the helper whose number is in `src`.
    CallReg,
    /// End of the function.
    Exit,
    /// Ends the run with fault `at` of the code's list; stands for what has no operation. Not an instruction.
    Trap,
}

const _: () = assert!(size_of::<Op>() == 16);
