//! The instruction set of the NFP-6000 flow processing core: one table, everything derived.
//!
//! `table.rs` holds a row for each instruction. Small macros, a file each, turn it into [`Op`] and its structs,
//! [`encode`], [`decode`], the listing (`Display`) and the assembler ([`assemble`]), [`Op::uses`] and [`Op::defs`], [`Op::external`],
//! [`Op::timing_class`], the [`NicVisitor`] that execution is written on, and the description [`OPS`]. What is in no
//! row is refused by name.
//!
//! Two witnesses hold the encodings: binutils' disassembler and the words of the Linux driver's translator. The meaning
//! is told by the rows' docs, each with where it is known from: *driver* is what the Linux nfp driver relies on;
//! *vendor's test firmware* the program in the binutils test suite; *vendor's firmware* the public CoreNIC microcode,
//! *vendor's library* the headers and routines of the vendor's C library; *ancestor's manual* Intel's hardware
//! reference manual of the IXP2800, whose core this one descends from; *assumed* means that no source says so.
//!
//! # Words
//!
//! An instruction has 45 bits; a code-store word adds seven parity bits above them ([`with_ecc`], [`check_ecc`]).
//!
//! ```text
//!   44 43 42 41 40 39    37 36 35                          0
//!   p  d  s  w  n  [format] [bank, operator, shift, operands]
//!   │  │  │  │  └ condition codes kept; top address bit in branches, top transfer register bit in commands
//!   │  │  │  └ result to both banks; in commands: overrides from the previous result
//!   │  │  └ high bit of local memory pointers of sources   ┐
//!   │  └ high bit of local memory pointers of destinations ├ in commands these three are the address mode
//!   └ predicate                                            ┘
//! ```
//!
//! A predicated instruction acts only if a condition holds on the condition codes: that of equality, unless the CSR
//! `IndPredCC` selects another by the code of [`Cond`] (vendor's library and microcode).
//!
//! # What one instruction leaves to the next
//!
//! Besides registers and condition codes there are the *previous result* (arithmetic shifts take their sign from it,
//! indirect commands their [`Override`]) and the *previous left operand* (indirect shifts take their amount from it).
//! Both are those of the instruction just before; what an instruction without a result leaves there is not documented,
//! so nothing should rely on it. [`Effect::Result`] marks the instructions that have one.
//!
//! A local memory operand is read through its pointer, the result is computed and written, then the pointer moves, once
//! even if source and destination both say so (ancestor's manual). The offset is ORed into the pointer.
//!
//! # Operands
//!
//! A word names its sources in field A and field B, one for each read port. General purpose registers have a bank, and
//! bank A is read at port A only, bank B at port B only. So
//! - two sources of one bank cannot be encoded, nor two of the same other kind (two constants, two transfer registers,
//!   two local memory words, two neighbour registers), [`EncodeError::SameBank`] and [`EncodeError::SameKind`];
//! - `lhs` of bank B, or `rhs` of bank A, needs the swap bit: the ports are exchanged, not the meaning. [`Pair::new`]
//!   sets it as the driver does;
//! - the bank bit of a destination picks the bank; `gpr_wrboth` mirrors the result to the other;
//! - commands have no swap bit. Their address mode says which operand is the high one ([`Address`]).
//!
//! Unrestricted operands (`alu`, `immed`, `mul_step`, local CSRs, `jump`) have ten bits, restricted ones (`alu_shf`,
//! `ld_field`, branches on bits and bytes, commands) eight: no absolute registers, next-neighbour registers or moving
//! pointers, local memory offsets to 7, constants to 127 (to 255 where the format has an eighth bit). `codes.rs` has
//! the table. Of the four local memory pointers the low bit of the number stands in the operand and the high bit is one
//! flag for all sources and one for the destination.
//!
//! # Mnemonics
//!
//! ```text
//!   alu_shf[gprB_3, *l$index2[5], AND~, $xfer_7, <<9], no_cc, gpr_wrboth
//!   └┬────┘ └┬───┘  └┬─────────┘  └┬─┘  └┬────┘  └┬┘   └┬──────────────┘
//!    │       │       │             │     │        │     flags: condition codes kept, result to both banks
//!    │       │       │             │     │        shift of rhs
//!    │       │       │             │     rhs
//!    │       │       │             operator
//!    │       │       lhs
//!    │       destination; `--` is none
//!    instruction
//!
//!   mem[read32_swap, $xfer_0, gprA_2, <<8, gprB_3, 2], indirect_ref, ctx_swap[sig1], defer[1]
//!   └┬┘ └┬────────┘  └┬────┘  └┬────────────────┘  └   └┬─────────┘  └┬───────────┘  └┬─────┘
//!    │   │            │        │                   │    │             │               one more instruction runs before that
//!    │   │            │        │                   │    │             waits for signal 1; `sig_done[sig1]` would go on
//!    │   │            │        │                   │    overrides from the previous result
//!    │   │            │        │                   count
//!    │   │            │        address
//!    │   │            first transfer register
//!    │   action
//!    unit
//!
//!   br_bset[gprA_4, 23, .479], defer[3]
//!           └┬───┘  └┘  └┬─┘   └┬─────┘
//!            │      │    │      three more instructions run, branch or not
//!            │      │    code-store address
//!            │      its bit
//!            register
//! ```

mod asm;
mod bits;
mod branch;
mod codes;
mod command;
mod command_names;
mod crc;
mod csr;
mod decode;
mod ecc;
mod effect;
mod encode;
mod error;
mod field;
mod kinds;
mod listing;
mod lone;
mod op;
mod operand;
mod overrides;
mod place;
mod ports;
mod row;
mod shift;
mod syntax;
mod table;
mod target;
mod visitor;
mod wait;

pub use asm::{Disassembly, assemble, assemble_line, disassemble};
pub use branch::{BitTest, JumpTo};
pub use command::{Command, Target};
pub use crc::{CrcMode, Lookup, LookupPointer};
pub use csr::Csr;
pub use decode::decode;
pub use ecc::{EccError, PAYLOAD, check_ecc, with_ecc};
pub use effect::{Effect, External, TimingClass};
pub use encode::encode;
pub use error::{DecodeError, DecodeReason, EncodeError};
pub use kinds::*;
pub use listing::Listing;
pub use lone::{Left, One};
pub use op::*;
pub use operand::{Bank, ContextMode, Dst, Idle, Place, Port, Reg, Source, Step};
pub use overrides::{DataOverride, Override};
pub use place::{Cam, Indirect, Previous, Running};
pub use ports::{Beside, Pair, Twice};
pub use row::{FieldRow, OPS, OpRow};
pub use shift::{Amount, Shift};
pub use target::{Load, Merge};
pub use visitor::NicVisitor;
pub use wait::{Address, AddressMode, CodeAddress, Completion, Count, Resume, Swap, Wait};

#[cfg(test)]
mod tests;
