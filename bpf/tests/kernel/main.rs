//! `bpf` beside the running kernel: what one says of programs, maps and objects, the other must say.
//!
//! What needs bpf(2) and does not find it is skipped, and says so; with `REQUIRE_BPF` set it fails.

#[path = "../support/mod.rs"]
mod support;

mod cases;
mod cbpf;
mod conformance_packet;
mod coverage;
mod dwarf_btf;
mod engines;
mod insn_words;
mod interp;
mod interp_calls;
mod interp_helpers;
mod interp_programs;
mod interp_tail_calls;
mod interp_transfers;
mod maps;
mod maps_create;
mod maps_helpers;
mod maps_references;
mod maps_user;
mod network;
mod object_btf;
mod object_info;
mod redirects;
mod skb_helpers;
mod syscall;
mod user_rings;
mod verifier;
mod verifier_callbacks;
mod verifier_corners;
mod verifier_dynptrs;
mod verifier_early_returns;
mod verifier_leftovers;
mod verifier_lent_dynptrs;
mod verifier_logs;
mod verifier_states;
mod verifier_unprivileged;
mod xdp_helpers;
