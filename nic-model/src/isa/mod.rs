//! The instruction set of the NFP-6000 flow processing core: one table, everything derived.
//!
//! `table.rs` holds a row for each instruction. Small macros, a file each, turn it into [`Op`] and its structs, [`encode`],
//! [`decode`], the listing (`Display`), [`Op::uses`] and [`Op::defs`], [`Op::external`], [`Op::timing_class`], the
//! [`NicVisitor`] that execution is written on, and the description [`OPS`]. What is in no row is refused by name.
//!
//! Two witnesses hold the encodings: binutils' disassembler and the words of the Linux driver's translator. The meaning is
//! told by the rows' docs, each with where it is known from:
//! *driver* is what the Linux nfp driver relies on, *vendor's test firmware* the program in the binutils test suite,
//! *ancestor's manual* Intel's hardware reference manual of the IXP2800, whose core this one descends from, *assumed*
//! means that no source says so.
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
//!   └ predicate (its meaning is in no public source)       ┘
//! ```
//!
//! # Operands
//!
//! A word names its sources in field A and field B, one for each read port. General purpose registers have a bank, and
//! bank A is read at port A only, bank B at port B only. So
//! - two sources of one bank cannot be encoded, nor two of the same other kind (two constants, two transfer registers, ..),
//!   [`EncodeError::SameBank`] and [`EncodeError::SameKind`];
//! - `lhs` of bank B, or `rhs` of bank A, needs the swap bit: the ports are exchanged, not the meaning. [`Pair::new`] sets
//!   it as the driver does;
//! - the bank bit of a destination picks the bank; `gpr_wrboth` mirrors the result to the other;
//! - commands have no swap bit. Their address mode says which operand is the high one ([`Address`]).
//!
//! Unrestricted operands (`alu`, `immed`, `mul_step`, local CSRs, `jump`) have ten bits, restricted ones (`alu_shf`,
//! `ld_field`, branches on bits and bytes, commands) eight: no absolute registers, next-neighbour registers or moving
//! pointers, local memory offsets to 7, constants to 127 (to 255 where the format has an eighth bit). `codes.rs` has the
//! table. Of the four local memory pointers the low bit of the number stands in the operand and the high bit is one flag
//! for all sources and one for the destination.
//!
//! # Mnemonics
//!
//! ```text
//!   alu_shf[gprB_3, *l$index2[5], AND~, $xfer_7, <<9], no_cc, gpr_wrboth, predicate_cc
//!   └┬────┘ └┬───┘  └┬────────┘   └┬─┘  └┬────┘  └┬┘   └ flags
//!    │       │       lhs           op    rhs      shift of rhs
//!    │       destination; `--` is none
//!    instruction
//!
//!   mem[read32_swap, $xfer_0, gprA_2, <<8, gprB_3, 2], indirect_ref, ctx_swap[sig1], defer[1]
//!   └┬┘ └┬────────┘  └┬────┘  └┬──────────────┘    │   │             └ gives the core away, after so many instructions
//!    │   action       │        address             │   overrides from the previous result
//!    unit             first transfer register      count; without `ctx_swap`, `sig_done[sig1]` names the signal
//!
//!   br_bset[gprA_4, 23, .479], defer[3]
//!                       └┬─┘   └ so many instructions after the branch still run
//!                        code-store address
//! ```

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
mod place;
mod ports;
mod row;
mod shift;
mod syntax;
mod table;
mod target;
mod visitor;
mod wait;

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
pub use place::{Cam, Indirect, Previous, Running};
pub use ports::{Beside, Pair, Twice};
pub use row::{FieldRow, OPS, OpRow};
pub use shift::{Amount, Shift};
pub use target::{Load, Merge};
pub use visitor::NicVisitor;
pub use wait::{Address, AddressMode, CodeAddress, Completion, Count, Resume, Swap, Wait};
