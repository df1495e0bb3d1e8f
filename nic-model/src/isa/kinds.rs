//! The small closed sets inside instruction words: operators, conditions, steps. Each is one list of code and text.

use super::bits::Bits;
use super::error::{DecodeReason, EncodeError};
use super::field::Field;
use super::listing::{Lister, Text};
use super::operand::Place;
use std::fmt;

macro_rules! coded {
    ($( $(#[$doc:meta])* $name:ident { $( $(#[$vdoc:meta])* $variant:ident = $code:literal $text:literal ),* $(,)? }
        $( [reads $place:expr, if $($reader:ident)|+] )? $( [writes $written:expr, if $($writer:ident)|+] )? )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $( $(#[$vdoc])* $variant ),* }

        impl $name {
            /// Every member, in the order of the codes.
            pub const ALL: &'static [Self] = &[ $( Self::$variant ),* ];

            /// The code in the instruction word.
            pub const fn code(self) -> u32 {
                match self { $( Self::$variant => $code ),* }
            }

            /// The text in a listing.
            pub const fn text(self) -> &'static str {
                match self { $( Self::$variant => $text ),* }
            }
        }

        impl Field for $name {
            type At = Bits;
            fn put(&self, at: Bits, word: &mut u64) -> Result<(), EncodeError> {
                at.put(word, self.code());
                Ok(())
            }
            fn get(at: Bits, word: u64) -> Result<Self, DecodeReason> {
                match at.get(word) {
                    $( $code => Ok(Self::$variant), )*
                    code => Err(DecodeReason::UnknownCode { what: stringify!($name), code }),
                }
            }
            $( fn uses(&self, see: &mut dyn FnMut(Place)) {
                if matches!(self, $( Self::$reader )|+) {
                    see($place);
                }
            } )?
            $( fn defs(&self, see: &mut dyn FnMut(Place)) {
                if matches!(self, $( Self::$writer )|+) {
                    see($written);
                }
            } )?
        }

        impl Text for $name {
            fn text(self, out: &mut Lister<'_, '_>) -> fmt::Result { out.write(Self::text(self)) }
        }
    )* };
}

coded! {
    /// Two-operand operators of `alu`.
    AluOp {
        /// lhs + rhs.
        Add = 0x01 "+",
        /// lhs + rhs with `rhs` cut to 16 bits.
        Add16 = 0x05 "+16",
        /// lhs AND rhs.
        And = 0x08 "AND",
        /// lhs + rhs with `rhs` cut to 8 bits.
        Add8 = 0x09 "+8",
        /// NOT lhs, AND rhs.
        NotAnd = 0x0c "~AND",
        /// lhs - rhs - (1 - carry).
        SubCarry = 0x0d "-carry",
        /// lhs AND NOT rhs.
        AndNot = 0x10 "AND~",
        /// lhs + rhs + carry.
        AddCarry = 0x11 "+carry",
        /// lhs OR rhs.
        Or = 0x14 "OR",
        /// lhs - rhs.
        Sub = 0x15 "-",
        /// lhs XOR rhs.
        Xor = 0x18 "XOR",
        /// rhs - lhs.
        SubReverse = 0x19 "B-A",
    }
    [reads Place::Flags, if AddCarry | SubCarry]

    /// One-operand operators of `alu`.
    AluMove {
        /// The operand.
        Copy = 0x00 "B",
        /// Its complement.
        Not = 0x04 "~B",
    }

    /// One-operand operators of `alu_shf`.
    ShiftMove {
        /// The shifted operand.
        Copy = 0 "B",
        /// Its complement.
        Not = 1 "~B",
    }

    /// Two-operand operators of `alu_shf`; `rhs` is shifted first.
    ShiftOp {
        /// lhs AND rhs.
        And = 2 "AND",
        /// NOT lhs, AND rhs.
        NotAnd = 3 "~AND",
        /// lhs AND NOT rhs.
        AndNot = 4 "AND~",
        /// lhs OR rhs.
        Or = 5 "OR",
    }

    /// Whether condition codes change.
    CondCodes {
        /// They are set from the result.
        Set = 0 "",
        /// They are kept (`no_cc`).
        Keep = 1 ", no_cc",
    }
    [writes Place::Flags, if Set]

    /// Whether `ld_field` changes condition codes: unlike others it does only when told.
    LoadCc {
        /// They are kept.
        Keep = 0 "",
        /// They are set from the result (`load_cc`).
        Set = 1 ", load_cc",
    }
    [writes Place::Flags, if Set]

    /// Conditions on the condition codes, by the name of the branch.
    Cond {
        /// Z: equal.
        Eq = 0 "beq",
        /// Not Z.
        Ne = 1 "bne",
        /// N.
        Minus = 2 "bmi",
        /// Not N.
        Plus = 3 "bpl",
        /// C: after a subtraction, unsigned lhs >= rhs.
        CarrySet = 4 "bcs",
        /// Not C: after a subtraction, unsigned lhs < rhs.
        CarryClear = 5 "bcc",
        /// V.
        OverflowSet = 6 "bvs",
        /// Not V.
        OverflowClear = 7 "bvc",
        /// N = V: signed lhs >= rhs.
        Ge = 8 "bge",
        /// N != V: signed lhs < rhs.
        Lt = 9 "blt",
        /// Z or N != V: signed lhs <= rhs.
        Le = 10 "ble",
        /// Not Z and N = V: signed lhs > rhs.
        Gt = 11 "bgt",
    }
    [reads Place::Flags, if Eq | Ne | Minus | Plus | CarrySet | CarryClear | OverflowSet | OverflowClear
        | Ge | Lt | Le | Gt]

    /// How long before a branch its condition codes are known. The Linux driver always says [`Known::Late`]; the
    /// vendor's assembler says [`Known::Early`] where no instruction shortly before can set them (in its test firmware:
    /// not within three). What the core gains by it is not documented.
    Known {
        /// Long enough: the codes were set some instructions ago.
        Early = 0 "",
        /// The instruction before may set them.
        Late = 1 "",
    }

    /// Input states that `br_inp_state` can test.
    InputState {
        /// The own next-neighbour ring is empty.
        NeighbourEmpty = 0 "nn_empty",
        /// The next core's ring is full.
        NeighbourFull = 1 "nn_full",
        /// Status of ring 0 of the island's CTM.
        Ctm0 = 2 "ctm_ring0_status",
        /// Ring 1.
        Ctm1 = 3 "ctm_ring1_status",
        /// Ring 2.
        Ctm2 = 4 "ctm_ring2_status",
        /// Ring 3.
        Ctm3 = 5 "ctm_ring3_status",
        /// Ring 4.
        Ctm4 = 6 "ctm_ring4_status",
        /// Ring 5.
        Ctm5 = 7 "ctm_ring5_status",
        /// Ring 6.
        Ctm6 = 8 "ctm_ring6_status",
        /// Ring 7.
        Ctm7 = 9 "ctm_ring7_status",
        /// Ring 8.
        Ctm8 = 10 "ctm_ring8_status",
        /// Ring 9.
        Ctm9 = 11 "ctm_ring9_status",
        /// Ring 10.
        Ctm10 = 12 "ctm_ring10_status",
        /// Ring 11.
        Ctm11 = 13 "ctm_ring11_status",
        /// Ring 12.
        Ctm12 = 14 "ctm_ring12_status",
        /// Ring 13.
        Ctm13 = 15 "ctm_ring13_status",
    }

    /// Operand widths of a multiplication: how many bits of the second factor its steps consume.
    MulWidth {
        /// 24 by 8 bits: one step.
        By8 = 1 "24x8",
        /// 16 by 16 bits: two steps.
        By16 = 2 "16x16",
        /// 32 by 32 bits: four steps.
        By32 = 3 "32x32",
    }

    /// Steps of a multiplication; each consumes eight bits of the second factor, lowest first.
    MulStepNo {
        /// Bits 0 to 7.
        One = 0 "step1",
        /// Bits 8 to 15.
        Two = 1 "step2",
        /// Bits 16 to 23.
        Three = 2 "step3",
        /// Bits 24 to 31.
        Four = 3 "step4",
    }

    /// Which half of the product is read.
    MulHalf {
        /// The low 32 bits.
        Low = 4 "last",
        /// The high 32 bits.
        High = 5 "last2",
    }

    /// Which byte of a destination an `immed_b` writes.
    ByteLane {
        /// Bits 0 to 7.
        Zero = 0 "0",
        /// Bits 8 to 15.
        One = 1 "1",
        /// Bits 16 to 23.
        Two = 2 "2",
        /// Bits 24 to 31.
        Three = 3 "3",
    }

    /// Which half of a destination an `immed_w` writes.
    WordLane {
        /// Bits 0 to 15.
        Low = 0 "0",
        /// Bits 16 to 31.
        High = 2 "1",
    }

    /// How far `immed` moves its constant to the left.
    ImmedShift {
        /// Not at all.
        None = 0 "",
        /// One byte.
        One = 1 ", <<8",
        /// Two bytes.
        Two = 2 ", <<16",
    }

    /// Checksum polynomials of `crc`.
    CrcKind {
        /// No checksum: the operand passes through.
        None = 0 "--",
        /// CRC-CCITT.
        Ccitt = 2 "crc_ccitt",
        /// CRC-32 (Ethernet).
        Crc32 = 4 "crc_32",
        /// CRC-32C (iSCSI).
        Iscsi = 5 "crc_iscsi",
        /// CRC-10.
        Crc10 = 6 "crc_10",
        /// CRC-5.
        Crc5 = 7 "crc_5",
    }

    /// Which bytes of its operand `crc` takes in.
    CrcBytes {
        /// All four.
        All = 0 "",
        /// Bytes 1 to 3.
        From1To3 = 1 ", bytes_1_3",
        /// Bytes 2 and 3.
        From2To3 = 2 ", bytes_2_3",
        /// Byte 3.
        Only3 = 3 ", byte_3",
        /// Bytes 0 to 2.
        From0To2 = 4 ", bytes_0_2",
        /// Bytes 0 and 1.
        From0To1 = 5 ", bytes_0_1",
        /// Byte 0.
        Only0 = 6 ", byte_0",
    }
}
