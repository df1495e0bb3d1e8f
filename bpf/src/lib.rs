//! What a BPF program means.
//!
//! This crate reads the bytes it is given and nothing else: no file, no clock, no randomness of its own. What a program
//! can observe of the outside comes through [`env::Env`].
//!
//! The rooms follow a program's life:
//! object bytes → [`object`] → [`program::Program`] → [`verifier`] → [`verifier::VerifiedProgram`] → [`facts`] →
//! [`interp`]. Around them stand [`insn`] (the instruction set), [`cbpf`] (classic BPF, another way in), [`memory`] (the
//! guest's address space), [`maps`], [`helpers`], [`mod@env`] and [`diag`].

pub mod bpffs;
pub mod btf;
pub mod cbpf;
pub mod diag;
pub mod dwarf;
pub mod engines;
pub mod env;
pub mod errno;
pub mod facts;
pub mod helpers;
pub mod insn;
pub mod interp;
pub mod maps;
pub mod memory;
pub mod network;
pub mod object;
pub mod program;
pub mod syscall;
pub mod verifier;
